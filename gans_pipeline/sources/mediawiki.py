"""What the sites of Wikimedia have in common: the errors of MediaWiki's API, and what a refused client is told.

What is asked of a site, and what its answers mean, belongs into its module.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from gans_pipeline.sources.http import PermanentError, SourceError, TransientError, describe, retry_after_s

API = "/w/api.php"
MAXLAG_S = 5
"""Wikimedia asks robots to stand back when its database replicas lag by more than this."""

ITEMS_PER_CALL = 50
"""Titles or ids that one question may name."""


def api_error(provider: str, error: Any, asked: str) -> SourceError:
    """Return what the ``error`` object of an API answer means; ``asked`` is the title or the ids that were asked for.

    Lag of the replicas and overload pass; a page that does not exist and every other error do not.
    """
    code, info = (error.get("code"), error.get("info")) if isinstance(error, dict) else (None, error)
    detail = f"{asked}: {code}: {info}"
    passing = code in ("maxlag", "ratelimited", "readonly") or str(code).startswith("internal_api_error")
    return TransientError(provider, detail) if passing else PermanentError(provider, detail)


def explains(provider: str, *, asked_by: str) -> Callable[[requests.Response], SourceError | None]:
    """Return what tells the error of an answer: refused clients by status, what the API itself says by its body.

    ``asked_by`` is the parameter that names what was asked for.
    """

    def explain(response: requests.Response) -> SourceError | None:
        if response.status_code == requests.codes.forbidden:
            return PermanentError(
                provider, f"this client is refused; set GANS_CONTACT to a web or e-mail address: {describe(response)}"
            )
        if response.status_code != requests.codes.ok:
            return None
        try:
            body = response.json()
        except (ValueError, RecursionError):
            return None
        if not isinstance(body, Mapping) or "error" not in body:
            return None
        asked = parse_qs(urlsplit(response.request.url or "").query).get(asked_by, [asked_by])[0]
        error = api_error(provider, body["error"], asked)
        if isinstance(error, TransientError):
            error.retry_after_s = retry_after_s(response)
        return error

    return explain
