"""What the pages of English Wikipedia say about cities: the list of the largest, and the infobox of an article.

Here belongs the pure reading of pages, in every wrapping in which they are delivered or were saved: answers of the API
(``action=parse``), pages with the skin, Parsoid's HTML, bare infoboxes. Fetching them belongs into ``wikipedia``, the
grammar of a single line of text into ``wikipedia_grammar``.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pandas as pd
from bs4 import BeautifulSoup, Tag
from bs4.exceptions import ParserRejectedMarkup

from gans_pipeline.sources import places
from gans_pipeline.sources import wikipedia_grammar as grammar
from gans_pipeline.sources.http import MalformedError, PermanentError, SourceError, TransientError

PROVIDER = "wikipedia"
LONGEST_TEXT = 200
"""Characters that a label, a note and a definition may have."""


@dataclass(frozen=True)
class Population:
    """One population figure of an infobox.

    ``label`` is the row's label without bullets, references and note; ``note`` the printed date or survey, the row's
    own before its section's, without parentheses. ``definition`` is the label in lower case; with ``as_of`` (ISO 8601,
    as precise as printed, '' if nothing is) it is unique in an article. ``people`` is None where a figure is missing or
    a range. ``kind`` is one of ``tables.geo.POPULATION_KINDS``.
    """

    label: str
    note: str | None
    people: int | None
    definition: str
    as_of: str
    kind: str
    chosen: bool = False


@dataclass(frozen=True)
class Article:
    """What the article of a city says of it. Latitude and longitude are degrees north and east, WGS 84.

    ``title`` is the article's where the page tells it, else the infobox's name; ``revision`` and ``wikidata_id`` (64
    for Q64) are None where the page does not carry them.
    """

    title: str
    name: str
    revision: int | None
    wikidata_id: int | None
    country: str | None
    latitude: float | None
    longitude: float | None
    populations: tuple[Population, ...]

    @property
    def _chosen(self) -> Population | None:
        return next((population for population in self.populations if population.chosen), None)

    @property
    def population(self) -> int | None:
        """The people of the chosen figure."""
        return self._chosen.people if self._chosen else None

    @property
    def population_label(self) -> str | None:
        """The printed label of the chosen figure."""
        return self._chosen.label if self._chosen else None

    @property
    def population_as_of(self) -> str | None:
        """The printed date or survey of the chosen figure, '2022 census'."""
        return self._chosen.note if self._chosen else None


def to_json(article: Article) -> dict[str, Any]:
    """Return an article as JSON types, with all its population figures under ``populations``."""
    return {
        "title": article.title,
        "name": article.name,
        "country": article.country,
        "lat": article.latitude,
        "lon": article.longitude,
        "population": article.population,
        "population_label": article.population_label,
        "population_as_of": article.population_as_of,
        "revision": article.revision,
        "wikidata_id": article.wikidata_id,
        "populations": [vars(population) for population in article.populations],
    }


# Pages


class _Page(NamedTuple):
    """A page out of its wrapping."""

    html: BeautifulSoup
    title: str | None
    revision: int | None
    wikidata_id: int | None
    is_disambiguation: bool


def api_error(error: Any, page: str) -> SourceError:
    """Return what the ``error`` object of an API answer means; ``page`` is the title that was asked for.

    Lag of the replicas and overload pass; a page that does not exist and every other error do not.
    """
    code, info = (error.get("code"), error.get("info")) if isinstance(error, dict) else (None, error)
    detail = f"{page}: {code}: {info}"
    passing = code in ("maxlag", "ratelimited", "readonly") or str(code).startswith("internal_api_error")
    return TransientError(PROVIDER, detail) if passing else PermanentError(PROVIDER, detail)


def _open_page(payload: object) -> _Page:
    if isinstance(payload, str):
        return _open_html(payload)
    if not isinstance(payload, Mapping):
        raise MalformedError(PROVIDER, f"neither HTML nor a JSON object but {type(payload).__name__}")
    if "error" in payload:
        raise api_error(payload["error"], "the saved answer")
    parsed = payload.get("parse")
    if not isinstance(parsed, Mapping):
        raise MalformedError(PROVIDER, "no 'parse' in the answer")
    title, text = parsed.get("title"), parsed.get("text")
    text = text.get("*") if isinstance(text, Mapping) else text
    if not isinstance(text, str):
        raise MalformedError(PROVIDER, f"{title}: no 'text' in the answer")
    properties = _properties(parsed.get("properties"))
    inside = _open_html(text)
    return inside._replace(
        title=title if isinstance(title, str) else inside.title,
        revision=parsed["revid"] if isinstance(parsed.get("revid"), int) else inside.revision,
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


def _open_html(text: str) -> _Page:
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
    return _Page(
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


def _clean(table: Tag) -> None:
    """Take out what is not read as text, and mark the lines, or '8,804,190' and '(2020)' would fuse."""
    for tag in table.select(_NOT_CONTENT):
        if not tag.decomposed:
            tag.decompose()
    for tag in table.find_all("br"):
        tag.replace_with(_LINE)
    for tag in table.select('li, p, div:not([style*="inline"])'):
        tag.insert_before(_LINE)
        tag.insert_after(_LINE)


def _text(cell: Tag) -> str:
    return grammar.fold(cell.get_text())


def _lines(cell: Tag) -> list[str]:
    return [line for line in map(grammar.fold, cell.get_text().split(_LINE)) if line]


def _rows_of(table: Tag) -> Iterator[Tag]:
    """Yield the rows of a table, not those of the tables in its cells."""
    for child in table.find_all(["tr", "tbody", "thead", "tfoot"], recursive=False):
        if child.name == "tr":
            yield child
        else:
            yield from child.find_all("tr", recursive=False)


def _cells_of(row: Tag) -> list[Tag]:
    return list(row.find_all(["th", "td"], recursive=False))


# The list of the largest cities

LIST_COLUMNS = {"title": "str", "name": "str", "country": "str", "people": "Int64", "year": "Int64"}
_ESTIMATES = re.compile(r"\b(?P<year>\d{4})\b.*\bpopulation (?:estimate|projection)s?", re.IGNORECASE)
_COUNTRY_HEADER = re.compile(r"(?:country|nation|sovereign state)\b.*", re.IGNORECASE)
_MOST_SPANNED = 1000


def parse_largest_cities(payload: object) -> pd.DataFrame:
    """Return the table of 'List of largest cities', in its order: one row for each city that has an article.

    Columns: ``title`` of the article (the link's target, the key), ``name`` and ``country`` as printed, ``people`` by
    the United Nations' estimate, and its ``year``; both are missing in revisions before 2019, which print no such
    estimate. ``payload`` is the page as HTML or a decoded answer of ``action=parse``. Raises MalformedError if the page
    has no such table, or one in which no city or no figure can be read.
    """
    page = _open_page(payload)
    for table in page.html.find_all("table"):
        _clean(table)
        grid = _grid(table)
        columns = _list_columns(grid)
        if columns is not None:
            return _read_list(grid, columns, page.title or "List of largest cities")
    raise MalformedError(PROVIDER, f"{page.title}: no table with the columns City, Country and population estimates")


class _ListColumns(NamedTuple):
    city: int
    country: int
    people: int | None
    year: int | None


def _grid(table: Tag) -> list[list[Tag]]:
    """Return the table with every cell repeated in all rows and columns that it spans."""
    grid: list[list[Tag]] = []
    pending: dict[int, tuple[int, Tag]] = {}
    for row in _rows_of(table):
        line: list[Tag] = []
        cells = iter(_cells_of(row))
        while True:
            if len(line) in pending:
                rows_left, cell = pending.pop(len(line))
                if rows_left > 1:
                    pending[len(line)] = rows_left - 1, cell
                line.append(cell)
                continue
            next_cell = next(cells, None)
            if next_cell is None:
                break
            for _ in range(_span(next_cell, "colspan")):
                if _span(next_cell, "rowspan") > 1:
                    pending[len(line)] = _span(next_cell, "rowspan") - 1, next_cell
                line.append(next_cell)
        grid.append(line)
    return grid


def _span(cell: Tag, name: str) -> int:
    value = str(cell.get(name, "1")).strip()
    return min(max(int(value), 1), _MOST_SPANNED) if value.isascii() and value.isdigit() else 1


def _is_header(line: list[Tag]) -> bool:
    return bool(line) and all(cell.name == "th" for cell in line)


def _list_columns(grid: list[list[Tag]]) -> _ListColumns | None:
    """Return where the columns are, None for another table: City, Country, and estimates or (to 2018) City proper."""
    headers = [[_text(cell) for cell in line] for line in grid if _is_header(line)][:2]
    names = [(column, name) for line in headers for column, name in enumerate(line)]
    city = next((column for column, name in names if re.fullmatch(r"city(?: name)?", name, re.I)), None)
    country = next((column for column, name in names if _COUNTRY_HEADER.fullmatch(name)), None)
    estimates = next(
        ((column, int(found["year"])) for column, name in names if (found := _ESTIMATES.search(name))), None
    )
    if city is None or country is None:
        return None
    if estimates is None and not any(re.fullmatch("city proper", name, re.I) for _, name in names):
        return None
    return _ListColumns(city, country, *(estimates or (None, None)))


def _read_list(grid: list[list[Tag]], columns: _ListColumns, page: str) -> pd.DataFrame:
    rows: dict[str, tuple[str, str, int | None]] = {}
    for line in grid:
        if _is_header(line) or len(line) <= max(columns.city, columns.country, columns.people or 0):
            continue
        link = _article_link(line[columns.city])
        if link is None:
            continue
        title, name = link
        country = _country_of(line[columns.country])
        people = None if columns.people is None else grammar.people(_lines(line[columns.people]))[0]
        rows.setdefault(title, (name, country or "", people))
    if not rows:
        raise MalformedError(PROVIDER, f"{page}: no city in the table has a link to its article")
    if columns.people is not None and all(people is None for _, _, people in rows.values()):
        raise MalformedError(PROVIDER, f"{page}: no population can be read in the column of the estimates")
    records = [(title, *row, columns.year) for title, row in rows.items()]
    return pd.DataFrame(records, columns=list(LIST_COLUMNS)).astype(LIST_COLUMNS)


def _article_link(cell: Tag) -> tuple[str, str] | None:
    """Return title and text of the first link to an article; a flag's link has no text."""
    for link in cell.find_all("a", href=True):
        title, text = linked_title(str(link["href"])), _text(link)
        if title and text:
            return title, text
    return None


# Articles


def parse_article(payload: object) -> Article:
    """Return what the article of a city says, from its HTML or from a decoded answer of ``action=parse``.

    HTML is a page with the skin, Parsoid's, the fragment ``mw-parser-output``, or the infobox alone. A city without a
    population, a position or a country is read with None there. Raises MalformedError that names the page and the
    reason for what is not a city (no infobox, a disambiguation page, a list, a country, a company, a person, a river …)
    and for a position that is not on the globe; for an API error what :func:`api_error` makes of it.
    """
    page = _open_page(payload)
    box = _infobox(page)
    try:
        position = _position(page.html, box)
    except ValueError as error:
        raise MalformedError(PROVIDER, f"{page.title or 'infobox'}: {error}") from error
    region = _region(page.html, box)
    introduction = _introduction(page.html)
    _clean(box)
    name = _name(box) or page.title
    if name is None:
        raise MalformedError(PROVIDER, "the infobox names nothing")
    title = page.title or name
    figures = _figures(box)
    labelled = _labelled(box)
    reason = _why_not_a_city(box, set(labelled), has_population=bool(figures), introduction=introduction)
    if reason is not None:
        raise MalformedError(PROVIDER, f"{title}: {reason}")
    return Article(
        title=title,
        name=name,
        revision=page.revision,
        wikidata_id=page.wikidata_id,
        country=_country(box, labelled, name, region),
        latitude=position[0] if position else None,
        longitude=position[1] if position else None,
        populations=_choose(_distinct(figures)),
    )


def _infobox(page: _Page) -> Tag:
    """Return the first infobox with a name or a position, or raise why the page has none that is of a city."""
    title = page.title or "page"
    if page.is_disambiguation:
        raise MalformedError(PROVIDER, f"{title}: is a disambiguation page, not a city")
    if re.match(r"Lists? of |Index of |Outline of ", title):
        raise MalformedError(PROVIDER, f"{title}: is a list, not a city")
    if page.html.select_one(".redirectMsg, ul.redirectText, link[rel='mw:PageProp/redirect']") is not None:
        raise MalformedError(PROVIDER, f"{title}: is a redirect, not an article")
    boxes = [box for box in page.html.select("table.infobox") if box.find_parent("table", class_="infobox") is None]
    if not boxes:
        raise MalformedError(PROVIDER, f"{title}: has no infobox, so it is not the article of a city")
    return next((box for box in boxes if box.select_one(".fn, .latitude, .geo")), boxes[0])


def _name(box: Tag) -> str | None:
    cell = box.select_one(".fn") or box.select_one(".infobox-above, .infobox-title, caption")
    if cell is None:
        return None
    whole = _lines(cell)
    for other in cell.select('.nickname, .ib-settlement-native, .ib-settlement-other-name, [lang]:not([lang^="en"])'):
        if not other.decomposed and other.get_text(strip=True) != cell.get_text(strip=True):
            other.decompose()
    lines = [line for line in (re.sub(r"\s*\(\W*\)", "", line).strip() for line in _lines(cell)) if line] or whole
    return lines[0] if lines else None


def _labelled(box: Tag) -> dict[str, Tag]:
    """Return the value cells by label in lower case, without bullets and notes; the first of equal labels."""
    labelled: dict[str, Tag] = {}
    for row in _rows_of(box):
        cells = _cells_of(row)
        if cells and (cells[0].name == "th" or len(cells) == 2):
            label, _ = grammar.split_label(grammar.strip_bullet(_text(cells[0]))[0])
            labelled.setdefault(label.lower(), cells[-1])
    return labelled


_COUNTRY_LABELS = {
    "currency", "internet tld", "calling code", "iso 3166 code", "official languages", "official language",
    "official language and national language", "national language", "gini", "hdi", "legislature", "independence",
}  # fmt: skip
_OTHER_LABELS = (
    ("a person", 1, {"born", "died", "spouse", "spouse(s)", "occupation", "occupation(s)"}),
    (
        "a company",
        2,
        {
            "industry", "traded as", "revenue", "key people", "number of employees", "headquarters", "products",
            "subsidiaries", "parent", "net income", "operating income", "total assets",
            "area served", "isin", "divisions", "company type",
        },
    ),
    (
        "a film or another work",
        2,
        {
            "directed by", "produced by", "starring", "written by", "screenplay by", "music by", "cinematography",
            "edited by", "release date", "release dates", "running time", "box office", "author", "publisher", "genre",
            "developer(s)", "platform(s)",
        },
    ),
    ("a river", 2, {"mouth", "source", "basin size", "discharge", "length", "tributaries", "river system"}),
    ("an airport", 2, {"airport type", "iata", "serves", "hub for", "elevation amsl", "runways", "owner/operator"}),
    ("a continent", 2, {"countries", "dependencies", "population density", "largest cities", "internet tld"}),
    ("a former country", 2, {"historical era", "common languages", "today part of", "succeeded by", "preceded by"}),
    ("an island", 2, {"archipelago", "adjacent to", "highest elevation", "coastline", "total islands"}),
)  # fmt: skip
_OTHER_CLASSES = {
    "biography": "a person",
    "ib-company": "a company",
    "vevent": "an event or a work",
    "hproduct": "a product",
}
_MUNICIPAL_LABELS = {
    "mayor", "postcode", "postcodes", "postcode(s)", "postal code", "postal codes", "postal code(s)", "zip code",
    "zip codes", "zip code(s)", "area code", "area codes", "area code(s)", "lga(s)", "municipality", "commune",
    "post town", "insee/postal code", "vehicle registration", "dialling codes", "dialling code",
}  # fmt: skip
_SETTLEMENT_CLASSES = {"ib-settlement", "ib-uk-place", "ib-australian-place"}
_CITY_STATE = re.compile(r"\bcity[- ]state\b|\bspecial administrative region\b", re.IGNORECASE)


def _introduction(html: BeautifulSoup) -> str:
    """Return the short description and the first sentence of the text."""
    description = html.select_one(".shortdescription")
    paragraphs = (paragraph for paragraph in html.find_all("p") if paragraph.find_parent("table") is None)
    first = next((text for paragraph in paragraphs if (text := _text(paragraph))), "")
    return f"{_text(description) if description else ''}. {re.split(r'[.](?= [A-Z]|$)', first)[0]}"


def _why_not_a_city(box: Tag, labels: set[str], *, has_population: bool, introduction: str) -> str | None:
    """Return what the page is about instead of a city, None if it is a city.

    Singapore and Monaco have the infobox of a country, and are cities: what says of itself that it is a city-state, or
    a special administrative region (Macau), is taken.
    """
    classes = set(box.get_attribute_list("class"))
    is_settlement = bool(classes & _SETTLEMENT_CLASSES) or box.select_one("div.category") is not None
    is_country = "ib-country" in classes or box.select_one(".country-name") is not None
    if is_country or (not is_settlement and len(labels & _COUNTRY_LABELS) >= 2):
        is_city_state = _CITY_STATE.search(introduction) or _CITY_STATE.search(_text(box))
        return None if is_city_state else "is a country, not a city"
    if is_settlement:
        return None
    for other, needed, telltales in _OTHER_LABELS:
        if len(labels & telltales) >= needed:
            return f"is {other}, not a city"
    for name, other in _OTHER_CLASSES.items():
        if name in classes:
            return f"is {other}, not a city"
    if has_population or "geography" in classes or labels & _MUNICIPAL_LABELS:
        return None
    return "its infobox is not that of a city: it has no population and no row of a municipality"


# Where the city is


def _country(box: Tag, labelled: Mapping[str, Tag], name: str, region: str | None) -> str | None:
    """Return the country as printed: the sovereign state before the country (London: England), the first of several.

    Where no row says it, it follows from the coordinates' region code (ISO 3166), from the kind of settlement ("State
    of Germany"), from a state or province that only one country has, or the name is that of a city-state.
    """
    for label in (
        "sovereign state", "sovereign country", "sovereign nation", "country", "countries", "nation",
        "country/territory", "country or territory", "state/country", "constituent country",
    ):  # fmt: skip
        country = _country_of(labelled[label]) if label in labelled else None
        if country is not None:
            return country
    if region is not None:
        return region
    category = box.select_one("div.category")
    kind = re.search(r"\b(?:of|in) (?:the )?(.+)$", _text(category)) if category else None
    if kind and kind[1] != "Georgia" and _is_country(kind[1]):  # the other Georgia has cities too
        return kind[1]
    heading = box.select_one(".fn, .infobox-above")
    names = [
        *(_lines(heading)[1:] if heading else []),
        *(_text(labelled[label]) for label in _STATES if label in labelled),
    ]
    countries = (places.country_of_subdivision(state) for state in names)
    return next(filter(None, countries), name if _is_country(name) else None)


_STATES = ("state", "province", "region", "territory", "state/territory", "prefecture", "canton")


def _country_of(cell: Tag) -> str | None:
    """Return the first country of a cell, without flags and remarks."""
    first = re.split(r"[(\[]", next(iter(_lines(cell)), ""), maxsplit=1)[0].strip(" ,;/•·")
    if not re.search(r"\w", first):
        return None
    return first if _is_country(first) else re.split(r"\s*[/;•·|,]\s*|\s+[–—-]\s+", first)[0]


def _is_country(name: str) -> bool:
    try:
        places.country_code(name)
    except ValueError:
        return False
    return True


def _indicators(html: BeautifulSoup, box: Tag) -> list[Tag]:
    """Return the places of an article's own position, best first; elsewhere stand the positions of its sights."""
    return [box, *html.select("#coordinates, #mw-indicator-coordinates, .mw-indicators")]


def _region(html: BeautifulSoup, box: Tag) -> str | None:
    for scope in _indicators(html, box):
        for link in scope.select('a[href*="region:"]'):
            found = re.search(r"region:([A-Z]{2})\b", str(link["href"]))
            country = places.country_name(found[1]) if found else None
            if country is not None:
                return country
    return None


def _position(html: BeautifulSoup, box: Tag) -> grammar.Position | None:
    """Return latitude and longitude in degrees, from the hidden decimals rather than what is shown.

    Raises ValueError for a position that is not on the globe.
    """
    scopes = _indicators(html, box)
    for read in (_printed_positions, _linked_positions, _map_positions):
        for scope in scopes:
            latitude, longitude = next((found for found in read(scope) if found is not None), (None, None))
            if latitude is None or longitude is None:
                continue
            if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
                raise ValueError(f"a position that is not on the globe: {latitude}; {longitude}")
            return latitude, longitude
    return None


def _printed_positions(scope: Tag) -> Iterator[grammar.Position | None]:
    for tag in scope.select(".geo"):
        yield grammar.decimal_position(grammar.fold(tag.get_text()))
    for latitude, longitude in zip(scope.select(".latitude"), scope.select(".longitude"), strict=False):
        both = f"{_text(latitude)} {_text(longitude)}"
        yield grammar.angular_position(both) or grammar.decimal_position(both)
    for tag in scope.select(".geo-dms, .geo-dec"):
        yield grammar.angular_position(_text(tag))
    for tag in scope.find_all("tr"):
        if _text(tag).lower().startswith("coordinates"):
            yield grammar.angular_position(_text(tag))


def _linked_positions(scope: Tag) -> Iterator[grammar.Position | None]:
    for link in scope.select('a[href*="geohack"]'):
        params = re.search(r"[?&]params=([^&]*)", str(link["href"]))
        yield grammar.geohack_position(unquote(params[1])) if params else None


def _map_positions(scope: Tag) -> Iterator[grammar.Position | None]:
    for tag in scope.select("[data-lat][data-lon]"):  # the middle of a map, rounded
        yield grammar.decimal_position(f"{tag['data-lat']}; {tag['data-lon']}")


# How many people live there


class _Section(NamedTuple):
    """The population rows under one heading, and the heading's note."""

    note: str | None


def _figures(table: Tag, section: _Section | None = None) -> list[Population]:
    """Return the population rows of a table in their order.

    A section starts with a heading or with a row that has its label and its own value ('Population (2020)'), and ends
    with the next row marked ``mergedtoprow``. Where rows are not marked, its rows are those with bullets or with the
    words that such sections use. A table in a cell of full width continues the section with a part that folds.
    """
    figures: list[Population] = []
    for row in _rows_of(table):
        cells = _cells_of(row)
        marks = set(row.get_attribute_list("class"))
        if "mergedtoprow" in marks:
            section = None
        if len(cells) == 1:
            nested = [inner for inner in cells[0].find_all("table") if inner.find_parent("table") is table]
            if nested:
                for inner in nested:
                    figures += _figures(inner, section)
            elif cells[0].name == "th" or grammar.is_heading(_text(cells[0])):
                label, note = grammar.split_label(_text(cells[0]))
                section = _Section(note) if grammar.is_population(label) else None
            continue
        if len(cells) != 2:
            continue
        text, has_bullet = grammar.strip_bullet(_text(cells[0]))
        label, note = grammar.split_label(text)
        lines = _lines(cells[1])
        if section is None or (not has_bullet and grammar.is_population(label)):
            if grammar.is_population(label):
                section = section if has_bullet else _Section(note)
                figure = _figure(label, note, lines, section)
                if figure is not None and not (has_bullet and figure.people is None):
                    figures.append(figure)
        elif has_bullet or grammar.is_common_label(label):
            figure = _figure(label, note, lines, section)
            if figure is not None:
                figures.append(figure)
        elif not marks & {"mergedrow", "mergedbottomrow"}:
            section = None
    return figures


def _figure(label: str, note: str | None, lines: list[str], section: _Section | None) -> Population | None:
    kind = grammar.kind_of(label)
    if kind is None or not lines:
        return None
    people, beside = grammar.people(lines)
    own = note or beside or (label if grammar.is_date(label) else None)
    note = own or (section.note if section else None)
    label = label or "Population"
    return Population(
        label=label[:LONGEST_TEXT].rstrip(),
        note=note and note[:LONGEST_TEXT].rstrip(),
        people=people,
        definition=label.lower()[:LONGEST_TEXT].rstrip(),
        as_of=grammar.iso_date(note) if note else "",
        kind=kind,
    )


def _distinct(figures: list[Population]) -> list[Population]:
    """Number the definitions that an infobox gives twice for one date, 'metro (2)', so that none is lost."""
    keys = Counter((figure.definition, figure.as_of) for figure in figures)
    distinct: list[Population] = []
    seen: set[tuple[str, str]] = set()
    for figure in figures:
        definition, count = figure.definition, 1
        while (definition, figure.as_of) in seen or (count > 1 and (definition, figure.as_of) in keys):
            count += 1
            suffix = f" ({count})"
            definition = figure.definition[: LONGEST_TEXT - len(suffix)] + suffix
        seen.add((definition, figure.as_of))
        distinct.append(replace(figure, definition=definition))
    return distinct


_PREFERENCE = ("administrative", "estimate", "urban", "metropolitan", "part", "other")


def _choose(figures: list[Population]) -> tuple[Population, ...]:
    """Mark the figure to use: the first administrative one with a number, then by preference.

    Where none has a number, the first administrative one says at least what is missing.
    """
    ranked = sorted(figures, key=lambda figure: (figure.people is None, _PREFERENCE.index(figure.kind)))
    return tuple(replace(figure, chosen=figure is ranked[0]) for figure in figures)
