"""What a database has, against what is declared: missing tables are created, drift is named, nothing is ever dropped.

For projects that declare no tables it is also where a table is read from the database or made up from a frame.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Engine

from gans_pipeline.storage.engine import connected, exclusive
from gans_pipeline.storage.frames import FrameError
from gans_pipeline.storage.types import UTCDateTime

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

INDEXED_TEXT = 255
"""Characters of a text column that is part of a key or index: InnoDB indexes 3,072 bytes, which are three of these."""

LOADED_AT, RUN_ID = "dagster_loaded_at", "dagster_run_id"


class SchemaError(ValueError):
    """The database's table is not the declared one; the message says how to mend it."""


def audit_columns() -> "tuple[sa.Column[Any], sa.Column[Any]]":
    """Return the columns that tell when and by which run a row was last changed; they make no row count as changed."""
    not_compared = {"compare": False}
    return (
        sa.Column(LOADED_AT, UTCDateTime(), comment="When the row was last changed, UTC", info=dict(not_compared)),
        sa.Column(RUN_ID, sa.String(36), comment="Dagster run that last changed the row", info=dict(not_compared)),
    )


def with_audit_columns(table: sa.Table) -> sa.Table:
    """Return the table with audit columns, as a copy beside copies of all others if it has none yet."""
    if LOADED_AT in table.columns:
        return table  # declared by whoever made the table
    metadata = sa.MetaData(naming_convention=table.metadata.naming_convention)
    for other in {*table.metadata.tables.values(), table}:
        copy = other.to_metadata(metadata)
        if other is table:
            for column in audit_columns():
                copy.append_column(column)
    return metadata.tables[table.key]


def prepare(engine: Engine, table: sa.Table, *, add_columns: bool, upgrade_command: str | None = None) -> None:
    """Create the table if it is missing, and with ``add_columns`` the nullable columns that it lacks.

    Where ``upgrade_command`` names what brings the schema to the newest, nothing is created. Raises
    :class:`SchemaError` for what remains missing, in one line with the remedy.
    """
    with connected(engine) as connection:
        missing = _missing_columns(connection, table)
        if missing is not None and not missing:
            return
    if upgrade_command is not None:
        lacks = f"lacks the columns {', '.join(c.name for c in missing)}" if missing else "does not exist"
        raise SchemaError(f"the database's schema is behind (table {table.name} {lacks}): run {upgrade_command}")
    if missing is None:
        with connected(engine) as connection, exclusive(connection, f"{table.name} schema"):
            table.metadata.create_all(connection, [table, *_referred(table)], checkfirst=True)
        return
    listed = ", ".join(column.name for column in missing)
    if not add_columns:
        raise SchemaError(
            f"the database's table {table.name} lacks the columns {listed}: alter it, or let columns be added with "
            'schema_drift="add"'
        )
    needed = [column.name for column in missing if not column.nullable]
    if needed:
        raise SchemaError(
            f"the database's table {table.name} lacks the columns {listed}, of which {', '.join(needed)} may not be "
            "NULL: only nullable columns are added to rows that exist"
        )
    with connected(engine) as connection, exclusive(connection, f"{table.name} schema"):
        name = connection.dialect.identifier_preparer.format_table(table)
        for column in _missing_columns(connection, table) or []:  # another process may have added them meanwhile
            spec = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {name} ADD COLUMN {spec}")


def _referred(table: sa.Table) -> set[sa.Table]:
    """Return the tables that a table refers to, and those that they refer to."""
    found: set[sa.Table] = set()
    waiting = [table]
    while waiting:
        referred = {key.column.table for key in waiting.pop().foreign_keys} - found - {table}
        found |= referred
        waiting += referred
    return found


