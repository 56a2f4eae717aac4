"""``gans replay``: what was collected before is parsed again from the archive and written again, with no network."""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from gans_pipeline.collect.flights import AirportDay, collect_arrivals
from gans_pipeline.collect.geo import (
    City,
    collect_airports,
    collect_airports_near,
    collect_cities,
    collect_populations,
)
from gans_pipeline.collect.outcome import Collected, NothingCollectedError, NothingToCollectError, on_progress
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import CityDays, collect_weather_forecasts, collect_weather_observations
from gans_pipeline.settings import PROVIDERS, Settings
from gans_pipeline.sources.archive import Archive, Collection
from gans_pipeline.sources.http import SourceError
from gans_pipeline.storage.writer import WriteError, write
from gans_pipeline.tables import metadata


@dataclass
class TableReplay:
    """What became of one table: refreshes that were done again, rows written, and what is still missing by name."""

    refreshes: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def replay(
    engine: Engine, archive: Archive, settings: Settings, *, provider: str | None, since: dt.datetime
) -> dict[str, TableReplay]:
    """Do all refreshes since a time again, in their order, from the archive; return what became of each table.

    They are those of the sandbox if the settings name one, else those of the real providers. Raises ValueError for an
    unknown provider and where the archive has none of them.
    """
    if provider is not None and provider not in PROVIDERS:
        raise ValueError(f"no such provider: {provider}; there are {', '.join(PROVIDERS)}")
    wanted = {settings.provenance(name): name for name in ([provider] if provider else PROVIDERS)}
    collections = archive.collections([source for source in archive.sources() if source in wanted], since)
    if not collections:
        raise ValueError(
            f"the archive {settings.archive} has nothing of {', '.join(wanted)} since {since:%Y-%m-%d %H:%M}"
        )
    outcome: dict[str, TableReplay] = {}
    for done, collection in enumerate(collections, start=1):
        table = outcome.setdefault(collection.table, TableReplay())
        table.refreshes += 1
        try:
            collected = _collect(collection, collections, archive, settings)
            result = write(engine, metadata.tables[collection.table], collected.data)
        except NothingCollectedError as error:
            table.missing += [f"{collection.started:%Y-%m-%d %H:%M} {failure}" for failure in error.failures]
        except (SourceError, WriteError, NothingToCollectError, ValueError) as error:
            table.missing.append(f"{collection.started:%Y-%m-%d %H:%M} everything: {error}")
        else:
            table.missing += [f"{collection.started:%Y-%m-%d %H:%M} {failure}" for failure in collected.failures]
            for name, count in result.counts().items():
                table.counts[name] = table.counts.get(name, 0) + count
        on_progress.get()("replay", done, len(collections))
    return outcome


def _collect(collection: Collection, collections: list[Collection], archive: Archive, settings: Settings) -> Collected:
    # one that was killed has no end: its answers came before the table was refreshed again
    later = (
        each.started for each in collections if each.table == collection.table and each.started > collection.started
    )
    ended = collection.ended or next(later, dt.datetime.now(dt.UTC))
    provider = collection.source.removeprefix("sandbox-")
    update: dict[str, object] = {"contact": settings.contact or "replay", "weather_provider": provider}
    for name in ("openweathermap", "aerodatabox"):  # their clients are not made without a key
        provider_settings = settings.provider(name)
        if provider_settings.key is None:
            update[name] = provider_settings.model_copy(update={"key": SecretStr("replay")})
    sources = Sources(settings.model_copy(update=update), archive=archive, replayed=(collection.started, ended))
    collect = _COLLECTORS[collection.table, provider if collection.table == "airports" else ""]
    token = on_progress.set(lambda table, done, total: None)
    try:
        return collect(sources, collection)
    finally:
        on_progress.reset(token)


def _cities(collection: Collection) -> pd.DataFrame:
    return pd.DataFrame(collection.items, columns=list(City._fields))


def _days(collection: Collection) -> list[AirportDay]:
    return [AirportDay(icao, dt.date.fromisoformat(day)) for icao, day in collection.items]


def _observations(sources: Sources, collection: Collection) -> Collected:
    asked = [
        CityDays(City(*city), dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        for city, first, last in collection.items
    ]
    cities = pd.DataFrame([each.city for each in asked], columns=list(City._fields))
    days = [each.first for each in asked[0].each_day()]
    return collect_weather_observations(sources, cities, days, now=collection.now)


_COLLECTORS: Mapping[tuple[str, str], Callable[[Sources, Collection], Collected]] = {
    ("cities", ""): lambda sources, done: collect_cities(sources, done.items[0], now=done.now),
    ("populations", ""): lambda sources, done: collect_populations(sources, _cities(done), now=done.now),
    ("airports", "ourairports"): lambda sources, done: collect_airports(sources, now=done.now),
    ("airports", "aerodatabox"): lambda sources, done: collect_airports_near(sources, _cities(done), now=done.now),
    ("weather_forecasts", ""): lambda sources, done: collect_weather_forecasts(sources, _cities(done), now=done.now),
    ("weather_observations", ""): lambda sources, done: _observations(sources, done),
    ("arrivals", ""): lambda sources, done: collect_arrivals(sources, _days(done), now=done.now),
}
