"""Real payloads, damaged: every parser gives rows or refuses with a SourceError, and nothing else comes out.

Constructed payloads are damaged beside the other tests of each parser; here are those that were recorded, the
contracts' layouts, and for AeroDataBox, of which nothing may be kept, the sandbox's.
"""

import datetime as dt
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from gans_pipeline.sandbox import running
from gans_pipeline.sources import aerodatabox, open_meteo, openweathermap, ourairports
from gans_pipeline.sources.http import SourceError
from gans_pipeline.sources.wikipedia_article import Article, parse_article
from gans_pipeline.sources.wikipedia_list import parse_largest_cities
from gans_pipeline_tests.sources.mutations import damaged_html, damaged_text, mutated
from gans_pipeline_tests.sources.recorded import recorded

unhurried = settings(max_examples=100, deadline=None)  # a busy machine is not a fault of the parser


def recorded_json(name: str) -> Any:
    return json.loads(recorded(name).read_text("utf-8"))


@unhurried
@given(st.data())
def test_a_damaged_recorded_forecast_of_openweathermap(data: st.DataObject) -> None:
    payload = recorded_json("openweathermap/forecast_berlin_2023-10-05.json")
    payload["list"] = payload["list"][:3]  # so that three damages are many
    with suppress(SourceError):
        assert len(openweathermap.parse_forecast(data.draw(mutated(payload))))


@unhurried
@given(st.data())
def test_a_damaged_recorded_forecast_of_open_meteo(data: st.DataObject) -> None:
    payload = recorded_json("open-meteo/forecast_precip_probabilities_RECORDED_2026-10-05.json")
    payload["hourly"]["temperature_2m"] = list(range(24))
    payload["hourly_units"]["temperature_2m"] = "°C"
    with suppress(SourceError):
        assert len(open_meteo.parse_forecast(data.draw(mutated(payload))))


@unhurried
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_a_damaged_recorded_file_of_ourairports(seed: int, damages: int) -> None:
    text = recorded("ourairports/airports_subset.csv").read_text("utf-8")
    with suppress(SourceError):
        frame = ourairports.parse_airports(damaged_text(text, Random(seed), damages))
        assert frame["icao"].is_unique


@pytest.fixture(scope="module")
def sandboxed() -> dict[str, Any]:
    """Answers of the sandbox's AeroDataBox: two forms of a board, and a search."""
    board = "/flights/airports/icao/EGLL/2026-11-24T06:00/2026-11-24T17:00?direction=Arrival&withLeg="
    search = "/airports/search/location?lat=51.5&lon=0&radiusKm=60&limit=6"
    headers = {"X-RapidAPI-Key": "k", "X-RapidAPI-Host": "aerodatabox.p.rapidapi.com"}
    with running(cities=1, now=dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)) as url:
        return {
            name: requests.get(f"{url}/aerodatabox{path}", headers=headers, timeout=20).json()
            for name, path in (("legs", board + "true"), ("movements", board + "false"), ("search", search))
        }


@unhurried
@given(st.data(), st.sampled_from(["legs", "movements"]), st.integers(0, 10))
def test_a_damaged_board_of_the_sandbox(sandboxed: dict[str, Any], data: st.DataObject, form: str, first: int) -> None:
    payload = {**sandboxed[form], "arrivals": sandboxed[form]["arrivals"][first : first + 4]}
    with suppress(SourceError):
        frame = aerodatabox.parse_arrivals(data.draw(mutated(payload)))
        assert not frame.duplicated(["flight_number", "scheduled_at"]).any()


@unhurried
@given(st.data())
def test_a_damaged_search_of_the_sandbox(sandboxed: dict[str, Any], data: st.DataObject) -> None:
    with suppress(SourceError):
        assert aerodatabox.parse_airports(data.draw(mutated(sandboxed["search"])))["icao"].is_unique


def pages() -> list[str]:
    """Return the recorded articles and the contracts' layouts, which are real ones shortened."""
    folders = [recorded("wikipedia")]
    if contracts := os.environ.get("GANS_CONTRACTS_DIR"):
        folders.append(Path(contracts, "wikipedia_layouts"))
    return [page.read_text("utf-8") for folder in folders for page in sorted(folder.glob("*.html"))]


@pytest.mark.parametrize("damage", [damaged_html, damaged_text])
@settings(unhurried, max_examples=200)
@given(seed=st.integers(0, 2**32), damages=st.integers(1, 12))
def test_a_damaged_real_page_of_wikipedia(damage: Callable[[str, Random, int], str], seed: int, damages: int) -> None:
    chance = Random(seed)
    page = damage(chance.choice(pages()), chance, damages)
    with suppress(SourceError):
        article = parse_article(page)
        assert all(figure.people is None or figure.people >= 0 for figure in article.populations)
        assert sum(figure.chosen for figure in article.populations) <= 1
    with suppress(SourceError):
        assert parse_largest_cities(page)["title"].is_unique


@unhurried
@given(st.data())
def test_a_damaged_answer_of_wikipedias_api(data: st.DataObject) -> None:
    chance = Random(data.draw(st.integers(0, 2**32)))
    answer = {
        "parse": {
            "title": "Berlin",
            "pageid": 3354,
            "revid": 1_300_000_000,
            "redirects": [{"from": "Berlin, Germany", "to": "Berlin"}],
            "text": data.draw(st.sampled_from([chance.choice(pages()), {"*": chance.choice(pages())}])),
            "properties": data.draw(
                st.sampled_from([{"wikibase_item": "Q64"}, [{"name": "wikibase_item", "*": "Q64"}]])
            ),
        }
    }
    damaged = data.draw(mutated(answer))
    with suppress(SourceError):
        article = parse_article(damaged)
        assert article.revision is None or isinstance(article.revision, int)
        assert article.wikidata_id is None or article.wikidata_id > 0
    with suppress(SourceError):
        assert isinstance(parse_largest_cities(damaged), pd.DataFrame)


@unhurried
@given(mutated({"error": {"code": "maxlag", "info": "Waiting", "lag": 9}, "servedby": "mw1"}))
def test_a_damaged_error_of_wikipedias_api(payload: Any) -> None:
    for parse in (parse_article, parse_largest_cities):
        with pytest.raises(SourceError):
            parse(payload)


@pytest.mark.parametrize("tag", ["div", "table", "b", "td"])
def test_a_page_that_is_nested_beyond_measure_is_read_or_refused(tag: str) -> None:
    deep, page = f"<{tag}>" * 1000, pages()[0]
    for nested in (deep + page, page.replace("<td", f"<td>{deep}</td><td", 3)):
        for parse, made in ((parse_article, Article), (parse_largest_cities, pd.DataFrame)):
            with suppress(SourceError):
                assert isinstance(parse(nested), made)
