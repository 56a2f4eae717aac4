"""Writes a frame to a table: all of it or nothing, by column name, without adding a row when it is written again.

How a table is written is declared on the table: ``info={"write": Upsert()}`` or ``Replace(by=…)``. A column with
``info={"compare": False}`` does not make a row count as changed.
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import pandas as pd
import sqlalchemy as sa
import tenacity
from sqlalchemy.engine import Connection, Engine

from gans_pipeline.storage.engine import exclusive
from gans_pipeline.storage.frames import EXAMPLES, FrameError, to_frame, to_values

ATTEMPTS = 5
CHUNK_ROWS = 5_000
Values = dict[str, list[Any]]
"""Rows, column by column."""

DEADLOCK, LOCK_TIMEOUT, DUPLICATE_KEY = 1213, 1205, 1062


@dataclass(frozen=True)
class Upsert:
    """Insert new keys, update the rows of known keys that differ, delete nothing."""


@dataclass(frozen=True)
class Replace:
    """As :class:`Upsert`, and delete the rows of each group (equal values of ``by``) that the frame does not hold.

    The groups are those that the frame contains, or those that a :class:`ScopedFrame` names.
    """

    by: tuple[str, ...]


@dataclass(frozen=True)
class ScopedFrame:
    """A frame and the groups that it replaces, one a row: also those of which nothing is left."""

    frame: pd.DataFrame
    scope: pd.DataFrame


@dataclass(frozen=True)
class WriteResult:
    """Rows that a write inserted, updated, found unchanged and deleted."""

    inserted: int
    updated: int
    unchanged: int
    deleted: int

    def counts(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class WriteError(RuntimeError):
    """The database refused the rows; nothing was written. The message names table and reason, and no credentials.

    ``transient`` tells whether the same write may succeed later: the server was away, or another writer in the way.
    """

    def __init__(self, message: str, *, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def write(engine: Engine, table: sa.Table, data: pd.DataFrame | ScopedFrame) -> WriteResult:
    """Write the frame in one transaction and return what that changed.

    Readers see the old rows or the new ones. Deadlocks and lock time-outs are retried as a whole. Raises
    :class:`FrameError` for a frame that does not fit the table and :class:`WriteError` for what the database refuses.
    """
    mode: Upsert | Replace = table.info.get("write", Upsert())
    frame = data.frame if isinstance(data, ScopedFrame) else data
    values = to_values(frame, table)
    scope = _scope(data, mode, table, values)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_lost_a_race),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=lambda state: random.uniform(0.02, 0.1) * 2**state.attempt_number,  # noqa: S311 (jitter)
        sleep=time.sleep,
        reraise=True,
    )
    try:
        return retrying(_write_once, engine, table, values, scope)
    except sa.exc.DBAPIError as error:
        unreachable = error.connection_invalidated or isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
        raise WriteError(f"{table.name}: {_reason(error)}; nothing was written", transient=unreachable) from None
    except TimeoutError as error:
        raise WriteError(f"{table.name}: {error}; nothing was written", transient=True) from None


def read(
    engine: Engine, table: sa.Table, columns: Sequence[str] | None = None, where: "sa.ColumnElement[bool] | None" = None
) -> pd.DataFrame:
    """Return the table's rows in key order, or some of its ``columns`` and of its rows, as a frame.

    Raises ValueError for a column that the table has not.
    """
    unknown = [name for name in columns or () if name not in table.columns]
    if unknown:
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}")
    selected = [table.columns[name] for name in columns] if columns else list(table.columns)
    query = sa.select(*selected).order_by(*table.primary_key.columns)
    with engine.connect() as connection:
        rows = connection.execute(query if where is None else query.where(where)).all()
    return to_frame(list(rows), selected)


def _scope(data: pd.DataFrame | ScopedFrame, mode: Upsert | Replace, table: sa.Table, values: Values) -> Values | None:
    """Return the groups to replace, column by column, or None if none are replaced."""
    if isinstance(mode, Upsert):
        if isinstance(data, ScopedFrame):
            raise FrameError(table.name, ["a scope was given, but the table is not written by replacing groups"])
        return None
    groups = set(zip(*(values[name] for name in mode.by), strict=True))
    if isinstance(data, ScopedFrame):
        named = {tuple(row) for row in data.scope[list(mode.by)].itertuples(index=False)}
        outside = sorted(groups - named, key=repr)
        if outside:
            examples = ", ".join(map(repr, outside[:EXAMPLES]))
            problem = f"{len(outside)} groups of ({', '.join(mode.by)}) are outside the scope: {examples}"
            raise FrameError(table.name, [problem])
        groups = named
    columns = zip(*groups, strict=True) if groups else [()] * len(mode.by)
    return {name: list(column) for name, column in zip(mode.by, columns, strict=True)}


def _write_once(engine: Engine, table: sa.Table, values: Values, scope: Values | None) -> WriteResult:
    with exclusive(engine, table.name) as connection:
        key_names = [column.name for column in table.primary_key.columns]
        staging = _stage(connection, table, f"staging_{table.name}", values, key=key_names)
        _refuse_orphans(connection, table, staging)
        key = sa.and_(*(table.c[name] == staging.c[name] for name in key_names))
        total = len(values[key_names[0]])
        compared = [c for c in table.columns if not c.primary_key and c.info.get("compare", True)]
        differs = sa.or_(sa.false(), *(table.c[c.name].is_distinct_from(staging.c[c.name]) for c in compared))
        matched = _count(connection, sa.select(sa.func.count()).select_from(table.join(staging, key)))
        updated = _count(connection, sa.select(sa.func.count()).select_from(table.join(staging, key)).where(differs))
        deleted = _delete_rest_of_scope(connection, table, staging, key, scope) if scope is not None else 0
        if updated:
            new_values = {c.name: staging.c[c.name] for c in table.columns if not c.primary_key}
            connection.execute(sa.update(table).values(new_values).where(key, differs))
        if total > matched:
            new = sa.select(staging).where(~sa.exists().where(key).correlate(staging))
            connection.execute(sa.insert(table).from_select(list(staging.columns.keys()), new))
        _unstage(connection, staging)
    return WriteResult(total - matched, updated, matched - updated, deleted)


def _delete_rest_of_scope(
    connection: Connection,
    table: sa.Table,
    staging: sa.Table,
    key: "sa.ColumnElement[bool]",
    scope: Values,
) -> int:
    """Delete what the scope holds beyond the staged rows, and return how many rows that were."""
    names = list(scope)
    groups = _stage(connection, table, f"scope_{table.name}", scope, key=names)
    in_scope = sa.and_(*(table.c[name] == groups.c[name] for name in names))
    gone = sa.and_(
        sa.exists().where(in_scope).correlate(table),
        ~sa.exists().where(key).correlate(table),
    )
    deleted = _count(connection, sa.select(sa.func.count()).select_from(table).where(gone))
    if deleted:
        connection.execute(sa.delete(table).where(gone))
    _unstage(connection, groups)
    return deleted


def _stage(connection: Connection, table: sa.Table, name: str, values: Values, *, key: list[str]) -> sa.Table:
    """Create a temporary table with some of the table's columns and fill it; creating one commits nothing."""
    staging = sa.Table(
        name,
        sa.MetaData(),
        *(
            sa.Column(c.name, c.type, primary_key=c.name in key, nullable=c.nullable, autoincrement=False)
            for c in table.columns
            if c.name in values
        ),
        prefixes=["TEMPORARY"],
        **table.dialect_kwargs,
    )
    _unstage(connection, staging)  # an earlier transaction on this connection may have been rolled back
    connection.execute(sa.schema.CreateTable(staging))
    for rows in _in_chunks(values):
        connection.execute(sa.insert(staging), rows)
    return staging


