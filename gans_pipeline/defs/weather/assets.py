"""The weather that is coming."""

import dagster as dg
import pandas as pd

from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts
from gans_pipeline.defs.platform.refresh import CitiesConfig, now, refreshed, table_asset


@table_asset("weather_forecasts", group="weather", kinds={"rest"}, pool="weather")
def weather_forecasts(
    config: CitiesConfig, sources: dg.ResourceParam[Sources], cities: pd.DataFrame
) -> dg.MaterializeResult:
    """Five days in 3-hour steps, from OpenWeatherMap or Open-Meteo; older issues are kept, to learn their errors."""
    return refreshed(collect_weather_forecasts, sources, config.select(cities), now=now())
