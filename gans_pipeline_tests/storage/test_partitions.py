"""Dagster partitions of every kind on every database: what is written, what is left alone, what is loaded."""

import datetime as dt
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.io_manager import MySQLIOManager
from gans_pipeline.storage.partitions import condition
from gans_pipeline.storage.reader import read, selection
from gans_pipeline.storage.table_metadata import shown_query
from gans_pipeline.storage.types import UTCDateTime
from gans_pipeline.storage.writer import write
from gans_pipeline_tests.storage.conftest import MYSQL
from gans_pipeline_tests.storage.test_io_manager import asset, error_of, load, manager_of, metadata_of, run, succeeded

metadata = sa.MetaData()

EXACT_TEXT = sa.String(60)
LENIENT_TEXT = sa.String(60).with_variant(sa.String(60, collation="NOCASE"), "sqlite")


def _table(name: str, *, keyed: bool = True, text: sa.String = EXACT_TEXT, **options: Any) -> sa.Table:
    """Return a table with a column of every kind that partitions can be told by, all of which may be NULL."""
    return sa.Table(
        name,
        metadata,
        sa.Column("number", sa.BigInteger(), primary_key=keyed, nullable=False, autoincrement=False),
        sa.Column("day", sa.Date()),
        sa.Column("taken_at", UTCDateTime()),
        sa.Column("clock", sa.DateTime()),
        sa.Column("label", text),
        sa.Column("size", sa.Integer()),
        sa.Column("open", sa.Boolean()),
        **options,
    )


readings = _table("readings", **MYSQL)
keyless = _table("keyless", keyed=False, **MYSQL)
# With the collation of a table that was made without a thought of one: 'red', 'RED' and 'réd' are the same to it.
lenient = _table("lenient", text=LENIENT_TEXT)

OCTOBER: dict[str, Any] = {"start_date": "2025-10-01", "end_date": "2025-12-01"}
DAYS = dg.DailyPartitionsDefinition(**OCTOBER)
COLOURS = dg.StaticPartitionsDefinition(["red", "yellow", "blue"])
GRID = dg.MultiPartitionsDefinition({"time": DAYS, "colour": COLOURS})
GRID_EXPR = {"time": "taken_at", "colour": "label"}
BERLIN_DAYS = dg.DailyPartitionsDefinition("2025-03-01", end_date="2025-12-01", timezone="Europe/Berlin")
BERLIN_HOURS = dg.HourlyPartitionsDefinition("2025-10-26-00:00", end_date="2025-10-27-00:00", timezone="Europe/Berlin")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database with an empty table of readings."""
    engine = create_engine(database_url)
    readings.create(engine)
    yield engine
    engine.dispose()


def reading(number: int, **values: Any) -> dict[str, Any]:
    """Return a row of any of the tables."""
    return {column.name: None for column in readings.columns} | {"number": number, **values}


def rows_of(*values: dict[str, Any], first: int = 0) -> pd.DataFrame:
    """Return rows with these values, numbered."""
    rows = [reading(number, **value) for number, value in enumerate(values, start=first)]
    return pd.DataFrame(rows, columns=list(readings.columns.keys()))


NOTHING = rows_of()


def here(engine: sa.Engine, **settings: Any) -> MySQLIOManager:
    """Return a manager of this module's tables."""
    return manager_of(engine, tables=f"{__name__}:metadata", **settings)


def partitioned(
    value: Any, definition: "dg.PartitionsDefinition[Any]", expr: Any, *, table: str = "readings", **options: Any
) -> dg.AssetsDefinition:
    """Return an asset that is partitioned by ``expr``."""
    given = {"partition_expr": expr, "table": table, **options.pop("metadata", {})}
    return asset("partitioned", value, partitions_def=definition, metadata=given, **options)


def materialize(engine: sa.Engine, definition: dg.AssetsDefinition, key: str | None, **options: Any) -> Any:
    """Materialize a partition of the asset."""
    return run(engine, definition, manager=here(engine), partition_key=key, **options)


def numbers(engine: sa.Engine, table: sa.Table = readings) -> list[int]:
    """Return the numbers of the rows that are stored."""
    return sorted(read(engine, table)["number"])


def utc(text: str) -> pd.Timestamp:
    """Return a moment."""
    return pd.Timestamp(text, tz="UTC")


class Case(NamedTuple):
    """A partition, and values that are in it and just beside it; NULL is always beside it."""

    definition: "dg.PartitionsDefinition[Any]"
    key: str
    expr: str
    inside: Sequence[dict[str, Any]]
    outside: Sequence[dict[str, Any]]

    def stored(self) -> pd.DataFrame:
        """Return all rows: those of the partition first."""
        return rows_of(*self.inside, *self.outside, {})

    def first_outside(self) -> int:
        """Return the number of the first row outside of the partition."""
        return len(self.inside)


