"""One refresh of ``cities``, ``populations``, ``airports`` and ``city_airports``."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from gans_pipeline import tables
from gans_pipeline.collect.distance import great_circle_km
from gans_pipeline.collect.outcome import Collected, fetch_each, marking_unparsed, recorded
from gans_pipeline.collect.plausibility import doubts_of_populations, doubts_of_positions
from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.http import MalformedError
from gans_pipeline.sources.places import country_code, timezone_at
from gans_pipeline.storage.writer import ScopedFrame


class City(NamedTuple):
    """What the collectors need to know of a city."""

    city_id: int
    name: str
    article_title: str
    latitude: float
    longitude: float


def each_city(cities: pd.DataFrame) -> list[City]:
    """Return the rows of ``cities`` one by one."""
    return [City(*row) for row in cities[list(City._fields)].itertuples(index=False)]


def select_cities(cities: pd.DataFrame, wanted: Iterable[str]) -> pd.DataFrame:
    """Return the rows of ``cities`` that are wanted by name, article title or id; all of them if none is named.

    Raises ValueError for a city that is not in the table.
    """
    wanted = list(wanted)
    if not wanted:
        return cities
    keys = [cities["article_title"], cities["name"], cities["city_id"].astype(str)]
    unknown = [city for city in wanted if not any((key == city).any() for key in keys)]
    if unknown:
        raise ValueError(f"not among the cities in the database: {', '.join(unknown)}")
    chosen = np.logical_or.reduce([key.isin(wanted) for key in keys])
    return cities[chosen].reset_index(drop=True)


def most_populous_first(cities: pd.DataFrame, people: Mapping[int, int]) -> pd.DataFrame:
    """Return the rows of ``cities`` in the order in which a budget is to be spent on them: by population, falling.

    Cities whose population is not known come last.
    """
    order = cities["city_id"].map(people).sort_values(ascending=False, kind="stable", na_position="last").index
    return cities.loc[order].reset_index(drop=True)


def choose_titles(sources: Sources, selection: str) -> list[str]:
    """Return the article titles that a selection means: titles, or numbers of the most populous, with commas.

    '30' are the 30 most populous cities, '30,Berlin' these and Berlin. Raises ValueError for an empty selection, and
    for more cities than the list has.
    """
    parts = [part.strip() for part in selection.split(",") if part.strip()]
    if not parts:
        raise ValueError("no cities are selected: give a number of the most populous, or titles of Wikipedia articles")
    titles: list[str] = []
    for part in parts:
        titles += _most_populous(sources, int(part)) if part.isdecimal() else [part]
    return list(dict.fromkeys(titles))


def _most_populous(sources: Sources, count: int) -> list[str]:
    if count < 1:
        raise ValueError("no cities are selected: 0 of the most populous")
    listed = sources.wikipedia.largest_cities()
    if count > len(listed):
        raise ValueError(f"the list has {len(listed)} cities, not {count}: name further ones by their titles")
    ranked = listed.sort_values("people", ascending=False, kind="stable")
    return [str(title) for title in ranked["title"].head(count)]


def collect_cities(sources: Sources, selection: str, *, now: dt.datetime) -> Collected:
    """Read the article of each selected city: position, country, time zone, Wikidata item.

    The positions are compared with Wikidata's.
    """

    wikipedia = sources.wikipedia
    provider = wikipedia.name

    def fetch(title: str) -> pd.DataFrame:
        article = wikipedia.article(title)
        if article.wikidata_id is None:
            raise MalformedError(provider, f"article {title!r} has no Wikidata item")
        if article.revision is None:
            raise MalformedError(provider, f"article {title!r} has no revision")
        if article.latitude is None or article.longitude is None:
            raise MalformedError(provider, f"article {title!r} has no coordinates")
        if article.country is None:
            raise MalformedError(provider, f"article {title!r} names no country")
        try:
            code = country_code(article.country)
        except ValueError as error:
            raise MalformedError(provider, f"article {title!r}: {error}") from error
        row = pd.DataFrame(
            {
                "city_id": [article.wikidata_id],
                "name": [article.name],
                "country_code": [code],
                "latitude": [article.latitude],
                "longitude": [article.longitude],
                "timezone": [timezone_at(article.latitude, article.longitude)],
                "article_title": [article.title],
                "revision": [article.revision],
            }
        )
        return sources.stamp(row, provider, now)

    with recorded(sources, tables.cities, wikipedia, [selection], now=now):
        with marking_unparsed(sources, tables.cities, "the list of cities"):
            titles = choose_titles(sources, selection)
        wikipedia.look_up(titles)
        fetched = fetch_each(sources, wikipedia, titles, fetch, table=tables.cities)
        # two titles may lead to one article: Bombay and Mumbai
        frame = fetched.frame.drop_duplicates("city_id", ignore_index=True)
        doubts = doubts_of_positions(sources, frame)
    return Collected(frame, fetched.failures, fetched.skipped, doubts)


def collect_populations(
    sources: Sources, cities: pd.DataFrame, *, stored: Mapping[int, int] | None = None, now: dt.datetime
) -> Collected:
    """Read all population figures of each city's article, one of them marked as chosen.

    That one is compared with Wikidata's, and with the one that is ``stored`` for the city (people by city id).
    """

    wikipedia = sources.wikipedia

    def fetch(city: City) -> pd.DataFrame:
        article = wikipedia.article(city.article_title)
        figures = [figure for figure in article.populations if figure.people is not None]
        if not figures:
            raise MalformedError(wikipedia.name, f"article {city.article_title!r} gives no population figure")
        rows = pd.DataFrame(
            {
                "city_id": city.city_id,
                "as_of": [figure.as_of for figure in figures],
                "definition": [figure.definition for figure in figures],
                "people": [figure.people for figure in figures],
                "kind": [figure.kind for figure in figures],
                "label": [figure.label[:200] for figure in figures],
                "note": [figure.note[:200] if figure.note else None for figure in figures],
                "chosen": [figure.chosen for figure in figures],
                "revision": article.revision,
            }
        )
        return sources.stamp(rows, wikipedia.name, now)

    items = each_city(cities)
    with recorded(sources, tables.populations, wikipedia, items, now=now):
        wikipedia.look_up([city.article_title for city in items])
        fetched = fetch_each(sources, wikipedia, items, fetch, table=tables.populations, name=lambda city: city.name)
        chosen = fetched.frame[fetched.frame["chosen"].astype(bool)]
        doubts = doubts_of_populations(sources, cities, chosen, stored or {})
    return Collected(fetched.frame, fetched.failures, fetched.skipped, doubts)


def collect_airports(sources: Sources, *, now: dt.datetime) -> Collected:
    """Read OurAirports' list: all airports of the world with scheduled service."""
    ourairports = sources.ourairports

    def fetch(_file: str) -> pd.DataFrame:
        return sources.stamp(_with_timezone(ourairports.airports()), ourairports.name, now)

    items = [ourairports.file]
    with recorded(sources, tables.airports, ourairports, items, now=now):
        return Collected(fetch_each(sources, ourairports, items, fetch, table=tables.airports).frame)


