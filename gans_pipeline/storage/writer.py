"""Writes a frame to a table: all of it or nothing, by column name, without adding a row when it is written again.

How a table is written is declared on the table: ``info={"write": Upsert()}``, ``Replace(…)`` or ``Append()``. A column
with ``info={"compare": False}`` does not make a row count as changed.

The way of a frame: it is checked against the table in memory; its rows go into a temporary staging table with the
columns of the real one; then, in one transaction and while no other writer of the table is in one, they are compared
with what is there, and only what differs is written. Staging is filled before the transaction begins: it takes most of
the time, and holds no lock.
"""

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
import sqlalchemy as sa
import tenacity
from sqlalchemy.engine import Connection, Engine

from gans_pipeline.storage.engine import connected, exclusive, is_away
from gans_pipeline.storage.frames import EXAMPLES, FrameError, fit, unique_keys
from gans_pipeline.storage.reader import Condition
from gans_pipeline.storage.staging import Staging

ATTEMPTS = 5
DEADLOCK, LOCK_TIMEOUT, DUPLICATE_KEY = 1213, 1205, 1062


@dataclass(frozen=True)
class Upsert:
    """Insert new keys, update the rows of known keys that differ, delete nothing.

    ``key`` names the columns that tell rows apart, by default the primary key: a table whose primary key the database
    counts up has another one, unique and NOT NULL.
    """

    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replace:
    """As :class:`Upsert`, and delete the rows that the frame does not hold: of the whole table, or of its scope.

    With ``by`` the scope is each group of equal values of these columns that the frame contains, or those that a
    :class:`ScopedFrame` names. Without, it is the condition that :func:`write` is given, such as a partition. A table
    without a key has all rows of the scope deleted and inserted anew.
    """

    by: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


@dataclass(frozen=True)
class Append:
    """Insert all rows. A key that is there already is refused; without a key, writing again adds the rows again."""


Mode = Upsert | Replace | Append


@dataclass(frozen=True)
class ScopedFrame:
    """A frame and the groups that it replaces, one a row: also those of which nothing is left."""

    frame: pd.DataFrame
    scope: pd.DataFrame


@dataclass(frozen=True)
class WriteResult:
    """Rows that a write inserted, updated, found unchanged and deleted, and how they travelled."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int
    staged_by: str = field(default="", compare=False)

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return {name: count for name, count in asdict(self).items() if name != "staged_by"}

    @property
    def changed(self) -> int:
        """Rows that the write touched; 0 means that nothing was written."""
        return self.inserted + self.updated + self.deleted


class WriteError(RuntimeError):
    """The database refused the rows. The message names table and reason, whether rows were written, no credentials.

    ``transient`` tells whether the same write may succeed later: the server was away, or another writer in the way.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def write(
    engine: Engine,
    table: sa.Table,
    data: pd.DataFrame | ScopedFrame,
    mode: Mode | None = None,
    *,
    where: Condition | None = None,
) -> WriteResult:
    """Write the frame in one transaction and return what that changed.

    ``mode`` is by default what the table declares, or else :class:`Replace`. ``where`` is the scope that is written:
    rows outside of it are refused. Readers see the old rows or the new ones. Deadlocks, lock time-outs and lost
    connections are tried again, as a whole. Raises :class:`FrameError` for a frame that does not fit the table,
    :class:`WriteError` for what the database refuses, and ValueError for a mode that the table cannot be written by.
    """
    mode = mode or table.info.get("write") or Replace()
    key = key_of(table, mode)
    frame = fit(data.frame if isinstance(data, ScopedFrame) else data, table, key)
    if not set(key) <= set(frame.columns):  # the database counts it up
        if isinstance(mode, Upsert):
            raise ValueError(f"the frame has no {', '.join(key)} to upsert table {table.name} by: name another key")
        key = ()
    job = _Job(engine, table, frame, key, mode, where, _groups(data, mode, table, frame))
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(job.may_try_again),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=lambda state: random.uniform(0.02, 0.1) * 2**state.attempt_number,  # noqa: S311 (jitter)
        sleep=time.sleep,
        reraise=True,
    )
    try:
        return attempts(job.run)
    except sa.exc.DBAPIError as error:
        message = f"{table.name}: {reason(error)}; {job.what_is_known()}"
        raise WriteError(message, transient=_is_transient(error)) from None
    except TimeoutError as error:
        raise WriteError(f"{table.name}: {error}; {job.what_is_known()}", transient=True) from None


def key_of(table: sa.Table, mode: Mode) -> tuple[str, ...]:
    """Return the columns by which a mode tells the table's rows apart; empty if it does not have to.

    Raises ValueError for a key that the table does not hold to be unique and NOT NULL.
    """
    primary = tuple(column.name for column in table.primary_key.columns)
    key = () if isinstance(mode, Append) else mode.key or primary
    if isinstance(mode, Upsert) and not key:
        raise ValueError(f"table {table.name} has no primary key to upsert by: name one, Upsert(key=…), or Replace()")
    if key and set(key) not in [set(names) for names in unique_keys(table)]:
        raise ValueError(f"({', '.join(key)}) is no unique key of table {table.name}: declare a UniqueConstraint on it")
    nullable = [name for name in key if table.c[name].nullable]
    if nullable:
        raise ValueError(f"a key of table {table.name} may be NULL, where rows cannot be told apart: {nullable[0]}")
    return key


def reason(error: sa.exc.DBAPIError) -> str:
    """Return the driver's own message; SQLAlchemy's would add the statement with all its values."""
    arguments = error.orig.args if error.orig is not None else ()
    return str(arguments[1] if len(arguments) > 1 else arguments[0] if arguments else type(error).__name__)