def _values(column: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    return [{column: value} for value in values]


def _days(*days: str) -> list[dict[str, Any]]:
    return _values("day", [dt.date.fromisoformat(day) for day in days])


def _moments(*texts: str) -> list[dict[str, Any]]:
    return _values("taken_at", [utc(text) for text in texts])


CASES = {
    "days in a DATE column": Case(
        DAYS, "2025-10-26", "day", _days("2025-10-26"), _days("2025-10-25", "2025-10-27", "2024-10-26")
    ),
    "days in a DATETIME column": Case(
        DAYS,
        "2025-10-26",
        "taken_at",
        _moments("2025-10-26 00:00", "2025-10-26 23:59:59.999999"),
        _moments("2025-10-25 23:59:59.999999", "2025-10-27 00:00"),
    ),
    "days in a DATETIME column without a zone": Case(
        DAYS,
        "2025-10-26",
        "clock",
        _values("clock", [pd.Timestamp("2025-10-26 00:00"), pd.Timestamp("2025-10-26 23:59:59")]),
        _values("clock", [pd.Timestamp("2025-10-25 23:59:59"), pd.Timestamp("2025-10-27 00:00")]),
    ),
    "days in a text column": Case(
        DAYS,
        "2025-10-26",
        "label",
        _values("label", ["2025-10-26"]),
        _values("label", ["2025-10-25", "2025-10-2", "2025-10-26 00:00", "26.10.2025", ""]),
    ),
    "days by an SQL expression": Case(
        DAYS,
        "2025-10-26",
        "DATE(taken_at)",
        _moments("2025-10-26 00:00", "2025-10-26 23:59:59.999999"),
        _moments("2025-10-25 23:59:59.999999", "2025-10-27 00:00"),
    ),
    "days that begin at six": Case(
        dg.DailyPartitionsDefinition(**OCTOBER, hour_offset=6),
        "2025-10-26",
        "taken_at",
        _moments("2025-10-26 06:00", "2025-10-27 05:59:59.999999"),
        _moments("2025-10-26 05:59:59.999999", "2025-10-27 06:00"),
    ),
    "hours in a DATETIME column": Case(
        dg.HourlyPartitionsDefinition("2025-10-26-00:00", end_date="2025-10-27-00:00"),
        "2025-10-26-05:00",
        "taken_at",
        _moments("2025-10-26 05:00", "2025-10-26 05:59:59.999999"),
        _moments("2025-10-26 04:59:59.999999", "2025-10-26 06:00", "2025-10-25 05:00"),
    ),
    "hours by an SQL expression": Case(
        dg.HourlyPartitionsDefinition("2025-10-26-00:00", end_date="2025-10-27-00:00"),
        "2025-10-26-05:00",
        "COALESCE(taken_at, clock)",
        _moments("2025-10-26 05:00", "2025-10-26 05:59:59.999999"),
        _moments("2025-10-26 04:59:59.999999", "2025-10-26 06:00"),
    ),
    "weeks in a DATE column": Case(
        dg.WeeklyPartitionsDefinition(**OCTOBER),
        "2025-10-26",
        "day",
        _days("2025-10-26", "2025-11-01"),
        _days("2025-10-25", "2025-11-02"),
    ),
    "months in a DATE column": Case(
        dg.MonthlyPartitionsDefinition(**OCTOBER),
        "2025-10-01",
        "day",
        _days("2025-10-01", "2025-10-31"),
        _days("2025-09-30", "2025-11-01"),
    ),
    "months in a DATETIME column": Case(
        dg.MonthlyPartitionsDefinition(**OCTOBER),
        "2025-10-01",
        "taken_at",
        _moments("2025-10-01 00:00", "2025-10-31 23:59:59.999999"),
        _moments("2025-09-30 23:59:59.999999", "2025-11-01 00:00"),
    ),
    "a day of 25 hours in Berlin": Case(
        BERLIN_DAYS,
        "2025-10-26",
        "taken_at",
        _moments("2025-10-25 22:00", "2025-10-26 22:59:59.999999"),
        _moments("2025-10-25 21:59:59.999999", "2025-10-26 23:00"),
    ),
    "a day of 23 hours in Berlin": Case(
        BERLIN_DAYS,
        "2025-03-30",
        "taken_at",
        _moments("2025-03-29 23:00", "2025-03-30 21:59:59.999999"),
        _moments("2025-03-29 22:59:59.999999", "2025-03-30 22:00"),
    ),
    "a day in Berlin in a DATE column": Case(
        BERLIN_DAYS, "2025-10-26", "day", _days("2025-10-26"), _days("2025-10-25", "2025-10-27")
    ),
    "the first hour of two in Berlin": Case(
        BERLIN_HOURS,
        "2025-10-26-02:00",
        "taken_at",
        _moments("2025-10-26 00:00", "2025-10-26 00:59:59.999999"),
        _moments("2025-10-25 23:59:59.999999", "2025-10-26 01:00"),
    ),
    "the second hour of two in Berlin": Case(
        BERLIN_HOURS,
        "2025-10-26-02:00+0100",
        "taken_at",
        _moments("2025-10-26 01:00", "2025-10-26 01:59:59.999999"),
        _moments("2025-10-26 00:59:59.999999", "2025-10-26 02:00"),
    ),
    "names": Case(
        COLOURS, "red", "label", _values("label", ["red"]), _values("label", ["RED", "réd", "redd", "re", "", "blue"])
    ),
    "names by an SQL expression": Case(
        dg.StaticPartitionsDefinition(["RED", "BLUE"]),
        "RED",
        "UPPER(label)",
        _values("label", ["red", "Red", "RED"]),
        _values("label", ["blue", "redd"]),
    ),
    "whole numbers": Case(
        dg.StaticPartitionsDefinition(["1", "10", "-1"]),
        "1",
        "size",
        _values("size", [1]),
        _values("size", [10, 0, -1]),
    ),
    "dates by name": Case(
        dg.StaticPartitionsDefinition(["2025-10-26", "2025-10-27"]),
        "2025-10-26",
        "day",
        _days("2025-10-26"),
        _days("2025-10-25", "2025-10-27"),
    ),
    "true and false": Case(
        dg.StaticPartitionsDefinition(["true", "false"]),
        "false",
        "open",
        _values("open", [False]),
        _values("open", [True]),
    ),
    "years in a column of whole numbers": Case(
        dg.TimeWindowPartitionsDefinition(start="2023", fmt="%Y", cron_schedule="0 0 1 1 *"),
        "2024",
        "size",
        _values("size", [2024]),
        _values("size", [2023, 2025, 24]),
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_an_empty_frame_empties_exactly_the_partition(engine: sa.Engine, what: str) -> None:
    case = CASES[what]
    write(engine, readings, case.stored())
    result = materialize(engine, partitioned(NOTHING, case.definition, case.expr), case.key)
    succeeded(result)
    assert numbers(engine) == list(range(case.first_outside(), len(case.stored())))
    assert metadata_of(result, "partitioned")["rows_deleted"] == len(case.inside)


@pytest.mark.parametrize("what", CASES)
def test_rows_beside_the_partition_are_refused_and_nothing_is_written(engine: sa.Engine, what: str) -> None:
    case = CASES[what]
    kept = rows_of(*case.inside, first=100)
    write(engine, readings, kept)
    reason = error_of(materialize(engine, partitioned(case.stored(), case.definition, case.expr), case.key))
    outside = range(case.first_outside(), len(case.stored()))
    assert "rows are outside of the partition that is written (number=" in reason
    shown = {int(number) for number in re.findall(r"number=(\d+)", reason)}
    assert shown <= set(outside)
    assert len(shown) == min(len(outside), 3)
    assert ("and more" in reason) == (len(outside) > 3)
    assert numbers(engine) == kept["number"].tolist()


@pytest.mark.parametrize("what", CASES)
def test_a_downstream_partition_and_the_query_that_is_shown_give_exactly_its_rows(engine: sa.Engine, what: str) -> None:
    case = CASES[what]
    write(engine, readings, case.stored())
    received = []

    @dg.asset(partitions_def=case.definition)
    def downstream(partitioned: pd.DataFrame) -> None:
        received.append(partitioned["number"].tolist())

    offered = case.stored().iloc[: case.first_outside()]
    upstream = partitioned(offered, case.definition, case.expr)
    result = run(engine, upstream, downstream, manager=here(engine), partition_key=case.key)
    assert received == [offered["number"].tolist()]
    found = metadata_of(result, "partitioned")
    assert [row[0] for row in pasted(engine, found["Query"])] == received[0]
    assert found["dagster/partition_row_count"] == len(offered)
    assert found["dagster/row_count"] == len(case.stored())


def pasted(engine: sa.Engine, shown: str) -> list[Any]:
    """Return the rows of a query as somebody gets them who pastes it into a client, with its own settings."""
    client = sa.create_engine(engine.url, poolclass=sa.NullPool).raw_connection()
    try:
        cursor = client.cursor()
        cursor.execute(shown.removeprefix("```sql\n").removesuffix("\n```"))
        return list(cursor.fetchall())
    finally:
        client.close()


@pytest.mark.parametrize(
    ("definition", "expr", "one", "other"),
    [
        (DAYS, "taken_at", "2025-10-24", "2025-10-25"),
        (DAYS, "day", "2025-10-24", "2025-10-25"),
        (COLOURS, "colour", "red", "yellow"),
        (
            GRID,
            {"time": "day", "colour": "colour"},
            dg.MultiPartitionKey({"time": "2025-10-24", "colour": "red"}),
            dg.MultiPartitionKey({"time": "2025-10-24", "colour": "yellow"}),
        ),
    ],
    ids=["days as times", "days", "colours", "grid"],
)
def test_a_table_that_no_metadata_declares_is_partitioned_too(
    engine: sa.Engine, definition: "dg.PartitionsDefinition[Any]", expr: Any, one: str, other: str
) -> None:
    manager = manager_of(engine, tables=None)
    for key, value in ((one, 1), (other, 2), (one, 3), (one, 3)):
        day = next((part for part in key.split("|") if part.startswith("2025")), "2025-10-01")
        colour = next((part for part in key.split("|") if not part.startswith("2025")), "red")
        row = {"taken_at": utc(f"{day} 23:59:59.999999"), "day": dt.date.fromisoformat(day), "colour": colour}
        frame = pd.DataFrame([{**row, "value": value}] * 2)
        grown = partitioned(frame, definition, expr, table="grown")
        succeeded(run(engine, grown, manager=manager, partition_key=key))
    with engine.connect() as connection:
        assert sorted(connection.scalars(sa.text("SELECT value FROM grown"))) == [2, 2, 3, 3]


def test_a_column_that_the_database_computes_tells_partitions_apart(engine: sa.Engine) -> None:
    computed = sa.Table(
        "computed",
        sa.MetaData(),
        sa.Column("number", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("taken_at", UTCDateTime()),
        sa.Column("day", sa.Date(), sa.Computed("DATE(taken_at)")),
        **MYSQL,
    )
    computed.create(engine)
    rows = rows_of(*_moments("2025-10-24 12:00", "2025-10-25 12:00", "2025-10-25 23:59"))[["number", "taken_at"]]
    write(engine, computed, rows)
    manager = manager_of(engine, tables=None)
    for offered, key in ((rows.iloc[1:2], "2025-10-25"), (rows.iloc[:1], "2025-10-24")):
        succeeded(run(engine, partitioned(offered, DAYS, "day", table="computed"), manager=manager, partition_key=key))
    assert numbers(engine, computed) == [0, 1]
    wrong = partitioned(rows.iloc[:1], DAYS, "day", table="computed")
    result = run(engine, wrong, manager=manager, partition_key="2025-10-25")
    assert "outside of the partition that is written (number=0" in error_of(result)


def test_a_partition_without_a_key_is_replaced_as_a_whole(engine: sa.Engine) -> None:
    keyless.create(engine)
    write(engine, keyless, rows_of({"label": "red"}, {"label": "red"}, {"label": "blue"}, {}))
    red = partitioned(rows_of({"label": "red"}, first=10), COLOURS, "label", table="keyless")
    for _ in range(2):
        succeeded(materialize(engine, red, "red"))
        assert numbers(engine, keyless) == [2, 3, 10]


def test_a_partition_that_is_written_again_changes_only_what_differs(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"label": "red", "size": 1}, {"label": "red", "size": 2}, {"label": "blue"}))
    again = pd.concat([rows_of({"label": "red", "size": 1}), rows_of({"label": "red"}, {"label": "red"}, first=9)])
    result = materialize(engine, partitioned(again, COLOURS, "label"), "red")
    found = metadata_of(result, "partitioned")
    assert [found[f"rows_{name}"] for name in ("inserted", "updated", "unchanged", "deleted")] == [2, 0, 1, 1]
    assert numbers(engine) == [0, 2, 9, 10]


def test_a_row_whose_key_another_partition_has_moves(engine: sa.Engine) -> None:
    """A key is in the table once: a flight that is delayed past midnight leaves the day that it was in."""
    write(engine, readings, rows_of({"label": "red"}, {"label": "blue"}))
    result = succeeded(materialize(engine, partitioned(rows_of({"label": "blue"}), COLOURS, "label"), "blue"))
    assert read(engine, readings)["label"].tolist() == ["blue"]
    found = metadata_of(result, "partitioned")
    assert (found["rows_updated"], found["rows_deleted"]) == (1, 1)


DELICATE = [
    "it's",
    'say "hi"',
    "`tick`",
    "100 %",
    "100 %%",
    "100 %s",
    "%(x)s",
    ":x",
    "a_b",
    "axb",
    "back\\slash",
    "back\\\\slash",
    "\\",
    "'; DROP TABLE readings; --",
    "NULL",
    "Málaga",
    "Malaga",
    "malaga",
    "ß",
    "ss",
    "東京",
    "🛴",
    "a b",
    " a b",
    "1e1",
    "10",
    "0x0A",
]
NAMES = dg.StaticPartitionsDefinition(DELICATE)


@pytest.mark.parametrize("table", [readings, lenient], ids=str)
def test_partitions_whose_names_look_alike_are_told_apart(engine: sa.Engine, table: sa.Table) -> None:
    table.create(engine, checkfirst=True)
    write(engine, table, rows_of(*_values("label", DELICATE)))
    wrong = {}
    for number, key in enumerate(DELICATE):
        where = condition(NAMES, [key], {"": "label"}, table)
        query = shown_query(engine, selection(table, ["number"], where))
        found = (read(engine, table, ["number"], where)["number"].tolist(), [row[0] for row in pasted(engine, query)])
        if found != ([number], [number]):
            wrong[key] = found
    assert wrong == {}


@pytest.mark.parametrize(
    ("table", "key"),
    [(readings, "100 %%"), (readings, "back\\slash"), (keyless, "%(x)s"), (keyless, "it's"), (lenient, "malaga")],
    ids=str,
)
def test_a_partition_of_any_name_is_replaced_alone(engine: sa.Engine, table: sa.Table, key: str) -> None:
    table.create(engine, checkfirst=True)
    write(engine, table, rows_of(*_values("label", DELICATE)))
    again = rows_of({"label": key}, first=100)
    succeeded(materialize(engine, partitioned(again, NAMES, "label", table=table.name), key))
    others = [number for number in range(len(DELICATE)) if DELICATE[number] != key]
    assert numbers(engine, table) == [*others, 100]


def test_names_that_differ_by_a_space_at_their_end_are_kept_apart(engine: sa.Engine) -> None:
    """What MySQL and MariaDB compare as text they fill up with spaces first."""
    write(engine, readings, rows_of({"label": "red"}, {"label": "red "}))
    both = dg.StaticPartitionsDefinition(["red", "red "])
    result = materialize(engine, partitioned(NOTHING, both, "label"), "red")
    succeeded(result)
    assert numbers(engine) == [1]


def test_red_is_replaced_and_other_reds_stay_where_the_column_takes_them_for_the_same(engine: sa.Engine) -> None:
    lenient.create(engine)
    write(engine, lenient, rows_of({"label": "RED"}, {"label": "red"}, {"label": "Red"}, {"label": "réd"}))
    red = partitioned(rows_of({"label": "red"}, first=9), COLOURS, "label", table="lenient")
    succeeded(materialize(engine, red, "red"))
    assert numbers(engine, lenient) == [0, 2, 3, 9]
    wrong = partitioned(rows_of({"label": "RED"}, first=10), COLOURS, "label", table="lenient")
    assert "outside of the partition that is written (number=10, label=RED)" in error_of(
        materialize(engine, wrong, "red")
    )


def test_a_key_that_the_column_takes_for_another_is_stored_as_it_was_written(engine: sa.Engine) -> None:
    """A key is in the table once: the row leaves the partition of 'RED', as any row does whose partition changes."""
    colours = sa.Table(
        "colours",
        sa.MetaData(),
        sa.Column("label", LENIENT_TEXT, primary_key=True),
        sa.Column("size", sa.Integer()),
    )
    colours.create(engine)
    write(engine, colours, pd.DataFrame({"label": ["RED", "blue"], "size": [1, 1]}))
    manager = manager_of(engine, tables=None)
    for size in (2, 2):
        row = pd.DataFrame({"label": ["red"], "size": [size]})
        succeeded(
            run(engine, partitioned(row, COLOURS, "label", table="colours"), manager=manager, partition_key="red")
        )
        assert read(engine, colours).to_dict("list") == {"label": ["blue", "red"], "size": [1, 2]}


def test_a_key_that_is_no_value_of_the_column_is_refused(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"size": 1}))
    sizes = dg.StaticPartitionsDefinition(["large"])
    reason = error_of(materialize(engine, partitioned(NOTHING, sizes, "size"), "large"))
    assert "partition key 'large' is no value of column size (INTEGER)" in reason
    assert numbers(engine) == [0]


