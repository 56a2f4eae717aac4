"""One refresh of ``arrivals``."""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pandas as pd

from gans_pipeline import tables
from gans_pipeline.collect.outcome import Collected, collect_each
from gans_pipeline.collect.sources import Sources
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
    """Fetch the arrivals of each airport day; a day that was fetched whole replaces what is stored for it."""
    aerodatabox = sources.aerodatabox

    def fetch(day: AirportDay) -> pd.DataFrame:
        return sources.stamp(aerodatabox.arrivals(day.icao, day.local_date), aerodatabox.name, now)

    fetched, frame, failures = collect_each(
        days, fetch, table=tables.arrivals, name=str, workers=sources.settings.aerodatabox.concurrency
    )
    # a flight delayed past midnight is listed on both days: it belongs to the later one
    key = [column.name for column in tables.arrivals.primary_key.columns]
    frame = frame.sort_values("local_date", kind="stable").drop_duplicates(key, keep="last", ignore_index=True)
    scope = pd.DataFrame(fetched, columns=["airport_icao", "local_date"])
    return Collected(ScopedFrame(frame, scope), tuple(failures))