def collect_airports_near(sources: Sources, cities: pd.DataFrame, *, now: dt.datetime) -> Collected:
    """Ask AeroDataBox for the airports within the radius of each city; an airport of two cities is kept once."""

    aerodatabox = sources.aerodatabox

    def fetch(city: City) -> pd.DataFrame:
        found = aerodatabox.airports_near(city.latitude, city.longitude, sources.settings.airport_radius_km)
        return sources.stamp(_with_timezone(found), aerodatabox.name, now)

    items = each_city(cities)
    with recorded(sources, tables.airports, aerodatabox, items, now=now):
        fetched = fetch_each(
            sources,
            aerodatabox,
            items,
            fetch,
            table=tables.airports,
            units=aerodatabox.units_per_search,
            name=lambda city: city.name,
        )
    frame = fetched.frame.drop_duplicates("icao", ignore_index=True)
    return Collected(frame, fetched.failures, fetched.skipped)


def _with_timezone(airports: pd.DataFrame) -> pd.DataFrame:
    positions = zip(airports["latitude"], airports["longitude"], strict=True)
    return airports.assign(timezone=[timezone_at(latitude, longitude) for latitude, longitude in positions])


def join_city_airports(sources: Sources, cities: pd.DataFrame, airports: pd.DataFrame) -> Collected:
    """Give each city the airports within the radius of the settings, by great circle; names play no part."""
    distances = great_circle_km(
        cities["latitude"].to_numpy()[:, None],
        cities["longitude"].to_numpy()[:, None],
        airports["latitude"].to_numpy(),
        airports["longitude"].to_numpy(),
    )
    city, airport = np.nonzero(distances <= sources.settings.airport_radius_km)
    frame = pd.DataFrame(
        {
            "city_id": cities["city_id"].to_numpy()[city],
            "icao": airports["icao"].to_numpy()[airport],
            "distance_km": distances[city, airport].round(1),
        }
    )
    return Collected(ScopedFrame(frame, scope=cities[["city_id"]]))
