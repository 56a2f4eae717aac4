"""One refresh of ``weather_forecasts`` and of ``weather_observations``."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from gans_pipeline import tables
from gans_pipeline.collect.geo import City, each_city
from gans_pipeline.collect.outcome import Collected, Failure, NothingCollectedError, fetch_each, recorded
from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.http import MalformedError, TransientError
from gans_pipeline.sources.open_meteo import EARLIEST_DAY, OpenMeteo, OpenMeteoArchive

EARLIEST, LATEST = dt.timedelta(days=-1), dt.timedelta(days=17)
"""From when until when a forecast can be, seen from now: no provider forecasts more than 16 days."""

ARCHIVED_AFTER_DAYS = 60
"""Older days are asked of the archive, which has had them for long; the forecast host ends after 92."""


def collect_weather_forecasts(sources: Sources, cities: pd.DataFrame, *, now: dt.datetime) -> Collected:
    """Fetch the forecast of the next five days for each city, as the issue of the current hour.

    Providers publish no time of issue. By the full hour, a refresh that is repeated refines its issue instead of
    adding another one, and the three-hourly refreshes stay apart.
    """
    weather = sources.weather
    issued_at = pd.Timestamp(now).floor("h")

    def fetch(city: City) -> pd.DataFrame:
        forecast = weather.forecast(city.latitude, city.longitude)
        _must_be_to_come(forecast["valid_at"], now, weather.name)
        return sources.stamp(forecast.assign(city_id=city.city_id, issued_at=issued_at), weather.name, now)

    items, table = each_city(cities), tables.weather_forecasts
    with recorded(sources, table, weather, items, now=now):
        fetched = fetch_each(
            sources, weather, items, fetch, table=table, units=weather.units_per_forecast, name=lambda city: city.name
        )
    return Collected(fetched.frame, fetched.failures, fetched.skipped)


def _must_be_to_come(valid_at: "pd.Series[pd.Timestamp]", now: dt.datetime, provider: str) -> None:
    """Raise MalformedError for a time that no forecast asked for now can have.

    Where one of the two clocks is wrong, a forecast would be stored as an issue for hours that it is not about.
    """
    for at in (valid_at.min(), valid_at.max()):
        if not now + EARLIEST <= at <= now + LATEST:
            raise MalformedError(
                provider,
                f"valid_at: {at:%Y-%m-%d %H:%M} UTC cannot be forecast at {now.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC: "
                "is this machine's clock right?",
            )


class CityDays(NamedTuple):
    """Days of UTC that lie side by side, both ends included, in a city."""

    city: City
    first: dt.date
    last: dt.date

    def __str__(self) -> str:
        days = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{self.city.name} {days}"

    def each_day(self) -> Iterator["CityDays"]:
        """Yield the days one by one."""
        for number in range((self.last - self.first).days + 1):
            day = self.first + dt.timedelta(days=number)
            yield CityDays(self.city, day, day)


def collect_weather_observations(
    sources: Sources, cities: pd.DataFrame, days: Iterable[dt.date], *, now: dt.datetime
) -> Collected:
    """Fetch the hours of these days of UTC for each city, from Open-Meteo whatever provider the forecasts have.

    OpenWeatherMap's free plan has no history. Days up to 60 days back come from the forecast host: it has yesterday,
    which ERA5 reaches after 5 to 7 days. Older ones come from the archive, so that a day that has its reanalysis never
    goes back to an analysis. A range of days is one request a city.

    A day of which not all 24 hours are known is stored as far as it is, and named. Without days nothing is asked, and
    that is all right: none was missing. Raises ValueError for a day that no host can give: before 1940, or not over
    yet, of which there are only forecasts.
    """
    days = sorted(set(days))
    today = now.astimezone(dt.UTC).date()
    for day in days:
        if day < EARLIEST_DAY:
            raise ValueError(f"the weather of {day} is not known: the reanalysis ERA5 begins on {EARLIEST_DAY}")
        if day >= today:
            raise ValueError(f"the weather of {day} is not known, only forecast: the day is not over in UTC")
    frames: list[pd.DataFrame] = []
    failures: list[Failure] = []
    skipped: list[Failure] = []
    newest_archived = today - dt.timedelta(days=ARCHIVED_AFTER_DAYS + 1)
    for first, last in _ranges(days, newest_archived):
        client = sources.open_meteo_archive if last <= newest_archived else sources.open_meteo
        items = [CityDays(city, first, last) for city in each_city(cities)]
        try:
            collected = _collect_range(sources, client, items, now=now)
        except NothingCollectedError as error:
            failures += error.failures
        else:
            frames.append(collected.frame)
            failures += collected.failures
            skipped += collected.skipped
    if failures and not frames:
        raise NothingCollectedError(failures)
    empty = pd.DataFrame(columns=[column.name for column in tables.weather_observations.columns])
    frame = pd.concat(frames, ignore_index=True) if frames else empty
    return Collected(frame, tuple(failures), tuple(skipped))


def _collect_range(
    sources: Sources, client: OpenMeteo | OpenMeteoArchive, items: list[CityDays], *, now: dt.datetime
) -> Collected:
    """Fetch the same days of each city."""

    def fetch(asked: CityDays) -> pd.DataFrame:
        hours = client.observations(asked.city.latitude, asked.city.longitude, asked.first, asked.last)
        begin, end = pd.Timestamp(asked.first, tz="UTC"), pd.Timestamp(asked.last, tz="UTC") + pd.Timedelta(days=1)
        strange = hours.loc[~hours["observed_at"].between(begin, end, inclusive="left"), "observed_at"]
        if len(strange):
            raise MalformedError(client.name, f"observed_at: {strange.iloc[0]:%Y-%m-%d %H:%M} UTC was not asked for")
        if hours.empty:
            raise TransientError(client.name, "not one hour of it is known so far")
        return sources.stamp(hours.assign(city_id=asked.city.city_id), client.name, now)

    table = tables.weather_observations
    units = client.units_per_range(items[0].first, items[0].last) if items else 0
    with recorded(sources, table, client, items, now=now):
        fetched = fetch_each(sources, client, items, fetch, table=table, units=units)
    known = fetched.frame.groupby(["city_id", fetched.frame["observed_at"].dt.date]).size()
    incomplete = [
        Failure(str(day), TransientError(client.name, f"{hours} of 24 hours are known so far"))
        for asked in fetched.items
        for day in asked.each_day()
        if (hours := known.get((day.city.city_id, day.first), 0)) < 24
    ]
    return Collected(fetched.frame, (*fetched.failures, *incomplete), fetched.skipped)


def _ranges(days: list[dt.date], newest_archived: dt.date) -> list[tuple[dt.date, dt.date]]:
    """Return the days as ranges without gaps, each on one side of the newest day that is asked of the archive."""
    ranges: list[tuple[dt.date, dt.date]] = []
    for day in days:
        if ranges and day - ranges[-1][1] == dt.timedelta(days=1) and ranges[-1][1] != newest_archived:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
