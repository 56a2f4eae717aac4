"""Wikidata's part of the sandbox: items with ranked statements, and how far they agree with the sandbox's Wikipedia."""

from typing import Any

import pytest

from gans_pipeline.sandbox.geography import City, World, build_world, distance_km
from gans_pipeline.sandbox.wikidata import _entity
from gans_pipeline.sources.wikidata import Item, parse_items
from gans_pipeline_tests.sandbox.conftest import Sandbox


def claims(sandbox: Sandbox, city: City) -> Any:
    return sandbox.wikidata(city.wikidata_item).json()["entities"][city.wikidata_item]["claims"]


def test_items_are_told_with_the_same_policy_and_limits_as_wikipedia(sandbox: Sandbox, world: World) -> None:
    london = world.by_title["London"].wikidata_item
    refused = sandbox.get("wikidata", "/w/api.php", {"User-Agent": "python-requests/2.32"})
    assert (refused.status_code, "robot policy" in refused.text) == (403, True)
    sandbox.put("limits", {"wikidata": {"lag_s": 6.5}})
    lagged = sandbox.wikidata(london, maxlag=5)
    assert (lagged.status_code, lagged.json()["error"]["code"]) == (200, "maxlag")
    assert lagged.headers["Retry-After"] == "5"
    sandbox.put("limits", {"wikidata": {"per_minute": 0}})
    assert sandbox.wikidata(london).status_code == 429
    assert sandbox.article("London").status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"action": "wbsearchentities"}, "badvalue"),
        ({"ids": ""}, "param-missing"),
        ({"ids": "|".join(f"Q{number}" for number in range(1, 52))}, "toomanyvalues"),
        ({"ids": "Q64|Berlin"}, "no-such-entity"),
    ],
)
def test_what_cannot_be_answered_is_an_error_with_status_200(
    sandbox: Sandbox, query: dict[str, str], code: str
) -> None:
    answer = sandbox.wikidata("Q64", **query)
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, code)


def test_an_item_that_does_not_exist_is_missing_beside_the_others(sandbox: Sandbox, world: World) -> None:
    london = world.by_title["London"].wikidata_item
    entities = sandbox.wikidata("Q1", london).json()["entities"]
    assert entities["Q1"] == {"id": "Q1", "missing": True}
    assert entities[london]["claims"].keys() == {"P17", "P625", "P1082"}
    assert sandbox.wikidata("Q1", formatversion=1).json()["entities"]["Q1"]["missing"] == ""


def test_statements_have_ranks_and_times_and_some_no_value(sandbox: Sandbox, world: World) -> None:
    found = [claims(sandbox, city) for city in world.cities]
    figures = [figure for claim in found for figure in claim["P1082"]]
    assert {figure["rank"] for figure in figures} == {"normal", "preferred", "deprecated"}
    assert {figure["mainsnak"]["snaktype"] for figure in figures} == {"value", "somevalue"}
    assert all("datavalue" not in f["mainsnak"] for f in figures if f["mainsnak"]["snaktype"] == "somevalue")
    precisions = {
        time["datavalue"]["value"]["precision"]
        for figure in figures
        for time in figure.get("qualifiers", {}).get("P585", [])
    }
    assert precisions == {9, 11}
    assert all(len(claim["P17"]) == 2 for claim in found)


def test_one_city_in_fifteen_is_told_of_otherwise_than_by_wikipedia() -> None:
    world = build_world(900, 0)
    items: dict[int, Item] = {}
    for city in world.cities:
        items |= parse_items({"entities": {city.wikidata_item: _entity(0, city, {})}})
    of_position, of_population = 0, 0
    for city in world.cities:
        item = items[int(city.wikidata_item[1:])]
        assert item.latitude is not None
        assert item.longitude is not None
        assert item.people is not None
        apart_km, apart = distance_km(city, item.latitude, item.longitude), abs(city.population / item.people - 1)
        assert apart_km < 0.1 or 50 < apart_km < 60
        assert apart < 0.04 or apart > 0.15
        of_position += apart_km > 25
        of_population += apart > 0.1
    assert 30 <= of_position + of_population <= 90
    assert min(of_position, of_population) >= 15
