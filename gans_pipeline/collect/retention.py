"""How long the raw answers of each provider are kept."""

import datetime as dt

from gans_pipeline.settings import PROVIDERS, Settings
from gans_pipeline.sources.archive import Archive


def expire_answers(archive: Archive, settings: Settings, *, today: dt.date) -> dict[str, list[str]]:
    """Delete the answers that are older than ``archive_days`` of their provider; return the deleted days by source.

    A day is deleted once its last answer is too old. The sandbox's answers are kept as long as the provider's own.
    """
    expired = {}
    for name in PROVIDERS:
        days = settings.provider(name).archive_days
        if days is not None:
            before = today - dt.timedelta(days=days)
            for source in (name, f"sandbox-{name}"):
                if deleted := archive.expire(source, before):
                    expired[source] = deleted
    return expired
