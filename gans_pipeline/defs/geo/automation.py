"""When cities, populations and airports are refreshed. All times are UTC."""

import dagster as dg

refresh_cities = dg.define_asset_job(
    "refresh_cities", ["cities", "city_airports"], description="The cities, and the airports that serve them."
)
refresh_populations = dg.define_asset_job(
    "refresh_populations", ["populations"], description="The population figures of all cities."
)
refresh_airports = dg.define_asset_job(
    "refresh_airports", ["airports", "city_airports"], description="The airports, and which city each of them serves."
)

cities_weekly = dg.ScheduleDefinition(
    name="cities_weekly",
    job=refresh_cities,
    cron_schedule="0 3 * * 1",
    description="Monday 03:00 UTC: the list changes a few times a year, a city's article more often.",
)
populations_monthly = dg.ScheduleDefinition(
    name="populations_monthly",
    job=refresh_populations,
    cron_schedule="0 4 1 * *",
    description="The 1st, 04:00 UTC: figures are published once a year, each country in another month.",
)
airports_monthly = dg.ScheduleDefinition(
    name="airports_monthly",
    job=refresh_airports,
    cron_schedule="0 2 1 * *",
    description="The 1st, 02:00 UTC: airports open and close a few times a year.",
)
