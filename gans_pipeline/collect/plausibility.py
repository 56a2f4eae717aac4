"""Whether what was read can be right: doubts, which a person looks at, and which keep nothing from being stored.

Positions and populations of cities are compared with Wikidata's, by the city's own item, and populations with what is
stored. What Wikidata does not say is not compared. That it cannot be asked is a doubt too and no failure: nothing that
is stored comes from there.
"""

from collections.abc import Mapping

import pandas as pd

from gans_pipeline.collect.distance import great_circle_km
from gans_pipeline.collect.outcome import Doubt
from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.http import SourceError
from gans_pipeline.sources.wikidata import Item

POSITION_KM = 25.0
"""Centres of one city that are further apart are of two places, or one of them is wrong."""

POPULATION_APART = 0.10
"""Relative to Wikidata's figure. Both are often some years old, and not of the same one."""

POPULATION_JUMP = 0.30
"""Relative to the stored figure. No city grows so fast between two refreshes; an edit or another layout is likely."""


def doubts_of_positions(sources: Sources, cities: pd.DataFrame) -> tuple[Doubt, ...]:
    """Return the doubts about the positions of ``cities``."""
    items, doubts = _at_wikidata(sources, cities)
    for city in cities.to_dict("records"):
        item = items.get(city["city_id"])
        if item and item.latitude is not None and item.longitude is not None:
            apart_km = float(great_circle_km(city["latitude"], city["longitude"], item.latitude, item.longitude))
            if apart_km > POSITION_KM:
                doubts.append(Doubt(city["name"], f"position {apart_km:,.0f} km from Wikidata's"))
    return tuple(doubts)


def doubts_of_populations(
    sources: Sources, cities: pd.DataFrame, chosen: pd.DataFrame, stored: Mapping[int, int]
) -> tuple[Doubt, ...]:
    """Return the doubts about the ``chosen`` figure of each of ``cities``; ``stored`` are the people by city id."""
    read = cities[["city_id", "name"]].merge(chosen[["city_id", "people"]], on="city_id")
    items, doubts = _at_wikidata(sources, read)
    for city in read.to_dict("records"):
        name, people = city["name"], city["people"]
        item, before = items.get(city["city_id"]), stored.get(city["city_id"])
        if item and item.people and _apart(people, item.people) > POPULATION_APART:
            doubts.append(Doubt(name, _difference(people, item.people, "at Wikidata")))
        if before and _apart(people, before) >= POPULATION_JUMP:
            doubts.append(Doubt(name, _difference(people, before, "stored before")))
    return tuple(doubts)


def _at_wikidata(sources: Sources, cities: pd.DataFrame) -> tuple[Mapping[int, Item], list[Doubt]]:
    """Return the cities' items by number, and the doubts about the items themselves."""
    numbers = cities["city_id"].tolist()
    try:
        items = sources.wikidata.items(numbers)
    except SourceError as error:
        return {}, [Doubt("all cities", f"not compared with Wikidata: {error}")]
    named = zip(numbers, cities["name"], strict=True)
    return items, [Doubt(str(name), f"Wikidata has no item Q{number}") for number, name in named if number not in items]


def _apart(people: int, reference: int) -> float:
    return round(abs(people - reference) / reference, 3)


def _difference(people: int, reference: int, whose: str) -> str:
    return f"population {people:,} here, {reference:,} {whose} ({100 * _apart(people, reference):.1f} % apart)"
