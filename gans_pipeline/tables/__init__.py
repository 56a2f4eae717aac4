"""The database model: the single source of every table's columns, units, keys, checks and way of writing.

One module a domain. DDL, migration check, frame validation, the column schema in Dagster and the ER diagram are all
derived from here; nothing about a column is declared anywhere else.
"""

from gans_pipeline.tables.base import metadata
from gans_pipeline.tables.flights import arrivals, physical_arrivals
from gans_pipeline.tables.geo import airports, cities, city_airports, current_populations, populations
from gans_pipeline.tables.usage import api_usage
from gans_pipeline.tables.weather import latest_weather_forecasts, weather_forecasts, weather_observations

VIEWS = (current_populations, latest_weather_forecasts, physical_arrivals)

__all__ = [
    "VIEWS",
    "airports",
    "api_usage",
    "arrivals",
    "cities",
    "city_airports",
    "current_populations",
    "latest_weather_forecasts",
    "metadata",
    "physical_arrivals",
    "populations",
    "weather_forecasts",
    "weather_observations",
]
