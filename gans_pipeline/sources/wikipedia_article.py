"""What the article of a city says in its infobox: name, country, position and population figures.

An article that is not about a city is refused with the reason.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import unquote

from bs4 import BeautifulSoup, Tag

from gans_pipeline.sources import places
from gans_pipeline.sources import wikipedia_grammar as grammar
from gans_pipeline.sources.http import MalformedError
from gans_pipeline.sources.wikipedia_pages import (
    PROVIDER,
    Page,
    cells_of,
    clean,
    country_of,
    lines_of,
    open_page,
    rows_of,
    text_of,
)

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


def parse_article(payload: object) -> Article:
    """Return what the article of a city says, from its HTML or from a decoded answer of ``action=parse``.

    HTML is a page with the skin, Parsoid's, the fragment ``mw-parser-output``, or the infobox alone. A city without a
    population, a position or a country is read with None there. Raises MalformedError that names the page and the
    reason for what is not a city (no infobox, a disambiguation page, a list, a country, a company, a person, a river …)
    and for a position that is not on the globe; for an API error what :func:`api_error` makes of it.
    """
    page = open_page(payload)
    box = _infobox(page)
    try:
        position = _position(page.html, box)
    except ValueError as error:
        raise MalformedError(PROVIDER, f"{page.title or 'infobox'}: {error}") from error
    region = _region(page.html, box)
    introduction = _introduction(page.html)
    clean(box)
    name = _name(box) or page.title
    if name is None:
        raise MalformedError(PROVIDER, "the infobox names nothing")
    title = page.title or name
    figures = _figures(box)
    labelled = _labelled(box)
    reason = _why_not_a_city(box, set(labelled), has_population=bool(figures), introduction=introduction)
    reason = reason or _seat_elsewhere(box, labelled, name)
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


def _infobox(page: Page) -> Tag:
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
    whole = lines_of(cell)
    for other in cell.select('.nickname, .ib-settlement-native, .ib-settlement-other-name, [lang]:not([lang^="en"])'):
        if not other.decomposed and other.get_text(strip=True) != cell.get_text(strip=True):
            other.decompose()
    lines = [line for line in (re.sub(r"\s*\(\W*\)", "", line).strip() for line in lines_of(cell)) if line] or whole
    return lines[0] if lines else None


def _labelled(box: Tag) -> dict[str, Tag]:
    """Return the value cells by label in lower case, without bullets and notes; the first of equal labels."""
    labelled: dict[str, Tag] = {}
    for row in rows_of(box):
        cells = cells_of(row)
        if cells and (cells[0].name == "th" or len(cells) == 2):
            label, _ = grammar.split_label(grammar.strip_bullet(text_of(cells[0]))[0])
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
    first = next((text for paragraph in paragraphs if (text := text_of(paragraph))), "")
    return f"{text_of(description) if description else ''}. {re.split(r'[.](?= [A-Z]|$)', first)[0]}"


def _why_not_a_city(box: Tag, labels: set[str], *, has_population: bool, introduction: str) -> str | None:
    """Return what the page is about instead of a city, None if it is a city.

    Singapore and Monaco have the infobox of a country, and are cities: what says of itself that it is a city-state, or
    a special administrative region (Macau), is taken.
    """
    classes = set(box.get_attribute_list("class"))
    is_settlement = bool(classes & _SETTLEMENT_CLASSES) or box.select_one("div.category") is not None
    is_country = "ib-country" in classes or box.select_one(".country-name") is not None
    if is_country or (not is_settlement and len(labels & _COUNTRY_LABELS) >= 2):
        is_city_state = _CITY_STATE.search(introduction) or _CITY_STATE.search(text_of(box))
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


_REGION = re.compile(
    r"(?:u\.?s\.? |federal |federated |autonomous |overseas |administrative |ceremonial )*"
    r"(?P<kind>state|province|region|department|county|canton|community|voivodeship|governorate|oblast|krai)\b",
    re.IGNORECASE,
)
_NEIGHBOURHOOD = re.compile(r"(?:neighbou?rhood|suburb) (?:of|in)\b", re.IGNORECASE)
_SEATS = ("capital", "capital city", "capital and largest city", "county seat", "administrative center", "largest city")


def _seat_elsewhere(box: Tag, labelled: Mapping[str, Tag], name: str) -> str | None:
    """Return why a settlement's infobox is not that of a city: a state's capital has another name, or it is a part.

    The template is the same for cities and states, and Berlin is both: what distinguishes Bavaria is that its capital
    is called Munich.
    """
    category = box.select_one("div.category")
    kind = text_of(category) if category else ""
    if _NEIGHBOURHOOD.match(kind):
        return f"is a {kind.lower()}, not a city"
    region = _REGION.match(kind)
    seat = next((text_of(labelled[label]) for label in _SEATS if label in labelled), None)
    if region is None or seat is None or _words(seat) & _words(name):
        return None
    return f"is a {region['kind'].lower()} with the capital {seat}, not a city"


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w{3,}", text.casefold()))


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
        country = country_of(labelled[label]) if label in labelled else None
        if country is not None:
            return country
    if region is not None:
        return region
    category = box.select_one("div.category")
    kind = re.search(r"\b(?:of|in) (?:the )?(.+)$", text_of(category)) if category else None
    if kind and kind[1] != "Georgia" and places.is_country(kind[1]):  # the other Georgia has cities too
        return kind[1]
    heading = box.select_one(".fn, .infobox-above")
    names = [
        *(lines_of(heading)[1:] if heading else []),
        *(text_of(labelled[label]) for label in _STATES if label in labelled),
    ]
    countries = (places.country_of_subdivision(state) for state in names)
    return next(filter(None, countries), name if places.is_country(name) else None)


_STATES = ("state", "province", "region", "territory", "state/territory", "prefecture", "canton")


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
        both = f"{text_of(latitude)} {text_of(longitude)}"
        yield grammar.angular_position(both) or grammar.decimal_position(both)
    for tag in scope.select(".geo-dms, .geo-dec"):
        yield grammar.angular_position(text_of(tag))
    for tag in scope.find_all("tr"):
        if text_of(tag).lower().startswith("coordinates"):
            yield grammar.angular_position(text_of(tag))


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
    for row in rows_of(table):
        cells = cells_of(row)
        marks = set(row.get_attribute_list("class"))
        if "mergedtoprow" in marks:
            section = None
        if len(cells) == 1:
            nested = [inner for inner in cells[0].find_all("table") if inner.find_parent("table") is table]
            if nested:
                for inner in nested:
                    figures += _figures(inner, section)
            elif cells[0].name == "th" or grammar.is_heading(text_of(cells[0])):
                label, note = grammar.split_label(text_of(cells[0]))
                section = _Section(note) if grammar.is_population(label) else None
            continue
        if len(cells) != 2:
            continue
        text, has_bullet = grammar.strip_bullet(text_of(cells[0]))
        label, note = grammar.split_label(text)
        lines = lines_of(cells[1])
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
