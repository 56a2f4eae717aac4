"""How rows travel: by LOAD DATA and by multi-row INSERTs, which must leave the same."""

import datetime as dt
import decimal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import mysql

from gans_pipeline.storage import load_data
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.frames import FrameError
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.schema import MYSQL
from gans_pipeline.storage.types import UTCDateTime
from gans_pipeline.storage.writer import Append, Replace, Upsert, write
from gans_pipeline_tests.storage.conftest import frame, place, places

WAYS = {"load": "LOAD DATA LOCAL INFILE", "insert": "multi-row INSERT (this test wants it)"}

TEXTS = [
    "",
    " ",
    "plain",
    "NULL",
    "\\N",
    "N",
    "\\",
    "\\\\",
    "a\\tb",
    "tab\tnewline\ncarriage return\rform feed\f",
    "quote \" and ' and `",
    "100 %, %s, %(name)s, %%",
    "semicolon; -- comment /* */ #",
    "Málaga 東京 🛴👩‍🚀",
    "é e\u0301 \u200b\ufeff\u2028",
    "control \x01\x1a\x7f",
    "comma,semicolon;pipe|",
    "x" * 5000,
]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    """The way that rows travel in this test, as a write reports it."""
    if request.param == "load":
        if engine.dialect.name == "sqlite":
            pytest.skip("SQLite has no LOAD DATA")
        with engine.connect() as connection:
            obstacle = load_data.obstacle(connection)
        assert obstacle is None, f"the test server is to allow LOAD DATA: {obstacle}"
    elif engine.dialect.name == "sqlite":
        return "multi-row INSERT (SQLite has no LOAD DATA)"
    else:
        monkeypatch.setattr(load_data, "obstacle", lambda _: "this test wants it")
    return WAYS[request.param]


def table_of(*columns: "sa.Column[Any]", name: str = "t", **info: Any) -> sa.Table:
    """Return a table whose key is ``id``."""
    key: sa.Column[int] = sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False)
    return sa.Table(name, sa.MetaData(), key, *columns, info=info, **MYSQL)


def round_trip(engine: sa.Engine, table: sa.Table, rows: pd.DataFrame, way: str) -> pd.DataFrame:
    """Create the table, write the rows twice and return what is stored then."""
    table.create(engine)
    written = write(engine, table, rows, Upsert())
    assert (written.inserted, written.staged_by) == (len(rows), way)
    assert write(engine, table, rows, Upsert()).unchanged == len(rows)
    return read(engine, table)


def test_every_text_comes_back_as_it_was(engine: sa.Engine, way: str) -> None:
    rows = pd.DataFrame({"id": range(len(TEXTS) + 1), "text": [*TEXTS, None], "short": [t[:40] for t in [*TEXTS, "x"]]})
    table = table_of(sa.Column("text", sa.Text()), sa.Column("short", sa.String(40), nullable=False))
    stored = round_trip(engine, table, rows, way)
    assert stored["text"].tolist()[:-1] == TEXTS
    assert stored["text"].isna().tolist()[-1]
    assert stored["short"].tolist() == rows["short"].tolist()


def test_numbers_come_back_to_the_last_digit(engine: sa.Engine, way: str) -> None:
    rows = pd.DataFrame(
        {
            "id": range(6),
            "floating": [0.1 + 0.2, -1e-300, 1.7976931348623157e308, 2.2250738585072014e-308, -0.0, None],
            "exact": [decimal.Decimal("12345678901234567890.123"), decimal.Decimal("-0.001"), 1, 0, 2.5, None],
            "long": pd.array([2**63 - 1, -(2**63), 0, 1, -1, None], dtype="Int64"),
            "small": [32767, -32768, 0, 1, None, None],
            "flag": pd.array([True, False, None, True, False, None], dtype="boolean"),
        }
    )
    table = table_of(
        sa.Column("floating", sa.Double()),
        sa.Column("exact", sa.Numeric(23, 3)),
        sa.Column("long", sa.BigInteger()),
        sa.Column("small", sa.SmallInteger()),
        sa.Column("flag", sa.Boolean()),
    )
    if engine.dialect.name == "sqlite":
        rows["exact"] = [1, 2.5, -0.001, 0, 3, None]  # SQLite has no exact numbers
    stored = round_trip(engine, table, rows, way)
    for column in ("floating", "long", "flag"):
        assert stored[column].equals(rows[column].astype(stored[column].dtype)), column
    expected = [None if pd.isna(v) else decimal.Decimal(str(v)) for v in rows["exact"]]
    assert stored["exact"].tolist() == expected
    assert stored["small"].tolist()[:4] == [32767, -32768, 0, 1]


