"""What fits into a table, in whatever dtype it comes, and how everything that does not is named."""

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from gans_pipeline.storage import frames
from gans_pipeline.storage.frames import FrameError, fit, problems, to_frame
from gans_pipeline.storage.types import UTCDateTime

MOMENT = pd.Timestamp("2026-11-24T12:00:00.123456Z")
EVERYTHING = sa.Table(
    "everything",
    sa.MetaData(),
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("small", sa.SmallInteger()),
    sa.Column("floating", sa.Double()),
    sa.Column("exact", sa.Numeric(6, 2)),
    sa.Column("flag", sa.Boolean()),
    sa.Column("text", sa.String(5)),
    sa.Column("choice", sa.Enum("red", "blue", native_enum=False)),
    sa.Column("day", sa.Date()),
    sa.Column("moment", UTCDateTime()),
    sa.Column("clock", sa.DateTime()),
)


def row(**values: Any) -> pd.DataFrame:
    """Return a frame of one row; what is not given is NULL."""
    return pd.DataFrame({"id": [1], **{name: [values.get(name)] for name in EVERYTHING.columns.keys()[1:]}})


def value_of(**values: Any) -> Any:
    """Return the one value as it is written."""
    ((name, _),) = values.items()
    return fit(row(**values), EVERYTHING)[name].tolist()[0]


DTYPES: dict[str, list[Any]] = {
    "small": ["int8", "uint64", "Int16", "float32", "Float64", pd.ArrowDtype(pa.int32()), "object"],
    "floating": ["int64", "float32", "Float32", "Int8", pd.ArrowDtype(pa.float64()), "object"],
    "flag": ["bool", "boolean", pd.ArrowDtype(pa.bool_()), "object"],
    "text": ["str", "string", "category", "object", pd.StringDtype("python"), pd.ArrowDtype(pa.string())],
    "moment": ["datetime64[ns, UTC]", "datetime64[s, Asia/Tokyo]", "object", pd.ArrowDtype(pa.timestamp("ns", "UTC"))],
    "clock": ["datetime64[ns]", "datetime64[s]", "object"],
    "day": ["object", "datetime64[s]", pd.ArrowDtype(pa.date32())],
    "exact": ["object", "int64", "float64", pd.ArrowDtype(pa.decimal128(6, 2))],
}
VALUES: dict[str, Any] = {
    "small": 7,
    "floating": 2,
    "flag": True,
    "text": "é",
    "moment": MOMENT.floor("s"),
    "clock": pd.Timestamp("2026-11-24T12:00:00"),
    "day": dt.date(2026, 11, 24),
    "exact": decimal.Decimal(2),
}


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, dtype) for name, dtypes in DTYPES.items() for dtype in dtypes], ids=str
)
def test_a_value_is_the_same_whatever_dtype_it_comes_in(name: str, dtype: Any) -> None:
    given_value = float(VALUES[name]) if dtype == "float64" else VALUES[name]
    series = pd.Series([given_value], dtype=dtype)
    fitted = fit(row().assign(**{name: series}), EVERYTHING)[name]
    assert fitted.tolist() == [VALUES[name]]
    assert fitted.dtype == to_frame([], [EVERYTHING.c[name]])[name].dtype


def test_what_is_missing_is_missing_in_any_of_its_forms() -> None:
    rows = pd.concat([row(id=number) for number in range(4)], ignore_index=True).assign(id=range(4))
    for name in EVERYTHING.columns.keys()[1:]:
        rows[name] = pd.Series([None, np.nan, pd.NA, pd.NaT], dtype=object)
    assert fit(rows, EVERYTHING).drop(columns="id").isna().all(axis=None)


def test_finer_times_are_cut_to_microseconds_never_rounded() -> None:
    assert value_of(moment=pd.Timestamp("2026-11-24T23:59:59.999999999Z")).second == 59


BAD_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"small": 32768}, "small: out of the column's range (row 0: 32768)"),
    ({"small": 10**30}, "small: out of the column's range"),
    ({"small": 1.5}, "small: not a whole number (row 0: 1.5)"),
    ({"small": float("inf")}, "small: not a whole number"),
    ({"small": True}, "small: not a whole number"),
    ({"small": "7"}, "small: not a whole number"),
    ({"floating": "2"}, "floating: not a number"),
    ({"floating": True}, "floating: not a number"),
    ({"floating": 2j}, "floating: not a number"),
    ({"floating": float("-inf")}, "floating: infinite"),
    ({"exact": decimal.Decimal("1.555")}, "exact: more than 2 decimal places"),
    ({"exact": 1.555}, "exact: more than 2 decimal places"),
    ({"exact": 10_000}, "exact: out of the column's range"),
    ({"exact": decimal.Decimal("Infinity")}, "exact: not a number"),
    ({"flag": 1}, "flag: neither true nor false"),
    ({"flag": "true"}, "flag: neither true nor false"),
    ({"text": "123456"}, "text: longer than 5 characters"),
    ({"text": "a\0b"}, "text: holds a NUL character"),
    ({"text": 5}, "text: not a text"),
    ({"text": b"bytes"}, "text: not a text"),
    ({"text": ["list"]}, "text: not a text"),
    ({"choice": "green"}, "choice: none of red, blue"),
    ({"day": MOMENT}, "day: a point in time where a date belongs"),
    ({"day": "2026-11-24"}, "day: not a date"),
    ({"moment": MOMENT.tz_localize(None)}, "moment: no time zone: make it aware, in UTC"),
    ({"moment": dt.date(2026, 11, 24)}, "moment: not a point in time"),
    ({"moment": pd.Timestamp("0999-12-31T23:00Z")}, "moment: outside of the years 1000 to 9999"),
    ({"clock": MOMENT}, "clock: a time zone where the column has none"),
]


