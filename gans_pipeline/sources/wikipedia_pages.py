"""A page of Wikipedia out of its wrapping, and its tables as a reader sees them.

Pages come in every wrapping in which they are delivered or were saved: answers of the API (``action=parse``), pages
with the skin, Parsoid's HTML, bare infoboxes. What the list of the largest cities and an article say belongs into
``wikipedia_list`` and ``wikipedia_article``; the grammar of a single line of text into ``wikipedia_grammar``.
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from bs4.exceptions import ParserRejectedMarkup

from gans_pipeline.sources import places
from gans_pipeline.sources import wikipedia_grammar as grammar
from gans_pipeline.sources.http import MalformedError
from gans_pipeline.sources.mediawiki import api_error
from gans_pipeline.sources.payloads import shortened

PROVIDER = "wikipedia"


class Page(NamedTuple):
    """A page out of its wrapping."""

    html: BeautifulSoup
    title: str | None
    revision: int | None
    wikidata_id: int | None
    is_disambiguation: bool


class PageState(NamedTuple):
    """What changes whenever a page does: its revision, and when it was last rendered anew.

    A template that it includes, as Germany's populations, changes the page without a new revision.
    """

    revision: int
    touched: dt.datetime

    def is_that_of(self, payload: Any, fetched_at: dt.datetime) -> bool:
        """Tell whether an answer of ``action=parse`` that came at a time shows the page in this state."""
        parsed = payload.get("parse") if isinstance(payload, Mapping) else None
        return isinstance(parsed, Mapping) and parsed.get("revid") == self.revision and self.touched <= fetched_at


def page_states(payload: Any, titles: Iterable[str]) -> dict[str, PageState]:
    """Return the states of pages by the titles that ``action=query&prop=info`` was asked for.

    Titles that lead nowhere are left out. Raises :class:`MalformedError` for what is no such answer.
    """
    query = payload.get("query") if isinstance(payload, Mapping) else None
    pages = query.get("pages") if isinstance(query, Mapping) else None
    if not isinstance(query, Mapping) or not isinstance(pages, list):
        raise MalformedError(PROVIDER, "no list 'query.pages' in the answer")
    states: dict[str, PageState] = {}
    for page in pages:
        try:
            touched = dt.datetime.fromisoformat(page["touched"])
            states[page["title"]] = PageState(int(page["lastrevid"]), touched.astimezone(dt.UTC))
        except (KeyError, TypeError, ValueError):
            continue
    found = {}
    for title in titles:
        target = title
        for steps in ("normalized", "redirects"):
            rows = query.get(steps)
            for row in rows if isinstance(rows, list) else []:
                if isinstance(row, Mapping) and row.get("from") == target:
                    target = str(row.get("to"))
        if target in states:
            found[title] = states[target]
    return found


def open_page(payload: object) -> Page:
    """Return the page in a decoded answer of the API or in HTML; raises a :class:`SourceError` for anything else."""
    if isinstance(payload, str):
        return _open_html(payload)
    if not isinstance(payload, Mapping):
        raise MalformedError(PROVIDER, f"neither HTML nor a JSON object but {type(payload).__name__}")
    if "error" in payload:
        raise api_error(PROVIDER, payload["error"], "the saved answer")
    parsed = payload.get("parse")
    if not isinstance(parsed, Mapping):
        raise MalformedError(PROVIDER, "no 'parse' in the answer")
    title, text = parsed.get("title"), parsed.get("text")
    text = text.get("*") if isinstance(text, Mapping) else text
    if not isinstance(text, str):
        raise MalformedError(PROVIDER, f"{title}: no 'text' in the answer")
    revision = parsed.get("revid")
    if revision is not None and type(revision) is not int:
        raise MalformedError(PROVIDER, f"{title}: revid: not a whole number: {shortened(revision)}")
    properties = _properties(parsed.get("properties"))
    inside = _open_html(text)
    return inside._replace(
        title=title if isinstance(title, str) else inside.title,
        revision=inside.revision if revision is None else revision,
        wikidata_id=_item(properties.get("wikibase_item")) or inside.wikidata_id,
        is_disambiguation=inside.is_disambiguation or "disambiguation" in properties,
    )


def _properties(properties: Any) -> dict[str, Any]:
    """Return the page properties in one shape of three: an object, or a list of ``{name, *}`` or ``{name, value}``."""
    if isinstance(properties, Mapping):
        return dict(properties)
    rows = [row for row in properties if isinstance(row, Mapping)] if isinstance(properties, list) else []
    return {str(row.get("name")): row.get("value", row.get("*")) for row in rows}


def _item(value: object) -> int | None:
    found = re.fullmatch(r"Q([1-9]\d{0,17})", value) if isinstance(value, str) else None
    return int(found[1]) if found else None


def _open_html(text: str) -> Page:
    try:
        html = BeautifulSoup(text, "lxml")
    except (ParserRejectedMarkup, ValueError, AssertionError, RecursionError) as error:
        raise MalformedError(PROVIDER, f"no HTML: {error}") from error
    script = next((code for tag in html.find_all("script") if "RLCONF" in (code := tag.get_text())), "")
    entity = html.select_one('#t-wikibase a[href], link[href*="Special:EntityPage/Q"], a[href*="Special:EntityPage/Q"]')
    linked = re.search(r"\bQ[1-9]\d*$", str(entity["href"])) if entity else None
    about = re.search(r"Special:Redirect/revision/(\d+)", str(html.html.get("about", ""))) if html.html else None
    revision = re.search(r'"wgRevisionId":\s*([1-9]\d{0,17})\b', script) or (
        about and re.search(r"(\d{1,18})$", about[0])
    )
    return Page(
        html,
        title=_page_title(html, script),
        revision=int(revision[1]) if revision else None,
        wikidata_id=_item(_configured(script, "wgWikibaseItemId")) or _item(linked[0] if linked else None),
        is_disambiguation=html.select_one("#disambigbox, .dmbox-disambig, .dmbox-setindex") is not None,
    )


def _configured(script: str, name: str) -> str | None:
    """Return a string out of the page's RLCONF, which is JavaScript and not always JSON."""
    found = re.search(rf'"{name}":\s*("(?:[^"\\]|\\.)*")', script)
    try:
        return str(json.loads(found[1])) if found else None
    except ValueError:
        return None


