"""The polite HTTP session that every source shares, and the kinds of failure a source can have.

Here belongs what holds for all providers: rate limits, time-outs, retries, leaving a provider alone that is down,
counting calls before they are made, keeping keys out of errors and logs. What a provider's own error bodies mean
belongs into its module, as the ``explain`` function that it hands to :class:`Http`.

Retries are made here with tenacity and not with urllib3's ``Retry``: that one sees statuses only, and three of our
providers say "later" or "never again" in the body (Wikipedia's ``maxlag`` inside a 200, AeroDataBox's monthly quota
behind the same 429 as its rate limit, Open-Meteo's truncated body on a 200).
"""

import datetime as dt
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, quote_plus

import requests
import tenacity
import urllib3
from pydantic import SecretStr
from pyrate_limiter import Limiter, Rate
from requests.adapters import BaseAdapter
from requests_ratelimiter import LimiterSession

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.archive import Archive
from gans_pipeline.sources.transport import Recording, Replaying, WholeAnswers

CONNECT_TIMEOUT_S = 5.0
ATTEMPTS = 4
LONGEST_WAIT_S = 60.0
"""A provider that asks for a longer wait than this is left alone until the next refresh."""

Decoded = TypeVar("Decoded")


class SourceError(Exception):
    """What a source could not deliver. ``detail`` never contains a key; ``provider`` is the source's name."""

    kind = "failed"

    def __init__(self, provider: str, detail: str) -> None:
        super().__init__(f"{provider}: {detail}")
        self.provider = provider
        self.detail = detail


