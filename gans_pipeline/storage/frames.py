"""Pandas frames seen through a SQLAlchemy table: what does not fit, and the dtypes that a table's rows have.

No database is asked here; that is the writer's work. A CHECK constraint that carries its own test as
``info={"column": name, "test": predicate}`` is tried here too, so that its violation is reported with the rows; the
predicate takes a pandas Series without missing values and returns one of booleans.

Why not pandera, which imports fast enough (0.12 s): where it coerces it takes 1.5 for 1, True for 1, 5 for '5', '7' for
7 and a time without a zone for UTC; where it does not it names a column's dtype, but no row, and refuses good values in
an object column. What has to be converted by rules of our own has been validated by them; for the ranges and lengths
that remain, a second schema would take 4 ms of the 22 that a write of 1,200 rows takes (pandera 0.35).
"""

import datetime as dt
import decimal
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from gans_pipeline.storage.types import UTCDateTime

EXAMPLES = 3
OUT_OF_RANGE = "out of the column's range"
REAL = (int, float, np.integer, np.floating)

Series = pd.Series  # of any values: the stubs want a parameter that pandas itself has not


class FrameError(ValueError):
    """A frame that does not fit its table; ``problems`` lists everything that is wrong with it, one line each."""

    def __init__(self, table: str, problems: Sequence[str]) -> None:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"the frame does not fit table {table}, nothing was written:\n{listed}")
        self.table = table
        self.problems = list(problems)


def problems(frame: pd.DataFrame, table: sa.Table) -> list[str]:
    """Return everything that keeps the frame from being written to the table; an empty list if nothing does."""
    try:
        fit(frame, table)
    except FrameError as error:
        return error.problems
    return []


def fit(frame: pd.DataFrame, table: sa.Table, key: Sequence[str] = ()) -> pd.DataFrame:
    """Return the frame as the table would give it back: its columns in order, its dtypes, sorted by key.

    ``key`` names the columns that tell rows apart, by default the table's primary key; sorted rows are written up to
    twice as fast as shuffled ones. Columns that the database fills by itself may be left out. Raises
    :class:`FrameError` with every offending column and the first offending rows.
    """
    twice = sorted({str(name) for name in frame.columns[frame.columns.duplicated()]})
    if twice:
        raise FrameError(table.name, [f"column names occur twice: {', '.join(twice)}"])
    frame = frame.reset_index(drop=True)  # rows are named by their number
    found = list(_shape_problems(frame, table))
    fitted: dict[str, Series[Any]] = {}
    for column in table.columns:
        if column.name in frame.columns and column.computed is None:
            values, wrong = _fit_column(frame[column.name], column)
            found.extend(wrong)
            if values is not None:
                fitted[column.name] = values
    found.extend(_violated_checks(fitted, table))
    rows = pd.DataFrame(fitted)
    keys = [tuple(key) or tuple(column.name for column in table.primary_key.columns), *_unique_keys(table)]
    for names in dict.fromkeys(keys):
        if names and set(names) <= set(rows.columns):
            found.extend(_repeated_keys(rows, names))
    if found:
        raise FrameError(table.name, found)
    return rows.sort_values([name for name in keys[0] if name in rows.columns], ignore_index=True) if keys[0] else rows


def dtype(column: "sa.Column[Any]") -> Any:
    """Return the dtype of a column's values in a frame."""
    kind = _kind(column)
    return kind.nullable_dtype if column.nullable else kind.dtype


def to_frame(rows: Sequence[Any], columns: "Sequence[sa.Column[Any]]") -> pd.DataFrame:
    """Return database rows as a frame whose dtypes follow from the table, also when there are no rows."""
    by_column = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pd.DataFrame(
        {
            column.name: pd.Series(list(values), dtype=dtype(column))
            for column, values in zip(columns, by_column, strict=True)
        }
    )


def fills_itself(column: "sa.Column[Any]") -> bool:
    """Tell whether the database finds a value for the column where a row brings none."""
    return (
        column.server_default is not None  # also computed and identity columns
        or column is column.table.autoincrement_column
    )


def unique_keys(table: sa.Table) -> list[tuple[str, ...]]:
    """Return the columns of each key of the table: the primary key, then its unique constraints and indexes."""
    primary = tuple(column.name for column in table.primary_key.columns)
    return [*([primary] if primary else []), *_unique_keys(table)]


