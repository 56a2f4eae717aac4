"""What came of a refresh: the rows that were fetched, and by name what was not.

Every collector asks for many items (cities, airport days) and must not lose the others when one of them fails.
"""

import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import pandas as pd
import sqlalchemy as sa

from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.archive import Unparsed, noting_answers
from gans_pipeline.sources.http import BudgetError, MalformedError, QuotaError, SourceError
from gans_pipeline.storage.frames import problems
from gans_pipeline.storage.writer import ScopedFrame

Item = TypeVar("Item")

on_progress: ContextVar[Callable[[str, int, int], None]] = ContextVar(
    "on_progress", default=lambda table, done, total: None
)
"""Told after each item: the table, how many items are done, of how many. Whoever shows progress sets it."""


@dataclass(frozen=True)
class Failure:
    """An item that could not be had, and why."""

    item: str
    error: SourceError

    def __str__(self) -> str:
        return f"{self.item}: {self.error}"


@dataclass(frozen=True)
class Doubt:
    """An item that was had and stored, and why it may be wrong."""

    item: str
    text: str

    def __str__(self) -> str:
        return f"{self.item}: {self.text}"


@dataclass(frozen=True)
class Collected:
    """The rows for one table, and the items that are missing: those that failed, and those skipped for the budget.

    ``doubts`` is None where the rows are compared with nothing.
    """

    data: pd.DataFrame | ScopedFrame
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Failure, ...] = ()
    doubts: tuple[Doubt, ...] | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, without the groups that they replace."""
        return self.data.frame if isinstance(self.data, ScopedFrame) else self.data


class NothingCollectedError(Exception):
    """Not one item could be had: an outage, which must not pass for an empty table."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        first = "; ".join(str(failure) for failure in failures[:3])
        more = " …" if len(failures) > 3 else ""
        super().__init__(first if len(failures) == 1 else f"none of {len(failures)} could be had: {first}{more}")
        self.failures = tuple(failures)


class NothingToCollectError(Exception):
    """There is not one item to ask for, because a table that comes first is empty or a selection leaves nothing."""


class Client(Protocol):
    """The client of one provider."""

    name: str


@contextmanager
def recorded(
    sources: Sources, table: sa.Table, client: Client, items: Sequence[Any], *, now: dt.datetime
) -> Iterator[None]:
    """Let the archive know what is collected within the block, so that it can be replayed, and settle the budget after.

    ``items`` are what has to be known to do it again, as values that JSON has.
    """
    with ExitStack() as at_end:
        if sources.archive and not sources.replayed:
            source = sources.settings.provenance(client.name)
            at_end.callback(sources.archive.end, sources.archive.begin(table.name, source, now, items))
        if sources.budget:
            at_end.callback(sources.budget.settle)
        yield


@contextmanager
def marking_unparsed(sources: Sources, table: sa.Table, item: str) -> Iterator[list[str]]:
    """Yield the keys of the block's answers; list these as unparsed in the archive if they turn out malformed."""
    with noting_answers() as keys:
        try:
            yield keys
        except MalformedError as error:
            _mark_unparsed(sources, keys, table, item, error)
            raise
        if sources.archive and sources.replayed:
            for key in keys:
                sources.archive.unmark(key)


def _mark_unparsed(sources: Sources, keys: list[str], table: sa.Table, item: str, error: MalformedError) -> None:
    if sources.archive and keys:
        sources.archive.mark_unparsed(Unparsed(keys=keys, table=table.name, item=item, error=error.detail))


@dataclass(frozen=True)
class Fetched(Generic[Item]):
    """The items that were had with their rows, in the items' order, and those that were not."""

    items: list[Item]
    frame: pd.DataFrame
    failures: tuple[Failure, ...]
    skipped: tuple[Failure, ...]


def fetch_each(
    sources: Sources,
    client: Client,
    items: Sequence[Item],
    fetch: Callable[[Item], pd.DataFrame],
    *,
    table: sa.Table,
    units: float = 1,
    name: Callable[[Item], str] = str,
) -> Fetched[Item]:
    """Fetch all items concurrently, the first ones first; ``units`` is what one costs at the provider.

    An item whose rows do not fit ``table`` counts as failed, so that it does not take the others with it. A used-up
    quota stops the asking; what was not asked is named too. What the budget does not cover is skipped. Raises
    :class:`NothingCollectedError` if nothing was had and :class:`NothingToCollectError` if there are no items.
    """
    if not items:
        raise NothingToCollectError(f"there is nothing to ask for {table.name}: are the tables that it needs filled?")
    frames: dict[int, pd.DataFrame] = {}
    keys: dict[int, list[str]] = {}
    errors: dict[int, SourceError] = {}
    exhausted: list[QuotaError] = []
    stop = threading.Event()

    def fetch_one(item: Item) -> tuple[pd.DataFrame, list[str]]:
        if stop.is_set():
            raise QuotaError(exhausted[0].provider, f"not asked, {exhausted[0].detail}")
        try:
            with ExitStack() as around:
                if sources.budget and not sources.replayed:
                    around.enter_context(sources.budget.allowance(client.name, units))
                answers = around.enter_context(marking_unparsed(sources, table, name(item)))
                return fetch(item), answers
        except QuotaError as error:
            exhausted.append(error)
            stop.set()
            raise

    report = on_progress.get()
    with ThreadPoolExecutor(max_workers=sources.settings.provider(client.name).concurrency) as pool:
        running = {pool.submit(fetch_one, item): index for index, item in enumerate(items)}
        try:
            for done, future in enumerate(as_completed(list(running)), start=1):
                index = running.pop(future)  # a future holds its rows for as long as it is held
                try:
                    frames[index], keys[index] = future.result()
                except SourceError as error:
                    errors[index] = error
                report(table.name, done, len(items))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # when interrupted: else all others would be asked first
    # A look at a frame takes 5 ms for 40 rows and 10 ms for 200, more than all else that an answer takes of the
    # processor; one look at all of them takes hardly longer. Each is looked at only if something is wrong.
    rows = _joined(frames, table)
    if problems(rows, table):
        for index, found in [(index, problems(frame, table)) for index, frame in frames.items()]:
            if found:
                del frames[index]
                refused = MalformedError(client.name, "; ".join(found))
                errors[index] = refused
                _mark_unparsed(sources, keys[index], table, name(items[index]), refused)
        rows = _joined(frames, table)
    lacking = [Failure(name(items[index]), errors[index]) for index in sorted(errors)]
    if lacking and not frames:
        raise NothingCollectedError(lacking)
    had = sorted(frames)
    frames.clear()  # now that they are joined: else all rows are held twice
    return Fetched(
        items=[items[index] for index in had],
        frame=rows,
        failures=tuple(failure for failure in lacking if not isinstance(failure.error, BudgetError)),
        skipped=tuple(failure for failure in lacking if isinstance(failure.error, BudgetError)),
    )


def _joined(frames: dict[int, pd.DataFrame], table: sa.Table) -> pd.DataFrame:
    rows = [frames[index] for index in sorted(frames) if len(frames[index])]
    empty = pd.DataFrame(columns=[column.name for column in table.columns])
    return pd.concat(rows, ignore_index=True) if rows else empty
