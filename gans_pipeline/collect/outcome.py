"""What came of a refresh: the rows that were fetched, and by name what was not.

Every collector asks for many items (cities, airport days) and must not lose the others when one of them fails.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
import sqlalchemy as sa

from gans_pipeline.sources.http import MalformedError, QuotaError, SourceError
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
class Collected:
    """The rows for one table, and the items that are missing from them."""

    data: pd.DataFrame | ScopedFrame
    failures: tuple[Failure, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, without the groups that they replace."""
        return self.data.frame if isinstance(self.data, ScopedFrame) else self.data


class NothingCollectedError(Exception):
    """Not one item could be had: an outage, which must not pass for an empty table."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        first = "; ".join(str(failure) for failure in failures[:3])
        super().__init__(f"none of {len(failures)} could be had: {first}{' …' if len(failures) > 3 else ''}")
        self.failures = tuple(failures)


class NothingToCollectError(Exception):
    """There is not one item to ask for, because a table that comes first is empty or a selection leaves nothing."""


def collect_each(
    items: Sequence[Item],
    fetch: Callable[[Item], pd.DataFrame],
    *,
    table: sa.Table,
    name: Callable[[Item], str],
    workers: int,
) -> tuple[list[Item], pd.DataFrame, list[Failure]]:
    """Fetch all items concurrently; return those that were had, their rows in the items' order, and the failures.

    An item whose rows do not fit ``table`` counts as failed, so that it does not take the others with it. A used-up
    quota stops the asking; what was not asked is named too. Raises :class:`NothingCollectedError` if nothing was had
    and :class:`NothingToCollectError` if there are no items.
    """
    if not items:
        raise NothingToCollectError(f"there is nothing to ask for {table.name}: are the tables that it needs filled?")
    frames: dict[int, pd.DataFrame] = {}
    errors: dict[int, SourceError] = {}
    exhausted: list[QuotaError] = []
    stop = threading.Event()

    def fetch_one(item: Item) -> pd.DataFrame:
        if stop.is_set():
            raise QuotaError(exhausted[0].provider, f"not asked, {exhausted[0].detail}")
        try:
            return fetch(item)
        except QuotaError as error:
            exhausted.append(error)
            stop.set()
            raise

    report = on_progress.get()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        running = {pool.submit(fetch_one, item): index for index, item in enumerate(items)}
        try:
            for done, future in enumerate(as_completed(running), start=1):
                try:
                    frames[running[future]] = future.result()
                except SourceError as error:
                    errors[running[future]] = error
                report(table.name, done, len(items))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # when interrupted: else all others would be asked first
    # A look at a frame takes 5 ms of the processor for 40 rows and 10 ms for 200, more than all else that an answer
    # takes; one look at all of them takes hardly longer. Each is looked at only if something is wrong.
    rows = _joined(frames, table)
    if problems(rows, table):
        for index, found in [(index, problems(frame, table)) for index, frame in frames.items()]:
            if found:
                provider = str(frames.pop(index)["provider"].iloc[0])
                errors[index] = MalformedError(provider, "; ".join(found))
        rows = _joined(frames, table)
    failures = [Failure(name(items[index]), errors[index]) for index in sorted(errors)]
    if failures and not frames:
        raise NothingCollectedError(failures)
    return [items[index] for index in sorted(frames)], rows, failures


def _joined(frames: dict[int, pd.DataFrame], table: sa.Table) -> pd.DataFrame:
    rows = [frames[index] for index in sorted(frames) if len(frames[index])]
    empty = pd.DataFrame(columns=[column.name for column in table.columns])
    return pd.concat(rows, ignore_index=True) if rows else empty
