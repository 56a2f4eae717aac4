"""What is doubted of cities and populations, and that doubts keep nothing from being stored."""

import json
import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from gans_pipeline import tables
from gans_pipeline.collect.geo import collect_cities, collect_populations
from gans_pipeline.collect.outcome import Collected
from gans_pipeline.collect.plausibility import doubts_of_populations, doubts_of_positions
from gans_pipeline.collect.sources import Sources
from gans_pipeline.settings import Settings
from gans_pipeline.storage.frames import problems
from gans_pipeline_tests.collect.conftest import NOW, Sandbox

AGREEING = "Lagos,Istanbul"
OTHER_POPULATION, OTHER_POSITION = "Delhi", "Nanjing"
"""Cities of which the sandbox's Wikidata says something else than its Wikipedia."""


def texts(collected: Collected) -> list[str]:
    assert collected.doubts is not None
    return [str(doubt) for doubt in collected.doubts]


def test_a_position_far_from_wikidatas_is_a_doubt_and_is_stored(sources: Sources) -> None:
    collected = collect_cities(sources, f"{AGREEING},{OTHER_POPULATION},{OTHER_POSITION}", now=NOW)
    assert texts(collected) == [f"{OTHER_POSITION}: position 56 km from Wikidata's"]
    assert len(collected.frame) == 4
    assert collected.failures == ()


def test_a_population_far_from_wikidatas_is_a_doubt_and_is_stored(sources: Sources) -> None:
    cities = collect_cities(sources, f"{AGREEING},{OTHER_POPULATION},{OTHER_POSITION}", now=NOW).frame
    collected = collect_populations(sources, cities, now=NOW)
    (doubt,) = texts(collected)
    found = re.fullmatch(r"Delhi: population ([\d,]+) here, ([\d,]+) at Wikidata \(([\d.]+) % apart\)", doubt)
    assert found
    here, there = (int(figure.replace(",", "")) for figure in found.groups()[:2])
    assert float(found[3]) == pytest.approx(100 * abs(here - there) / there, abs=0.06)
    assert problems(collected.frame, tables.populations) == []
    assert set(collected.frame["city_id"]) == set(cities["city_id"])


def test_all_cities_are_compared_with_one_request(sources: Sources, sandbox: Sandbox) -> None:
    cities = collect_cities(sources, "30", now=NOW)
    assert len(texts(cities)) == 1
    collect_populations(sources, cities.frame, now=NOW)
    assert len(sandbox.asked("wikidata")) == 2


def test_a_population_that_jumps_is_a_doubt(sources: Sources, sandbox: Sandbox) -> None:
    cities = collect_cities(sources, AGREEING, now=NOW).frame
    first = collect_populations(sources, cities, now=NOW)
    chosen = first.frame[first.frame["chosen"]]
    stored = dict(zip(chosen["city_id"].tolist(), chosen["people"].tolist(), strict=True))
    assert texts(first) == []
    assert texts(collect_populations(sources, cities, stored=stored, now=NOW)) == []
    sandbox.control("faults", [{"provider": "wikipedia", "kind": "population-jump", "match": "Istanbul"}])
    jumped = collect_populations(sources, cities, stored=stored, now=NOW)
    assert [re.sub(r"[\d,]{4,}", "n", text) for text in texts(jumped)] == [
        "Istanbul: population n here, n at Wikidata (32.5 % apart)",
        "Istanbul: population n here, n stored before (30.0 % apart)",
    ]
    assert set(jumped.frame["city_id"]) == set(cities["city_id"])


@pytest.mark.parametrize(
    ("people", "before", "doubts"), [(1_299, 1_000, 0), (1_300, 1_000, 1), (700, 1_000, 1), (701, 1_000, 0), (5, 0, 0)]
)
def test_a_jump_is_thirty_percent_up_or_down(sandbox: Sandbox, people: int, before: int, doubts: int) -> None:
    found = compared(sandbox, {"P1082": []}, people=people, stored={64: before})
    assert len(found) == doubts


