"""One refresh of ``weather_forecasts``."""

import datetime as dt

import pandas as pd

from gans_pipeline import tables
from gans_pipeline.collect.geo import City, each_city
from gans_pipeline.collect.outcome import Collected, fetch_each, recorded
from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.http import MalformedError

EARLIEST, LATEST = dt.timedelta(days=-1), dt.timedelta(days=17)
"""From when until when a forecast can be, seen from now: no provider forecasts more than 16 days."""


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
