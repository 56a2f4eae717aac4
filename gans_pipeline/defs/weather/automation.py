"""When forecasts are refreshed. All times are UTC."""

import dagster as dg

refresh_forecasts = dg.define_asset_job(
    "refresh_forecasts", ["weather_forecasts"], description="A new issue of the forecasts of all cities."
)

forecasts_every_3_hours = dg.ScheduleDefinition(
    name="forecasts_every_3_hours",
    job=refresh_forecasts,
    cron_schedule="10 */3 * * *",
    description="Every 3 hours at 10 past, UTC: both providers forecast in 3-hour slots that begin at the full hour.",
)