def test_hours_in_a_column_of_dates_are_refused(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"day": dt.date(2025, 10, 26)}))
    reason = error_of(materialize(engine, partitioned(NOTHING, BERLIN_HOURS, "day"), "2025-10-26-05:00"))
    assert "column day holds dates, which do not tell apart partitions that begin at 05:00:00" in reason
    assert numbers(engine) == [0]


def test_dynamic_partitions_are_kept_apart(engine: sa.Engine) -> None:
    fruits = dg.DynamicPartitionsDefinition(name="fruits")
    write(engine, readings, rows_of({"label": "apple"}, {"label": "Apple"}, {"label": "orange"}))
    with dg.DagsterInstance.ephemeral() as instance:
        for number, fruit in enumerate(["apple", "it's 100 % plum"], start=10):
            instance.add_dynamic_partitions("fruits", [fruit])
            grown = partitioned(rows_of({"label": fruit}, first=number), fruits, "label")
            succeeded(materialize(engine, grown, fruit, instance=instance))
    assert numbers(engine) == [1, 2, 10, 11]


GRID_VALUES = [
    {"taken_at": utc(f"2025-10-2{day} 12:00"), "label": colour} for day in range(4, 7) for colour in ("red", "blue")
]


@pytest.mark.parametrize(
    "expr",
    [GRID_EXPR, {"time": "DATE(taken_at)", "colour": "TRIM(label)"}, {"colour": "label", "time": "taken_at"}],
    ids=["columns", "expressions", "another order"],
)
def test_a_partition_of_two_dimensions_is_one_cell_of_the_grid(engine: sa.Engine, expr: dict[str, str]) -> None:
    write(engine, readings, rows_of(*GRID_VALUES, {"label": "red"}, {"taken_at": utc("2025-10-25 12:00")}))
    cell = dg.MultiPartitionKey({"time": "2025-10-25", "colour": "red"})
    again = rows_of({"taken_at": utc("2025-10-25 13:00"), "label": "red"}, first=20)
    for _ in range(2):
        result = materialize(engine, partitioned(again, GRID, expr), cell)
        assert numbers(engine) == [0, 1, 3, 4, 5, 6, 7, 20]
    found = metadata_of(result, "partitioned")
    assert [row[0] for row in pasted(engine, found["Query"])] == [20]
    assert found["dagster/partition_row_count"] == 1