class TransientError(SourceError):
    """The same request may succeed later: time-outs, dropped connections, 408, 5xx, rate limits, truncated bodies."""

    kind = "transient"

    def __init__(self, provider: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(provider, detail)
        self.retry_after_s = retry_after_s


class PermanentError(SourceError):
    """The same request will fail again: a wrong key, a page that does not exist, a parameter that is not allowed."""

    kind = "permanent"


class QuotaError(SourceError):
    """What we paid for is used up; nothing is to be asked again before it is renewed."""

    kind = "quota"


class BudgetError(SourceError):
    """What we allow ourselves to spend at a provider is spent; nothing was asked."""

    kind = "budget"


class MalformedError(SourceError):
    """The provider answered, but not in the shape of its contract; the detail names where."""

    kind = "malformed"


def spend_nothing(provider: str, units: float) -> None:
    """Without a budget nothing is counted."""


@dataclass(frozen=True)
class Access:
    """How providers are reached from here: what is the same for all of them.

    ``archive`` keeps their answers under the name that ``source`` gives to a provider. With ``replayed`` (two points
    in time) nobody is asked: the answers are those that came between them. Good answers that came after
    ``reuse_since`` are not asked for again. ``spend`` is told provider and units before each call, and raises
    :class:`BudgetError` if they are not to be spent; ``sleep`` waits for seconds.
    """

    user_agent: str
    archive: Archive | None = None
    source: Callable[[str], str] = str
    replayed: tuple[dt.datetime, dt.datetime] | None = None
    reuse_since: dt.datetime | None = None
    spend: Callable[[str, float], None] = spend_nothing
    sleep: Callable[[float], None] = lambda seconds: time.sleep(
        seconds
    )  # looked up when it is needed: tests do not wait


class Http:
    """GET requests to one provider: rate-limited, timed out, retried, and failing with a :class:`SourceError` only.

    The limits of ``settings`` hold for the process: clients of the same address and limits share them.
    ``explain`` looks at every answer first and returns the error that its body or status means to this provider, or
    None to leave the judgement to the general rules (2xx is fine; 408, 425, 429 and 5xx are transient; the rest is
    permanent). ``secrets`` are query parameters and ``secret_headers`` headers that are sent and never shown; where
    there are any, redirects are not followed, because requests would take a header along to the host they name.
    ``cost`` tells from the parameters what a call counts against the provider's limits, in its units. With
    ``revalidates`` an answer that has not changed comes from the archive.
    """

    def __init__(
        self,
        provider: str,
        settings: ProviderSettings,
        access: Access,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, SecretStr] | None = None,
        secret_headers: Mapping[str, SecretStr] | None = None,
        explain: Callable[[requests.Response], SourceError | None] = lambda _: None,
        cost: Callable[[Mapping[str, Any]], float] = lambda _: 1.0,
        revalidates: bool = False,
    ) -> None:
        self.provider = provider
        self.settings = settings
        self._access = access
        self._secrets = _revealed(secrets)
        revealed_headers = _revealed(secret_headers)
        self._hidden = _spellings([*self._secrets.values(), *revealed_headers.values()])
        _redaction.add(self._hidden)
        self._explain = explain
        self._cost = cost
        self._revalidates = revalidates
        self._gate = _gate(settings)
        self._session, self._adapter = self._make_session()
        self._session.headers.update({"User-Agent": access.user_agent, **(headers or {}), **revealed_headers})
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_be_retried),
            stop=tenacity.stop_after_attempt(1 if access.replayed else ATTEMPTS),
            wait=_wait,
            sleep=access.sleep,
            reraise=True,
        )

    def _make_session(self) -> tuple[requests.Session, BaseAdapter]:
        archive, source = self._access.archive, self._access.source(self.provider)
        adapter: BaseAdapter
        if archive and self._access.replayed:
            session = requests.Session()
            since, until = self._access.replayed
            adapter = Replaying(archive, source, asked=self._asked, since=since, until=until)
        else:
            session = LimiterSession(
                limiter=self._gate.limiter,
                per_host=False,
                bucket_name=self.provider,
                limit_statuses=[],  # a 429 is judged below; the library would fill its bucket and block everyone
            )
            within_s, connections = self.settings.timeout_s, self.settings.concurrency
            if archive:
                adapter = Recording(
                    archive,
                    source,
                    asked=self._asked,
                    hide=self._redact,
                    revalidates=self._revalidates,
                    reuse_since=self._access.reuse_since,
                    within_s=within_s,
                    connections=connections,
                )
            else:
                adapter = WholeAnswers(within_s=within_s, connections=connections)
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        # Proxies and certificates of the environment are read once: anew for each request they took a tenth of it.
        environment: dict[str, Any] = dict(session.merge_environment_settings(self.settings.url, {}, None, None, None))
        session.proxies, session.verify = environment["proxies"], environment["verify"]
        session.trust_env = False
        return session, adapter

    @property
    def is_archived(self) -> bool:
        """Whether the answers are kept."""
        return self._access.archive is not None

    def get_json(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the decoded JSON body, or None where the answer is 204 (no content)."""
        return self._get(path, params, self._decode_json)

    def get_text(self, path: str, params: Mapping[str, Any] | None = None) -> str:
        """Return the body as text; one that is not UTF-8 is malformed, for names would be stored with holes in them."""
        return self._get(path, params, self._decode_text)

    def archived_json(
        self, path: str, params: Mapping[str, Any], holds: Callable[[Any, dt.datetime], bool]
    ) -> Any | None:
        """Return the newest archived answer to a request if it still holds, by what it says and when it came, or None.

        For providers that tell by other means than ETags what has changed. A replay always takes the answer of its
        own time, by :meth:`get_json`.
        """
        archive = self._access.archive
        if archive is None or self._access.replayed:
            return None
        known = archive.latest(self._access.source(self.provider), self._asked(self._request(path, params)))
        if known is None:
            return None
        answer, response = known
        payload = self._decode_json(response)
        if isinstance(payload, SourceError):  # an answer that never was one
            return None
        if not holds(payload, answer.fetched_at):
            return None
        archive.confirm(answer)
        return payload

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(
        self, path: str, params: Mapping[str, Any] | None, decode: Callable[[requests.Response], Decoded | SourceError]
    ) -> Decoded:
        if self._access.reuse_since and isinstance(self._adapter, Recording):
            response = self._adapter.reused(self._request(path, params or {}))
            if response is not None:
                result = self._read(response, decode)
                if not isinstance(result, SourceError):
                    return result
        decoded: Decoded = self._retrying(self._attempt, path, params or {}, decode)
        return decoded

    def _attempt(
        self, path: str, params: Mapping[str, Any], decode: Callable[[requests.Response], Decoded | SourceError]
    ) -> Decoded:
        if self._access.replayed:
            result = self._ask(path, params, decode)
        else:
            is_up = True
            self._gate.circuit.enter(self.provider)
            try:
                self._access.spend(self.provider, self._cost(params))
                result = self._ask(path, params, decode)
                is_up = not (isinstance(result, TransientError) and result.retry_after_s is None)
            finally:
                self._gate.circuit.leave(is_up=is_up)
        if isinstance(result, SourceError):
            # Raised where no exception is being handled: the library's holds the whole URL, and `raise … from None`
            # only hides it from the traceback, while error trackers walk __context__.
            result.detail = self._redact(result.detail)
            result.args = (f"{self.provider}: {result.detail}",)
            raise result
        return result

    def _ask(
        self, path: str, params: Mapping[str, Any], decode: Callable[[requests.Response], Decoded | SourceError]
    ) -> Decoded | SourceError:
        try:
            with self._gate.slots:
                response = self._session.get(
                    self.settings.url + path,
                    params={**params, **self._secrets},
                    timeout=(CONNECT_TIMEOUT_S, self.settings.timeout_s),
                    allow_redirects=not self._hidden,
                )
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            # UnicodeError: a header that is not Latin-1, as a key that was pasted with an ellipsis
            detail = f"GET {path}: {type(error).__name__}: {error}"
            bad_request = isinstance(error, ValueError)  # what requests and Python say to a bad URL or header
            return PermanentError(self.provider, detail) if bad_request else TransientError(self.provider, detail)
        return self._read(response, decode)

    def _read(
        self, response: requests.Response, decode: Callable[[requests.Response], Decoded | SourceError]
    ) -> Decoded | SourceError:
        return self._explain(response) or self._judge(response) or decode(response)

    def _request(self, path: str, params: Mapping[str, Any]) -> requests.PreparedRequest:
        return requests.Request("GET", self.settings.url + path, params={**params, **self._secrets}).prepare()

    def _asked(self, request: requests.PreparedRequest) -> str:
        """Return how the archive calls a request: without keys, and the same at whatever address the provider is."""
        return self._redact(f"{request.method} {(request.url or '').removeprefix(self.settings.url)}")

    def _judge(self, response: requests.Response) -> SourceError | None:
        if 200 <= response.status_code < 300:
            return None
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            return TransientError(self.provider, describe(response), retry_after_s=retry_after_s(response))
        return PermanentError(self.provider, describe(response))

    def _decode_json(self, response: requests.Response) -> Any:
        if response.status_code == 204:
            return None
        try:
            # not by response.json(), which takes simplejson where that is installed: twice as slow
            return json.loads(response.content)
        except (ValueError, RecursionError):  # not JSON, a number of thousands of digits, or nested beyond all measure
            kind = response.headers.get("Content-Type", "no content type")
            return TransientError(self.provider, f"no JSON but {kind}: {describe(response)}")

    def _decode_text(self, response: requests.Response) -> str | SourceError:
        try:
            return response.content.decode("utf-8")
        except UnicodeDecodeError as error:
            path = _path(response)
            return MalformedError(self.provider, f"{path}: not UTF-8 at byte {error.start}: {error.reason}")

    def _redact(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        return text


def describe(response: requests.Response) -> str:
    """Return an answer in one line: its status, the path that was asked (without the query), where its body starts."""
    body = " ".join(response.text.split())[:200]
    to = f" to {response.headers['Location']}" if "Location" in response.headers else ""
    return f"HTTP {response.status_code}{to} for {_path(response)}: {body or 'empty body'}"


def _path(response: requests.Response) -> str:
    return response.request.path_url.partition("?")[0]


def retry_after_s(response: requests.Response) -> float | None:
    """Return the seconds that the answer's ``Retry-After`` asks for (as seconds or as an HTTP date), or None."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _may_be_retried(error: BaseException) -> bool:
    return isinstance(error, TransientError) and (error.retry_after_s or 0) <= LONGEST_WAIT_S


_backoff = tenacity.wait_exponential(multiplier=1.2, max=LONGEST_WAIT_S) + tenacity.wait_random(0, 1)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, TransientError) else None
    return max(asked or 0.0, _backoff(state))


