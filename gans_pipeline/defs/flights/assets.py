"""The flights that will land."""

import datetime as dt

import dagster as dg
import pandas as pd
from pydantic import Field

from gans_pipeline.collect.flights import airport_days, collect_arrivals
from gans_pipeline.collect.sources import Sources
from gans_pipeline.defs.platform.refresh import CitiesConfig, now, refreshed, table_asset

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
    cities: pd.DataFrame,
    airports: pd.DataFrame,
    city_airports: pd.DataFrame,
) -> dg.MaterializeResult:
    """By local day of the airport, from AeroDataBox; the view `physical_arrivals` shows each aircraft once."""
    served = city_airports["city_id"].isin(config.select(cities)["city_id"])
    serving = airports[airports["icao"].isin(city_airports.loc[served, "icao"])]
    dates = [dt.date.fromisoformat(key) for key in context.partition_keys]
    days = airport_days(serving, dates, tomorrow_only=config.tomorrow_only, now=now())
    return refreshed(collect_arrivals, sources, days, now=now())