@pytest.mark.parametrize("wrong", [{"label": "blue"}, {"taken_at": utc("2025-10-26 12:00")}, {"label": None}], ids=str)
def test_a_row_that_is_beside_the_cell_in_either_dimension_is_refused(engine: sa.Engine, wrong: dict[str, Any]) -> None:
    cell = dg.MultiPartitionKey({"time": "2025-10-25", "colour": "red"})
    value = {"taken_at": utc("2025-10-25 12:00"), "label": "red", **wrong}
    reason = error_of(materialize(engine, partitioned(rows_of(value), GRID, GRID_EXPR), cell))
    assert "rows are outside of the partition that is written (number=0, taken_at=" in reason
    assert numbers(engine) == []


def test_any_selection_of_a_grid_is_exactly_its_cells(engine: sa.Engine) -> None:
    """All 64 sets of six cells: among them rectangles, holes, and none at all."""
    write(engine, readings, rows_of(*GRID_VALUES))
    cells = [
        dg.MultiPartitionKey({"time": f"2025-10-2{day}", "colour": colour})
        for day in range(4, 7)
        for colour in ("red", "blue")
    ]
    with engine.connect() as connection:
        for chosen in itertools.product([False, True], repeat=len(cells)):
            keys = [cell for cell, is_chosen in zip(cells, chosen, strict=True) if is_chosen]
            query = sa.select(readings.c.number).order_by(readings.c.number)
            found = connection.scalars(query.where(condition(GRID, keys, GRID_EXPR, readings)(readings))).all()
            assert found == [number for number, is_chosen in enumerate(chosen) if is_chosen]


