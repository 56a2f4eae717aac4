"""What every collected asset does around its collector."""

import datetime as dt
import os
import signal
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import requests
from dagster._utils.interrupts import raise_interrupts_as

from gans_pipeline.collect.flights import AirportDay, collect_arrivals
from gans_pipeline.collect.outcome import Collected, Doubt, on_progress
from gans_pipeline.collect.sources import Sources
from gans_pipeline.defs.platform.refresh import NAMED_FAILURES, InterruptedRefreshError, now, refreshed, table_asset
from gans_pipeline.sandbox import running
from gans_pipeline.settings import Settings
from gans_pipeline.sources.archive import Archive
from gans_pipeline.storage.writer import ScopedFrame

CHECKS = [dg.AssetCheckSpec("complete", asset="arrivals")]


class Thing:
    """Something that the garbage collector takes."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_python_drops_ends_the_refresh_at_the_next_item(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = []

    def collect(_sources: Sources) -> Collected:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
        del thing  # the callback runs, and what a signal raises in it is lost
        assert reference() is None
        for item in range(5):
            collected.append(item)
            on_progress.get()("cities", item, 5)
        raise AssertionError("the refresh went on to its end")

    monkeypatch.setattr("gans_pipeline.defs.platform.refresh._begin_if_tried_again", lambda: None)  # asks a step
    with raise_interrupts_as(dg.DagsterExecutionInterruptedError), pytest.raises(InterruptedRefreshError):
        refreshed(collect, Sources(Settings()))
    assert len(collected) <= 1


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with running(cities=30) as url:
        yield url


class AwayAtFirst(dg.IOManager):
    """A database that is back for the second attempt."""

    def __init__(self) -> None:
        self.written: list[pd.DataFrame] = []
        self.attempts = 0

    def handle_output(self, context: dg.OutputContext, obj: ScopedFrame) -> None:
        self.attempts += 1
        if self.attempts == 1:
            raise RuntimeError("the database is away")
        self.written.append(obj.frame)

    def load_input(self, context: dg.InputContext) -> None:
        raise NotImplementedError


def test_a_step_that_is_tried_again_asks_only_for_what_it_lacks(sandbox: str, tmp_path: Path) -> None:
    sources = Sources(Settings(sandbox_url=sandbox), archive=Archive(str(tmp_path / "archive")))
    day = dt.datetime.now(dt.UTC).date()
    database = AwayAtFirst()

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=1), dagster_type=dg.Any, check_specs=CHECKS)
    def arrivals() -> dg.MaterializeResult:  # type: ignore[type-arg]
        days = [AirportDay(icao, day) for icao in ("EGLL", "EGKK", "HECA")]
        return refreshed(collect_arrivals, sources, days, now=now())

    fault = {"kind": "answer", "provider": "aerodatabox", "match": "HECA", "status": 404, "times": 1}
    requests.put(f"{sandbox}/_/faults", json=[fault], timeout=5).raise_for_status()
    assert dg.materialize([arrivals], resources={"io_manager": database}).success
    journal = requests.get(f"{sandbox}/_/requests", timeout=5).json()["requests"]
    asked = Counter(request["path"].split("/")[4] for request in journal)
    assert asked == {"EGLL": 2, "EGKK": 2, "HECA": 3}  # the window that failed at first is asked for again
    assert [set(frame["airport_icao"]) for frame in database.written] == [{"EGLL", "EGKK", "HECA"}]


class Kept(dg.IOManager):
    """A database that has no trouble."""

    def handle_output(self, context: dg.OutputContext, obj: pd.DataFrame) -> None:
        """Take what comes."""

    def load_input(self, context: dg.InputContext) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("number", [0, 3, 60])
def test_doubts_are_a_warning_that_names_them_and_the_run_succeeds(number: int) -> None:
    doubts = tuple(Doubt(f"City {each}", "position 56 km from Wikidata's") for each in range(number))

    def collect(_sources: Sources) -> Collected:
        return Collected(pd.DataFrame({"city_id": [1]}), doubts=doubts)

    @table_asset("cities", group="geo", kinds=set(), pool="wikipedia", is_compared=True)
    def cities() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return refreshed(collect, Sources(Settings()))

    result = dg.materialize([cities], resources={"io_manager": Kept()})
    assert result.success
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert (checks["complete"].passed, checks["plausible"].passed) == (True, not number)
    assert checks["plausible"].severity is dg.AssetCheckSeverity.WARN
    (materialization,) = result.asset_materializations_for_node("cities")
    for metadata in (checks["plausible"].metadata, materialization.metadata):
        named = str(metadata["doubts"].value).splitlines() if "doubts" in metadata else []
        assert len(named) == min(number, NAMED_FAILURES + 1)
        assert named[:1] == ["- City 0: position 56 km from Wikidata's"][:number]
        assert ("- … and 10 more" in named) is (number == 60)


def test_a_run_without_a_usable_archive_says_so(sandbox: str, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    sources = Sources(Settings(sandbox_url=sandbox), archive=Archive(str(tmp_path / "blocked")))
    database = AwayAtFirst()
    database.attempts = 1

    @dg.asset(dagster_type=dg.Any, check_specs=CHECKS)
    def arrivals() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return refreshed(collect_arrivals, sources, [AirportDay("EGLL", now().date())], now=now())

    result = dg.materialize([arrivals], resources={"io_manager": database})
    assert result.success
    (materialized,) = result.asset_materializations_for_node("arrivals")
    assert "could not be archived: NotADirectoryError" in str(materialized.metadata["not archived"].value)


def test_another_run_asks_again(sandbox: str, tmp_path: Path) -> None:
    sources = Sources(Settings(sandbox_url=sandbox), archive=Archive(str(tmp_path / "archive")))
    database = AwayAtFirst()
    database.attempts = 1

    @dg.asset(dagster_type=dg.Any, check_specs=CHECKS)
    def arrivals() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return refreshed(collect_arrivals, sources, [AirportDay("EGLL", now().date())], now=now())

    requests.delete(f"{sandbox}/_/requests", timeout=5)
    for _ in range(2):
        assert dg.materialize([arrivals], resources={"io_manager": database}).success
    assert requests.get(f"{sandbox}/_/requests", timeout=5).json()["totals"]["aerodatabox"] == 4