def test_unsigned_numbers_reach_beyond_the_signed_ones(engine: sa.Engine, way: str) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite's integers are signed")
    table = table_of(sa.Column("big", mysql.BIGINT(unsigned=True)), sa.Column("tiny", mysql.TINYINT(unsigned=True)))
    rows = pd.DataFrame({"id": [1, 2], "big": pd.array([2**64 - 1, None], dtype="UInt64"), "tiny": [255, 0]})
    stored = round_trip(engine, table, rows, way)
    assert stored["big"].tolist()[0] == 2**64 - 1
    with pytest.raises(FrameError, match="tiny: out of the column's range"):
        write(engine, table, rows.assign(tiny=256), Upsert())


def test_dates_and_times_come_back_to_the_microsecond(engine: sa.Engine, way: str) -> None:
    rows = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "day": [dt.date(1000, 1, 1), dt.date(9999, 12, 31), None],
            "moment": [pd.Timestamp("2026-11-24T23:59:59.700001Z"), pd.Timestamp("1969-12-31T23:59:59Z"), pd.NaT],
            "clock": [dt.datetime(9999, 12, 31, 23, 59, 59, 999999), None, dt.datetime(2026, 3, 29, 2, 30)],
        }
    )
    table = table_of(
        sa.Column("day", sa.Date()),
        sa.Column("moment", UTCDateTime()),
        sa.Column("clock", sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")),
    )
    stored = round_trip(engine, table, rows, way)
    assert stored["day"].tolist() == rows["day"].tolist()
    assert stored["moment"].equals(rows["moment"].astype("datetime64[us, UTC]"))
    assert stored["clock"].equals(rows["clock"].astype("datetime64[us]"))


def test_a_fraction_that_the_column_does_not_hold_does_not_reach_the_next_day(engine: sa.Engine, way: str) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite's times have no precision of their own")
    declared = table_of(sa.Column("moment", UTCDateTime()))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INT PRIMARY KEY, moment DATETIME)")
    rows = pd.DataFrame({"id": [1], "moment": [pd.Timestamp("2026-11-24T23:59:59.7Z")]})
    assert write(engine, declared, rows, Upsert()).inserted == 1
    assert read(engine, declared)["moment"].tolist() == [pd.Timestamp("2026-11-24T23:59:59Z")]
    assert write(engine, declared, rows, Upsert()).unchanged == 1


NAMES = [
    "select",
    "order",
    "a b",
    "100%",
    "%s",
    "back`tick",
    'quo"te',
    "semi;colon",
    "日本",
    "_staged",
    "_is_new",
    "x" * 64,
]


def test_names_that_are_sql_are_only_names(engine: sa.Engine, way: str) -> None:
    """A colon is left out: SQLAlchemy takes ':name' in a column's name for a parameter."""
    table = table_of(*(sa.Column(name, sa.Integer()) for name in NAMES if name != "_is_new"), name="group by %s`")
    rows = pd.DataFrame(
        {"id": [1, 2], **{name: [number, None] for number, name in enumerate(NAMES) if name != "_is_new"}}
    )
    stored = round_trip(engine, table, rows, way)
    assert stored.columns.tolist() == rows.columns.tolist()
    assert stored.iloc[0].tolist() == rows.iloc[0].tolist()
    assert write(engine, table, rows.assign(select=7), Replace()).updated == 2
    assert write(engine, table, rows.head(1), Replace(by=("id",))).updated == 1
    assert write(engine, table, rows.head(1), Replace()).deleted == 1