def test_no_partition_at_all_has_no_rows(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"day": dt.date(2025, 10, 25), "taken_at": utc("2025-10-25"), "label": "red"}))
    selections: list[tuple[dg.PartitionsDefinition[Any], Any]] = [
        (DAYS, {"": "day"}),
        (DAYS, {"": "DATE(taken_at)"}),
        (COLOURS, {"": "label"}),
        (COLOURS, {"": "size"}),
        (GRID, GRID_EXPR),
    ]
    for definition, expressions in selections:
        assert read(engine, readings, where=condition(definition, [], expressions, readings)).empty, expressions


@pytest.mark.parametrize("expr", ["taken_at", "day", "label", "DATE(taken_at)"])
def test_a_selection_of_days_may_have_holes_and_any_order(engine: sa.Engine, expr: str) -> None:
    days = [dt.date(2025, 10, day) for day in range(20, 27)]
    write(
        engine,
        readings,
        rows_of(*({"taken_at": utc(f"{day} 12:00"), "day": day, "label": str(day)} for day in days)),
    )
    keys = ["2025-10-26", "2025-10-20", "2025-10-23", "2025-10-22"]
    found = read(engine, readings, where=condition(DAYS, keys, {"": expr}, readings))
    assert found["number"].tolist() == [0, 2, 3, 6]


