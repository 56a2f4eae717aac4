"""The client of English Wikipedia's API: the list of the largest cities, and the article of one city.

Text of Wikipedia is CC BY-SA 4.0; the revision goes with every value. Here belongs what is asked and what an answer
that is not a page means; reading them belongs into ``wikipedia_list`` and ``wikipedia_article``.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import requests

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.http import Http, PermanentError, SourceError, TransientError, describe, retry_after_s
from gans_pipeline.sources.wikipedia_article import Article, parse_article
from gans_pipeline.sources.wikipedia_list import parse_largest_cities
from gans_pipeline.sources.wikipedia_pages import PROVIDER, api_error

LIST_TITLE = "List of largest cities"
MAXLAG_S = 5
"""Wikimedia asks robots to stand back when its database replicas lag by more than this."""


class Wikipedia:
    """Asks Wikipedia for pages by ``action=parse``; every failure is a :class:`SourceError` that names the page."""

    name = PROVIDER

    def __init__(
        self, settings: ProviderSettings, user_agent: str, *, sleep: Callable[[float], None] | None = None
    ) -> None:
        self._http = Http(self.name, settings, user_agent, explain=_explain, sleep=sleep)

    def largest_cities(self) -> pd.DataFrame:
        """Return the 'List of largest cities' as :func:`parse_largest_cities` does."""
        return parse_largest_cities(self._parse(LIST_TITLE))

    def article(self, title: str) -> Article:
        """Return the article of a city by its title, following redirects; only its lead section is read."""
        return parse_article(self._parse(title, section=0))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _parse(self, title: str, **extra: int) -> Any:
        return self._http.get_json(
            "/w/api.php",
            {
                "action": "parse",
                "page": title,
                "prop": "text|revid|properties",
                "redirects": 1,
                "format": "json",
                "formatversion": 2,
                "maxlag": MAXLAG_S,
                **extra,
            },
        )


def _explain(response: requests.Response) -> SourceError | None:
    """Return the error of an answer: refused clients by status, everything that the API itself says by its body."""
    if response.status_code == requests.codes.forbidden:
        return PermanentError(
            PROVIDER, f"this client is refused; set GANS_CONTACT to a web or e-mail address: {describe(response)}"
        )
    if response.status_code != requests.codes.ok:
        return None
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, Mapping) or "error" not in body:
        return None
    error = api_error(body["error"], _asked_page(response))
    if isinstance(error, TransientError):
        error.retry_after_s = retry_after_s(response)
    return error


def _asked_page(response: requests.Response) -> str:
    return parse_qs(urlsplit(response.request.url or "").query).get("page", ["page"])[0]
