"""What the metadata of an asset, or of an op's output, says of its table, read in one place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import sqlalchemy as sa

from gans_pipeline.storage import partitions
from gans_pipeline.storage.reader import Condition
from gans_pipeline.storage.writer import Append, Mode, Replace, Upsert

Context = dg.OutputContext | dg.InputContext


@dataclass(frozen=True)
class TableOptions:
    """Where something is stored, and how; ``owner`` names it in errors."""

    owner: str
    table: str
    schema: str | None = None
    partition_expr: Any = None
    write_mode: str | None = None
    replace_by: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    schema_drift: str | None = None
    column_lineage: Any = None

    @classmethod
    def of_spec(cls, spec: dg.AssetSpec) -> "TableOptions":
        """Return what an asset's definition says."""
        return cls._read(f"asset {spec.key.to_user_string()}", spec.key.path[-1], spec.metadata)

    @classmethod
    def of_output(cls, context: dg.OutputContext) -> "TableOptions":
        """Return what a definition says; what the output itself says of the way of writing goes before."""
        given = context.output_metadata or {}
        own = {name: given[name] for name in ("write_mode", "replace_by") if given.get(name) is not None}
        if "replace_by" in own:
            own.setdefault("write_mode", "replace")
        return cls._read(*_named(context), {**(context.definition_metadata or {}), **own})

    @classmethod
    def of_input(cls, context: dg.InputContext) -> "TableOptions":
        """Return what the definition of what is loaded says."""
        upstream = context.upstream_output
        metadata = upstream.definition_metadata if upstream is not None else None
        return cls._read(*_named(context), metadata or {})

    @classmethod
    def _read(cls, owner: str, name: str, metadata: Mapping[str, Any]) -> "TableOptions":
        def of(option: str) -> Any:
            value = metadata.get(option)
            return value.value if isinstance(value, dg.MetadataValue) else value

        return cls(
            owner=owner,
            table=of("table") or name,
            schema=of("schema"),
            partition_expr=of("partition_expr"),
            write_mode=of("write_mode"),
            replace_by=names(of("replace_by")),
            primary_key=names(of("primary_key")),
            schema_drift=of("schema_drift"),
            column_lineage=of("dagster/column_lineage"),
        )

    def mode(self, table: sa.Table | None) -> Mode:
        """Return how the table is written: by these options, else by its ``info``, else replaced.

        Raises ``dagster.DagsterInvalidDefinitionError`` for a mode that does not exist and groups of unknown columns.
        """
        declared: Mode = (table.info.get("write") if table is not None else None) or Replace()
        key = self.primary_key or (() if isinstance(declared, Append) else declared.key)
        by = self.replace_by or (declared.by if isinstance(declared, Replace) and self.write_mode is None else ())
        unknown = [name for name in by if table is not None and name not in table.columns]
        if unknown:
            raise dg.DagsterInvalidDefinitionError(
                f"{self.owner} replaces groups of {unknown[0]}, which is no column of its table: "
                f"{', '.join(table.columns.keys()) if table is not None else ''}"
            )
        name = self.write_mode or ("replace" if self.replace_by else type(declared).__name__.lower())
        modes: dict[str, Mode] = {"replace": Replace(by=by, key=key), "upsert": Upsert(key=key), "append": Append()}
        if name not in modes:
            raise dg.DagsterInvalidDefinitionError(
                f"the write_mode of {self.owner} is {name!r}, which is none of {', '.join(modes)}"
            )
        return modes[name]

    def expressions(self, partitions_def: "dg.PartitionsDefinition[Any]", table: sa.Table | None) -> Mapping[str, str]:
        """Return the column or SQL expression of each partition dimension; see ``partitions.require_expressions``."""
        expr = self.partition_expr
        if expr is None and table is not None:
            expr = table.info.get("partition_expr")
        return partitions.require_expressions(self.owner, partitions_def, expr, table)

    def condition(self, context: Context, table: sa.Table) -> Condition | None:
        """Return the condition for the rows of the partitions that are written or read; None if there are none."""
        if not has_partitions(context):
            return None
        expressions = self.expressions(context.asset_partitions_def, table)
        return partitions.condition(
            context.asset_partitions_def, list(context.asset_partition_keys), expressions, table
        )


def names(value: Any) -> tuple[str, ...]:
    """Return a list of names, of which one may be given without the list."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def has_partitions(context: Context) -> bool:
    """Tell whether what is written or read is partitioned."""
    return bool(context.has_asset_key and context.has_asset_partitions)


def _named(context: Context) -> tuple[str, str]:
    """Return what owns the table, for errors, and the name that the table has by default."""
    if context.has_asset_key:
        return f"asset {context.asset_key.to_user_string()}", context.asset_key.path[-1]
    upstream = context.upstream_output if isinstance(context, dg.InputContext) else context
    name = (upstream if upstream is not None else context).name
    return f"output {name}", name