def test_hours_that_a_clock_shows_twice_are_told_apart_in_a_selection(engine: sa.Engine) -> None:
    hours = ["2025-10-26-01:00", "2025-10-26-02:00", "2025-10-26-02:00+0100", "2025-10-26-03:00"]
    moments = ["2025-10-25 23:30", "2025-10-26 00:30", "2025-10-26 01:30", "2025-10-26 02:30"]
    write(engine, readings, rows_of(*_moments(*moments)))
    wrong = {}
    for number in range(1, 4):
        for chosen in itertools.permutations(range(4), number):
            keys = [hours[hour] for hour in chosen]
            found = read(engine, readings, where=condition(BERLIN_HOURS, keys, {"": "taken_at"}, readings))
            if found["number"].tolist() != sorted(chosen):
                wrong[chosen] = found["number"].tolist()
    assert wrong == {}


def test_a_year_of_days_is_one_range_for_the_server() -> None:
    keys = dg.DailyPartitionsDefinition("2024-01-01", end_date="2025-01-01").get_partition_keys()
    assert len(keys) == 366
    year = condition(dg.DailyPartitionsDefinition("2024-01-01"), keys, {"": "taken_at"}, readings)(readings)
    assert str(year).count("readings.taken_at") == 2


RANGE = {"dagster/asset_partition_range_start": "2025-10-24", "dagster/asset_partition_range_end": "2025-10-26"}
SINGLE_RUN: dict[str, Any] = {"backfill_policy": dg.BackfillPolicy.single_run()}


@pytest.mark.parametrize("expr", ["day", "taken_at", "label", "DATE(taken_at)"])
def test_a_range_is_replaced_in_one_run_and_its_neighbours_stay(engine: sa.Engine, expr: str) -> None:
    def on(day: int) -> dict[str, Any]:
        date = dt.date(2025, 10, day)
        return {"day": date, "taken_at": utc(f"{date} 12:00"), "label": str(date)}

    write(engine, readings, rows_of(*map(on, range(23, 28))))
    again = rows_of(on(25), on(26), first=10)
    result = materialize(engine, partitioned(again, DAYS, expr, **SINGLE_RUN), None, tags=RANGE)
    succeeded(result)
    assert numbers(engine) == [0, 4, 10, 11]
    (first, *_) = result.asset_materializations_for_node("partitioned")
    assert [row[0] for row in pasted(engine, str(first.metadata["Query"].value))] == [10, 11]
    assert [event.partition for event in result.asset_materializations_for_node("partitioned")] == [
        "2025-10-24",
        "2025-10-25",
        "2025-10-26",
    ]


@pytest.mark.parametrize("day", [23, 27])
def test_a_row_beside_the_range_is_refused(engine: sa.Engine, day: int) -> None:
    rows = rows_of({"day": dt.date(2025, 10, 25)}, {"day": dt.date(2025, 10, day)})
    reason = error_of(materialize(engine, partitioned(rows, DAYS, "day", **SINGLE_RUN), None, tags=RANGE))
    assert f"outside of the partition that is written (number=1, day=2025-10-{day})" in reason
    assert numbers(engine) == []


def test_a_range_of_names_is_replaced_in_one_run(engine: sa.Engine) -> None:
    write(engine, readings, rows_of(*_values("label", ["red", "yellow", "blue", "Yellow"])))
    tags = {"dagster/asset_partition_range_start": "yellow", "dagster/asset_partition_range_end": "blue"}
    again = rows_of({"label": "blue"}, first=10)
    succeeded(materialize(engine, partitioned(again, COLOURS, "label", **SINGLE_RUN), None, tags=tags))
    assert numbers(engine) == [0, 3, 10]


def test_groups_inside_a_partition_are_replaced_by_an_sql_expression_too(engine: sa.Engine) -> None:
    """Both conditions are about the same columns, in one statement."""
    day = utc("2025-10-25 12:00")
    write(
        engine,
        readings,
        rows_of(
            {"taken_at": day, "label": "red"},
            {"taken_at": day, "label": "blue"},
            {"taken_at": utc("2025-10-26"), "label": "red"},
        ),
    )
    again = rows_of({"taken_at": day, "label": "red"}, first=10)
    grouped = {"write_mode": "replace", "replace_by": ["label", "taken_at"]}
    result = materialize(engine, partitioned(again, DAYS, "DATE(taken_at)", metadata=grouped), "2025-10-25")
    succeeded(result)
    assert numbers(engine) == [1, 2, 10]