def test_rows_that_the_database_takes_for_one_are_refused(engine: sa.Engine, way: str) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite compares byte by byte")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (name VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY)")
    table = sa.Table("t", sa.MetaData(), sa.Column("name", sa.String(20), primary_key=True))
    write(engine, table, pd.DataFrame({"name": ["Berlin"]}), Upsert())
    with pytest.raises(FrameError, match="Duplicate entry"):
        write(engine, table, pd.DataFrame({"name": ["Málaga", "malaga"]}), Upsert())
    assert read(engine, table)["name"].tolist() == ["Berlin"]


@pytest.mark.parametrize("kind", ["VARCHAR(3)", "TINYINT", "INT NOT NULL"])
def test_a_column_that_is_narrower_than_declared_refuses_rows_whole(engine: sa.Engine, way: str, kind: str) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite holds anything in any column")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE t (id INT PRIMARY KEY, v {kind})")
    table = table_of(sa.Column("v", sa.String(20) if "CHAR" in kind else sa.Integer()))
    good = pd.DataFrame({"id": [1], "v": ["abc" if "CHAR" in kind else 1]})
    bad = pd.DataFrame({"id": [1, 2], "v": [good["v"][0], {"VARCHAR(3)": "abcd", "TINYINT": 128}.get(kind)]})
    write(engine, table, good, Upsert())
    with pytest.raises(FrameError, match=r"(for|NOT NULL) column 'v'|'v' cannot be null"):
        write(engine, table, bad, Upsert())
    assert len(read(engine, table)) == 1


def test_a_frame_without_rows_travels_either_way(engine: sa.Engine, way: str) -> None:
    write(engine, places, frame(place("Berlin")))
    nothing = frame(place("Berlin")).iloc[:0]
    assert write(engine, places, nothing, Upsert()).staged_by == way
    assert write(engine, places, nothing, Append()).inserted == 0
    assert write(engine, places, nothing, Replace()).deleted == 1


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.tuples(st.none() | TEXT, st.none() | st.floats(allow_nan=False, allow_infinity=False))))
def test_any_text_and_number_comes_back(
    engine: sa.Engine, way: str, values: list[tuple[str | None, float | None]]
) -> None:
    table = table_of(sa.Column("text", sa.String(12)), sa.Column("number", sa.Double()))
    table.create(engine, checkfirst=True)
    rows = pd.DataFrame(
        {"id": range(len(values)), "text": [text for text, _ in values], "number": [number for _, number in values]}
    )
    write(engine, table, rows, Replace())
    stored = read(engine, table)
    assert [None if pd.isna(text) else text for text in stored["text"]] == [text for text, _ in values]
    assert [None if pd.isna(number) else number for number in stored["number"]] == [number for _, number in values]


def test_without_pyarrow_rows_travel_as_inserts_and_are_the_same(database_url: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "sys.modules['pyarrow'] = None\n"
        "from gans_pipeline_tests.storage.conftest import *\n"
        "from gans_pipeline_tests.storage.test_staging import TEXTS\n"
        "from gans_pipeline.storage.reader import read\n"
        "from gans_pipeline.storage.writer import write\n"
        "engine = create_engine(sys.argv[1])\n"
        "metadata.create_all(engine)\n"
        "rows = frame(*(place(text[:20]) for text in TEXTS if not text.endswith(' ')), place('none', people=None))\n"
        "assert rows['name'].dtype.storage == 'python'\n"
        "result = write(engine, places, rows)\n"
        "assert sorted(read(engine, places)['name']) == sorted(rows['name'])\n"
        "print(result.staged_by)\n"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, str(script), database_url],
        capture_output=True,
        text=True,
        cwd=root,
        env={"PYTHONPATH": str(root)},
    )
    assert ran.returncode == 0, ran.stderr
    reason = "SQLite has no LOAD DATA" if database_url.startswith("sqlite") else "pyarrow is not installed"
    assert ran.stdout.strip() == f"multi-row INSERT ({reason})"
    assert len(read(create_engine(database_url), places)) == len([t for t in TEXTS if not t.endswith(" ")]) + 1
