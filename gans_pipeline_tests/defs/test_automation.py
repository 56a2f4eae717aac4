"""Every schedule and sensor is evaluated, and what it asks for can be run."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline import tables
from gans_pipeline.definitions import defs
from gans_pipeline.defs.flights.automation import arrivals_every_evening
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.defs.platform.sensors import cities_that_lack_something
from gans_pipeline.defs.weather.automation import observations_daily
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.writer import write
from gans_pipeline.tables import schema

NOW = dt.datetime(2026, 11, 23, 18, 0, tzinfo=dt.UTC)

SCHEDULES = {
    "cities_weekly": ("0 3 * * 1", {"cities", "city_airports"}),
    "populations_monthly": ("0 4 1 * *", {"populations"}),
    "airports_monthly": ("0 2 1 * *", {"airports", "city_airports"}),
    "forecasts_every_3_hours": ("10 */3 * * *", {"weather_forecasts"}),
    "observations_daily": ("0 4 * * *", {"weather_observations"}),
    "arrivals_every_evening": ("0 18 * * *", {"arrivals"}),
    "archive_retention_daily": ("30 0 * * *", set()),
}


def test_the_schedules_are_exactly_these_and_wait_to_be_switched_on() -> None:
    found = {schedule.name: schedule for schedule in defs.schedules or ()}
    assert set(found) == set(SCHEDULES)
    for name, schedule in found.items():
        assert isinstance(schedule, dg.ScheduleDefinition)
        assert schedule.cron_schedule == SCHEDULES[name][0]
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
        assert schedule.execution_timezone in (None, "UTC")
        assert "UTC" in (schedule.description or "")


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_asks_for_one_run_of_its_assets(name: str) -> None:
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def(name)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_schedule_context(instance=instance, scheduled_execution_time=NOW, repository_def=repository)
        ticked = schedule.evaluate_tick(context)
    assert len(ticked.run_requests or ()) == 1
    job = repository.get_job(schedule.job_name)
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == SCHEDULES[name][1], name


def test_the_evening_schedule_asks_for_each_airports_own_tomorrow() -> None:
    request = arrivals_every_evening(dg.build_schedule_context(scheduled_execution_time=NOW))
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == "2026-11-24"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-25"
    assert request.run_config["ops"]["arrivals"]["config"]["tomorrow_only"] is True


def test_the_daily_schedule_asks_for_the_day_of_utc_that_ended_last() -> None:
    for asked_at in ("2026-11-24T04:00+00:00", "2026-11-23T20:00-08:00", "2026-11-24T23:59+00:00"):
        moment = dt.datetime.fromisoformat(asked_at)
        request = observations_daily(dg.build_schedule_context(scheduled_execution_time=moment))
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == "2026-11-23"


def test_a_partition_of_the_past_weather_is_a_day_that_is_over() -> None:
    spec = next(spec for spec in defs.resolve_all_asset_specs() if spec.key == dg.AssetKey("weather_observations"))
    assert spec.partitions_def is not None
    late_evening = dt.datetime(2026, 11, 23, 23, 59, tzinfo=dt.UTC)
    assert spec.partitions_def.get_partition_keys(current_time=late_evening)[-1] == "2026-11-22"


def test_tomorrow_is_a_valid_partition_everywhere_on_earth() -> None:
    arrivals = next(spec for spec in defs.resolve_all_asset_specs() if spec.key == dg.AssetKey("arrivals"))
    assert arrivals.partitions_def is not None
    late_evening = dt.datetime(2026, 11, 23, 23, 59, tzinfo=dt.UTC)  # the 24th in Kiribati, where tomorrow is the 25th
    assert arrivals.partitions_def.get_partition_keys(current_time=late_evening)[-1] == "2026-11-25"


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    """The platform's database, with its tables and nothing in them."""
    url = f"sqlite:///{tmp_path / 'gans.db'}"
    monkeypatch.setenv("GANS_DATABASE_URL", url)
    engine = create_engine(url)
    schema.upgrade(engine)
    return engine


