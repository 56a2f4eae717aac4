"""Pandas frames seen through a SQLAlchemy table: what does not fit, how values travel, which dtypes come back.

No database is asked here; that is the writer's work. A CHECK constraint that carries its own test as
``info={"column": name, "test": predicate}`` is tried here too, so that its violation is reported with the rows.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import sqlalchemy as sa

from gans_pipeline.storage.types import UTCDateTime

EXAMPLES = 3


class FrameError(ValueError):
    """A frame that does not fit its table; ``problems`` lists everything that is wrong with it, one line each."""

    def __init__(self, table: str, problems: list[str]) -> None:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"the frame does not fit table {table}, nothing was written:\n{listed}")
        self.table = table
        self.problems = problems


def problems(frame: pd.DataFrame, table: sa.Table) -> list[str]:
    """Return everything that keeps the frame from being written to the table; an empty list if nothing does."""
    try:
        to_values(frame, table)
    except FrameError as error:
        return error.problems
    return []


def to_values(frame: pd.DataFrame, table: sa.Table) -> dict[str, list[Any]]:
    """Return the frame column by column as Python values that the table's columns accept, matched by name.

    Raises :class:`FrameError` with every offending column and the first offending rows.
    """
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        raise FrameError(table.name, [f"column names occur twice: {', '.join(twice)}"])
    found = list(_shape_problems(frame, table))
    values: dict[str, list[Any]] = {}
    for column in table.columns:
        if column.name in frame.columns:
            values[column.name], wrong = _column_values(frame[column.name], column)
            found.extend(wrong)
    if not found:
        found.extend(_violated_checks(values, table))
        found.extend(_duplicate_keys(values, table))
    if found:
        raise FrameError(table.name, found)
    return values


def _shape_problems(frame: pd.DataFrame, table: sa.Table) -> Iterator[str]:
    known = {column.name for column in table.columns}
    missing = [name for name in known if name not in frame.columns]
    if missing:
        yield f"columns are missing: {', '.join(sorted(missing))}"
    unknown = [str(name) for name in frame.columns if name not in known]
    if unknown:
        yield f"columns are unknown to the table: {', '.join(sorted(unknown))}"


def _column_values(series: "pd.Series[Any]", column: "sa.Column[Any]") -> tuple[list[Any], list[str]]:
    """Return a column's values as the driver takes them, and what is wrong with them."""
    missing = series.isna().to_numpy()
    convert = _converter(column)
    values: list[Any] = []
    wrong: dict[str, list[str]] = {}
    nulls: list[int] = []
    for row, (value, is_missing) in enumerate(zip(series.tolist(), missing, strict=True)):
        if is_missing:
            values.append(None)
            if not column.nullable:
                nulls.append(row)
            continue
        try:
            values.append(convert(value))
        except (ValueError, TypeError, OverflowError) as error:
            values.append(None)
            wrong.setdefault(str(error), []).append(f"row {row}: {_short(value)}")
    problems = []
    if nulls:
        rows = ", ".join(f"row {row}" for row in nulls[:EXAMPLES])
        problems.append(f"{column.name}: a value is missing where NULL is not allowed ({rows}{_more(nulls)})")
    for reason, examples in wrong.items():
        problems.append(f"{column.name}: {reason} ({'; '.join(examples[:EXAMPLES])}{_more(examples)})")
    return values, problems


def _converter(column: "sa.Column[Any]") -> Callable[[Any], Any]:
    kind = column.type
    if isinstance(kind, UTCDateTime):
        return _to_time
    if isinstance(kind, sa.Date):
        return _to_date
    if isinstance(kind, sa.Boolean):
        return _to_bool
    if isinstance(kind, sa.Integer):
        limit = 2**63 if isinstance(kind, sa.BigInteger) else 2**31
        return lambda value: _to_integer(value, limit)
    if isinstance(kind, sa.Float | sa.Numeric):
        return _to_float
    if isinstance(kind, sa.String):
        return lambda value: _to_text(value, kind.length, is_key=column.primary_key)
    raise TypeError(f"column {column.name} has type {kind!r}, which frames cannot hold")


def _to_time(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise TypeError("not a point in time")
    if value.tzinfo is None:
        raise ValueError("no time zone: make it aware, in UTC")
    time: dt.datetime = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
    return time.astimezone(dt.UTC)  # the driver would stumble over one that has no year in UTC


def _to_date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None or value.time() != dt.time():
            raise ValueError("a point in time where a date belongs")
        return value.date()
    if not isinstance(value, dt.date):
        raise TypeError("not a date")
    return value


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise TypeError("neither true nor false")


def _to_integer(value: Any, limit: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a whole number")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("not a whole number")
    if not -limit <= value < limit:
        raise ValueError("out of the column's range")
    return int(value)


def _to_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    if not math.isfinite(value):
        raise ValueError("infinite")
    return float(value)


def _to_text(value: Any, length: int | None, *, is_key: bool) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    if length is not None and len(value) > length:
        raise ValueError(f"longer than {length} characters")
    if "\0" in value:
        raise ValueError("holds a NUL character")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds half a character")  # JSON may escape one; no driver can send it
    if is_key and value != value.rstrip(" "):
        # utf8mb4_bin pads with spaces when it compares, so that MySQL takes 'a ' for 'a' and SQLite does not
        raise ValueError("a key that ends with a space")
    return value


def _violated_checks(values: dict[str, list[Any]], table: sa.Table) -> Iterator[str]:
    checks = [c for c in table.constraints if isinstance(c, sa.CheckConstraint) and "test" in c.info]
    for check in sorted(checks, key=lambda check: str(check.info["column"])):
        name, test = check.info["column"], check.info["test"]
        bad = [
            f"row {row}: {_short(value)}"
            for row, value in enumerate(values[name])
            if value is not None and not test(value)
        ]
        if bad:
            yield f"{name}: not {check.sqltext} ({'; '.join(bad[:EXAMPLES])}{_more(bad)})"


def _duplicate_keys(values: dict[str, list[Any]], table: sa.Table) -> Iterator[str]:
    names = [column.name for column in table.primary_key.columns]
    seen: dict[tuple[Any, ...], int] = {}
    repeated = []
    for row, key in enumerate(zip(*(values[name] for name in names), strict=True)):
        if key in seen:
            repeated.append(f"rows {seen[key]} and {row}: {_short(key if len(key) > 1 else key[0])}")
        else:
            seen[key] = row
    if repeated:
        yield f"key ({', '.join(names)}) occurs more than once ({'; '.join(repeated[:EXAMPLES])}{_more(repeated)})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _more(found: list[Any]) -> str:
    return f" and {len(found) - EXAMPLES} more" if len(found) > EXAMPLES else ""


def to_frame(rows: list[Any], columns: "list[sa.Column[Any]]") -> pd.DataFrame:
    """Return database rows as a frame whose dtypes follow from the table, also when there are no rows."""
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pd.DataFrame(
        {
            column.name: pd.Series(list(values), dtype=_dtype(column))
            for column, values in zip(columns, by_column, strict=True)
        }
    )


def _dtype(column: "sa.Column[Any]") -> Any:
    kind = column.type
    if isinstance(kind, UTCDateTime):
        return "datetime64[us, UTC]"
    if isinstance(kind, sa.Boolean):
        return "boolean" if column.nullable else "bool"
    if isinstance(kind, sa.Integer):
        return "Int64" if column.nullable else "int64"
    if isinstance(kind, sa.Float | sa.Numeric):
        return "float64"
    if isinstance(kind, sa.String):
        return "str"
    return "object"