def _missing_columns(connection: sa.Connection, table: sa.Table) -> "list[sa.Column[Any]] | None":
    """Return the declared columns that the database's table lacks, or None if it has no such table."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name, schema=table.schema):
        return None
    present = {column["name"].casefold() for column in inspector.get_columns(table.name, schema=table.schema)}
    return [column for column in table.columns if column.name.casefold() not in present]


def exists(engine: Engine, table: sa.Table) -> bool:
    """Tell whether the database has the table."""
    with connected(engine) as connection:
        return bool(sa.inspect(connection).has_table(table.name, schema=table.schema))


def reflect(engine: Engine, name: str, schema: str | None = None) -> sa.Table | None:
    """Return the table as the database describes it, or None if it has no such table.

    Its times are taken for UTC, and TINYINT(1) for true and false, which is how MySQL stores BOOLEAN.
    """
    metadata = sa.MetaData()
    with connected(engine) as connection:
        inspector = sa.inspect(connection)
        if not inspector.has_table(name, schema=schema):
            return None
        listeners = [("column_reflect", _translate)]
        table = sa.Table(name, metadata, autoload_with=connection, schema=schema, listeners=listeners)
        for check in inspector.get_check_constraints(name, schema=schema):
            table.append_constraint(sa.CheckConstraint(check["sqltext"], name=check["name"]))
    for column in table.columns:
        if column.name in (LOADED_AT, RUN_ID):
            column.info["compare"] = False
    return table


def _translate(_inspector: Any, _table: Any, column: Any) -> None:
    kind = column["type"]
    if isinstance(kind, sa.DateTime):
        column["type"] = UTCDateTime()
    elif isinstance(kind, mysql.TINYINT) and kind.display_width == 1:
        column["type"] = sa.Boolean()
    elif isinstance(kind, sa.Float):
        column["type"] = sa.Float() if isinstance(kind, mysql.FLOAT) else sa.Double()
    elif isinstance(kind, mysql.INTEGER | mysql.BIGINT | mysql.SMALLINT | mysql.MEDIUMINT | mysql.TINYINT):
        kind.display_width = None  # MariaDB's BIGINT(20) holds what a BIGINT holds
    elif isinstance(kind, sa.String):
        kind.collation = None  # which no frame knows


def tells_types(frame: pd.DataFrame) -> bool:
    """Tell whether an empty frame has columns, and dtypes that say what would be in them."""
    return len(frame.columns) > 0 and not any(pd.api.types.is_object_dtype(kind) for kind in frame.dtypes)


def add_columns_of(frame: pd.DataFrame, table: sa.Table) -> None:
    """Add to the table what the frame has beyond it, as nullable columns; nothing happens in the database."""
    new = [column for column in frame.columns if isinstance(column, str) and column not in table.columns]
    if new:
        for column in derive(table.name, frame[new]).columns:
            table.append_column(sa.Column(column.name, column.type))


def derive(
    name: str,
    frame: pd.DataFrame,
    *,
    key: Sequence[str] = (),
    indexed: Sequence[str] = (),
    schema: str | None = None,
) -> sa.Table:
    """Return a table for a frame, typed by its dtypes; raises :class:`FrameError` for columns that do not tell a type.

    Columns of ``key`` become the primary key, each of ``indexed`` gets an index.
    """
    absent = [column for column in [*key, *indexed] if column not in frame.columns]
    if absent:
        raise FrameError(name, [f"columns are missing: {', '.join(absent)}"])
    unnamed = [repr(label) for label in frame.columns if not isinstance(label, str)]
    if unnamed:
        raise FrameError(name, [f"column names are no text: {', '.join(unnamed)}"])
    columns, problems = [], []
    for column in frame.columns:
        kind = _type_of(frame[column], is_indexed=column in {*key, *indexed})
        if isinstance(kind, str):
            problems.append(f"{column}: {kind}")
        else:
            is_key = column in key
            columns.append(
                sa.Column(
                    column, kind, primary_key=is_key, nullable=not is_key, autoincrement=False, index=column in indexed
                )
            )
    if problems:
        raise FrameError(name, problems)
    return sa.Table(name, sa.MetaData(), *columns, schema=schema, **MYSQL)


def _type_of(values: "pd.Series[Any]", *, is_indexed: bool) -> Any:
    """Return the column type for a series, or a text that says why there is none."""
    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if isinstance(values.dtype, pd.CategoricalDtype):
        inferred = pd.api.types.infer_dtype(values.cat.categories)
    if inferred == "datetime64" and not isinstance(values.dtype, pd.DatetimeTZDtype):
        return "times without a time zone: make them aware, in UTC, or declare the table"
    types = {
        "boolean": sa.Boolean(),
        "integer": sa.BigInteger(),
        "floating": sa.Double(),
        "mixed-integer-float": sa.Double(),
        "string": sa.String(INDEXED_TEXT) if is_indexed else sa.Text(),
        "datetime64": UTCDateTime(),
        "datetime": UTCDateTime(),
        "date": sa.Date(),
    }
    if inferred in types:
        return types[inferred]
    if inferred == "empty":
        return "no value that would tell a type: give the column a dtype, or declare the table"
    return f"values of kind {inferred}: turn them into text, numbers, booleans, dates or times, or declare the table"