@pytest.fixture
def sense() -> Callable[[], dg.SensorResult | dg.SkipReason]:
    """Evaluate the sensor once."""

    def evaluate() -> dg.SensorResult | dg.SkipReason:
        with dg.build_sensor_context(resources={"io_manager": Database()}) as context:
            result = cities_that_lack_something(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    return evaluate


Sense = Callable[[], dg.SensorResult | dg.SkipReason]


def test_a_new_city_gets_its_forecasts_and_airports(database: sa.Engine, sense: Sense) -> None:
    _store(database, tables.cities, _city(64, "Berlin"), _city(90, "Paris"))
    _store(database, tables.airports, _airport("EDDB"))
    _store(database, tables.weather_forecasts, _forecast(90))
    _store(database, tables.city_airports, {"city_id": 90, "icao": "EDDB", "distance_km": 1.0})
    result = sense()
    assert isinstance(result, dg.SensorResult)
    forecasts, airports = result.run_requests or ()
    assert forecasts.asset_selection == [dg.AssetKey("weather_forecasts")]
    assert forecasts.run_config["ops"]["weather_forecasts"]["config"]["cities"] == ["64"]
    assert airports.asset_selection == [dg.AssetKey("city_airports")]


def test_the_same_city_is_asked_for_once_a_day(database: sa.Engine, sense: Sense) -> None:
    _store(database, tables.cities, _city(64, "Berlin"))
    first, second = sense(), sense()
    assert isinstance(first, dg.SensorResult)
    assert isinstance(second, dg.SensorResult)
    keys = [request.run_key for request in first.run_requests or ()]
    assert len(set(keys)) == 2
    assert keys == [request.run_key for request in second.run_requests or ()]


def test_without_any_airports_they_are_collected_too(database: sa.Engine, sense: Sense) -> None:
    _store(database, tables.cities, _city(64, "Berlin"))
    result = sense()
    assert isinstance(result, dg.SensorResult)
    selections = [request.asset_selection for request in result.run_requests or ()]
    assert [dg.AssetKey("airports"), dg.AssetKey("city_airports")] in selections


def test_the_sensor_skips_with_a_reason_when_nothing_is_lacking(database: sa.Engine, sense: Sense) -> None:
    result = sense()
    assert isinstance(result, dg.SkipReason)
    assert result.skip_message == "Every city has forecasts and airports."


def test_the_sensor_skips_with_a_reason_when_the_database_has_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sense: Sense
) -> None:
    monkeypatch.setenv("GANS_DATABASE_URL", f"sqlite:///{tmp_path / 'empty.db'}")
    result = sense()
    assert isinstance(result, dg.SkipReason)
    assert "gans db check" in str(result.skip_message)


ORIGIN = {"provider": "sandbox-test", "retrieved_at": pd.Timestamp(NOW)}


def _store(engine: sa.Engine, table: sa.Table, *rows: dict[str, object]) -> None:
    write(engine, table, pd.DataFrame(list(rows)))


def _city(city_id: int, name: str) -> dict[str, object]:
    return {
        "city_id": city_id,
        "name": name,
        "country_code": "DE",
        "latitude": 52.5,
        "longitude": 13.4,
        "timezone": "Europe/Berlin",
        "article_title": name,
        "revision": 1,
        **ORIGIN,
    }


def _airport(icao: str) -> dict[str, object]:
    return {
        "icao": icao,
        "iata": "BER",
        "name": "Berlin Brandenburg Airport",
        "municipality": "Berlin",
        "country_code": "DE",
        "latitude": 52.4,
        "longitude": 13.5,
        "elevation_m": 44.0,
        "timezone": "Europe/Berlin",
        "size": "large",
        **ORIGIN,
    }


def _forecast(city_id: int) -> dict[str, object]:
    columns = [column.name for column in tables.weather_forecasts.columns]
    return dict.fromkeys(columns) | {
        "city_id": city_id,
        "valid_at": pd.Timestamp(NOW),
        "issued_at": pd.Timestamp(NOW),
        **ORIGIN,
    }
