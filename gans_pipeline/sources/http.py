"""The polite HTTP session that every source shares, and the four kinds of failure a source can have.

Here belongs what holds for all providers: rate limits, time-outs, retries, keeping keys out of errors and logs. What
a provider's own error bodies mean belongs into its module, as the ``explain`` function that it hands to :class:`Http`.

Retries are made here with tenacity and not with urllib3's ``Retry``: that one sees statuses only, and three of our
providers say "later" or "never again" in the body (Wikipedia's ``maxlag`` inside a 200, AeroDataBox's monthly quota
behind the same 429 as its rate limit, Open-Meteo's truncated body on a 200).
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

import requests
import tenacity
from pydantic import SecretStr
from requests_ratelimiter import LimiterSession

from gans_pipeline.settings import ProviderSettings

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


class MalformedError(SourceError):
    """The provider answered, but not in the shape of its contract; the detail names where."""

    kind = "malformed"


class Http:
    """GET requests to one provider: rate-limited, timed out, retried, and failing with a :class:`SourceError` only.

    ``explain`` looks at every answer first and returns the error that its body or status means to this provider, or
    None to leave the judgement to the general rules (2xx is fine; 408, 429 and 5xx are transient; the rest permanent).
    ``secrets`` are query parameters that are sent and never shown.
    """

    def __init__(
        self,
        provider: str,
        settings: ProviderSettings,
        user_agent: str,
        *,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, SecretStr] | None = None,
        explain: Callable[[requests.Response], SourceError | None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.provider = provider
        self.settings = settings
        self._secrets = {name: secret.get_secret_value() for name, secret in (secrets or {}).items()}
        self._explain = explain
        self._session = LimiterSession(
            per_second=settings.per_second,
            per_minute=settings.per_minute,
            limit_statuses=[],  # a 429 is judged below; the library would fill its bucket and block everyone
        )
        self._session.headers.update({"User-Agent": user_agent, **(headers or {})})
        self._slots = threading.BoundedSemaphore(settings.concurrency)
        self._retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_be_retried),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=_wait,
            sleep=sleep,
            reraise=True,
        )
        _keep_out_of_logs(self._secrets.values())

    def get_json(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the decoded JSON body, or None where the answer is 204 (no content)."""
        return self._get(path, params, self._decode_json)

    def get_text(self, path: str, params: Mapping[str, Any] | None = None) -> str:
        """Return the body as text, read as UTF-8."""
        return self._get(path, params, lambda response: response.content.decode("utf-8", errors="replace"))

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _get(
        self, path: str, params: Mapping[str, Any] | None, decode: Callable[[requests.Response], Decoded]
    ) -> Decoded:
        return self._retrying(self._attempt, path, params, decode)

    def _attempt(
        self, path: str, params: Mapping[str, Any] | None, decode: Callable[[requests.Response], Decoded]
    ) -> Decoded:
        try:
            with self._slots:
                response = self._session.get(
                    self.settings.url + path,
                    params={**(params or {}), **self._secrets},
                    timeout=(CONNECT_TIMEOUT_S, self.settings.timeout_s),
                )
        except requests.RequestException as error:
            # The library's message holds the whole URL, key included, and so would the chained exception.
            detail = f"GET {path}: {type(error).__name__}: {self._redact(str(error))}"
            failure: SourceError
            if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
                failure = PermanentError(self.provider, detail)
            else:
                failure = TransientError(self.provider, detail)
            raise failure from None
        failure_or_none = self._explain(response) or self._judge(response)
        if failure_or_none is not None:
            raise failure_or_none
        return decode(response)

    def _judge(self, response: requests.Response) -> SourceError | None:
        if 200 <= response.status_code < 300:
            return None
        body = self._redact(" ".join(response.text.split()))[:200]
        detail = f"HTTP {response.status_code} for {response.request.path_url.partition('?')[0]}: {body or 'empty body'}"
        if response.status_code in (408, 425, 429) or response.status_code >= 500:
            return TransientError(self.provider, detail, retry_after_s=retry_after_s(response))
        return PermanentError(self.provider, detail)

    def _decode_json(self, response: requests.Response) -> Any:
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except requests.exceptions.JSONDecodeError:
            start = self._redact(" ".join(response.text.split()))[:80]
            kind = response.headers.get("Content-Type", "no content type")
            self._not_json(f"{response.request.path_url.partition('?')[0]}: no JSON but {kind}: {start!r}")

    def _not_json(self, detail: str) -> NoReturn:
        raise TransientError(self.provider, detail) from None

    def _redact(self, text: str) -> str:
        for secret in self._secrets.values():
            text = text.replace(secret, "***")
        return re.sub(r"(?i)((?:appid|apikey|api_key|key|token)=)[^&\s'\"]+", r"\1***", text)


def retry_after_s(response: requests.Response) -> float | None:
    """Return the seconds that the answer's ``Retry-After`` asks for (as seconds or as an HTTP date), or None."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _may_be_retried(error: BaseException) -> bool:
    return isinstance(error, TransientError) and (error.retry_after_s or 0) <= LONGEST_WAIT_S


def _wait(state: tenacity.RetryCallState) -> float:
    jittered = tenacity.wait_exponential_jitter(initial=1.2, max=LONGEST_WAIT_S, jitter=1)(state)
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, TransientError) else None
    return max(asked or 0.0, jittered) if asked else jittered


class _Redaction(logging.Filter):
    """urllib3 logs each request's path with its query, key included, at DEBUG."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if any(secret in message for secret in self.secrets):
            for secret in self.secrets:
                message = message.replace(secret, "***")
            record.msg, record.args = message, ()
        return True


_redaction = _Redaction()
logging.getLogger("urllib3.connectionpool").addFilter(_redaction)


def _keep_out_of_logs(secrets: Any) -> None:
    _redaction.secrets.update(secret for secret in secrets if secret)