def _page_title(html: BeautifulSoup, script: str) -> str | None:
    configured = _configured(script, "wgPageName")
    if configured:
        return configured.replace("_", " ")
    link = html.select_one('link[rel="canonical"][href], link[rel="dc:isVersionOf"][href]')
    linked = linked_title(str(link["href"])) if link else None
    if linked:
        return linked
    heading = html.select_one("h1#firstHeading, h1.firstHeading, head > title")
    return re.sub(r" [-–—] Wikipedia.*$", "", grammar.fold(heading.get_text())) or None if heading else None


_NAMESPACES = re.compile(
    r"(?:File|Image|Category|Help|Special|Wikipedia|Template|Portal|User|Talk|Module|Draft|MediaWiki|Media)(?: talk)?:",
    re.I,
)


def linked_title(href: str) -> str | None:
    """Return the title of the article that a link leads to, None for any other link and for pages that do not exist.

    Links come as ``/wiki/S%C3%A3o_Paulo``, ``./São_Paulo`` (Parsoid), with a host, and as ``Tokyo.html`` (mirrors).
    """
    try:
        url = urlsplit(href)
        query = parse_qs(url.query)
    except ValueError:
        return None
    if "redlink" in query or "edit" in query.get("action", ()):
        return None
    if url.netloc and not re.fullmatch(r"en\.(?:m\.)?wikipedia\.org", url.netloc):
        return None
    if "title" in query:
        path = query["title"][0]
    elif "/wiki/" in url.path:
        path = unquote(url.path.partition("/wiki/")[2])
    elif url.netloc or url.path.startswith("/"):
        return None
    elif url.path.startswith("./"):
        path = unquote(url.path.removeprefix("./"))
    else:
        path = "" if url.scheme else unquote(url.path.rpartition("/")[2].removesuffix(".html"))
    title = " ".join(path.replace("_", " ").split())
    if not title or _NAMESPACES.match(title):
        return None
    return title[0].upper() + title[1:]


# Cells

_NOT_CONTENT = (
    'sup.reference, .mw-ref, [id^="cite_ref"], style, script, img, .noprint, .mw-editsection, .flagicon, .sortkey, '
    '[style*="display:none"], [style*="display: none"]'
)
_LINE = "\u2028"
"""Marks the breaks that a reader sees; the source's own line breaks are only spaces."""


def clean(table: Tag) -> None:
    """Take out what is not read as text, and mark the lines, or '8,804,190' and '(2020)' would fuse."""
    for tag in table.select(_NOT_CONTENT):
        if not tag.decomposed:
            tag.decompose()
    for tag in table.find_all("br"):
        tag.replace_with(_LINE)
    for tag in table.select('li, p, div:not([style*="inline"])'):
        tag.insert_before(_LINE)
        tag.insert_after(_LINE)


def text_of(cell: Tag) -> str:
    """Return a cell\'s text on one line."""
    return grammar.fold(cell.get_text())


def lines_of(cell: Tag) -> list[str]:
    """Return the lines that a reader sees in a cell, without empty ones."""
    return [line for line in map(grammar.fold, cell.get_text().split(_LINE)) if line]


def rows_of(table: Tag) -> Iterator[Tag]:
    """Yield the rows of a table, not those of the tables in its cells."""
    for child in table.find_all(["tr", "tbody", "thead", "tfoot"], recursive=False):
        if child.name == "tr":
            yield child
        else:
            yield from child.find_all("tr", recursive=False)


def cells_of(row: Tag) -> list[Tag]:
    """Return the cells of a row."""
    return list(row.find_all(["th", "td"], recursive=False))


def country_of(cell: Tag) -> str | None:
    """Return the first country of a cell, without flags and remarks."""
    first = re.split(r"[(\[]", next(iter(lines_of(cell)), ""), maxsplit=1)[0].strip(" ,;/•·")
    if not re.search(r"\w", first):
        return None
    return first if places.is_country(first) else re.split(r"\s*[/;•·|,]\s*|\s+[–—-]\s+", first)[0]