class _Circuit:
    """Leaves a provider alone that is down: after ten failures in a row one call at a time tries whether it is back.

    The others wait in line for the first three trials, about a minute in all, for what a short outage withholds can
    still be had. Then they fail at once for five minutes: 300 cities would each wait for their own time-outs.
    """

    FAILURES = 10
    CLOSED_S: tuple[float, ...] = (5, 15, 45, 300)

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._failures = 0  # in a row
        self._trials = 0  # that failed
        self._trying: int | None = None  # the thread that may ask although the rest may not
        self._next_trial_at = 0.0

    def enter(self, provider: str) -> None:
        """Return when the provider may be asked; raises :class:`TransientError` where that is too far off."""
        with self._changed:
            while self._failures >= self.FAILURES:
                wait_s = self._next_trial_at - time.monotonic()
                if wait_s > LONGEST_WAIT_S:
                    reason = f"not asked: it is down, {self._failures} calls in a row failed"
                    raise TransientError(
                        provider, f"{reason}; it is asked again in {wait_s:.0f} s", retry_after_s=wait_s
                    )
                if wait_s <= 0 and self._trying is None:
                    self._trying = threading.get_ident()
                    return
                self._changed.wait(max(wait_s, 1))

    def leave(self, *, is_up: bool) -> None:
        """Tell what came of the call: whether the provider answered as one that is up."""
        with self._changed:
            was_trial = self._trying == threading.get_ident()
            if was_trial:
                self._trying = None
            if is_up:
                self._failures = self._trials = 0
            else:
                self._failures += 1
                if was_trial or self._failures == self.FAILURES:
                    closed_s = self.CLOSED_S[min(self._trials, len(self.CLOSED_S) - 1)]
                    self._next_trial_at = time.monotonic() + closed_s
                    self._trials += 1
            self._changed.notify_all()