def _unique_keys(table: sa.Table) -> list[tuple[str, ...]]:
    constraints = [c.columns for c in table.constraints if isinstance(c, sa.UniqueConstraint)]
    indexes = [index.columns for index in table.indexes if index.unique]
    return sorted({tuple(column.name for column in columns) for columns in [*constraints, *indexes]})


def _shape_problems(frame: pd.DataFrame, table: sa.Table) -> Iterator[str]:
    missing = [c.name for c in table.columns if c.name not in frame.columns and not fills_itself(c)]
    if missing:
        yield f"columns are missing: {', '.join(sorted(missing))}"
    known = set(table.columns.keys())
    unknown = [str(name) for name in frame.columns if name not in known]
    if unknown:
        yield f"columns are unknown to the table: {', '.join(sorted(unknown))}"
    computed = [c.name for c in table.columns if c.name in frame.columns and c.computed is not None]
    if computed:
        yield f"columns are computed by the database and cannot be written: {', '.join(sorted(computed))}"


def _fit_column(series: "Series[Any]", column: "sa.Column[Any]") -> "tuple[Series[Any] | None, list[str]]":
    """Return a column's values in the column's dtype, or None, and what is wrong with them."""
    kind = _kind(column)
    missing = series.isna()
    fitted = None
    if missing.all():
        fitted = pd.Series([None] * len(series), dtype=kind.nullable_dtype)
    elif kind.whole is not None:
        fitted = kind.whole(series, kind.nullable_dtype)
    wrong: list[str] = []
    if fitted is None:
        fitted, wrong = _one_by_one(series, missing, kind, column.name)
    present = fitted.dropna() if missing.any() or wrong else fitted
    for reason, is_wrong in kind.refused:
        bad = present.index[np.asarray(is_wrong(present), dtype=bool)]
        if len(bad):
            wrong.append(f"{column.name}: {reason} ({_examples(series[bad])})")
    if not column.nullable and missing.any():
        rows = missing.index[missing]
        named = ", ".join(f"row {row}" for row in rows[:EXAMPLES])
        wrong.append(f"{column.name}: a value is missing where NULL is not allowed ({named}{_more(len(rows))})")
    elif not column.nullable and not wrong:
        fitted = fitted.astype(kind.dtype)
    return (None if wrong else fitted), wrong


def _one_by_one(
    series: "Series[Any]", missing: "Series[bool]", kind: "_Kind", name: str
) -> "tuple[Series[Any], list[str]]":
    """Convert value by value, where the whole column does not go at once, and name those that cannot be."""
    values: list[Any] = []
    wrong: dict[str, list[int]] = {}
    for row, (value, is_missing) in enumerate(zip(series.tolist(), missing, strict=True)):
        converted = None
        if not is_missing:
            try:
                converted = kind.single(value)
            except (ValueError, TypeError, OverflowError) as error:
                wrong.setdefault(str(error), []).append(row)
        values.append(converted)
    problems = [f"{name}: {reason} ({_examples(series.iloc[rows])})" for reason, rows in wrong.items()]
    return pd.Series(values, dtype=kind.nullable_dtype), problems


def _violated_checks(fitted: "dict[str, Series[Any]]", table: sa.Table) -> Iterator[str]:
    checks = [c for c in table.constraints if isinstance(c, sa.CheckConstraint) and "test" in c.info]
    for check in sorted(checks, key=lambda check: str(check.info["column"])):
        values = fitted.get(check.info["column"])
        if values is not None:
            present = values.dropna() if values.hasnans else values
            bad = present[~np.asarray(check.info["test"](present), dtype=bool)]
            if len(bad):
                yield f"{check.info['column']}: not {check.sqltext} ({_examples(bad)})"


def _repeated_keys(rows: pd.DataFrame, names: tuple[str, ...]) -> Iterator[str]:
    keys = rows[list(names)].dropna()  # NULLs differ from each other in a unique key
    repeated = keys[keys.duplicated()]
    if repeated.empty:
        return
    examples = []
    for row, key in repeated.head(EXAMPLES).iterrows():
        first = (keys == key).all(axis="columns").idxmax()
        examples.append(f"rows {first} and {row}: {_short(tuple(key.tolist()) if len(key) > 1 else key.iloc[0])}")
    yield f"key ({', '.join(names)}) occurs more than once ({'; '.join(examples)}{_more(len(repeated))})"


