"""The flights that will land."""

import datetime as dt

import dagster as dg
import pandas as pd
from pydantic import Field

from gans_pipeline.collect.flights import airport_days, collect_arrivals, serving
from gans_pipeline.collect.geo import most_populous_first
from gans_pipeline.collect.sources import Sources
from gans_pipeline.defs.platform.refresh import CitiesConfig, now, refreshed, table_asset
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.tables.queries import people_by_city

# A partition is a date of the airports' own calendars. At UTC+14 tomorrow can be two days after the date in UTC;
# without an offset the last partition would be yesterday's.
local_days = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_offset=3)


class ArrivalsConfig(CitiesConfig):
    """Which airports and which of the partition's days a run is about."""

    tomorrow_only: bool = Field(
        default=False, description="Of the days selected, ask each airport only for the one that is its own tomorrow"
    )


@table_asset(
    "arrivals",
    group="flights",
    kinds={"rest"},
    pool="aerodatabox",
    partitions_def=local_days,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def arrivals(
    context: dg.AssetExecutionContext,
    config: ArrivalsConfig,
    sources: dg.ResourceParam[Sources],
    io_manager: dg.ResourceParam[Database],
    cities: pd.DataFrame,
    airports: pd.DataFrame,
    city_airports: pd.DataFrame,
) -> dg.MaterializeResult:
    """By local day of the airport, from AeroDataBox; the view `physical_arrivals` shows each aircraft once.

    Airports of the most populous cities come first, should the budget not cover all.
    """
    ranked = most_populous_first(config.select(cities), people_by_city(io_manager.engine))
    dates = [dt.date.fromisoformat(key) for key in context.partition_keys]
    days = airport_days(serving(ranked, airports, city_airports), dates, tomorrow_only=config.tomorrow_only, now=now())
    return refreshed(collect_arrivals, sources, days, now=now())
