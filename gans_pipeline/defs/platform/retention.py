"""How long raw answers are kept."""

import dagster as dg

from gans_pipeline.collect.retention import expire_answers
from gans_pipeline.defs.platform.refresh import now
from gans_pipeline.settings import Settings
from gans_pipeline.sources.archive import Archive


@dg.op(description="Deletes the raw answers that are older than the provider's terms, or our settings, allow.")
def expire_archive(context: dg.OpExecutionContext) -> None:
    """Delete them by whole days, and say which."""
    settings = Settings()
    expired = expire_answers(Archive(settings.archive), settings, today=now().date())
    for source, days in expired.items():
        context.log.info(f"{source}: deleted {', '.join(days)}")
    context.add_output_metadata({"days": dg.MetadataValue.json(expired)})


@dg.job(description="Deletes raw answers from the archive: AeroDataBox's after 7 days, by its terms.")
def archive_retention() -> None:
    """Delete what is past its time."""
    expire_archive()


archive_retention_daily = dg.ScheduleDefinition(
    name="archive_retention_daily",
    job=archive_retention,
    cron_schedule="30 0 * * *",
    description="00:30 UTC: the archive's days are UTC dates, so that one has just become too old.",
)
