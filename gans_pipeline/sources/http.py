"""The polite HTTP session that every source shares, and the four kinds of failure a source can have.

Here belongs what holds for all providers: rate limits, time-outs, retries, keeping keys out of errors and logs. What
a provider's own error bodies mean belongs into its module, as the ``explain`` function that it hands to :class:`Http`.

Retries are made here with tenacity and not with urllib3's ``Retry``: that one sees statuses only, and three of our
providers say "later" or "never again" in the body (Wikipedia's ``maxlag`` inside a 200, AeroDataBox's monthly quota
behind the same 429 as its rate limit, Open-Meteo's truncated body on a 200).
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, quote_plus

import requests
import tenacity
import urllib3
from pydantic import SecretStr
from pyrate_limiter import Limiter, Rate
from requests.adapters import HTTPAdapter
from requests_ratelimiter import LimiterSession

from gans_pipeline.settings import ProviderSettings

CONNECT_TIMEOUT_S = 5.0
ATTEMPTS = 4
CHUNK_BYTES = 65536
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


class MalformedError(SourceError):
    """The provider answered, but not in the shape of its contract; the detail names where."""

    kind = "malformed"


class Http:
    """GET requests to one provider: rate-limited, timed out, retried, and failing with a :class:`SourceError` only.

    The limits of ``settings`` hold for the process: clients of the same address and limits share them.
    ``explain`` looks at every answer first and returns the error that its body or status means to this provider, or
    None to leave the judgement to the general rules (2xx is fine; 408, 425, 429 and 5xx are transient; the rest is
    permanent). ``secrets`` are query parameters and ``secret_headers`` headers that are sent and never shown; where
    there are any, redirects are not followed, because requests would take a header along to the host they name.
    """

    def __init__(
        self,
        provider: str,
        settings: ProviderSettings,
        user_agent: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, SecretStr] | None = None,
        secret_headers: Mapping[str, SecretStr] | None = None,
        explain: Callable[[requests.Response], SourceError | None] = lambda _: None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.provider = provider
        self.settings = settings
        self._secrets = _revealed(secrets)
        revealed_headers = _revealed(secret_headers)
        self._hidden = _spellings([*self._secrets.values(), *revealed_headers.values()])
        _redaction.add(self._hidden)
        self._explain = explain
        gate = _gate(settings)
        self._slots = gate.slots
        self._session = LimiterSession(
            limiter=gate.limiter,
            per_host=False,
            bucket_name=provider,
            limit_statuses=[],  # a 429 is judged below; the library would fill its bucket and block everyone
        )
        self._session.headers.update({"User-Agent": user_agent, **(headers or {}), **revealed_headers})
        # By default a pool keeps ten connections; more requests at once would each open and drop one of their own.
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=settings.concurrency))
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_be_retried),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_wait,
            sleep=sleep or (lambda seconds: time.sleep(seconds)),  # looked up when it is needed: tests do not wait
            reraise=True,
        )

    def get_json(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the decoded JSON body, or None where the answer is 204 (no content)."""
        return self._get(path, params, self._decode_json)

    def get_text(self, path: str, params: Mapping[str, Any] | None = None) -> str:
        """Return the body as text; one that is not UTF-8 is malformed, for names would be stored with holes in them."""
        return self._get(path, params, self._decode_text)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(
        self, path: str, params: Mapping[str, Any] | None, decode: Callable[[requests.Response], Decoded | SourceError]
    ) -> Decoded:
        decoded: Decoded = self._retrying(self._attempt, path, params, decode)
        return decoded

    def _attempt(
        self, path: str, params: Mapping[str, Any] | None, decode: Callable[[requests.Response], Decoded | SourceError]
    ) -> Decoded:
        failure: SourceError | None
        try:
            with self._slots:
                response = self._session.get(
                    self.settings.url + path,
                    params={**(params or {}), **self._secrets},
                    timeout=(CONNECT_TIMEOUT_S, self.settings.timeout_s),
                    allow_redirects=not self._hidden,
                    stream=True,
                )
                _read_body(response, self.settings.timeout_s)
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError) as error:
            # UnicodeError: a header that is not Latin-1, as a key that was pasted with an ellipsis
            detail = f"GET {path}: {type(error).__name__}: {error}"
            bad_request = isinstance(error, ValueError)  # what requests and Python say to a bad URL or header
            failure = PermanentError(self.provider, detail) if bad_request else TransientError(self.provider, detail)
        else:
            failure = self._explain(response) or self._judge(response)
            if failure is None:
                result = decode(response)
                if not isinstance(result, SourceError):
                    return result
                failure = result
        # Raised outside the except clause: the library's exception holds the whole URL, and `raise … from None` only
        # hides it from the traceback, while error trackers walk __context__.
        failure.detail = self._redact(failure.detail)
        failure.args = (f"{self.provider}: {failure.detail}",)
        raise failure

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
            return response.json()
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


def _read_body(response: requests.Response, within_s: float) -> None:
    """Read the body, or raise if it is not whole in time.

    The time-out of requests is for each read: a server that sends a byte every 20 seconds would never meet it.
    """
    began = time.monotonic()
    body = bytearray()
    with response:
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
            body += chunk
            if time.monotonic() - began > within_s:
                raise requests.ReadTimeout(f"the body is not whole after {within_s:g} seconds, {len(body)} bytes came")
    response._content = bytes(body)  # where requests itself keeps it


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


class _Gate(NamedTuple):
    """What all clients of one address in this process share: the limits are the provider's, not a client's."""

    limiter: Limiter
    slots: threading.BoundedSemaphore


_gates: dict[tuple[str, float, float | None, int], _Gate] = {}
_gates_lock = threading.Lock()


def _gate(settings: ProviderSettings) -> _Gate:
    key = (settings.url, settings.per_second, settings.per_minute, settings.concurrency)
    with _gates_lock:
        if key not in _gates:
            limiter = Limiter(_rates(settings.per_second, settings.per_minute))
            _gates[key] = _Gate(limiter, threading.BoundedSemaphore(settings.concurrency))
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
    spelled = {spell(secret) for secret in secrets if secret for spell in (str, quote, quote_plus, _escaped)}
    return tuple(sorted(spelled, key=len, reverse=True))


def _escaped(secret: str) -> str:
    return repr(secret)[1:-1]


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
