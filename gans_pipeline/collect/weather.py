"""One refresh of ``weather_forecasts``."""

import datetime as dt

import pandas as pd

from gans_pipeline import tables
from gans_pipeline.collect.geo import City, each_city
from gans_pipeline.collect.outcome import Collected, fetch_each, recorded
from gans_pipeline.collect.sources import Sources


def collect_weather_forecasts(sources: Sources, cities: pd.DataFrame, *, now: dt.datetime) -> Collected:
    """Fetch the forecast of the next five days for each city, as the issue of the current hour.

    Providers publish no time of issue. By the full hour, a refresh that is repeated refines its issue instead of
    adding another one, and the three-hourly refreshes stay apart.
    """
    weather = sources.weather
    issued_at = pd.Timestamp(now).floor("h")

    def fetch(city: City) -> pd.DataFrame:
        forecast = weather.forecast(city.latitude, city.longitude)
        return sources.stamp(forecast.assign(city_id=city.city_id, issued_at=issued_at), weather.name, now)

    items, table = each_city(cities), tables.weather_forecasts
    with recorded(sources, table, weather, items, now=now):
        fetched = fetch_each(
            sources, weather, items, fetch, table=table, units=weather.units_per_forecast, name=lambda city: city.name
        )
    return Collected(fetched.frame, fetched.failures, fetched.skipped)
