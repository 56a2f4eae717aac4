"""The weather that is coming."""

import dagster as dg
import pandas as pd

from gans_pipeline.collect.geo import most_populous_first
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts
from gans_pipeline.defs.platform.refresh import CitiesConfig, now, refreshed, table_asset
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.tables.queries import people_by_city


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
