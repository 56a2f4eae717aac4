"""What the sites of Wikimedia share: the errors of MediaWiki's API, whom they refuse, and how they say so."""

import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

_UNIDENTIFIED = (
    "Please set a user-agent and respect our robot policy https://w.wiki/4wJS."
    " See also https://phabricator.wikimedia.org/T400119.\n"
)
NO_CONTACT = "Please respect our robot policy https://w.wiki/4wJS. Contact bot-traffic@wikimedia.org\n"
_TOO_MANY = "Please respect our robot policy https://w.wiki/4wJS when crawling us."

_DOCREF = "See https://en.wikipedia.org/w/api.php for API usage."


def refusal(_limit: str, renewed_in_s: int) -> Response:
    """Return the answer to one request too many."""
    return PlainTextResponse(_TOO_MANY, 429, headers={"Retry-After": str(renewed_in_s), "x-cache": "cp0000 int"})


def refused_agent(request: Request) -> Response | None:
    """Refuse who does not say who it is: Wikimedia has enforced this since 2025."""
    agent = request.headers.get("user-agent", "")
    if not agent or agent.startswith("Mozilla/") or re.fullmatch(r"[\w.-]+/[\w.]+", agent):
        return PlainTextResponse(_UNIDENTIFIED, 403)
    if "@" not in agent and "://" not in agent:
        return PlainTextResponse(NO_CONTACT, 403)
    return None


def api_error(
    code: str, info: str, more: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as MediaWiki does: with status 200."""
    body = {"error": {"code": code, "info": info, **(more or {}), "docref": _DOCREF}, "servedby": "mw-api-ext.sandbox"}
    return JSONResponse(body, headers={"MediaWiki-API-Error": code, **(headers or {})})


def lag(query: Mapping[str, str], lag_s: float) -> Response | None:
    """Return the refusal of a client that stands back if the database replicas lag by more than its ``maxlag``."""
    asked = query.get("maxlag", "")
    return lagged(lag_s) if re.fullmatch(r"-?\d+", asked) and lag_s > int(asked) else None


def lagged(lag_s: float) -> Response:
    """Return what a client is told while the database replicas are behind."""
    info = f"Waiting for 10.192.16.41: {lag_s:g} seconds lagged."
    more = {"host": "10.192.16.41", "lag": lag_s, "type": "db"}
    return api_error("maxlag", info, more, {"Retry-After": "5", "X-Database-Lag": str(int(lag_s))})