class _Gate(NamedTuple):
    """What all clients of one address in this process share: the limits are the provider's, not a client's."""

    limiter: Limiter
    slots: threading.BoundedSemaphore
    circuit: _Circuit


_gates: dict[tuple[str, float, float | None, int], _Gate] = {}
_gates_lock = threading.Lock()


def _gate(settings: ProviderSettings) -> _Gate:
    key = (settings.url, settings.per_second, settings.per_minute, settings.concurrency)
    with _gates_lock:
        if key not in _gates:
            limiter = Limiter(_rates(settings.per_second, settings.per_minute))
            _gates[key] = _Gate(limiter, threading.BoundedSemaphore(settings.concurrency), _Circuit())
        return _gates[key]


def _rates(per_second: float, per_minute: float | None) -> list[Rate]:
    """Return the limits as sliding windows that pyrate-limiter accepts.

    Not left to requests-ratelimiter: it turns 0.9 a second into 9 in 10 seconds, which may all come in the first one,
    and refuses 1 a second with 200 a minute, where the second limit never binds.
    """
    rates = [_rate(per_second, 1)]
    if per_minute is not None and per_minute < 60 * per_second:
        rates = [rate for rate in rates if rate.limit < int(per_minute)] + [_rate(per_minute, 60)]
    return rates


def _rate(count: float, seconds: int) -> Rate:
    whole = max(1, int(count))
    return Rate(whole, math.ceil(1000 * seconds * whole / count))


def _revealed(secrets: Mapping[str, SecretStr] | None) -> dict[str, str]:
    return {name: secret.get_secret_value().strip() for name, secret in (secrets or {}).items()}


def _spellings(secrets: list[str]) -> tuple[str, ...]:
    """Return the secrets as they may stand in a URL, a header or a body, the longest first."""
    spelled = {spell(secret) for secret in secrets if secret for spell in (str, quote, quote_plus, _escaped, _in_json)}
    return tuple(sorted(spelled, key=len, reverse=True))


def _escaped(secret: str) -> str:
    return repr(secret)[1:-1]


def _in_json(secret: str) -> str:
    return json.dumps(secret)[1:-1]


class _Redaction(logging.Filter):
    """urllib3 logs the path of each request with its query, key included, at DEBUG, and at WARNING with bad headers."""

    def __init__(self) -> None:
        super().__init__()
        self._hidden: frozenset[str] = frozenset()

    def add(self, hidden: tuple[str, ...]) -> None:
        self._hidden |= frozenset(hidden)  # a new set: other threads may be going through the old one

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        hidden = [secret for secret in self._hidden if secret in message]
        if hidden:
            for secret in sorted(hidden, key=len, reverse=True):
                message = message.replace(secret, "***")
            record.msg, record.args = message, ()
        return True


_redaction = _Redaction()
for _name in ("urllib3.connectionpool", "urllib3.connection"):
    logging.getLogger(_name).addFilter(_redaction)
