"""What all tables share: the metadata, text that compares exactly, common checks, views."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd
import sqlalchemy as sa

from gans_pipeline.storage.types import UTCDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)

# Text compares byte by byte, as it does in Python and SQLite: by MySQL's default collation Málaga = malaga.
MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

CITY_ID = "Wikidata item number of the city: 64 is Q64, Berlin"


class View(NamedTuple):
    """A stored query. ``select`` is SQL that SQLite, MariaDB and MySQL all understand."""

    name: str
    comment: str
    select: str


def table(name: str, *items: sa.schema.SchemaItem, comment: str, **info: Any) -> sa.Table:
    """Declare a table.

    ``info``: ``write`` (how a frame is written), ``newest`` (the column that tells how fresh the table is, or None) and
    ``partition_expr`` (the column that tells which Dagster partition a row is of, where it has any).
    """
    return sa.Table(name, metadata, *items, comment=comment, info=info, **MYSQL)


def one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    """Check that a column holds one of these texts."""
    listed = ", ".join(f"'{value}'" for value in values)
    return _check(column, f"{column} IN ({listed})", lambda found: found.isin(values))


def between(column: str, low: float, high: float) -> sa.CheckConstraint:
    """Check that a number lies in a closed interval."""
    return _check(column, f"{column} BETWEEN {low} AND {high}", lambda found: found.between(low, high))


def not_negative(column: str) -> sa.CheckConstraint:
    """Check that an amount is zero or more."""
    return _check(column, f"{column} >= 0", lambda found: found >= 0)


def upper_case(column: str, length: int) -> sa.CheckConstraint:
    """Check that a code has this length and no lower-case letter."""
    sql = f"LENGTH({column}) = {length} AND {column} = UPPER({column})"
    return _check(column, sql, lambda found: (found.str.len() == length) & (found == found.str.upper()))


def _check(column: str, sql: str, test: "Callable[[pd.Series[Any]], pd.Series[bool]]") -> sa.CheckConstraint:
    """Return the constraint with the same test of a column's values, by which a frame is refused before it is sent."""
    return sa.CheckConstraint(sql, name=column, info={"column": column, "test": test})


def position() -> tuple[sa.Column[float], sa.Column[float], sa.CheckConstraint, sa.CheckConstraint]:
    """Return latitude and longitude with their checks."""
    return (
        sa.Column("latitude", sa.Double(), nullable=False, comment="Degrees north, WGS 84"),
        sa.Column("longitude", sa.Double(), nullable=False, comment="Degrees east, WGS 84"),
        between("latitude", -90, 90),
        between("longitude", -180, 180),
    )


def provenance() -> tuple[sa.Column[str], sa.Column[Any]]:
    """Return the columns that say where a row comes from.

    ``retrieved_at`` is not compared when a row is written again: values that have not changed keep the time at which
    they were first seen, and nothing is written.
    """
    return (
        sa.Column(
            "provider",
            sa.String(32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column(
            "retrieved_at",
            UTCDateTime(),
            nullable=False,
            comment="When these values were first retrieved, UTC",
            info={"compare": False},
        ),
    )
