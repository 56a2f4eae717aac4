"""Cities, populations, airports, and which airport serves which city."""

import re

import pandas as pd
import pytest

from gans_pipeline import tables
from gans_pipeline.collect import geo
from gans_pipeline.collect.distance import great_circle_km
from gans_pipeline.collect.outcome import NothingCollectedError
from gans_pipeline.collect.sources import Sources
from gans_pipeline.settings import Settings
from gans_pipeline.sources.http import PermanentError
from gans_pipeline.storage.frames import problems
from gans_pipeline.storage.writer import ScopedFrame
from gans_pipeline_tests.collect.conftest import NOW, Sandbox


def test_cities_are_those_with_the_largest_population_in_the_list(sources: Sources) -> None:
    listed = sources.wikipedia.largest_cities().nlargest(4, "people")["title"].tolist()
    collected = geo.collect_cities(sources, "4", now=NOW)
    assert collected.frame["article_title"].tolist() == listed
    assert collected.failures == ()
    assert problems(collected.frame, tables.cities) == []


def test_invented_rows_say_so(sources: Sources) -> None:
    assert geo.collect_cities(sources, "2", now=NOW).frame["provider"].unique().tolist() == ["sandbox-wikipedia"]


def test_named_cities_are_read_without_the_list(sources: Sources, sandbox: Sandbox) -> None:
    frame = geo.collect_cities(sources, "New York City, Istanbul", now=NOW).frame
    assert frame["name"].tolist() == ["New York City", "Istanbul"]
    assert frame["country_code"].tolist() == ["US", "TR"]
    assert frame["timezone"].tolist() == ["America/New_York", "Europe/Istanbul"]
    assert not [path for path in sandbox.asked("wikipedia") if "List" in path]


def test_a_title_given_twice_is_one_city(sources: Sources) -> None:
    assert len(geo.collect_cities(sources, "Lagos,Lagos", now=NOW).frame) == 1


def test_a_city_that_fails_leaves_the_others_and_is_named(sources: Sources, sandbox: Sandbox) -> None:
    sandbox.control("faults", [{"provider": "wikipedia", "kind": "answer", "match": "Istanbul", "status": 404}])
    collected = geo.collect_cities(sources, "Lagos,Istanbul,Mumbai", now=NOW)
    assert collected.frame["article_title"].tolist() == ["Lagos", "Mumbai"]
    assert [failure.item for failure in collected.failures] == ["Istanbul"]


def test_a_page_that_does_not_exist_is_named(sources: Sources) -> None:
    collected = geo.collect_cities(sources, "Lagos,Nowhere at all", now=NOW)
    assert isinstance(collected.failures[0].error, PermanentError)
    assert "Nowhere at all" in str(collected.failures[0])


def test_an_outage_is_an_error_and_not_an_empty_table(sources: Sources, sandbox: Sandbox) -> None:
    sandbox.control("faults", [{"provider": "wikipedia", "kind": "answer", "match": "", "status": 403}])
    with pytest.raises(NothingCollectedError, match="none of 2 could be had: Lagos: wikipedia"):
        geo.collect_cities(sources, "Lagos,Mumbai", now=NOW)


def test_a_number_and_titles_can_be_asked_for_together(sources: Sources) -> None:
    titles = geo.choose_titles(sources, "2, Lagos")
    assert len(titles) == 3
    assert titles[2] == "Lagos"


def test_more_cities_than_the_list_has_are_refused(sources: Sources) -> None:
    with pytest.raises(ValueError, match="the list has 30 cities, not 31"):
        geo.collect_cities(sources, "31", now=NOW)


def test_a_selection_of_nothing_is_refused(sources: Sources) -> None:
    for selection in (" , ", "0"):
        with pytest.raises(ValueError, match="no cities are selected"):
            geo.collect_cities(sources, selection, now=NOW)


def test_every_city_has_one_chosen_population(sources: Sources) -> None:
    cities = geo.collect_cities(sources, "8", now=NOW).frame
    collected = geo.collect_populations(sources, cities, now=NOW)
    assert problems(collected.frame, tables.populations) == []
    chosen = collected.frame[collected.frame["chosen"]]
    assert sorted(chosen["city_id"]) == sorted(cities["city_id"])
    assert (chosen["people"] > 100_000).all()


def test_airports_have_scheduled_service_and_a_time_zone(sources: Sources) -> None:
    frame = geo.collect_airports(sources, now=NOW).frame
    assert problems(frame, tables.airports) == []
    assert len(frame) > 1000
    zones = frame.set_index("icao")["timezone"]
    assert zones["KJFK"] == "America/New_York"


def test_aerodatabox_finds_airports_around_the_cities_once_each(sources: Sources) -> None:
    cities = geo.collect_cities(sources, "Shenzhen,Guangzhou,New York City", now=NOW).frame
    collected = geo.collect_airports_near(sources, cities, now=NOW)
    assert problems(collected.frame, tables.airports) == []
    assert collected.frame["icao"].is_unique
    assert {"KJFK", "ZGGG", "ZGSZ"} <= set(collected.frame["icao"])


def places(**positions: tuple[float, float]) -> pd.DataFrame:
    """Return places with the columns of both cities and airports."""
    return pd.DataFrame(
        {
            "city_id": range(len(positions)),
            "icao": list(positions),
            "latitude": [latitude for latitude, _ in positions.values()],
            "longitude": [longitude for _, longitude in positions.values()],
        }
    )


def test_distances_are_great_circles() -> None:
    # Berlin Mitte to BER and to London Heathrow; across the date line in Fiji
    assert great_circle_km(52.52, 13.405, [52.362247, 51.4706], [13.500672, -0.461941]).round(0).tolist() == [19, 955]
    assert float(great_circle_km(-18.0, 179.9, -18.0, -179.9)) == pytest.approx(21.1, abs=0.1)


WITHIN_60_KM = Sources(Settings(airport_radius_km=60))


def test_a_namesake_on_another_continent_is_not_the_citys_airport() -> None:
    cities = places(London=(51.507, -0.128))
    airports = places(EGLC=(51.505, 0.055), FAEL=(-33.0356, 27.8259))  # London City; East London in South Africa
    assert geo.join_city_airports(WITHIN_60_KM, cities, airports).frame["icao"].tolist() == ["EGLC"]


def test_a_city_without_an_airport_is_in_the_scope_so_that_old_ones_go() -> None:
    joined = geo.join_city_airports(WITHIN_60_KM, places(Oasis=(24.0, 10.0)), places(EGLC=(51.505, 0.055)))
    assert isinstance(joined.data, ScopedFrame)
    assert joined.frame.empty
    assert joined.data.scope["city_id"].tolist() == [0]


def test_cities_can_be_selected_by_name_title_or_id() -> None:
    cities = pd.DataFrame(
        {"city_id": [64, 60], "name": ["Berlin", "New York"], "article_title": ["Berlin", "New York City"]}
    )
    assert geo.select_cities(cities, ["New York City"])["city_id"].tolist() == [60]
    assert geo.select_cities(cities, ["New York", "64"])["city_id"].tolist() == [64, 60]
    assert len(geo.select_cities(cities, [])) == 2
    with pytest.raises(ValueError, match=re.escape("not among the cities in the database: Atlantis")):
        geo.select_cities(cities, ["Atlantis"])
