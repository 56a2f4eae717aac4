"""Reads rows of a table as frames, whole or in portions."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gans_pipeline.storage.engine import connected
from gans_pipeline.storage.frames import to_frame

Condition = Callable[[sa.FromClause], "sa.ColumnElement[bool]"]
"""Which rows are meant, as a condition on the columns of a table or of a copy of some of its rows."""


def selection(
    table: sa.Table, columns: Sequence[str] | None = None, where: Condition | None = None
) -> "sa.Select[Any]":
    """Return the query for the table's rows in key order; raises ValueError for a column that the table has not."""
    unknown = [name for name in columns or () if name not in table.columns]
    if unknown:
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}: {', '.join(table.columns.keys())}")
    selected = [table.columns[name] for name in columns] if columns else list(table.columns)
    query = sa.select(*selected).order_by(*table.primary_key.columns)
    return query if where is None else query.where(where(table))


def read(
    engine: Engine, table: sa.Table, columns: Sequence[str] | None = None, where: Condition | None = None
) -> pd.DataFrame:
    """Return the table's rows in key order, or some of its ``columns`` and rows, as a frame of the table's dtypes.

    Raises ValueError for a column that the table has not.
    """
    query = selection(table, columns, where)
    with connected(engine) as connection:
        return to_frame(connection.execute(query).all(), list(query.selected_columns))  # type: ignore[arg-type]


def read_portions(
    engine: Engine,
    table: sa.Table,
    columns: Sequence[str] | None = None,
    where: Condition | None = None,
    *,
    rows: int,
) -> Iterator[pd.DataFrame]:
    """Yield what :func:`read` returns in frames of ``rows`` rows each, of which one is in memory at a time.

    No rows are one frame without any, so that what puts them together needs no case of its own. All portions are of one
    moment: it is one query, and the connection is taken until the last was yielded. No statement time-out applies,
    since the reader may take its time between portions.
    """
    query = selection(table, columns, where)
    if rows < 1:
        raise ValueError(f"portions of {rows} rows are none")
    with connected(engine) as connection:
        if connection.dialect.name != "sqlite":
            # The server would end the query at its time-out, or when nobody had read from it for a minute.
            unlimited = "/*!80000 max_execution_time = 0 */ /*M! max_statement_time = 0 */"
            connection.exec_driver_sql(f"SET SESSION {unlimited}, SESSION net_write_timeout = 86400")
        try:
            result = connection.execution_options(stream_results=True, max_row_buffer=rows).execute(query)
            portions = result.partitions(rows)
            portion = next(portions, [])
            while True:
                yield to_frame(portion, list(query.selected_columns))  # type: ignore[arg-type]
                portion = next(portions, [])
                if not portion:
                    return
        finally:
            # A reader that stops early would otherwise fetch all the rest, and the limits are off on this connection.
            connection.invalidate()