def test_an_upsert_into_a_partition_deletes_nothing(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"label": "red"}, {"label": "blue"}))
    more = partitioned(rows_of({"label": "red"}, first=5), COLOURS, "label", metadata={"write_mode": "upsert"})
    succeeded(materialize(engine, more, "red"))
    assert numbers(engine) == [0, 1, 5]


SOURCE_GRID = dg.AssetSpec("readings", partitions_def=GRID, metadata={"partition_expr": GRID_EXPR, "table": "readings"})
SOURCE_DAYS = dg.AssetSpec(
    "readings", partitions_def=DAYS, metadata={"partition_expr": "taken_at", "table": "readings"}
)
SOURCE_COLOURS = dg.AssetSpec(
    "readings", partitions_def=COLOURS, metadata={"partition_expr": "label", "table": "readings"}
)


def test_a_day_loads_that_day_of_every_colour(engine: sa.Engine) -> None:
    write(engine, readings, rows_of(*GRID_VALUES))
    mapping = dg.MultiToSingleDimensionPartitionMapping(partition_dimension_name="time")
    day = "2025-10-25"
    found = load(here(engine), SOURCE_GRID, partition_mapping=mapping, partitions_def=DAYS, partition_key=day)
    assert found["number"].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("source", "expected"),
    [(SOURCE_GRID, [0, 1, 2, 3, 4, 5]), (SOURCE_DAYS, [0, 1, 2, 3, 4, 5, 6]), (SOURCE_COLOURS, [*range(6), 7])],
    ids=["grid", "days", "colours"],
)
@pytest.mark.parametrize("mapping", [None, dg.AllPartitionMapping()], ids=["by default", "all"])
def test_an_asset_without_partitions_loads_all_of_them(
    engine: sa.Engine, source: dg.AssetSpec, expected: list[int], mapping: dg.PartitionMapping | None
) -> None:
    write(engine, readings, rows_of(*GRID_VALUES, {"taken_at": utc("2025-10-25")}, {"label": "red"}, {}))
    found = load(here(engine), source, partition_mapping=mapping)
    assert found["number"].tolist() == expected


def test_the_last_partition_can_be_loaded_alone(engine: sa.Engine) -> None:
    write(engine, readings, rows_of(*_moments("2025-11-29", "2025-11-30", "2025-11-30 23:59", "2025-12-01")))
    found = load(here(engine), SOURCE_DAYS, partition_mapping=dg.LastPartitionMapping())
    assert found["number"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("source", "keys", "expected"),
    [
        (SOURCE_DAYS, ["2025-10-24", "2025-10-26"], [0, 1, 4, 5]),
        (SOURCE_COLOURS, ["red", "yellow"], [0, 2, 4]),
        (SOURCE_GRID, ["red|2025-10-24", "blue|2025-10-25", "blue|2025-10-26"], [0, 3, 5]),
    ],
    ids=["days", "colours", "grid"],
)
def test_partitions_are_loaded_without_those_between_them(
    engine: sa.Engine, source: dg.AssetSpec, keys: list[str], expected: list[int]
) -> None:
    write(engine, readings, rows_of(*GRID_VALUES))
    mapping = dg.SpecificPartitionsPartitionMapping(keys)
    found = load(here(engine), source, partition_mapping=mapping)
    assert found["number"].tolist() == expected


def test_a_month_loads_its_days(engine: sa.Engine) -> None:
    write(engine, readings, rows_of(*_moments("2025-10-01", "2025-10-31 23:59", "2025-11-01")))
    months = dg.MonthlyPartitionsDefinition(**OCTOBER)
    found = load(here(engine), SOURCE_DAYS, partitions_def=months, partition_key="2025-10-01")
    assert found["number"].tolist() == [0, 1]


def test_names_are_mapped_to_other_names(engine: sa.Engine) -> None:
    write(engine, readings, rows_of(*GRID_VALUES))
    mapping = dg.StaticPartitionMapping({"red": "warm", "yellow": "warm", "blue": "cold"})
    temperatures = dg.StaticPartitionsDefinition(["warm", "cold"])
    found = load(
        here(engine), SOURCE_COLOURS, partition_mapping=mapping, partitions_def=temperatures, partition_key="cold"
    )
    assert found["number"].tolist() == [1, 3, 5]


def _remembering(
    expr: Any, days: "dg.PartitionsDefinition[Any]", mapping: dg.PartitionMapping
) -> tuple[Any, list[Any]]:
    """Return an asset that loads its own day before, and a list of what it gets."""
    received: list[pd.DataFrame] = []

    @dg.asset(
        partitions_def=days,
        ins={"remembering": dg.AssetIn(partition_mapping=mapping)},
        metadata={"table": "readings", "partition_expr": expr},
    )
    def remembering(context: dg.AssetExecutionContext, remembering: pd.DataFrame) -> pd.DataFrame:
        received.append(remembering)
        date = context.partition_key.split("|")[-1]
        return rows_of({"taken_at": utc(date), "label": "red"}, first=int(date[-2:]))

    return remembering, received