@dataclass(frozen=True)
class _Kind:
    """How the values of a column type look in a frame.

    ``whole`` converts a column at once, or returns None where its values have to be looked at one by one (``single``).
    ``refused`` are reasons with tests of converted values that are not missing.
    """

    dtype: Any
    nullable_dtype: Any
    single: Callable[[Any], Any]
    whole: "Callable[[Series[Any], Any], Series[Any] | None] | None" = None
    refused: "tuple[tuple[str, Callable[[Series[Any]], Any]], ...]" = ()


def _kind(column: "sa.Column[Any]") -> _Kind:
    kind = column.type
    if isinstance(kind, UTCDateTime):
        return _UTC_TIME
    if isinstance(kind, sa.DateTime):
        return _NAIVE_TIME
    if isinstance(kind, sa.Date):
        return _DATE
    if isinstance(kind, sa.Boolean):
        return _BOOLEAN
    if isinstance(kind, sa.Integer):
        return _integer(*_limits(kind))
    if isinstance(kind, sa.Float) and not kind.asdecimal:
        return _FLOAT
    if isinstance(kind, sa.Float):
        raise TypeError(f"column {column} would be read as rounded decimals: declare it as sa.Double()")
    if isinstance(kind, sa.Numeric):
        return _decimal(kind.precision, kind.scale)
    if isinstance(kind, sa.String):
        in_key = any(column.name in names for names in unique_keys(column.table))
        return _text(kind.length, in_key=in_key, choices=kind.enums if isinstance(kind, sa.Enum) else None)
    raise TypeError(
        f"column {column} has type {kind!r}, which a frame cannot be written to: declare it as text, and let the asset "
        "turn its values into text and back"
    )


