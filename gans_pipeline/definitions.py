"""The Gans data platform in Dagster: its assets, when they are refreshed, and what they stand on."""

import dagster as dg

from gans_pipeline.defs.flights import assets as flights
from gans_pipeline.defs.flights import automation as flights_automation
from gans_pipeline.defs.geo import assets as geo
from gans_pipeline.defs.geo import automation as geo_automation
from gans_pipeline.defs.platform import retention, sensors
from gans_pipeline.defs.platform.refresh import describe
from gans_pipeline.defs.platform.resources import Database, SourcesResource
from gans_pipeline.defs.weather import assets as weather
from gans_pipeline.defs.weather import automation as weather_automation

defs = dg.Definitions(
    assets=dg.map_asset_specs(
        describe,
        [
            geo.cities,
            geo.populations,
            geo.airports,
            geo.city_airports,
            weather.weather_forecasts,
            weather.weather_observations,
            flights.arrivals,
        ],
    ),
    jobs=[
        geo_automation.refresh_cities,
        geo_automation.refresh_populations,
        geo_automation.refresh_airports,
        weather_automation.refresh_forecasts,
        weather_automation.refresh_observations,
        flights_automation.refresh_arrivals,
        retention.archive_retention,
    ],
    schedules=[
        geo_automation.cities_weekly,
        geo_automation.populations_monthly,
        geo_automation.airports_monthly,
        weather_automation.forecasts_every_3_hours,
        weather_automation.observations_daily,
        flights_automation.arrivals_every_evening,
        retention.archive_retention_daily,
    ],
    sensors=[sensors.cities_that_lack_something],
    resources={"sources": SourcesResource(), "io_manager": Database()},
    executor=dg.in_process_executor,
)
