"""The client of English Wikipedia's API: the list of the largest cities, and the article of one city.

Text of Wikipedia is CC BY-SA 4.0; the revision goes with every value. Here belongs what is asked and what an answer
that is not a page means; reading them belongs into ``wikipedia_list`` and ``wikipedia_article``.
"""

import datetime as dt
import logging
from collections.abc import Sequence
from typing import Any

import pandas as pd

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.http import Access, Http, SourceError
from gans_pipeline.sources.mediawiki import API, ITEMS_PER_CALL, MAXLAG_S, explains
from gans_pipeline.sources.wikipedia_article import Article, parse_article
from gans_pipeline.sources.wikipedia_list import parse_largest_cities
from gans_pipeline.sources.wikipedia_pages import PROVIDER, PageState, page_states

_log = logging.getLogger(__name__)

LIST_TITLE = "List of largest cities"
_ASKED = {"redirects": 1, "format": "json", "formatversion": 2, "maxlag": MAXLAG_S}


class Wikipedia:
    """Asks Wikipedia for pages by ``action=parse``; every failure is a :class:`SourceError` that names the page."""

    name = PROVIDER

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        self._http = Http(self.name, settings, access, explain=explains(self.name, asked_by="page"), revalidates=True)
        self._states: dict[str, PageState] = {}

    def look_up(self, titles: Sequence[str]) -> None:
        """Ask what state articles are in, 50 at a time: those that the archive has in that state are not fetched again.

        Without an archive nothing is asked; without an answer they are fetched.
        """
        if not self._http.is_archived:
            return
        for start in range(0, len(titles), ITEMS_PER_CALL):
            some = titles[start : start + ITEMS_PER_CALL]
            try:
                payload = self._http.get_json(
                    API, {"action": "query", "prop": "info", "titles": "|".join(some), **_ASKED}
                )
                self._states |= page_states(payload, some)
            except SourceError as error:
                _log.warning("all articles are fetched, changed or not: %s", error)
                return

    def largest_cities(self) -> pd.DataFrame:
        """Return the 'List of largest cities' as :func:`parse_largest_cities` does."""
        self.look_up([LIST_TITLE])
        return parse_largest_cities(self._parse(LIST_TITLE))

    def article(self, title: str) -> Article:
        """Return the article of a city by its title, following redirects; only its lead section is read."""
        return parse_article(self._parse(title, section=0))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _parse(self, title: str, **extra: int) -> Any:
        params = {"action": "parse", "page": title, "prop": "text|revid|properties", **_ASKED, **extra}
        state = self._states.get(title)

        def holds(payload: Any, fetched_at: dt.datetime) -> bool:
            return state is not None and state.is_that_of(payload, fetched_at)

        return self._http.archived_json(API, params, holds) or self._http.get_json(API, params)
