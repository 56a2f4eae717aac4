"""Column types and expressions that mean the same on SQLite, MariaDB and MySQL."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class UTCDateTime(TypeDecorator[datetime]):
    """A point in time: aware in Python, naive UTC with microseconds in the database.

    MySQL's plain DATETIME rounds to seconds, which puts 23:59:59.7 into the next day; hence DATETIME(6).
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Return DATETIME(6) on MySQL and MariaDB, DATETIME elsewhere."""
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert an aware time to naive UTC; a naive one raises ValueError, since its zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time with its zone, UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class exact_text(FunctionElement[str]):  # noqa: N801 (a function of SQL)
    """A value as text that compares byte by byte, whatever the collations of its column and of the session."""

    type = sa.String()
    name = "exact_text"
    inherit_cache = True


@compiles(exact_text, "sqlite")
def _exact_text_of_sqlite(element: exact_text, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT) COLLATE BINARY"


@compiles(exact_text, "mysql")
def _exact_text_of_mysql(element: exact_text, compiler: Any, **options: Any) -> str:
    # Of the binary collations those that do not fill up with spaces before they compare.
    collation = "utf8mb4_nopad_bin" if compiler.dialect.is_mariadb else "utf8mb4_0900_bin"
    return f"CONVERT({compiler.process(element.clauses, **options)} USING utf8mb4) COLLATE {collation}"
