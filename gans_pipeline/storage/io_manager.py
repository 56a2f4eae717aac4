"""MySQLIOManager: Dagster assets as tables of MySQL, MariaDB or SQLite.

An asset's value is a pandas frame (or a :class:`ScopedFrame`) and is written to a table; a downstream asset gets the
table's rows as a frame. What it promises, and how to use it in another project, is in docs/mysql-io-manager.md.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from pydantic import Field, PrivateAttr
from sqlalchemy.engine import Engine

from gans_pipeline.storage import engine as engines
from gans_pipeline.storage import schema
from gans_pipeline.storage.frames import to_frame
from gans_pipeline.storage.options import TableOptions, has_partitions, names
from gans_pipeline.storage.reader import Condition, read, read_portions, selection
from gans_pipeline.storage.table_metadata import (
    column_schema,
    preview,
    qualified_name,
    shown_query,
    storage_kind,
    uri,
)
from gans_pipeline.storage.writer import Mode, ScopedFrame, WriteError, WriteResult, reason, write


class MySQLIOManager(dg.ConfigurableIOManager):
    """Writes each asset's frame to its table, in one transaction and without adding a row when it is written again.

    Metadata of an asset (or of an op's output): ``table`` and ``schema`` name the table (default: the last part of the
    asset key), ``partition_expr`` the column or SQL expression of each partition dimension, ``write_mode`` is
    'replace', 'upsert' or 'append', ``replace_by`` the columns of the groups that are replaced, ``primary_key`` the key
    of a table that is not declared, ``schema_drift`` overrides the setting. What an output's own metadata says of the
    mode goes before. Metadata of an input: ``columns`` selects columns, ``portion_rows`` gives an iterator of frames.
    """

    url: str = Field(description="SQLAlchemy URL, mysql+pymysql://user:password@host/database or sqlite:///file.db")
    password: str | None = Field(default=None, description="Password, where the URL holds none")
    tls_ca: str | None = Field(default=None, description="File of the certificate authority: demands verified TLS")
    tables: str | None = Field(
        default=None,
        description="Where the SQLAlchemy MetaData with the tables is: 'package.module:attribute'. Without, tables are "
        "read from the database, and made up from the first frame",
    )
    upgrade_command: str | None = Field(
        default=None, description="What brings the database to the newest schema; the manager then creates nothing"
    )
    schema_drift: Literal["error", "add"] = Field(
        default="error", description="Whether nullable columns that a table lacks are added to it"
    )
    audit_columns: bool = Field(
        default=False, description="Whether each row tells when and by which run it was last changed"
    )
    connect_timeout_s: int = Field(default=engines.CONNECT_TIMEOUT_S, description="Seconds to wait for a connection")
    statement_timeout_s: int = Field(default=engines.STATEMENT_TIMEOUT_S, description="Seconds a statement may take")
    lock_timeout_s: int = Field(default=engines.LOCK_TIMEOUT_S, description="Seconds to wait for another writer")

    _prepared: dict[sa.Table, sa.Table] = PrivateAttr(default_factory=dict)

    def connect(self) -> Engine:
        """Return a new engine for the configured database."""
        return engines.create_engine(
            self.url,
            password=self.password,
            tls_ca=self.tls_ca,
            connect_timeout_s=self.connect_timeout_s,
            statement_timeout_s=self.statement_timeout_s,
            lock_timeout_s=self.lock_timeout_s,
        )

    @cached_property
    def engine(self) -> Engine:
        """The engine of this process."""
        return self.connect()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections of a run."""
        if "engine" in self.__dict__:
            self.engine.dispose()

    def describe(self, spec: dg.AssetSpec) -> dg.AssetSpec:
        """Return the spec with its table's columns and the kind of its store: for ``dg.map_asset_specs``.

        Raises ``dagster.DagsterInvalidDefinitionError`` for an asset without a table, a partition dimension without an
        expression, and a write mode that does not exist: before anything is computed.
        """
        options = TableOptions.of_spec(spec)
        table = self._declared(options)
        if spec.partitions_def is not None:
            options.expressions(spec.partitions_def, table)
        options.mode(table)
        described = {"dagster/column_schema": column_schema(table)} if table is not None else {}
        return spec.merge_attributes(metadata=described, kinds={"mysql"})

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the frame; raises ``dagster.Failure``, retried only if that may help."""
        options = TableOptions.of_output(context)
        frame = _frame(options, obj)
        with _failures():
            table = self._table_to_write(context, options, frame)
            if table is None:
                context.log.warning("An empty frame without dtypes: there is no table yet, and nothing to make one of.")
                return
            mode, where = options.mode(table), options.condition(context, table)
            audited = _audited(frame, table, context.run_id)
            data = ScopedFrame(audited, obj.scope) if isinstance(obj, ScopedFrame) else audited
            result = write(self.engine, table, data, mode, where=where)
        reported = self._reported(context, table, where, mode, result)
        reported["preview"] = dg.MetadataValue.md(preview(frame, table))
        if options.column_lineage is not None:
            reported["dagster/column_lineage"] = options.column_lineage
        context.add_output_metadata(reported)
        counted = ", ".join(f"{count:,} {name}" for name, count in result.counts().items())
        context.log.info(f"{table.name}: {counted}{'' if result.changed else '; nothing new, nothing was written'}")

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Iterator[pd.DataFrame]:
        """Return the table's rows, of the selected partitions if it has any; see the class for the input's metadata."""
        options = TableOptions.of_input(context)
        metadata = context.definition_metadata or {}
        columns, portion_rows = names(metadata.get("columns")), metadata.get("portion_rows")
        if not portion_rows:
            _refuse_annotation(options, context.dagster_type.typing_type)
        with _failures():
            table = self._table_to_read(options)
            columns = columns or (_loaded(table) if table is not None else ())
            if has_partitions(context) and not context.asset_partition_keys:
                # Before its first partition an asset that loads itself may have no table.
                selected: list[Any] = list(selection(table, columns).selected_columns) if table is not None else []
                return iter([to_frame([], selected)]) if portion_rows else to_frame([], selected)
            if table is None or not schema.exists(self.engine, table):
                remedy = f"run {self.upgrade_command}" if self.upgrade_command else "materialize what is stored there"
                raise dg.DagsterInvariantViolationError(f"the database has no table {options.table}: {remedy} first")
            where = options.condition(context, table)
            if portion_rows:
                return read_portions(self.engine, table, columns, where, rows=int(portion_rows))
            return read(self.engine, table, columns, where)

    def _declared(self, options: TableOptions) -> sa.Table | None:
        """Return the declared table, or None where no tables are declared."""
        if self.tables is None:
            return None
        module, _, attribute = self.tables.partition(":")
        declared: sa.MetaData = getattr(importlib.import_module(module), attribute)
        found = declared.tables.get(f"{options.schema}.{options.table}" if options.schema else options.table)
        if found is None:
            listed = ", ".join(sorted(declared.tables))
            raise dg.DagsterInvalidDefinitionError(f"{options.owner} has no table in {self.tables}: {listed}")
        return found

    def _table_to_write(self, context: dg.OutputContext, options: TableOptions, frame: pd.DataFrame) -> sa.Table | None:
        """Return the output's table, which is in the database then, or None if nothing tells how it would look."""
        declared = self._declared(options)
        if declared is not None and declared in self._prepared:
            return self._prepared[declared]
        add_columns = (options.schema_drift or self.schema_drift) == "add"
        table = declared
        if table is None:
            table = schema.reflect(self.engine, options.table, options.schema)
            if table is not None and add_columns:
                schema.add_columns_of(frame, table)
        if table is None:
            if frame.empty and not schema.tells_types(frame):
                return None
            partitioned_by = context.asset_partitions_def if has_partitions(context) else None
            table = _derived(options, frame, partitioned_by)
        if self.audit_columns:
            table = schema.with_audit_columns(table)
        schema.prepare(self.engine, table, add_columns=add_columns, upgrade_command=self.upgrade_command)
        if declared is not None:
            self._prepared[declared] = table
        return table

    def _table_to_read(self, options: TableOptions) -> sa.Table | None:
        table = self._declared(options)
        if table is None:
            return schema.reflect(self.engine, options.table, options.schema)
        return schema.with_audit_columns(table) if self.audit_columns else table

    def _reported(
        self, context: dg.OutputContext, table: sa.Table, where: Condition | None, mode: Mode, result: WriteResult
    ) -> dict[str, Any]:
        """Return what Dagster shows of a write."""
        reported: dict[str, Any] = {f"rows_{name}": count for name, count in result.counts().items()}
        try:
            reported["dagster/row_count"] = self._count(table)
            if where is not None and len(context.asset_partition_keys) == 1:  # what is said of several is said of each
                reported["dagster/partition_row_count"] = self._count(table, where)
        except sa.exc.DBAPIError as error:  # the rows are there, and a step that failed now could append them again
            context.log.warning(f"{table.name} was written, but its rows could not be counted: {reason(error)}")
        query = shown_query(self.engine, selection(table, where=where))
        return reported | {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": qualified_name(self.engine, table, "."),
            "dagster/storage_kind": storage_kind(self.engine),
            "dagster/uri": uri(self.engine, table),
            "Query": dg.MetadataValue.md(f"```sql\n{query}\n```"),
            "write_mode": type(mode).__name__.lower(),
            "rows_travelled_by": result.staged_by,
        }

    def _count(self, table: sa.Table, where: Condition | None = None) -> int:
        query = sa.select(sa.func.count()).select_from(table)
        with engines.connected(self.engine) as connection:
            return int(connection.execute(query if where is None else query.where(where(table))).scalar_one())