def _code(error: sa.exc.DBAPIError) -> Any:
    return error.orig.args[0] if error.orig is not None and error.orig.args else None


def _is_transient(error: sa.exc.DBAPIError) -> bool:
    code = _code(error)
    # 1062: somebody inserted the key after we had looked; the next attempt finds and updates it
    return is_away(error) or code in (DEADLOCK, LOCK_TIMEOUT, DUPLICATE_KEY) or "database is locked" in str(code)


def _groups(data: pd.DataFrame | ScopedFrame, mode: Mode, table: sa.Table, frame: pd.DataFrame) -> pd.DataFrame | None:
    """Return the groups to replace, one a row, or None if none are."""
    if not isinstance(mode, Replace) or not mode.by:
        if isinstance(data, ScopedFrame):
            raise FrameError(table.name, ["a scope was given, but the table is not written by replacing groups"])
        return None
    names = list(mode.by)
    present = frame[names].drop_duplicates(ignore_index=True)
    unnamed = [name for name in names if present[name].isna().any()]
    if unnamed:
        problems = [f"{name}: a value is missing where rows are replaced by it" for name in unnamed]
        raise FrameError(table.name, problems)
    if not isinstance(data, ScopedFrame):
        return present
    by = sa.Table(table.name, sa.MetaData(), *(sa.Column(n, table.c[n].type, primary_key=True) for n in names))
    named = fit(data.scope[names].drop_duplicates(), by)
    outside = present.merge(named, how="left", indicator="found").query("found == 'left_only'")[names]
    if len(outside):
        examples = ", ".join(repr(tuple(row)) for row in outside.head(EXAMPLES).itertuples(index=False))
        problem = f"{len(outside)} groups of ({', '.join(names)}) are outside the scope: {examples}"
        raise FrameError(table.name, [problem])
    return named


class _Job:
    """One write, which may take several attempts."""

    def __init__(
        self,
        engine: Engine,
        table: sa.Table,
        frame: pd.DataFrame,
        key: Sequence[str],
        mode: Mode,
        where: Condition | None,
        groups: pd.DataFrame | None,
    ) -> None:
        self.engine, self.table, self.frame, self.key, self.mode = engine, table, frame, tuple(key), mode
        self.where, self.groups = where, groups
        self.connected = self.may_be_written = False

    def run(self) -> WriteResult:
        """Stage the rows, then merge them into the table in one transaction."""
        self.connected = False
        with connected(self.engine) as connection:
            self.connected = True
            with connection.begin():
                deletes = isinstance(self.mode, Replace)
                staging = Staging(connection, self.table, list(self.frame.columns), self.key, deletes=deletes)
                staged_by = staging.fill(self.frame)
                if self.groups is not None:
                    staging.fill_groups(self.groups)
                if self.where is not None:
                    self._refuse_outside(connection, staging, self.where)
            with exclusive(connection, self.table.name):
                try:
                    counts = self._merge(connection, staging)
                except sa.exc.DBAPIError as error:
                    if not is_away(error) and _code(error) not in (DEADLOCK, LOCK_TIMEOUT):
                        staging.explain(error)
                    raise
                self.may_be_written = True
            # What fails from here on fails after the commit: another attempt would count or add the rows a second time.
            if not connection.invalidated:
                with contextlib.suppress(sa.exc.SQLAlchemyError), connection.begin():
                    staging.drop()
        return WriteResult(*counts, staged_by=staged_by)

    def may_try_again(self, error: BaseException) -> bool:
        """Tell whether another transaction was in the way or the server away, so that the same write may succeed."""
        if not isinstance(error, sa.exc.DBAPIError) or not self.connected:  # connecting has its own attempts
            return False
        return _is_transient(error) and not (self.may_be_written and isinstance(self.mode, Append))

    def what_is_known(self) -> str:
        """Return what can be said of the rows after a failure; an attempt that failed at its commit leaves doubt."""
        if not self.may_be_written:
            return "nothing was written"
        again = "look before writing again" if isinstance(self.mode, Append) else "writing them again is safe"
        return f"the connection was lost at a commit, so that it is not known whether the rows were written; {again}"

    def _merge(self, connection: Connection, staging: Staging) -> tuple[int, int, int, int]:
        """Return the numbers of rows inserted, updated, unchanged and deleted."""
        rows = len(self.frame)
        if isinstance(self.mode, Append):
            staging.insert_all()
            return rows, 0, 0, 0
        deleted = 0
        if isinstance(self.mode, Replace):
            deleted = staging.delete_others(self.where, grouped_by=self.mode.by)
        if not self.key or not staging.begins_with_known_keys():
            try:
                staging.insert_all()
            except sa.exc.IntegrityError:
                if not self.key:
                    raise
            else:
                return rows, 0, 0, deleted
        inserted, updated = staging.apply_differences()
        return inserted, updated, rows - inserted - updated, deleted

    def _refuse_outside(self, connection: Connection, staging: Staging, where: Condition) -> None:
        """Raise FrameError for rows outside of what is written: no rerun would ever replace them."""
        outside = staging.outside(where)
        if outside:
            shown = [", ".join(f"{name}={value}" for name, value in row.items()) for row in outside[:EXAMPLES]]
            more = " and more" if len(outside) > EXAMPLES else ""
            problem = f"rows are outside of the partition that is written ({'; '.join(shown)}{more})"
            raise FrameError(self.table.name, [problem])
