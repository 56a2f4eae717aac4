"""Forecasts of all cities, issue by issue, and the weather of the past, day by day."""

import datetime as dt
import re
from collections.abc import Callable

import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline import tables
from gans_pipeline.collect.geo import collect_cities
from gans_pipeline.collect.outcome import NothingCollectedError, NothingToCollectError
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts, collect_weather_observations
from gans_pipeline.sources.http import MalformedError, PermanentError, TransientError
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.frames import problems
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.writer import write
from gans_pipeline.tables import schema
from gans_pipeline.tables.queries import missing_observations
from gans_pipeline_tests.collect.conftest import NOW, Sandbox

PROVIDERS = ("openweathermap", "open-meteo")


@pytest.fixture
def cities(sources: Sources) -> pd.DataFrame:
    """Three cities."""
    return collect_cities(sources, "Lagos,Istanbul,New York City", now=NOW).frame


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_city_gets_the_next_40_slots_of_3_hours(
    sources_with: Callable[..., Sources], cities: pd.DataFrame, provider: str
) -> None:
    collected = collect_weather_forecasts(sources_with(weather_provider=provider), cities, now=NOW)
    assert problems(collected.frame, tables.weather_forecasts) == []
    for _, forecast in collected.frame.groupby("city_id"):
        expected = pd.date_range("2026-11-24T03:00Z", periods=40, freq="3h")
        assert forecast["valid_at"].tolist() == expected.tolist()
    assert collected.frame["issued_at"].unique().tolist() == [pd.Timestamp("2026-11-24T02:00Z")]
    assert collected.frame["provider"].unique().tolist() == [f"sandbox-{provider}"]


def test_both_providers_fill_the_same_columns_in_the_same_units(
    sources_with: Callable[..., Sources], cities: pd.DataFrame
) -> None:
    frames = [
        collect_weather_forecasts(sources_with(weather_provider=provider), cities, now=NOW).frame
        for provider in PROVIDERS
    ]
    assert sorted(frames[0].columns) == sorted(frames[1].columns)
    merged = frames[0].merge(frames[1], on=["city_id", "valid_at"])
    assert len(merged) == 120
    # one invented sky, told by two providers: kelvins, fahrenheits or km/h would be far apart
    assert (merged["temperature_c_x"] - merged["temperature_c_y"]).abs().median() < 3
    assert 0.5 < merged["wind_speed_ms_x"].mean() / merged["wind_speed_ms_y"].mean() < 2


def test_without_a_choice_a_key_decides_for_openweathermap() -> None:
    from gans_pipeline.settings import Settings

    assert Sources(Settings()).weather.name == "open-meteo"
    keyed = Settings.model_validate({"openweathermap": {"key": "secret"}})
    assert Sources(keyed).weather.name == "openweathermap"


