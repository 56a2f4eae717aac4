"""MySQLIOManager: Dagster assets as tables of MySQL, MariaDB or SQLite.

An asset's value is a pandas frame (or a :class:`ScopedFrame`) and is written to a table; a downstream asset gets the
table's rows as a frame. What it promises, and how to use it in another project, is in docs/mysql-io-manager.md.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from pydantic import Field, PrivateAttr
from sqlalchemy.engine import Engine, make_url

from gans_pipeline.storage import engine as engines
from gans_pipeline.storage import partitions, schema
from gans_pipeline.storage.frames import FrameError
from gans_pipeline.storage.reader import Condition, read, read_portions, selection
from gans_pipeline.storage.table_metadata import (
    column_schema,
    preview,
    qualified_name,
    shown_query,
    storage_kind,
    uri,
)
from gans_pipeline.storage.writer import Append, Mode, Replace, ScopedFrame, Upsert, WriteError, WriteResult, write

Context = dg.OutputContext | dg.InputContext


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

    _prepared: dict[str, sa.Table] = PrivateAttr(default_factory=dict)

    def connect(self) -> Engine:
        """Return a new engine for the configured database."""
        url = make_url(self.url) if self.password is None else make_url(self.url).set(password=self.password)
        return engines.create_engine(
            url,
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
        table = self._declared(spec.key, spec.metadata)
        if spec.partitions_def is not None:
            self._expressions(spec.key.to_user_string(), spec.partitions_def, spec.metadata, table)
        _mode(spec.metadata, {}, table)
        described = {"dagster/column_schema": column_schema(table)} if table is not None else {}
        return spec.merge_attributes(metadata=described, kinds={"mysql"})

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the frame; raises ``dagster.Failure``, retried only if that may help."""
        frame = _frame(context, obj)
        try:
            table = self._table_to_write(context, frame)
            if table is None:
                context.log.warning("An empty frame without dtypes: there is no table yet, and nothing to make one of.")
                return
            obj = _with_frame(obj, self._audited(frame, table, context))
            where = self._partitions(context, table)
            mode = _mode(context.definition_metadata or {}, context.output_metadata or {}, table)
            result = write(self.engine, table, obj, mode, where=where)
        except (FrameError, schema.SchemaError) as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        except WriteError as error:
            raise dg.Failure(str(error), allow_retries=error.transient) from error
        context.add_output_metadata(self._reported(context, table, frame, where, mode, result))
        counted = ", ".join(f"{count:,} {name}" for name, count in result.counts().items())
        context.log.info(f"{table.name}: {counted}{'' if result.changed else '; nothing new, nothing was written'}")

    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Iterator[pd.DataFrame]:
        """Return the table's rows, of the selected partitions if it has any; see the class for the input's metadata."""
        metadata = context.definition_metadata or {}
        portion_rows = metadata.get("portion_rows")
        wanted = context.dagster_type.typing_type
        if isinstance(wanted, type) and not portion_rows and not issubclass(pd.DataFrame, wanted):
            raise dg.DagsterInvariantViolationError(
                f"input {context.name} is annotated as {wanted.__name__}, and a table is loaded as a pandas DataFrame: "
                "annotate it so, or give it another I/O manager"
            )
        table = self._table_to_read(context)
        where = self._partitions(context, table)
        columns = metadata.get("columns") or [c.name for c in table.columns if c.name not in self._unasked(table)]
        if portion_rows:
            return read_portions(self.engine, table, columns, where, rows=int(portion_rows))
        return read(self.engine, table, columns, where)

    def _table_to_write(self, context: dg.OutputContext, frame: pd.DataFrame) -> sa.Table | None:
        """Return the output's table, which is in the database then, or None if nothing tells how it would look."""
        metadata = context.definition_metadata or {}
        name, database = _table_name(context), metadata.get("schema")
        cached = f"{database}.{name}"
        if cached in self._prepared and self.tables is not None:
            return self._prepared[cached]
        add_columns = metadata.get("schema_drift", self.schema_drift) == "add"
        table = self._declared(context.asset_key if context.has_asset_key else None, metadata, name)
        if table is None:
            table = self._undeclared(context, frame, name, database, add_columns=add_columns)
            if table is None:
                return None
        if self.audit_columns:
            table = schema.with_audit_columns(table)
        schema.prepare(self.engine, table, add_columns=add_columns, upgrade_command=self.upgrade_command)
        self._prepared[cached] = table
        return table

    def _undeclared(
        self, context: dg.OutputContext, frame: pd.DataFrame, name: str, database: str | None, *, add_columns: bool
    ) -> sa.Table | None:
        """Return the table as the database has it, or as the frame suggests it."""
        metadata = context.definition_metadata or {}
        table = schema.reflect(self.engine, name, database)
        if table is None:
            if frame.empty and (
                frame.columns.empty or any(pd.api.types.is_object_dtype(kind) for kind in frame.dtypes)
            ):
                return None
            indexed = []
            if context.has_asset_partitions:
                expressions = self._expressions(name, context.asset_partitions_def, metadata, None)
                indexed = [expr for expr in expressions.values() if expr in frame.columns]
            key = list(metadata.get("primary_key", ()))
            return schema.derive(name, frame, key=key, indexed=indexed, schema=database)
        new = [column for column in frame.columns if column not in table.columns]
        if new and add_columns:
            for column in schema.derive(name, frame[new]).columns:
                table.append_column(sa.Column(column.name, column.type))
        return table

    def _table_to_read(self, context: dg.InputContext) -> sa.Table:
        upstream = context.upstream_output
        metadata = (upstream.definition_metadata if upstream is not None else None) or {}
        name = _table_name(upstream if upstream is not None else context)
        table = self._declared(context.asset_key if context.has_asset_key else None, metadata, name)
        if table is None:
            table = schema.reflect(self.engine, name, metadata.get("schema"))
        if table is None:
            raise dg.DagsterInvariantViolationError(
                f"the database has no table {name}: materialize what is stored there first"
            )
        return table

    def _declared(
        self, key: dg.AssetKey | None, metadata: Mapping[str, Any], name: str | None = None
    ) -> sa.Table | None:
        """Return the declared table of an asset or output, or None where no tables are declared."""
        if self.tables is None:
            return None
        module, _, attribute = self.tables.partition(":")
        declared: sa.MetaData = getattr(importlib.import_module(module), attribute)
        name = str(_plain(metadata.get("table")) or name or (key.path[-1] if key else ""))
        database = _plain(metadata.get("schema"))
        found = declared.tables.get(f"{database}.{name}" if database else name)
        if found is None:
            owner = f"asset {key.to_user_string()}" if key else f"output {name}"
            raise dg.DagsterInvalidDefinitionError(
                f"{owner} has no table in {self.tables}: {', '.join(sorted(declared.tables))}"
            )
        return found

    def _expressions(
        self,
        asset: str,
        partitions_def: "dg.PartitionsDefinition[Any]",
        metadata: Mapping[str, Any],
        table: sa.Table | None,
    ) -> dict[str, str]:
        expr = _plain(metadata.get("partition_expr"))
        if expr is None and table is not None:
            expr = table.info.get("partition_expr")
        return partitions.require_expressions(asset, partitions_def, expr, table)

    def _partitions(self, context: Context, table: sa.Table) -> Condition | None:
        """Return the condition for the rows of the partitions that are written or read; None if there are none."""
        if not context.has_asset_key or not context.has_asset_partitions:
            return None
        described = context.upstream_output if isinstance(context, dg.InputContext) else context
        metadata = (described.definition_metadata if described is not None else None) or {}
        asset, partitions_def = context.asset_key.to_user_string(), context.asset_partitions_def
        expressions = self._expressions(asset, partitions_def, metadata, table)
        return partitions.condition(partitions_def, list(context.asset_partition_keys), expressions, table)

    def _audited(self, frame: pd.DataFrame, table: sa.Table, context: dg.OutputContext) -> pd.DataFrame:
        """Return the frame with the audit columns, if there are any to be filled."""
        if not self.audit_columns:
            return frame
        filled: dict[str, Any] = {schema.LOADED_AT: pd.Timestamp.now("UTC"), schema.RUN_ID: context.run_id}
        return frame.assign(**filled)

    def _unasked(self, table: sa.Table) -> set[str]:
        """Return the columns that only a reader who names them gets."""
        declared = self.tables is not None
        return set() if declared else {schema.LOADED_AT, schema.RUN_ID} & set(table.columns.keys())

    def _reported(
        self,
        context: dg.OutputContext,
        table: sa.Table,
        frame: pd.DataFrame,
        where: Condition | None,
        mode: Mode,
        result: WriteResult,
    ) -> dict[str, Any]:
        """Return what Dagster shows of a write."""
        query = selection(table, where=where)
        reported: dict[str, Any] = {f"rows_{name}": count for name, count in result.counts().items()}
        reported["dagster/row_count"] = self._count(table)
        if where is not None and len(context.asset_partition_keys) == 1:  # what is said of several is said of each
            reported["dagster/partition_row_count"] = self._count(table, where)
        reported |= {
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": qualified_name(self.engine, table, "."),
            "dagster/storage_kind": storage_kind(self.engine),
            "dagster/uri": uri(self.engine, table),
            "Query": dg.MetadataValue.md(f"```sql\n{shown_query(self.engine, query)}\n```"),
            "write_mode": type(mode).__name__.lower(),
            "rows_travelled_by": result.staged_by,
            "preview": dg.MetadataValue.md(preview(frame, table)),
        }
        lineage = (context.definition_metadata or {}).get("dagster/column_lineage")
        if lineage is not None:
            reported["dagster/column_lineage"] = lineage
        return reported

    def _count(self, table: sa.Table, where: Condition | None = None) -> int:
        query = sa.select(sa.func.count()).select_from(table)
        with engines.connected(self.engine) as connection:
            return int(connection.execute(query if where is None else query.where(where(table))).scalar_one())


