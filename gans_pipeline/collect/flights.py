"""One refresh of ``arrivals``."""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from gans_pipeline import tables
from gans_pipeline.collect.outcome import Collected, Failure, NothingCollectedError, fetch_each, recorded
from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.http import TransientError
from gans_pipeline.storage.writer import ScopedFrame


class AirportDay(NamedTuple):
    """A day at an airport, by the airport's own calendar."""

    icao: str
    local_date: dt.date

    def __str__(self) -> str:
        return f"{self.icao} {self.local_date}"


def tomorrow(timezone: str, now: dt.datetime) -> dt.date:
    """Return the date of tomorrow in an IANA time zone."""
    return now.astimezone(ZoneInfo(timezone)).date() + dt.timedelta(days=1)


def tomorrows(now: dt.datetime) -> tuple[dt.date, dt.date]:
    """Return the earliest and the latest date that is tomorrow anywhere on Earth (UTC-12 to UTC+14)."""
    return tomorrow("Etc/GMT+12", now), tomorrow("Etc/GMT-14", now)


def serving(cities: pd.DataFrame, airports: pd.DataFrame, city_airports: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``airports`` that serve the cities, in the order of these, the nearest first, each once."""
    rank = pd.Series(range(len(cities)), index=cities["city_id"])
    near = city_airports.assign(rank=city_airports["city_id"].map(rank)).dropna(subset="rank")
    codes = near.sort_values(["rank", "distance_km"], kind="stable")["icao"].drop_duplicates()
    return airports.set_index("icao", drop=False).loc[codes[codes.isin(airports["icao"])]].reset_index(drop=True)


def airport_days(
    airports: pd.DataFrame, dates: Iterable[dt.date], *, tomorrow_only: bool, now: dt.datetime
) -> list[AirportDay]:
    """Return the days to ask for: all ``dates`` at all airports, or of them only each airport's own tomorrow."""
    zones = zip(airports["icao"], airports["timezone"], strict=True)
    dates = list(dates)
    return [
        AirportDay(icao, date)
        for icao, timezone in zones
        for date in dates
        if not tomorrow_only or date == tomorrow(timezone, now)
    ]


def collect_arrivals(sources: Sources, days: list[AirportDay], *, now: dt.datetime) -> Collected:
    """Fetch the arrivals of each airport day; a day that was fetched whole replaces what is stored for it.

    An airport may have no flight on a day. Several airports without one flight among them are an outage, which must not
    empty the table: :class:`NothingCollectedError`.
    """
    aerodatabox = sources.aerodatabox

    def fetch(day: AirportDay) -> pd.DataFrame:
        return sources.stamp(aerodatabox.arrivals(day.icao, day.local_date), aerodatabox.name, now)

    table = tables.arrivals
    with recorded(sources, table, aerodatabox, days, now=now):
        fetched = fetch_each(sources, aerodatabox, days, fetch, table=table, units=aerodatabox.units_per_day)
    if fetched.frame.empty and len({day.icao for day in fetched.items}) > 1:
        error = TransientError(aerodatabox.name, "no flight, and none at the other airports either: an outage?")
        raise NothingCollectedError([Failure(str(day), error) for day in fetched.items] + list(fetched.failures))
    # a flight delayed past midnight is listed on both days: it belongs to the later one
    key = [column.name for column in table.primary_key.columns]
    frame = fetched.frame.sort_values("local_date", kind="stable").drop_duplicates(key, keep="last", ignore_index=True)
    scope = pd.DataFrame(fetched.items, columns=["airport_icao", "local_date"])
    return Collected(ScopedFrame(frame, scope), fetched.failures, fetched.skipped)
