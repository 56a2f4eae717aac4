"""Forecasts of all cities, issue by issue."""

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
from gans_pipeline.collect.weather import collect_weather_forecasts
from gans_pipeline.sources.http import MalformedError
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.frames import problems
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.writer import write
from gans_pipeline.tables import schema
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


def _filled(database_url: str, cities: pd.DataFrame) -> sa.Engine:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    write(engine, tables.cities, cities)
    return engine
