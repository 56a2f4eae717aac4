"""What Dagster shows of a table: its columns, where they come from, its address, a query and some rows."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Engine

from gans_pipeline.storage.frames import unique_keys

PREVIEW_ROWS = 5


def column_schema(table: sa.Table) -> dg.TableSchema:
    """Return the table's columns with types, keys, checks and meanings, for ``dagster/column_schema``."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=str(column.type.compile(dialect=mysql.dialect())).lower(),
                description=column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable),
                    unique=(column.name,) in unique_keys(table),
                    other=list(_constraints(column)),
                ),
            )
            for column in table.columns
        ],
        constraints=dg.TableConstraints(
            other=[
                *(f"{kind} ({', '.join(columns)})" for kind, columns in _keys(table)),
                *(f"CHECK ({check.sqltext})" for check in _checks(table) if "column" not in check.info),
            ]
        ),
    )


def foreign_key_lineage(table: sa.Table, asset_keys: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage | None:
    """Return which columns repeat those of other tables, by the table's foreign keys, or None if there are none.

    ``asset_keys`` gives the assets of the tables that have one.
    """
    deps = {
        key.parent.name: [dg.TableColumnDep(asset_keys[key.column.table.name], key.column.name)]
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name)
        if key.column.table.name in asset_keys
    }
    return dg.TableColumnLineage(deps) if deps else None


def uri(engine: Engine, table: sa.Table) -> str:
    """Return the table's address without credentials, such as ``mysql://host:3306/gans/cities``."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return f"sqlite:///{url.database or ':memory:'}#{table.name}"
    return f"{storage_kind(engine)}://{url.host or 'localhost'}:{url.port or 3306}/{qualified_name(engine, table)}"


def qualified_name(engine: Engine, table: sa.Table, separator: str = "/") -> str:
    """Return the table's name with that of its database, by which MySQL knows it."""
    if engine.dialect.name == "sqlite":
        return table.name
    return f"{table.schema or engine.url.database}{separator}{table.name}"


def storage_kind(engine: Engine) -> str:
    """Return 'mysql', 'mariadb' (known after the first connection) or 'sqlite'."""
    return "mariadb" if getattr(engine.dialect, "is_mariadb", False) else engine.dialect.name


def shown_query(engine: Engine, query: "sa.Select[Any]") -> str:
    """Return the query as SQL that can be pasted into a client."""
    dialect: Any = type(engine.dialect)
    dialect = dialect(paramstyle="named")  # the driver's own style doubles every percent sign
    dialect.is_mariadb = getattr(engine.dialect, "is_mariadb", False)
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def preview(frame: pd.DataFrame, table: sa.Table) -> str:
    """Return the first rows as Markdown, columns as in the table, nothing where nothing is known."""
    rows = (
        frame[[name for name in list(table.columns.keys()) if name in frame.columns]].head(PREVIEW_ROWS).astype(object)
    )
    return str(rows.where(rows.notna(), None).to_markdown(index=False))


def _keys(table: sa.Table) -> list[tuple[str, tuple[str, ...]]]:
    primary = tuple(column.name for column in table.primary_key.columns)
    return [("PRIMARY KEY" if names == primary else "UNIQUE", names) for names in unique_keys(table)]


def _checks(table: sa.Table) -> list[sa.CheckConstraint]:
    checks = [c for c in table.constraints if isinstance(c, sa.CheckConstraint)]
    return sorted(checks, key=lambda check: str(check.sqltext))


def _constraints(column: "sa.Column[Any]") -> Iterator[str]:
    if column.primary_key:
        yield "PRIMARY KEY"
    for key in column.foreign_keys:
        yield f"REFERENCES {key.column}"
    for check in _checks(column.table):
        if check.info.get("column") == column.name:
            yield f"CHECK ({check.sqltext})"