def _in_chunks(values: Values) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows in portions: as dictionaries all rows at once would take several times the frame's memory."""
    rows = zip(*values.values(), strict=True)
    while chunk := [dict(zip(values, row, strict=True)) for row in islice(rows, CHUNK_ROWS)]:
        yield chunk


def _unstage(connection: Connection, staging: sa.Table) -> None:
    name = connection.dialect.identifier_preparer.quote(staging.name)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS temp.{name}")
    else:
        connection.exec_driver_sql(f"DROP TEMPORARY TABLE IF EXISTS {name}")


def _refuse_orphans(connection: Connection, table: sa.Table, staging: sa.Table) -> None:
    """Raise for rows that refer to nothing: the database's own message names neither the row nor the remedy."""
    problems = []
    for foreign_key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        child, parent = staging.c[foreign_key.parent.name], foreign_key.column
        orphans = sa.select(child).distinct().where(child.is_not(None), ~sa.exists().where(parent == child))
        found = list(connection.execute(orphans.order_by(child)).scalars())
        if found:
            examples = ", ".join(repr(value) for value in found[:EXAMPLES])
            problems.append(
                f"{child.name}: {len(found)} values are not in {parent.table.name}.{parent.name} ({examples}"
                f"{' …' if len(found) > EXAMPLES else ''}): refresh {parent.table.name} first"
            )
    if problems:
        raise FrameError(table.name, problems)


def _count(connection: Connection, query: "sa.Select[Any]") -> int:
    return int(connection.execute(query).scalar_one())


def _lost_a_race(error: BaseException) -> bool:
    """Tell whether another transaction was in the way, so that the same write may succeed now."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    # 1062: another writer inserted the key after we had looked; the next attempt finds and updates it
    return code in (DEADLOCK, LOCK_TIMEOUT, DUPLICATE_KEY) or "database is locked" in str(code)


def _reason(error: sa.exc.DBAPIError) -> str:
    """Return the driver's own message; SQLAlchemy's would add the statement with all its values."""
    arguments = error.orig.args if error.orig is not None else ()
    return str(arguments[1] if len(arguments) > 1 else arguments[0] if arguments else type(error).__name__)
