"""When arrivals are refreshed. All times are UTC."""

import dagster as dg

from gans_pipeline.collect.flights import tomorrows
from gans_pipeline.defs.flights.assets import ArrivalsConfig

refresh_arrivals = dg.define_asset_job(
    "refresh_arrivals", ["arrivals"], description="The arrivals of a local day at the airports of all cities."
)


@dg.schedule(
    job=refresh_arrivals,
    cron_schedule="0 18 * * *",
    description=(
        "18:00 UTC: each airport's own tomorrow, asked for once a day since every call is paid. It is late morning in "
        "the Americas, evening in Europe and Africa, and after midnight in East Asia."
    ),
)
def arrivals_every_evening(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Ask for the days that are tomorrow somewhere, in one run."""
    first, last = tomorrows(context.scheduled_execution_time)
    return dg.RunRequest(
        run_key=None,
        tags={"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)},
        run_config=dg.RunConfig(ops={"arrivals": ArrivalsConfig(tomorrow_only=True)}),
    )