@contextmanager
def _failures() -> Iterator[None]:
    """Turn what database and tables object to into failures of a step, retried only if that may help."""
    try:
        yield
    except ValueError as error:  # also of frames and schemas
        raise dg.Failure(str(error), allow_retries=False) from error
    except WriteError as error:
        raise dg.Failure(str(error), allow_retries=error.transient) from error
    except TimeoutError as error:
        raise dg.Failure(str(error)) from error
    except sa.exc.DBAPIError as error:
        raise dg.Failure(reason(error), allow_retries=engines.is_away(error)) from None


def _frame(options: TableOptions, obj: Any) -> pd.DataFrame:
    if isinstance(obj, pd.DataFrame | ScopedFrame):
        return obj.frame if isinstance(obj, ScopedFrame) else obj
    advice = (
        "annotate the function with '-> None' if it stores nothing or stores its data itself"
        if obj is None
        else "return a pandas DataFrame or a ScopedFrame; an asset that stores its data itself returns a "
        "MaterializeResult without a value"
    )
    raise dg.DagsterInvariantViolationError(f"{options.owner} returned {type(obj).__name__}: {advice}")


def _refuse_annotation(options: TableOptions, annotation: Any) -> None:
    if isinstance(annotation, type) and annotation is not Any and not issubclass(pd.DataFrame, annotation):
        raise dg.DagsterInvariantViolationError(
            f"the input of {options.owner} is annotated as {annotation.__name__}, and a table is loaded as a pandas "
            "DataFrame: annotate it so, or give it another I/O manager"
        )


def _derived(
    options: TableOptions, frame: pd.DataFrame, partitions_def: "dg.PartitionsDefinition[Any] | None"
) -> sa.Table:
    """Return a table for the frame, with an index on each column that tells partitions apart."""
    if partitions_def is None:
        return schema.derive(options.table, frame, key=options.primary_key, schema=options.schema)
    expressions = options.expressions(partitions_def, None)
    indexed = [expr for expr in expressions.values() if expr in frame.columns]
    table = schema.derive(options.table, frame, key=options.primary_key, indexed=indexed, schema=options.schema)
    options.expressions(partitions_def, table)  # now that its columns are known
    return table


def _audited(frame: pd.DataFrame, table: sa.Table, run_id: str) -> pd.DataFrame:
    """Return the frame with the audit columns, if the table has them."""
    if schema.LOADED_AT not in table.columns:
        return frame
    filled: dict[str, Any] = {schema.LOADED_AT: pd.Timestamp.now("UTC"), schema.RUN_ID: run_id}
    return frame.assign(**filled)


def _loaded(table: sa.Table) -> tuple[str, ...]:
    """Return the columns that a reader gets who names none."""
    return tuple(c.name for c in table.columns if c.name not in (schema.LOADED_AT, schema.RUN_ID))
