"""MySQLIOManager: Dagster assets as tables of MySQL, MariaDB or SQLite.

An asset's value is a pandas frame (or a :class:`ScopedFrame`) and is written to the SQLAlchemy table that has the
asset's name; a downstream asset gets the table's rows as a frame. The table decides how it is written.
"""

import datetime as dt
import importlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.engine import Engine

from gans_pipeline.storage.engine import create_engine, display_url
from gans_pipeline.storage.frames import EXAMPLES, FrameError
from gans_pipeline.storage.writer import ScopedFrame, WriteError, read, write

PREVIEW_ROWS = 5


class MySQLIOManager(dg.ConfigurableIOManager):
    """Writes each asset's frame to its table, in one transaction and without adding a row when it is written again.

    For each write it reports rows inserted, updated, unchanged and deleted, the table's row count, its columns and a
    preview. A table's ``info["partition_column"]`` names the column that holds the partition key.
    """

    url: str = Field(description="SQLAlchemy URL, mysql+pymysql://user:password@host/database or sqlite:///file.db")
    tls_ca: str | None = Field(default=None, description="File of the certificate authority: demands verified TLS")
    tables: str = Field(description="Where the SQLAlchemy MetaData with the tables is: 'package.module:attribute'")

    def connect(self) -> Engine:
        """Return a new engine for the configured database."""
        return create_engine(self.url, tls_ca=self.tls_ca)

    @cached_property
    def engine(self) -> Engine:
        """The engine of this process."""
        return self.connect()

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the frame; raises ``dagster.Failure``, retried only if that may help, and then nothing was written."""
        if not isinstance(obj, pd.DataFrame | ScopedFrame):
            raise dg.DagsterInvariantViolationError(
                f"asset {context.asset_key.to_user_string()} returned {type(obj).__name__}: return a pandas DataFrame "
                "or a ScopedFrame; an asset that stores its data itself returns a MaterializeResult without a value"
            )
        table = self._table(context.asset_key)
        frame = obj.frame if isinstance(obj, ScopedFrame) else obj
        partitions = self._partition_keys(context)
        try:
            if partitions is not None:
                _refuse_other_partitions(frame, table, partitions)
            result = write(self.engine, table, obj)
        except FrameError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        except WriteError as error:
            raise dg.Failure(str(error), allow_retries=error.transient) from error
        metadata: dict[str, Any] = {
            f"rows_{name}": dg.MetadataValue.int(count) for name, count in result.counts().items()
        }
        metadata["dagster/row_count"] = self._count(table)
        if partitions is not None and len(partitions) == 1:  # what is said of several is said of each of them
            metadata["dagster/partition_row_count"] = self._count(table, _in_partitions(table, partitions))
        metadata["dagster/column_schema"] = column_schema(table)
        metadata["dagster/table_name"] = table.name
        metadata["dagster/storage_kind"] = self.engine.dialect.name
        metadata["database"] = display_url(self.engine.url)
        metadata["preview"] = dg.MetadataValue.md(_preview(frame, table))
        context.add_output_metadata(metadata)
        context.log.info(f"{table.name}: {', '.join(f'{count} {name}' for name, count in result.counts().items())}")

    def load_input(self, context: dg.InputContext) -> pd.DataFrame:
        """Return the table's rows, of the selected partitions if it has any; metadata ``columns`` selects columns."""
        table = self._table(context.asset_key)
        columns = (context.definition_metadata or {}).get("columns")
        where = None
        if context.has_asset_partitions and "partition_column" in table.info:
            where = _in_partitions(table, list(context.asset_partition_keys))
        return read(self.engine, table, columns, where)

    def _table(self, key: dg.AssetKey) -> sa.Table:
        module, _, attribute = self.tables.partition(":")
        metadata: sa.MetaData = getattr(importlib.import_module(module), attribute)
        name = key.path[-1]
        if name not in metadata.tables:
            raise dg.DagsterInvariantViolationError(
                f"asset {key.to_user_string()} has no table in {self.tables}: {', '.join(sorted(metadata.tables))}"
            )
        return metadata.tables[name]

    def _partition_keys(self, context: dg.OutputContext) -> list[str] | None:
        return list(context.asset_partition_keys) if context.has_asset_partitions else None

    def _count(self, table: sa.Table, where: "sa.ColumnElement[bool] | None" = None) -> int:
        query = sa.select(sa.func.count()).select_from(table)
        with self.engine.connect() as connection:
            return int(connection.execute(query if where is None else query.where(where)).scalar_one())


def _preview(frame: pd.DataFrame, table: sa.Table) -> str:
    """Return the first rows as Markdown, keys first as in the table, nothing where nothing is known."""
    rows = frame[table.columns.keys()].head(PREVIEW_ROWS).astype(object)
    return str(rows.where(rows.notna(), None).to_markdown(index=False))


def column_schema(table: sa.Table) -> dg.TableSchema:
    """Return the table's columns with types, nullability, keys, checks and comments, as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type.compile(dialect=sa.dialects.mysql.dialect())).lower(),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable), unique=False, other=list(_constraints(column))
                ),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(
            other=[f"PRIMARY KEY ({', '.join(column.name for column in table.primary_key.columns)})"]
        ),
    )


def _constraints(column: "sa.Column[Any]") -> Iterator[str]:
    if column.primary_key:
        yield "PRIMARY KEY"
    for key in column.foreign_keys:
        yield f"REFERENCES {key.column}"
    for constraint in column.table.constraints:
        if isinstance(constraint, sa.CheckConstraint) and constraint.info.get("column") == column.name:
            yield f"CHECK ({constraint.sqltext})"


def _partition_values(table: sa.Table, keys: list[str]) -> list[Any]:
    """Return partition keys as values of the partition column."""
    column = table.columns[table.info["partition_column"]]
    return [dt.date.fromisoformat(key) for key in keys] if isinstance(column.type, sa.Date) else list(keys)


def _in_partitions(table: sa.Table, keys: list[str]) -> "sa.ColumnElement[bool]":
    return table.columns[table.info["partition_column"]].in_(_partition_values(table, keys))


def _refuse_other_partitions(frame: pd.DataFrame, table: sa.Table, keys: list[str]) -> None:
    """Raise FrameError for rows that belong to another partition: no rerun would ever replace them."""
    name = table.info.get("partition_column")
    if name is None:
        raise FrameError(table.name, ["the asset is partitioned, but the table declares no partition_column"])
    if name not in frame.columns:
        return  # the writer reports it, with whatever else is missing
    outside = frame[name][~frame[name].isin(_partition_values(table, keys))]
    if len(outside):
        examples = ", ".join(f"row {row}: {value}" for row, value in outside.head(EXAMPLES).items())
        raise FrameError(
            table.name, [f"{name}: {len(outside)} rows are outside of partition {', '.join(keys)} ({examples})"]
        )