def _frame(context: dg.OutputContext, obj: Any) -> pd.DataFrame:
    if isinstance(obj, pd.DataFrame | ScopedFrame):
        return obj.frame if isinstance(obj, ScopedFrame) else obj
    what = f"asset {context.asset_key.to_user_string()}" if context.has_asset_key else f"output {context.name}"
    advice = (
        "annotate the function with '-> None' if it stores nothing or stores its data itself"
        if obj is None
        else "return a pandas DataFrame or a ScopedFrame; an asset that stores its data itself returns a "
        "MaterializeResult without a value"
    )
    raise dg.DagsterInvariantViolationError(f"{what} returned {type(obj).__name__}: {advice}")


def _with_frame(obj: Any, frame: pd.DataFrame) -> Any:
    return ScopedFrame(frame, obj.scope) if isinstance(obj, ScopedFrame) else frame


def _table_name(context: Context) -> str:
    named = _plain((context.definition_metadata or {}).get("table"))
    if named:
        return str(named)
    return context.asset_key.path[-1] if context.has_asset_key else context.name


def _mode(definition: Mapping[str, Any], output: Mapping[str, Any], table: sa.Table | None) -> Mode:
    """Return how an output is written: by its own metadata, else by its definition's, else by its table's ``info``."""
    metadata = {**definition, **output}
    declared: Mode = (table.info.get("write") if table is not None else None) or Replace()
    name = _plain(metadata.get("write_mode"))
    if name is None:
        return declared
    key = () if isinstance(declared, Append) else declared.key
    by: Sequence[str] = _plain(metadata.get("replace_by")) or ()
    modes: dict[str, Mode] = {
        "replace": Replace(by=tuple(by), key=key),
        "upsert": Upsert(key=key),
        "append": Append(),
    }
    if name not in modes:
        raise dg.DagsterInvalidDefinitionError(f"write_mode {name!r} is none of {', '.join(modes)}")
    return modes[name]


def _plain(value: Any) -> Any:
    """Return what a metadata value holds: an output's own metadata comes wrapped."""
    return value.value if isinstance(value, dg.MetadataValue) else value