BEFORE = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def test_an_asset_loads_its_own_partition_before_and_nothing_before_the_first(engine: sa.Engine) -> None:
    remembering, received = _remembering("taken_at", DAYS, BEFORE)
    for day in ("2025-10-01", "2025-10-02", "2025-10-03"):
        succeeded(materialize(engine, remembering, day))
    assert [frame["number"].tolist() for frame in received] == [[], [1], [2]]
    assert received[0].dtypes.to_dict() == received[1].dtypes.to_dict()
    assert str(received[0]["size"].dtype) == "Int64"
    assert str(received[0]["taken_at"].dtype) == "datetime64[us, UTC]"


def test_portions_before_the_first_partition_are_an_empty_frame(engine: sa.Engine) -> None:
    received = []

    @dg.asset(
        name="readings",
        partitions_def=DAYS,
        ins={"before": dg.AssetIn("readings", partition_mapping=BEFORE, metadata={"portion_rows": 10})},
        metadata={"partition_expr": "taken_at"},
    )
    def remembering(context: dg.AssetExecutionContext, before: Any) -> pd.DataFrame:
        received.append([portion["number"].tolist() for portion in before])
        return rows_of({"taken_at": utc(context.partition_key)}, first=int(context.partition_key[-2:]))

    for day in ("2025-10-01", "2025-10-02"):
        succeeded(materialize(engine, remembering, day))
    assert received == [[[]], [[1]]]


def test_an_asset_of_two_dimensions_loads_nothing_before_its_first_partition(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"taken_at": utc("2025-10-20"), "label": "blue"}))
    mapping = dg.MultiPartitionMapping({"time": dg.DimensionPartitionMapping("time", BEFORE)})
    remembering, received = _remembering(GRID_EXPR, GRID, mapping)
    for day in ("2025-10-01", "2025-10-02"):
        succeeded(materialize(engine, remembering, dg.MultiPartitionKey({"time": day, "colour": "red"})))
    assert [frame["number"].tolist() for frame in received] == [[], [1]]


@pytest.mark.parametrize("is_declared", [True, False], ids=["declared", "undeclared"])
def test_the_first_partition_of_an_asset_that_loads_itself_needs_no_table(database_url: str, is_declared: bool) -> None:
    engine = create_engine(database_url)
    received: list[pd.DataFrame] = []
    columns = list(readings.columns.keys()) if is_declared else ["number", "taken_at", "label"]

    @dg.asset(
        name="readings",
        partitions_def=DAYS,
        ins={"before": dg.AssetIn("readings", partition_mapping=BEFORE)},
        metadata={"partition_expr": "taken_at"},
    )
    def remembering(context: dg.AssetExecutionContext, before: pd.DataFrame) -> pd.DataFrame:
        received.append(before)
        date = context.partition_key
        return rows_of({"taken_at": utc(date), "label": "red"}, first=int(date[-2:]))[columns]

    manager = manager_of(engine, tables=f"{__name__}:metadata" if is_declared else None)
    for day in ("2025-10-01", "2025-10-02"):
        succeeded(run(engine, remembering, manager=manager, partition_key=day))
    assert [len(frame) for frame in received] == [0, 1]


WRONG_EXPRESSIONS: dict[str, tuple[Any, Any, str]] = {
    "none": (DAYS, None, "partition_expr is None: name the column of each dimension"),
    "none for a grid": (GRID, None, "partition_expr is None: name the column of each dimension"),
    "one for a grid": (GRID, "taken_at", "partition_expr is 'taken_at'"),
    "a missing dimension": (GRID, {"time": "taken_at"}, "partition_expr is {'time': 'taken_at'}"),
    "a dimension too many": (GRID, {**GRID_EXPR, "shape": "label"}, "'shape': 'label'"),
    "another dimension": (GRID, {"time": "taken_at", "color": "label"}, "'color': 'label'"),
    "a mapping for one": (DAYS, {"time": "taken_at"}, "partition_expr is {'time': 'taken_at'}"),
    "an empty text": (DAYS, "", "partition_expr is ''"),
    "no column": (DAYS, "dya", "is partitioned by dya, which is no column of table readings: number, day"),
    "no column in one dimension": (
        GRID,
        {**GRID_EXPR, "colour": "color"},
        "is partitioned by color, which is no column",
    ),
}


@pytest.mark.parametrize("what", WRONG_EXPRESSIONS)
def test_a_wrong_expression_is_refused_before_anything_runs(what: str) -> None:
    definition, expr, message = WRONG_EXPRESSIONS[what]
    manager = MySQLIOManager(url=dg.EnvVar("NOT_SET"), tables=f"{__name__}:metadata")
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="asset partitioned is partitioned") as caught:
        dg.map_asset_specs(manager.describe, [partitioned(NOTHING, definition, expr)])
    assert message in str(caught.value)


def test_wrong_expressions_are_refused_when_they_were_not_described(engine: sa.Engine) -> None:
    write(engine, readings, rows_of({"day": dt.date(2025, 10, 25)}))
    for definition, expr, message in WRONG_EXPRESSIONS.values():
        is_grid = isinstance(definition, dg.MultiPartitionsDefinition)
        key = dg.MultiPartitionKey({"time": "2025-10-25", "colour": "red"}) if is_grid else "2025-10-25"
        reason = error_of(materialize(engine, partitioned(NOTHING, definition, expr), key))
        assert "asset partitioned is partitioned" in reason
        assert message in reason
    assert numbers(engine) == [0]