def test_a_refined_forecast_is_kept_beside_the_older_issue(
    database_url: str, sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    engine = _filled(database_url, cities)
    first = collect_weather_forecasts(sources, cities, now=NOW)
    assert write(engine, tables.weather_forecasts, first.data).inserted == 120
    later = NOW + dt.timedelta(hours=3)
    sandbox.control("now", {"now": later.isoformat()})
    assert (
        write(engine, tables.weather_forecasts, collect_weather_forecasts(sources, cities, now=later).data).inserted
        == 120
    )
    stored = read(engine, tables.weather_forecasts)
    slot = stored[
        (stored["valid_at"] == pd.Timestamp("2026-11-25T12:00Z")) & (stored["city_id"] == cities["city_id"][0])
    ]
    assert len(slot) == 2
    assert slot["temperature_c"].nunique() == 2
    with engine.connect() as connection:
        newest = connection.execute(sa.text("SELECT COUNT(*), MIN(issued_at) FROM latest_weather_forecasts")).one()
    assert newest[0] == 123  # 40 slots and the one that is past, for three cities
    assert str(newest[1]).startswith("2026-11-24 02:00")


def test_a_second_refresh_within_the_hour_adds_no_row(
    database_url: str, sources: Sources, cities: pd.DataFrame
) -> None:
    engine = _filled(database_url, cities)
    for minutes, inserted in ((0, 120), (20, 0)):
        forecasts = collect_weather_forecasts(sources, cities, now=NOW + dt.timedelta(minutes=minutes))
        assert write(engine, tables.weather_forecasts, forecasts.data).inserted == inserted


def test_an_implausible_forecast_is_refused_and_leaves_the_others(
    sources_with: Callable[..., Sources], sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    lagos = cities.iloc[0]
    hot = (
        '{"cod":"200","list":[{"dt":1795564800,"main":{"temp":200,"feels_like":1,"humidity":50},"weather":[{"id":800,'
        '"main":"Clear"}],"clouds":{"all":0},"wind":{"speed":1}}],"city":{"timezone":0}}'
    )
    near = f"{lagos['latitude']:g}"
    sandbox.control(
        "faults", [{"provider": "openweathermap", "kind": "answer", "match": near, "status": 200, "body": hot}]
    )
    collected = collect_weather_forecasts(sources_with(weather_provider="openweathermap"), cities, now=NOW)
    assert [failure.item for failure in collected.failures] == ["Lagos"]
    assert isinstance(collected.failures[0].error, MalformedError)
    assert "temperature_c" in str(collected.failures[0])
    assert set(collected.frame["city_id"]) == set(cities["city_id"][1:])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("days", [-365, -7, 18, 365])
def test_a_provider_whose_clock_or_ours_is_wrong_is_refused_with_both_times(
    sources_with: Callable[..., Sources], sandbox: Sandbox, cities: pd.DataFrame, provider: str, days: int
) -> None:
    sandbox.control("now", {"now": (NOW + dt.timedelta(days=days)).isoformat()})
    with pytest.raises(NothingCollectedError) as raised:
        collect_weather_forecasts(sources_with(weather_provider=provider), cities, now=NOW)
    reason = (
        r"valid_at: 202\d-\d\d-\d\d \d\d:00 UTC cannot be forecast at 2026-11-24 02:30 UTC: is this machine's clock"
    )
    for failure in raised.value.failures:
        assert isinstance(failure.error, MalformedError)
        assert re.search(reason, str(failure))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "now", ["2026-03-28T23:30Z", "2026-03-29T00:30Z", "2026-10-24T23:30Z", "2026-10-25T00:30Z", "2026-10-25T23:59Z"]
)
def test_no_step_is_lost_or_doubled_where_the_clocks_change(
    sources_with: Callable[..., Sources], sandbox: Sandbox, provider: str, now: str
) -> None:
    sandbox.control("now", {"now": now})
    moment = dt.datetime.fromisoformat(now)
    sources = sources_with(weather_provider=provider)
    collected = collect_weather_forecasts(
        sources, collect_cities(sources, "London,Berlin", now=moment).frame, now=moment
    )
    first = (pd.Timestamp(moment) + pd.Timedelta("1ns")).ceil("3h")
    for _, forecast in collected.frame.groupby("city_id"):
        assert forecast["valid_at"].tolist() == pd.date_range(first, periods=40, freq="3h").tolist()


def test_without_cities_there_is_nothing_to_collect(sources: Sources, cities: pd.DataFrame) -> None:
    with pytest.raises(NothingToCollectError, match="weather_forecasts"):
        collect_weather_forecasts(sources, cities.iloc[:0], now=NOW)


YESTERDAY = NOW.date() - dt.timedelta(days=1)


def last_days(count: int) -> list[dt.date]:
    return [YESTERDAY - dt.timedelta(days=number) for number in range(count)]


def test_a_range_of_past_days_is_one_request_a_city_and_all_its_hours(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    collected = collect_weather_observations(sources, cities, last_days(7), now=NOW)
    assert problems(collected.frame, tables.weather_observations) == []
    assert collected.failures == ()
    for _, hours in collected.frame.groupby("city_id"):
        expected = pd.date_range("2026-11-17T00:00Z", "2026-11-23T23:00Z", freq="h")
        assert hours["observed_at"].tolist() == expected.tolist()
    assert len(sandbox.asked("open-meteo")) == len(cities)
    assert set(collected.frame["product"]) == {"analysis"}
    assert set(collected.frame["provider"]) == {"sandbox-open-meteo"}
    assert collected.frame["visibility_m"].notna().all()


def test_older_days_come_from_the_archive_and_each_host_is_asked_for_its_own(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    collected = collect_weather_observations(sources, cities, last_days(70), now=NOW)
    assert collected.failures == ()
    assert len(collected.frame) == 3 * 70 * 24
    products = {name: hours["observed_at"] for name, hours in collected.frame.groupby("product")}
    assert (products["reanalysis"].min(), products["reanalysis"].max()) == (
        pd.Timestamp("2026-09-15T00Z"),
        pd.Timestamp("2026-09-24T23Z"),
    )
    assert (products["analysis"].min(), products["analysis"].max()) == (
        pd.Timestamp("2026-09-25T00Z"),
        pd.Timestamp("2026-11-23T23Z"),
    )
    assert len(sandbox.asked("open-meteo")) == len(sandbox.asked("open-meteo-archive")) == 3
    old = collected.frame[collected.frame["product"] == "reanalysis"]
    assert old["visibility_m"].isna().all()
    assert old["wind_gust_ms"].notna().all()


def test_days_with_a_gap_are_two_requests(sources: Sources, sandbox: Sandbox, cities: pd.DataFrame) -> None:
    days = [YESTERDAY, YESTERDAY - dt.timedelta(days=3)]
    collected = collect_weather_observations(sources, cities[:1], days, now=NOW)
    assert len(collected.frame) == 48
    assert len(sandbox.asked("open-meteo")) == 2


def test_the_past_comes_from_open_meteo_whatever_the_forecasts_come_from(
    sources_with: Callable[..., Sources], sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    sources = sources_with(weather_provider="openweathermap")
    assert len(collect_weather_observations(sources, cities, [YESTERDAY], now=NOW).frame) == 72
    assert sandbox.asked("openweathermap") == []


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (dt.date(1939, 12, 31), "the weather of 1939-12-31 is not known: the reanalysis ERA5 begins on 1940-01-01"),
        (NOW.date(), "the weather of 2026-11-24 is not known, only forecast: the day is not over in UTC"),
        (dt.date(2027, 1, 1), "the weather of 2027-01-01 is not known, only forecast"),
    ],
)
def test_a_day_that_no_host_has_is_refused_before_anything_is_asked(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame, day: dt.date, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        collect_weather_observations(sources, cities, [YESTERDAY, day], now=NOW)
    assert sandbox.asked("open-meteo") == sandbox.asked("open-meteo-archive") == []


def test_without_a_missing_day_nothing_is_asked(sources: Sources, sandbox: Sandbox, cities: pd.DataFrame) -> None:
    collected = collect_weather_observations(sources, cities, [], now=NOW)
    assert problems(collected.frame, tables.weather_observations) == []
    assert collected.frame.empty
    assert sandbox.asked("open-meteo") == []
    with pytest.raises(NothingToCollectError, match="weather_observations"):
        collect_weather_observations(sources, cities.iloc[:0], [YESTERDAY], now=NOW)


def test_the_first_day_of_the_archive_is_had(sources: Sources, cities: pd.DataFrame) -> None:
    assert len(collect_weather_observations(sources, cities, [dt.date(1940, 1, 1)], now=NOW).frame) == 72


def test_a_day_of_which_hours_are_missing_is_stored_as_far_as_it_is_and_named(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    # the archive stands at an earlier time: it has not reached the end of what it is asked for
    sandbox.control("now", {"now": "2026-09-20T12:00:00Z"})
    days = [dt.date(2026, 9, 14), dt.date(2026, 9, 15), dt.date(2026, 9, 16)]
    collected = collect_weather_observations(sources, cities[:1], days, now=NOW)
    assert collected.frame["observed_at"].max() == pd.Timestamp("2026-09-15T12:00Z")
    assert [str(failure) for failure in collected.failures] == [
        "Lagos 2026-09-15: open-meteo-archive: 13 of 24 hours are known so far",
        "Lagos 2026-09-16: open-meteo-archive: 0 of 24 hours are known so far",
    ]


def test_days_that_are_not_there_yet_are_an_outage_and_no_empty_success(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    sandbox.control("now", {"now": "2026-09-17T12:00:00Z"})
    with pytest.raises(NothingCollectedError, match="not one hour of it is known so far") as raised:
        collect_weather_observations(sources, cities, [dt.date(2026, 9, 16)], now=NOW)
    assert all(isinstance(failure.error, TransientError) for failure in raised.value.failures)


def test_where_the_providers_day_is_not_over_its_forecast_is_not_taken_for_what_was(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    sandbox.control("now", {"now": "2026-11-23T10:20:00Z"})
    collected = collect_weather_observations(sources, cities[:1], [YESTERDAY], now=NOW)
    assert collected.frame["observed_at"].max() == pd.Timestamp("2026-11-23T09:00Z")
    assert [str(failure) for failure in collected.failures] == [
        "Lagos 2026-11-23: open-meteo: 10 of 24 hours are known so far"
    ]


def test_a_host_that_is_down_leaves_the_days_of_the_other(
    sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    sandbox.control("faults", [{"provider": "open-meteo-archive", "kind": "answer", "status": 404}])
    collected = collect_weather_observations(sources, cities, last_days(61), now=NOW)
    assert set(collected.frame["product"]) == {"analysis"}
    assert [failure.item for failure in collected.failures] == [
        f"{city} 2026-09-24" for city in ("Lagos", "Istanbul", "New York City")
    ]
    assert isinstance(collected.failures[0].error, PermanentError)


def test_times_that_were_not_asked_for_are_refused(sources: Sources, sandbox: Sandbox, cities: pd.DataFrame) -> None:
    sandbox.control("faults", [{"provider": "open-meteo-archive", "kind": "wrong-century"}])
    with pytest.raises(NothingCollectedError, match="UTC was not asked for"):
        collect_weather_observations(sources, cities, [dt.date(2026, 1, 1)], now=NOW)


def test_days_of_which_hours_are_not_stored_are_missing(
    database_url: str, sources: Sources, cities: pd.DataFrame
) -> None:
    engine = _filled(database_url, cities)
    stored = collect_weather_observations(sources, cities, last_days(2), now=NOW).frame
    hole = (stored["city_id"] == cities["city_id"][1]) & (stored["observed_at"] == pd.Timestamp("2026-11-22T23:00Z"))
    write(engine, tables.weather_observations, stored[~hole])
    missing = missing_observations(engine, last_days(3))
    everywhere = [(city_id, YESTERDAY - dt.timedelta(days=2)) for city_id in cities["city_id"]]
    assert sorted(missing) == sorted([*everywhere, (cities["city_id"][1], YESTERDAY - dt.timedelta(days=1))])


def test_a_reanalysis_replaces_the_analysis_of_the_same_hour(
    database_url: str, sources: Sources, sandbox: Sandbox, cities: pd.DataFrame
) -> None:
    engine = _filled(database_url, cities)
    first = collect_weather_observations(sources, cities, [YESTERDAY], now=NOW)
    assert write(engine, tables.weather_observations, first.data).inserted == 72
    again = collect_weather_observations(sources, cities, [YESTERDAY], now=NOW + dt.timedelta(hours=5))
    assert write(engine, tables.weather_observations, again.data).unchanged == 72
    later = NOW + dt.timedelta(days=90)
    sandbox.control("now", {"now": later.isoformat()})
    result = write(
        engine, tables.weather_observations, collect_weather_observations(sources, cities, [YESTERDAY], now=later).data
    )
    assert (result.inserted, result.updated) == (0, 72)
    stored = read(engine, tables.weather_observations)
    assert set(stored["product"]) == {"reanalysis"}
    assert len(stored) == 72


def _filled(database_url: str, cities: pd.DataFrame) -> sa.Engine:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    write(engine, tables.cities, cities)
    return engine