@pytest.mark.parametrize(("values", "problem"), BAD_VALUES, ids=str)
def test_a_value_that_does_not_fit_is_named_with_its_row(values: dict[str, Any], problem: str) -> None:
    (found,) = problems(row(**values), EVERYTHING)
    assert found.startswith(problem)


def test_every_problem_is_in_one_error_with_three_examples_each() -> None:
    many = pd.DataFrame(
        {
            "id": [1, 1, None, 2, 3],
            "small": [1.5, 1.5, 1.5, 1.5, 40_000],
            "floating": ["a", "b", np.inf, 1, 2],
            "text": ["123456", "a\0", None, "12345", 5],
            "unknown": 1,
        }
    )
    with pytest.raises(FrameError) as caught:
        fit(many, EVERYTHING)
    assert caught.value.problems == [
        "columns are missing: choice, clock, day, exact, flag, moment",
        "columns are unknown to the table: unknown",
        "id: a value is missing where NULL is not allowed (row 2)",
        "small: not a whole number (row 0: 1.5; row 1: 1.5; row 2: 1.5 and 1 more)",
        "small: out of the column's range (row 4: 40000.0)",
        "floating: not a number (row 0: 'a'; row 1: 'b')",
        "floating: infinite (row 2: inf)",
        "text: not a text (row 4: 5)",
        "text: holds a NUL character (row 1: 'a\\x00')",
        "text: longer than 5 characters (row 0: '123456')",
    ]


def test_rows_are_named_by_their_position_whatever_the_index() -> None:
    rows = pd.concat([row(), row(text="123456")]).set_axis(["a", "a"]).assign(id=[1, 2])
    assert problems(rows, EVERYTHING) == ["text: longer than 5 characters (row 1: '123456')"]


def test_rows_come_sorted_by_key() -> None:
    rows = pd.concat([row(), row(), row()], ignore_index=True).assign(id=[3, 1, 2])
    assert fit(rows, EVERYTHING)["id"].tolist() == [1, 2, 3]


def test_what_the_database_fills_may_be_left_out_and_what_it_computes_must_be() -> None:
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(9), nullable=False, unique=True),
        sa.Column("made_at", UTCDateTime(), server_default=sa.func.now()),
        sa.Column("twice", sa.Integer(), sa.Computed("2 * id")),
    )
    assert fit(pd.DataFrame({"name": ["a"]}), table).columns.tolist() == ["name"]
    (problem,) = problems(pd.DataFrame({"name": ["a"], "twice": [2]}), table)
    assert problem == "columns are computed by the database and cannot be written: twice"


def test_values_of_a_second_unique_key_may_be_missing_but_not_repeated() -> None:
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("code", sa.String(9), unique=True),
        sa.Column("a", sa.Integer()),
        sa.Column("b", sa.Integer()),
        sa.Index("ab", "a", "b", unique=True),
    )
    fine = pd.DataFrame({"id": [1, 2], "code": [None, None], "a": [1, 1], "b": [1, 2]})
    assert problems(fine, table) == []
    assert problems(fine.assign(code="x", b=1), table) == [
        "key (a, b) occurs more than once (rows 0 and 1: (1, 1))",
        "key (code) occurs more than once (rows 0 and 1: 'x')",
    ]


def test_a_column_type_that_frames_cannot_hold_is_refused_with_advice() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer(), primary_key=True), sa.Column("j", sa.JSON()))
    with pytest.raises(TypeError, match=r"column t\.j has type JSON\(\), .* declare it as text"):
        fit(pd.DataFrame({"id": [1], "j": ["{}"]}), table)


MIXED = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=8),
    st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.datetimes(),
    st.decimals(places=3, min_value=-(10**5), max_value=10**5),
)


@settings(deadline=None, max_examples=150)
@given(values=st.lists(MIXED, min_size=1, max_size=6), name=st.sampled_from(EVERYTHING.columns.keys()[1:]))
def test_a_column_at_once_and_value_by_value_are_taken_alike(values: list[Any], name: str) -> None:
    """Speed must not decide what is accepted: a whole column of a dtype is held against its values as objects."""
    try:
        whole = pd.Series(values)
    except (OverflowError, UnicodeEncodeError, pd.errors.OutOfBoundsDatetime):
        return
    one_by_one = pd.Series(whole.tolist(), dtype=object)
    outcomes: list[Any] = []
    for series in (whole, one_by_one):
        fitted, wrong = frames._fit_column(series, EVERYTHING.c[name])
        outcomes.append(wrong if fitted is None else [None if pd.isna(value) else value for value in fitted])
    assert outcomes[0] == outcomes[1]
