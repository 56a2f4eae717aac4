"""The weather that is coming, and the one that was."""

import datetime as dt

import dagster as dg
import pandas as pd
from pydantic import Field

from gans_pipeline.collect.geo import most_populous_first
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts, collect_weather_observations
from gans_pipeline.defs.platform.refresh import CitiesConfig, now, refreshed, table_asset
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.tables.queries import missing_observations, people_by_city

# A partition is a day of UTC that is over: the last one is yesterday.
past_days = dg.DailyPartitionsDefinition(start_date="2026-01-01")


@table_asset("weather_forecasts", group="weather", kinds={"rest"}, pool="weather")
def weather_forecasts(
    config: CitiesConfig,
    sources: dg.ResourceParam[Sources],
    io_manager: dg.ResourceParam[Database],
    cities: pd.DataFrame,
) -> dg.MaterializeResult:
    """Five days in 3-hour steps, from OpenWeatherMap or Open-Meteo; older issues are kept, to learn their errors."""
    ranked = most_populous_first(config.select(cities), people_by_city(io_manager.engine))
    return refreshed(collect_weather_forecasts, sources, ranked, now=now())


class ObservationsConfig(CitiesConfig):
    """Which cities and which of the partition's days a run is about."""

    missing_only: bool = Field(
        default=False, description="Of the days selected, ask only for those of which a city lacks hours"
    )


@table_asset(
    "weather_observations",
    group="weather",
    kinds={"rest"},
    pool="weather",
    partitions_def=past_days,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def weather_observations(
    context: dg.AssetExecutionContext,
    config: ObservationsConfig,
    sources: dg.ResourceParam[Sources],
    io_manager: dg.ResourceParam[Database],
    cities: pd.DataFrame,
) -> dg.MaterializeResult:
    """By day of UTC, from Open-Meteo: newest model runs, and for days more than 60 days back the reanalysis ERA5.

    Materializing a day again once it is that old replaces the one by the other.
    """
    ranked = most_populous_first(config.select(cities), people_by_city(io_manager.engine))
    days = [dt.date.fromisoformat(key) for key in context.partition_keys]
    if config.missing_only and len(ranked):
        chosen = set(ranked["city_id"])
        missing = [lack for lack in missing_observations(io_manager.engine, days) if lack[0] in chosen]
        ranked = ranked[ranked["city_id"].isin([city_id for city_id, _ in missing])]
        days = [day for _, day in missing]
    return refreshed(collect_weather_observations, sources, ranked, days, now=now())
