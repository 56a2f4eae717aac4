"""Replay: what was collected before is parsed again from the archive, and the tables are what a live run would give."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import sqlalchemy as sa

from gans_pipeline import tables
from gans_pipeline.collect.flights import AirportDay, collect_arrivals
from gans_pipeline.collect.geo import collect_airports, collect_airports_near, collect_cities, collect_populations
from gans_pipeline.collect.outcome import Collected, NothingCollectedError
from gans_pipeline.collect.retention import expire_answers
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts, collect_weather_observations
from gans_pipeline.replaying import replay
from gans_pipeline.sandbox import running
from gans_pipeline.settings import Settings
from gans_pipeline.sources.archive import Archive
from gans_pipeline.sources.http import MalformedError, SourceError
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.writer import write
from gans_pipeline.tables import schema

NOW = dt.datetime(2026, 11, 24, 2, 30, tzinfo=dt.UTC)
DAYS = [AirportDay("EGLL", dt.date(2026, 11, 25)), AirportDay("HECA", dt.date(2026, 11, 25))]
LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
COLLECTED = ("cities", "populations", "airports", "weather_forecasts", "weather_observations", "arrivals")


@pytest.fixture(scope="module")
def _sandbox() -> Iterator[str]:
    with running(cities=30, now=NOW) as url:
        yield url


class World:
    """A sandbox, an archive, and databases that are filled from them."""

    def __init__(self, sandbox: str, folder: Path, fresh: Callable[[], str]) -> None:
        self.sandbox = sandbox
        self.archive = Archive(str(folder / "archive"))
        self._fresh = fresh

    def settings(self, **changes: Any) -> Settings:
        return Settings(sandbox_url=self.sandbox, **changes)

    def database(self) -> sa.Engine:
        engine = create_engine(self._fresh())
        schema.upgrade(engine)
        return engine

    def control(self, route: str, body: Any) -> None:
        requests.put(f"{self.sandbox}/_/{route}", json=body, timeout=5).raise_for_status()

    def asked(self) -> int:
        totals = requests.get(f"{self.sandbox}/_/requests", timeout=5).json()["totals"]
        return sum(totals.values())

    def collect(self, engine: sa.Engine, *, now: dt.datetime = NOW, archived: bool = True, **changes: Any) -> None:
        """Refresh all tables at a time, as far as they can be had."""
        self.control("now", {"now": now.isoformat()})
        sources = Sources(self.settings(**changes), archive=self.archive if archived else None)
        self._store(engine, "cities", lambda: collect_cities(sources, "2,Istanbul", now=now))
        self._store(engine, "airports", lambda: collect_airports(sources, now=now))
        cities = read(engine, tables.cities)
        if len(cities):
            self._store(engine, "populations", lambda: collect_populations(sources, cities, now=now))
            self._store(engine, "weather_forecasts", lambda: collect_weather_forecasts(sources, cities, now=now))
            past = [now.date() - dt.timedelta(days=days) for days in (1, 2)]
            self._store(
                engine, "weather_observations", lambda: collect_weather_observations(sources, cities, past, now=now)
            )
        if len(read(engine, tables.airports)):
            self._store(engine, "arrivals", lambda: collect_arrivals(sources, DAYS, now=now))

    def _store(self, engine: sa.Engine, table: str, collect: Callable[[], Collected]) -> None:
        try:
            write(engine, tables.metadata.tables[table], collect().data)
        except (NothingCollectedError, SourceError):
            return


@pytest.fixture
def world(_sandbox: str, tmp_path: Path, fresh_database_url: Callable[[], str]) -> Iterator[World]:
    yield World(_sandbox, tmp_path, fresh_database_url)
    requests.put(f"{_sandbox}/_/faults", json=[], timeout=5)


@pytest.fixture
def fresh_database_url(database_url: str, tmp_path: Path) -> Callable[[], str]:
    """Return the database of the test first, then embedded ones."""
    names = iter([database_url, *(f"sqlite:///{tmp_path / f'{n}.db'}" for n in range(5))])
    return lambda: next(names)


def contents(engine: sa.Engine) -> dict[str, pd.DataFrame]:
    return {name: read(engine, tables.metadata.tables[name]) for name in COLLECTED}


def assert_same(one: sa.Engine, other: sa.Engine) -> None:
    for (name, left), right in zip(contents(one).items(), contents(other).values(), strict=True):
        keys = [column.name for column in tables.metadata.tables[name].primary_key.columns]
        left, right = (frame.sort_values(keys, ignore_index=True) for frame in (left, right))
        assert len(left), name
        pd.testing.assert_frame_equal(left, right, obj=name)


def test_a_replay_into_an_empty_database_gives_what_the_live_runs_gave(world: World) -> None:
    live, replayed = world.database(), world.database()
    world.collect(live)
    world.collect(live, now=NOW + dt.timedelta(hours=6))
    asked = world.asked()
    outcome = replay(replayed, world.archive, world.settings(), provider=None, since=LONG_AGO)
    assert world.asked() == asked
    assert {name: table.refreshes for name, table in outcome.items()} == dict.fromkeys(COLLECTED, 2)
    assert not any(table.missing for table in outcome.values())
    assert read(replayed, tables.weather_forecasts)["issued_at"].nunique() == 2
    assert_same(live, replayed)


BROKEN = {
    "cities": "gans_pipeline.sources.wikipedia.parse_largest_cities",
    "articles": "gans_pipeline.sources.wikipedia.parse_article",
    "airports": "gans_pipeline.sources.ourairports.parse_airports",
    "forecasts": "gans_pipeline.sources.openweathermap.parse_forecast",
    "arrivals": "gans_pipeline.sources.aerodatabox._rows",
}


@pytest.mark.parametrize("parser", BROKEN)
def test_after_a_parser_was_mended_a_replay_stores_what_it_had_refused(
    world: World, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(payload: Any) -> Any:
        raise MalformedError("test", "hourly.time[3]: not understood")

    engine, live = world.database(), world.database()
    with monkeypatch.context() as broken:
        broken.setattr(BROKEN[parser], refuse)
        world.collect(engine)
    unparsed = [each for source in world.archive.sources() for each in world.archive.unparsed(source)]
    assert unparsed
    assert {each.error for each in unparsed} == {"hourly.time[3]: not understood"}
    assert all(world.archive.answer(key).status == 200 for each in unparsed for key in each.keys)
    replay(engine, world.archive, world.settings(), provider=None, since=LONG_AGO)
    world.collect(engine)  # what could not even be asked for, as forecasts of cities that were not there
    world.collect(live, archived=False)
    assert [each for source in world.archive.sources() for each in world.archive.unparsed(source)] == []
    assert_same(engine, live)


def test_a_replay_of_one_provider_leaves_the_other_tables_alone(world: World) -> None:
    live, replayed = world.database(), world.database()
    world.collect(live)
    for name in ("cities", "airports"):
        write(replayed, tables.metadata.tables[name], read(live, tables.metadata.tables[name]))
    outcome = replay(replayed, world.archive, world.settings(), provider="aerodatabox", since=LONG_AGO)
    assert list(outcome) == ["arrivals"]
    assert len(read(replayed, tables.arrivals)) == len(read(live, tables.arrivals))
    assert read(replayed, tables.weather_forecasts).empty


def test_a_replay_asks_each_range_of_past_days_of_the_host_that_had_it(world: World) -> None:
    live, replayed = world.database(), world.database()
    world.collect(live)
    write(replayed, tables.cities, read(live, tables.cities))
    sources = Sources(world.settings(), archive=world.archive)
    days = [NOW.date() - dt.timedelta(days=days) for days in (1, 2, 60, 61, 62)]
    between = dt.datetime.now(dt.UTC)
    collected = collect_weather_observations(sources, read(live, tables.cities), days, now=NOW)
    write(live, tables.weather_observations, collected.data)
    (table,) = replay(replayed, world.archive, world.settings(), provider=None, since=between).values()
    assert (table.refreshes, table.missing) == (3, [])
    stored = read(replayed, tables.weather_observations)
    assert set(stored["product"]) == {"analysis", "reanalysis"}
    pd.testing.assert_frame_equal(stored, read(live, tables.weather_observations))


def test_a_replay_since_a_time_leaves_out_what_began_before(world: World) -> None:
    live = world.database()
    world.collect(live)
    between = dt.datetime.now(dt.UTC)
    world.collect(live, now=NOW + dt.timedelta(hours=3))
    outcome = replay(live, world.archive, world.settings(), provider=None, since=between)
    assert {table.refreshes for table in outcome.values()} == {1}


def test_what_was_missing_at_the_time_is_missing_in_the_replay_and_named(world: World) -> None:
    live, replayed = world.database(), world.database()
    world.control(
        "faults", [{"kind": "answer", "provider": "wikipedia", "match": "Istanbul", "status": 404, "body": ""}]
    )
    world.collect(live)
    outcome = replay(replayed, world.archive, world.settings(), provider=None, since=LONG_AGO)
    assert len(outcome["cities"].missing) == 1
    assert "Istanbul" in outcome["cities"].missing[0]
    assert "HTTP 404" in outcome["cities"].missing[0]
    assert_same(live, replayed)


def test_a_killed_refresh_is_replayed_as_far_as_it_came(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    live = world.database()
    with monkeypatch.context() as killed:
        killed.setattr(world.archive, "end", lambda _: None)
        world.collect(live)
    world.collect(live, now=NOW + dt.timedelta(hours=3))
    replayed = world.database()
    replay(replayed, world.archive, world.settings(), provider=None, since=LONG_AGO)
    assert_same(live, replayed)


def test_airports_from_the_search_are_replayed_as_such(world: World) -> None:
    live, replayed = world.database(), world.database()
    world.collect(live)
    sources = Sources(world.settings(airports_provider="aerodatabox"), archive=world.archive)
    near = collect_airports_near(sources, read(live, tables.cities), now=NOW)
    write(live, tables.airports, near.data)
    replay(replayed, world.archive, world.settings(), provider=None, since=LONG_AGO)
    assert_same(live, replayed)


def test_an_unknown_provider_and_an_empty_archive_are_refused(world: World) -> None:
    engine = world.database()
    with pytest.raises(ValueError, match="no such provider: wetter; there are wikipedia"):
        replay(engine, world.archive, world.settings(), provider="wetter", since=LONG_AGO)
    with pytest.raises(ValueError, match="has nothing of sandbox-wikipedia"):
        replay(engine, world.archive, world.settings(), provider=None, since=LONG_AGO)


def test_real_and_invented_answers_are_replayed_apart(world: World) -> None:
    engine = world.database()
    world.collect(engine)
    with pytest.raises(ValueError, match="has nothing of wikipedia"):
        replay(engine, world.archive, Settings(), provider=None, since=LONG_AGO)


def test_without_a_usable_archive_everything_is_stored_all_the_same(world: World, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    live, blocked = world.database(), world.database()
    world.collect(live, archived=False)
    world.archive = Archive(str(tmp_path / "blocked"))
    world.collect(blocked)
    assert_same(live, blocked)
    assert world.archive.problem


# What is not fetched again, and for how long it is kept


def test_an_article_that_has_not_changed_is_not_fetched_again(world: World) -> None:
    engine = world.database()
    world.collect(engine)
    requests.delete(f"{world.sandbox}/_/requests", timeout=5)
    world.collect(engine, now=NOW + dt.timedelta(hours=3))
    journal = requests.get(f"{world.sandbox}/_/requests", timeout=5).json()["requests"]
    asked = [request["query"] for request in journal if request["provider"] == "wikipedia"]
    assert len(asked) == 3  # for the list, the cities, and their populations
    assert all("action=query" in query for query in asked)
    assert [request["status"] for request in journal if request["provider"] == "ourairports"] == [304]


def test_an_article_with_another_revision_is_fetched(world: World) -> None:
    engine = world.database()
    world.collect(engine)
    with running(cities=30, now=NOW, seed=7) as other:
        sources = Sources(Settings(sandbox_url=other), archive=world.archive)
        collected = collect_cities(sources, "Lagos,Istanbul,Cairo", now=NOW)
    assert set(collected.frame["revision"]).isdisjoint(read(engine, tables.cities)["revision"])


def test_without_an_answer_about_revisions_the_articles_are_fetched(world: World) -> None:
    engine = world.database()
    world.control(
        "faults", [{"kind": "answer", "provider": "wikipedia", "match": "action=query", "status": 404, "body": ""}]
    )
    world.collect(engine)
    world.collect(engine, now=NOW + dt.timedelta(hours=3))
    assert len(read(engine, tables.cities)) == 3


def test_retention_deletes_what_its_provider_does_not_allow_to_keep(world: World) -> None:
    world.collect(world.database())
    today = dt.datetime.now(dt.UTC).date()
    assert expire_answers(world.archive, world.settings(), today=today + dt.timedelta(days=7)) == {}

    expired = expire_answers(world.archive, world.settings(), today=today + dt.timedelta(days=8))
    assert list(expired) == ["sandbox-aerodatabox"]
    outcome = replay(world.database(), world.archive, world.settings(), provider=None, since=LONG_AGO)
    assert set(outcome) == set(COLLECTED) - {"arrivals"}