@pytest.mark.parametrize(
    ("amount", "doubts"),
    [("+1112", 1), ("+1111", 0), ("+1000", 0), ("+910", 0), ("+909", 0), ("+908", 1), ("+10000", 1)],
)
def test_a_population_is_doubted_beyond_ten_percent_of_wikidatas(sandbox: Sandbox, amount: str, doubts: int) -> None:
    figure = {"mainsnak": {"snaktype": "value", "datavalue": {"value": {"amount": amount, "unit": "1"}}}}
    found = compared(sandbox, {"P1082": [{**figure, "rank": "normal"}]}, people=1_000)
    assert len(found) == doubts


def test_what_wikidata_does_not_say_is_not_doubted(sandbox: Sandbox) -> None:
    unknown = [{"mainsnak": {"snaktype": "somevalue"}, "rank": "normal"}]
    assert compared(sandbox, {"P1082": unknown, "P625": unknown}, people=1_000) == []
    assert compared(sandbox, {}, people=1_000) == []


def test_a_city_that_wikidata_does_not_have_is_a_doubt(sources: Sources) -> None:
    doubts = doubts_of_positions(sources, city(9))
    assert [str(doubt) for doubt in doubts] == ["Berlin: Wikidata has no item Q9"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "403"}, "wikidata: this client is refused"),
        ({"kind": "missing-field"}, r"wikidata: entities\.Q\d+\.claims\.P625\[0\]\.rank: Field required"),
        ({"kind": "retyped-field"}, r"wikidata: amount: Input should be a valid string, got \d+"),
        ({"kind": "implausible"}, "wikidata: latitude: Input should be less than or equal to 90, got 200"),
        ({"kind": "answer", "status": 404}, "wikidata: HTTP 404"),
        ({"kind": "429-retry-in-an-hour"}, "wikidata: HTTP 429"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_wikidata_that_fails_is_one_doubt_and_no_failure(
    sources: Sources, sandbox: Sandbox, fault: dict[str, Any], reason: str
) -> None:
    sandbox.control("faults", [{"provider": "wikidata", **fault}])
    cities = collect_cities(sources, AGREEING, now=NOW)
    populations = collect_populations(sources, cities.frame, now=NOW)
    for collected in (cities, populations):
        assert collected.failures == ()
        assert set(collected.frame["city_id"]) == set(cities.frame["city_id"])
        (doubt,) = texts(collected)
        assert re.match(f"all cities: not compared with Wikidata: {reason}", doubt)


def test_an_outage_of_wikidata_leaves_the_comparison_with_what_is_stored(
    sources_with: Callable[..., Sources], sandbox: Sandbox
) -> None:
    sources = sources_with(wikidata={"budget": 0})  # nothing may be asked
    cities = collect_cities(sources, AGREEING, now=NOW).frame
    sandbox.control("faults", [{"provider": "wikidata", "kind": "403"}])
    doubts = texts(collect_populations(sources, cities, stored=dict.fromkeys(cities["city_id"], 1_000), now=NOW))
    assert len(doubts) == 3
    assert [doubt.partition(":")[0] for doubt in doubts] == ["all cities", "Lagos", "Istanbul"]


def city(city_id: int) -> pd.DataFrame:
    return pd.DataFrame({"city_id": [city_id], "name": ["Berlin"], "latitude": [52.52], "longitude": [13.405]})


def compared(
    sandbox: Sandbox, claims: dict[str, Any], *, people: int, stored: dict[int, int] | None = None
) -> list[str]:
    """Return the doubts about a city of which Wikidata makes these claims."""
    body = json.dumps({"entities": {"Q64": {"id": "Q64", "claims": claims}}})
    sandbox.control("faults", [{"provider": "wikidata", "kind": "answer", "status": 200, "body": body}])
    sources = Sources(Settings(sandbox_url=sandbox.url))
    chosen = pd.DataFrame({"city_id": [64], "people": [people]})
    doubts = doubts_of_populations(sources, city(64), chosen, stored or {})
    return [str(doubt) for doubt in (*doubts, *doubts_of_positions(sources, city(64)))]