def _single_time(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise TypeError("not a point in time")
    if value.tzinfo is None:
        raise ValueError("no time zone: make it aware, in UTC")
    return value.astimezone(dt.UTC)  # raises OverflowError for one that has no year in UTC


def _whole_times(series: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    return _as_unit(series, dtype) if isinstance(series.dtype, pd.DatetimeTZDtype) else None


def _single_naive_time(value: Any) -> dt.datetime:
    if not isinstance(value, dt.datetime):
        raise TypeError("not a date and time")
    if value.tzinfo is not None:
        raise ValueError("a time zone where the column has none")
    return value


def _whole_naive_times(series: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    return _as_unit(series, dtype) if isinstance(series.dtype, np.dtype) and series.dtype.kind == "M" else None


def _as_unit(times: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    try:
        return times.astype(dtype)
    except pd.errors.OutOfBoundsDatetime:  # seconds reach further than microseconds do
        return None


def _single_date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        if value.tzinfo is not None or value.time() != dt.time():
            raise ValueError("a point in time where a date belongs")
        return value.date()
    if not isinstance(value, dt.date):
        raise TypeError("not a date")
    return value


def _single_boolean(value: Any) -> bool:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise TypeError("neither true nor false")


def _whole_booleans(series: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    return series.astype(dtype) if pd.api.types.is_bool_dtype(series.dtype) else None


def _whole_integers(series: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    kind = getattr(series.dtype, "kind", "O")
    if kind == "f":
        present = series.dropna()
        if not (present == np.floor(present)).all() or not present.abs().lt(2.0**63).all():
            return None
    elif kind not in "iu":
        return None
    try:
        return series.astype(dtype)
    except (TypeError, ValueError, OverflowError):  # not all of them are in the range of the dtype
        return None


def _single_float(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, (*REAL, decimal.Decimal)):
        raise TypeError("not a number")
    return float(value)


def _whole_floats(series: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    if getattr(series.dtype, "kind", "O") not in "iuf":
        return None
    floats: Series[Any] = pd.Series(series.to_numpy(dtype, na_value=np.nan), dtype=dtype)
    return floats


def _single_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds half a character")  # JSON may escape one; no driver can send it
    return str(value)


def _whole_texts(series: "Series[Any]", dtype: Any) -> "Series[Any] | None":
    if isinstance(series.dtype, pd.CategoricalDtype):
        return _whole_texts(series.astype(series.cat.categories.dtype), dtype)
    if pd.api.types.infer_dtype(series, skipna=True) != "string":
        return None
    try:
        texts = series.astype(dtype)
        if getattr(texts.dtype, "storage", "") == "python":  # else the conversion has encoded them
            "".join(texts.dropna()).encode()
    except UnicodeEncodeError:
        return None
    return texts


def _outside_of_years(times: "Series[Any]") -> Any:
    first, last = (pd.Timestamp(text, tz=times.dt.tz) for text in ("1000-01-01", "9999-12-31T23:59:59.999999"))
    return ~times.between(first, last)


YEARS = ("outside of the years 1000 to 9999", _outside_of_years)

_UTC_TIME = _Kind("datetime64[us, UTC]", "datetime64[us, UTC]", _single_time, _whole_times, (YEARS,))
_NAIVE_TIME = _Kind("datetime64[us]", "datetime64[us]", _single_naive_time, _whole_naive_times, (YEARS,))
_DATE = _Kind("object", "object", _single_date)
_BOOLEAN = _Kind("bool", "boolean", _single_boolean, _whole_booleans)
_FLOAT = _Kind("float64", "float64", _single_float, _whole_floats, (("infinite", np.isinf),))


def _limits(kind: "sa.Integer") -> tuple[int, int]:
    """Return the smallest and the largest number of an integer type; SQLite is held to them too."""
    sizes = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "BIGINT": 64}
    bits = sizes.get(kind.__visit_name__, {"small_integer": 16, "big_integer": 64}.get(kind.__visit_name__, 32))
    if getattr(kind, "unsigned", False):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _integer(low: int, high: int) -> _Kind:
    def single(value: Any) -> int:
        if isinstance(value, bool | np.bool_) or not isinstance(value, REAL):
            raise TypeError("not a whole number")
        if not math.isfinite(value) or int(value) != value:
            raise ValueError("not a whole number")
        whole = int(value)
        if not low <= whole <= high:
            raise ValueError(OUT_OF_RANGE)
        return whole

    def outside(values: "Series[Any]") -> Any:
        return ~values.between(low, high)

    dtype, nullable_dtype = ("uint64", "UInt64") if high > 2**63 else ("int64", "Int64")
    return _Kind(dtype, nullable_dtype, single, _whole_integers, ((OUT_OF_RANGE, outside),))


def _decimal(precision: int | None, scale: int | None) -> _Kind:
    def single(value: Any) -> decimal.Decimal:
        if isinstance(value, bool | np.bool_) or not isinstance(value, (*REAL, decimal.Decimal)):
            raise TypeError("not a number")
        exact = value if isinstance(value, decimal.Decimal) else decimal.Decimal(str(value))  # 0.1 as it is printed
        if not exact.is_finite():
            raise ValueError("not a number")
        _, digits, exponent = exact.normalize().as_tuple()
        places = max(-int(exponent), 0)
        if scale is not None and places > scale:
            raise ValueError(f"more than {scale} decimal places")
        if precision is not None and len(digits) + int(exponent) > precision - (scale or 0):
            raise ValueError(OUT_OF_RANGE)
        return exact

    return _Kind("object", "object", single)


def _text(length: int | None, *, in_key: bool, choices: Sequence[str] | None) -> _Kind:
    refused: list[tuple[str, Callable[[Series[Any]], Any]]] = [
        ("holds a NUL character", lambda texts: texts.str.contains("\0", regex=False))
    ]
    if choices is not None:
        refused.append((f"none of {', '.join(choices)}", lambda texts: ~texts.isin(choices)))
    elif length is not None:
        refused.append((f"longer than {length} characters", lambda texts: texts.str.len() > length))
    if in_key:
        # utf8mb4_bin pads with spaces when it compares, so that MySQL takes 'a ' for 'a' and SQLite does not
        refused.append(("a key that ends with a space", lambda texts: texts.str.endswith(" ")))
    return _Kind("str", "str", _single_text, _whole_texts, tuple(refused))


def _examples(values: "Series[Any]") -> str:
    """Return the first of some offending values with their rows."""
    listed = "; ".join(f"row {row}: {_short(value)}" for row, value in values.head(EXAMPLES).items())
    return f"{listed}{_more(len(values))}"


def _short(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _more(number: int) -> str:
    return f" and {number - EXAMPLES} more" if number > EXAMPLES else ""
