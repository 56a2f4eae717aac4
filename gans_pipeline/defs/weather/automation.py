"""When forecasts and the weather of the past are refreshed. All times are UTC."""

import datetime as dt

import dagster as dg

refresh_forecasts = dg.define_asset_job(
    "refresh_forecasts", ["weather_forecasts"], description="A new issue of the forecasts of all cities."
)
refresh_observations = dg.define_asset_job(
    "refresh_observations", ["weather_observations"], description="The weather that a day of UTC had in all cities."
)

forecasts_every_3_hours = dg.ScheduleDefinition(
    name="forecasts_every_3_hours",
    job=refresh_forecasts,
    cron_schedule="10 */3 * * *",
    description="Every 3 hours at 10 past, UTC: both providers forecast in 3-hour slots that begin at the full hour.",
)


@dg.schedule(
    job=refresh_observations,
    cron_schedule="0 4 * * *",
    description=(
        "04:00 UTC: yesterday. Its last hours come from the model runs of 18:00, which are published within 7 hours."
    ),
)
def observations_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the day of UTC that ended last."""
    yesterday = context.scheduled_execution_time.astimezone(dt.UTC).date() - dt.timedelta(days=1)
    return dg.RunRequest(run_key=None, partition_key=str(yesterday))
