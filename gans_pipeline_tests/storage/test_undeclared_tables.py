"""Tables that no MetaData declares, what happens when a frame and its table drift apart, audit columns, and ops."""

import datetime as dt
import decimal
import threading
from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from gans_pipeline.storage import schema
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.io_manager import MySQLIOManager
from gans_pipeline.storage.reader import read
from gans_pipeline_tests.storage import conftest
from gans_pipeline_tests.storage.conftest import frame, place
from gans_pipeline_tests.storage.test_io_manager import (
    asset,
    error_of,
    failure_of,
    load,
    manager_of,
    messages_of,
    metadata_of,
    run,
    succeeded,
)

DECLARED = f"{conftest.__name__}:metadata"
KEY = {"primary_key": ["name"]}


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on an empty database."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def other_database(engine: sa.Engine) -> Iterator[str]:
    """The name of another database on the same server."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no databases beside each other")
    name = f"{engine.url.database}_other"
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield name
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")


def undeclared(engine: sa.Engine, **settings: Any) -> MySQLIOManager:
    """Return a manager that knows of no tables."""
    return manager_of(engine, tables=None, **settings)


def stored(engine: sa.Engine, name: str, database: str | None = None) -> sa.Table:
    """Return the table as the database has it."""
    table = schema.reflect(engine, name, database)
    assert table is not None
    return table


def records(engine: sa.Engine, name: str, order_by: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table as the driver gives them."""
    quote = engine.dialect.identifier_preparer.quote
    with engine.connect() as connection:
        query = f"SELECT * FROM {quote(name)} ORDER BY {quote(order_by)}"
        return [tuple(row) for row in connection.exec_driver_sql(query)]


BERLIN = {"name": "Berlin", "people": 3_700_000, "height_m": 34.5}
PARIS = {"name": "Paris", "people": 2_100_000, "height_m": 35.0}

EVERYTHING = pd.DataFrame(
    {
        "whole": [2**53 + 1, -(2**63)],
        "whole_or_nothing": pd.array([2**53 + 1, None], dtype="Int64"),
        "unsigned": np.array([0, 2**32 - 1], dtype="uint32"),
        "fraction": [1 / 3, 1e-13],
        "small_fraction": np.array([0.5, -2.25], dtype="float32"),
        "whole_and_fraction": pd.Series([1, 2.5], dtype=object),
        "flag": [True, False],
        "flag_or_nothing": pd.array([True, None], dtype="boolean"),
        "text": ["Málaga 🛴", "it's 100 %"],
        "long_text": ["x" * 60_000, ""],
        "text_or_nothing": pd.Series(["a", None], dtype=object),
        "category": pd.Categorical(["b", None]),
        "moment": pd.Series([pd.Timestamp("2026-11-23T12:00:00.000001Z"), pd.NaT]),
        "local_moment": pd.to_datetime(["2026-10-25T00:30Z", "2026-10-25T01:30Z"]).tz_convert("Europe/Berlin"),
        "moments_one_by_one": pd.Series([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None], dtype=object),
        "day": [dt.date(2026, 11, 23), None],
    }
)
TYPES = {
    "whole": "bigint",
    "whole_or_nothing": "bigint",
    "unsigned": "bigint",
    "fraction": "double",
    "small_fraction": "double",
    "whole_and_fraction": "double",
    "flag": "bool",
    "flag_or_nothing": "bool",
    "text": "text",
    "long_text": "text",
    "text_or_nothing": "text",
    "category": "text",
    "moment": "datetime(6)",
    "local_moment": "datetime(6)",
    "moments_one_by_one": "datetime(6)",
    "day": "date",
}
"""The types of these columns, as Dagster shows them."""


def shown_types(result: dg.ExecuteInProcessResult, name: str) -> dict[str, str]:
    """Return the column types that a materialization shows."""
    columns = metadata_of(result, name)["dagster/column_schema"].columns
    return {column.name: column.type for column in columns}


def test_a_missing_table_is_made_of_the_first_frame_with_types_that_hold_its_values(engine: sa.Engine) -> None:
    result = run(engine, asset("everything", EVERYTHING), manager=undeclared(engine))
    succeeded(result)
    assert shown_types(result, "everything") == TYPES
    found = load(undeclared(engine), dg.AssetSpec("everything"))
    found = found.sort_values("whole", ascending=False, ignore_index=True)
    assert found.dtypes.astype(str).to_dict() == {
        "whole": "Int64",
        "whole_or_nothing": "Int64",
        "unsigned": "Int64",
        "fraction": "float64",
        "small_fraction": "float64",
        "whole_and_fraction": "float64",
        "flag": "boolean",
        "flag_or_nothing": "boolean",
        "text": "str",
        "long_text": "str",
        "text_or_nothing": "str",
        "category": "str",
        "moment": "datetime64[us, UTC]",
        "local_moment": "datetime64[us, UTC]",
        "moments_one_by_one": "datetime64[us, UTC]",
        "day": "object",
    }
    for name, column in EVERYTHING.items():
        missing = column.isna()
        assert found[name].isna().tolist() == missing.tolist()
        assert found[name][~missing].tolist() == column[~missing].tolist()


def test_the_types_are_shown_alike_by_the_run_that_made_the_table_and_the_next(engine: sa.Engine) -> None:
    for _ in range(2):
        result = run(engine, asset("everything", EVERYTHING), manager=undeclared(engine))
        assert shown_types(result, "everything") == TYPES


def test_fractions_come_back_as_they_were(engine: sa.Engine) -> None:
    numbers = [1 / 3, 0.1, 1e-12, -1e-300, 1.7976931348623157e308, 123456789.123456789]
    run(engine, asset("numbers", pd.DataFrame({"number": numbers})), manager=undeclared(engine))
    found = load(undeclared(engine), dg.AssetSpec("numbers"))
    assert sorted(found["number"]) == sorted(numbers)


def test_an_empty_first_frame_with_dtypes_makes_a_table_that_loads_with_them(engine: sa.Engine) -> None:
    dtypes = {"number": "Int64", "text": "str", "flag": "boolean", "fraction": "float64", "at": "datetime64[us, UTC]"}
    empty = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in dtypes.items()})
    result = run(engine, asset("empty", empty), manager=undeclared(engine))
    succeeded(result)
    assert metadata_of(result, "empty")["dagster/row_count"] == 0
    found = load(undeclared(engine), dg.AssetSpec("empty"))
    assert found.empty
    assert found.dtypes.astype(str).to_dict() == dtypes


@pytest.mark.parametrize("empty", [pd.DataFrame(), pd.DataFrame({"name": pd.Series([], dtype=object)})], ids=str)
def test_an_empty_first_frame_without_dtypes_makes_no_table_and_says_so(engine: sa.Engine, empty: pd.DataFrame) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(engine, asset("empty", empty), manager=undeclared(engine), instance=instance)
        succeeded(result)
        said = "An empty frame without dtypes: there is no table yet, and nothing to make one of."
        assert said in messages_of(instance, result)
    assert schema.reflect(engine, "empty") is None


def test_an_empty_frame_empties_the_table_that_is_there(engine: sa.Engine) -> None:
    run(engine, asset("places", frame(BERLIN, PARIS)), manager=undeclared(engine))
    nothing = pd.DataFrame(columns=["name", "people", "height_m"])
    result = run(engine, asset("places", nothing), manager=undeclared(engine))
    assert metadata_of(result, "places")["rows_deleted"] == 2
    assert records(engine, "places", "name") == []


UNTYPED = pd.DataFrame(
    {
        "naive": pd.to_datetime(["2026-11-23"]),
        "unknown": pd.Series([None], dtype=object),
        "price": [decimal.Decimal("1.5")],
        "raw": [b"bytes"],
        "mixed": pd.Series([{"a": 1}], dtype=object),
        "duration": pd.to_timedelta(["1h"]),
    }
)


def test_all_columns_that_tell_no_type_are_named_in_one_error_and_no_table_is_made(engine: sa.Engine) -> None:
    reason = error_of(run(engine, asset("untyped", UNTYPED.assign(fine=1)), manager=undeclared(engine)))
    for name in UNTYPED.columns:
        assert f"\n  - {name}: " in reason
    assert "naive: times without a time zone: make them aware, in UTC, or declare the table" in reason
    assert "unknown: no value that would tell a type: give the column a dtype, or declare the table" in reason
    assert "fine" not in reason
    assert schema.reflect(engine, "untyped") is None


@pytest.mark.parametrize("drift", ["error", "add"])
def test_column_names_that_are_no_text_are_refused_by_name(engine: sa.Engine, drift: str) -> None:
    numbered = pd.DataFrame([[1, 2]])
    run(engine, asset("numbered", pd.DataFrame({"a": [1]})), manager=undeclared(engine))
    for name in ("numbered", "new"):
        reason = error_of(run(engine, asset(name, numbered), manager=undeclared(engine, schema_drift=drift)))
        assert "the frame does not fit table" in reason
        assert "0, 1" in reason


@pytest.mark.parametrize("name", ["order", "it's 100 %", "a`b", 'Ümläute; "or not"'])
def test_a_table_and_its_columns_may_have_any_name(engine: sa.Engine, name: str) -> None:
    rows = pd.DataFrame({"select": [1, 2], "100 %": [1, 2], "it's": ["a", "b"], "a:b": [1, 2], "grün ä": [True, False]})
    named = asset("named", rows, metadata={"table": name, "primary_key": ["select", "it's"]})
    for expected in (2, 0):
        result = run(engine, named, manager=undeclared(engine))
        assert metadata_of(result, "named")["rows_inserted"] == expected
    source = dg.AssetSpec("named", metadata={"table": name})
    found = load(undeclared(engine), source, metadata={"columns": ["100 %", "it's", "grün ä"]})
    assert found.to_dict("list") == {"100 %": [1, 2], "it's": ["a", "b"], "grün ä": [True, False]}


def test_the_table_is_named_by_the_last_part_of_the_asset_key(engine: sa.Engine) -> None:
    keyed = asset("places", frame(BERLIN), key_prefix=["europe", "cities"])
    result = run(engine, keyed, manager=undeclared(engine))
    assert metadata_of(result, "europe__cities__places")["dagster/table_name"].split(".")[-1] == "places"
    assert records(engine, "places", "name") == [("Berlin", 3_700_000, 34.5)]


def test_a_table_in_another_database_is_written_and_loaded(engine: sa.Engine, other_database: str) -> None:
    elsewhere = {"table": "elsewhere", "schema": other_database, **KEY}
    for rows, inserted in ((frame(BERLIN), 1), (frame(BERLIN, PARIS), 1), (frame(PARIS), 0)):
        result = run(engine, asset("places", rows, metadata=elsewhere), manager=undeclared(engine))
        found = metadata_of(result, "places")
        assert found["rows_inserted"] == inserted
    assert found["dagster/table_name"] == f"{other_database}.elsewhere"
    assert found["dagster/uri"].endswith(f"/{other_database}/elsewhere")
    assert schema.reflect(engine, "elsewhere") is None
    assert read(engine, stored(engine, "elsewhere", other_database))["name"].tolist() == ["Paris"]
    loaded = load(undeclared(engine), dg.AssetSpec("places", metadata=elsewhere))
    assert loaded["name"].tolist() == ["Paris"]


def test_a_declared_table_in_another_database_is_made_written_and_loaded(
    engine: sa.Engine, other_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = sa.MetaData()
    sa.Table("places", declared, sa.Column("name", sa.String(20), primary_key=True), schema=other_database)
    monkeypatch.setattr(conftest, "metadata", declared)
    elsewhere = {"schema": other_database}
    for inserted in (1, 0):
        result = run(engine, asset("places", frame({"name": "Berlin"}), metadata=elsewhere))
        assert metadata_of(result, "places")["rows_inserted"] == inserted
    assert schema.reflect(engine, "places") is None
    loaded = load(manager_of(engine), dg.AssetSpec("places", metadata=elsewhere))
    assert loaded["name"].tolist() == ["Berlin"]


def test_a_second_run_without_a_key_leaves_the_same_rows(engine: sa.Engine) -> None:
    for _ in range(2):
        succeeded(run(engine, asset("places", frame(BERLIN, PARIS)), manager=undeclared(engine)))
        assert [row[0] for row in records(engine, "places", "name")] == ["Berlin", "Paris"]


def test_a_second_run_with_a_key_changes_only_what_differs(engine: sa.Engine) -> None:
    run(engine, asset("places", frame(BERLIN, PARIS), metadata=KEY), manager=undeclared(engine))
    again = frame(BERLIN, {**PARIS, "people": None}, {**PARIS, "name": "Rome"}).astype({"people": "Int64"})
    result = run(engine, asset("places", again, metadata=KEY), manager=undeclared(engine))
    found = metadata_of(result, "places")
    assert [found[f"rows_{name}"] for name in ("inserted", "updated", "unchanged", "deleted")] == [1, 1, 1, 0]
    assert records(engine, "places", "name")[1][:2] == ("Paris", None)
    result = run(engine, asset("places", frame(BERLIN), metadata=KEY), manager=undeclared(engine))
    assert metadata_of(result, "places")["rows_deleted"] == 2


def test_a_key_that_the_frame_has_not_is_refused_and_no_table_is_made(engine: sa.Engine) -> None:
    keyed = asset("places", frame(BERLIN), metadata={"primary_key": ["name", "country"]})
    assert "columns are missing: country" in error_of(run(engine, keyed, manager=undeclared(engine)))
    assert schema.reflect(engine, "places") is None


def test_texts_that_differ_are_different_keys_of_a_table_that_was_made(engine: sa.Engine) -> None:
    names = pd.DataFrame({"name": ["Málaga", "Malaga", "malaga", "ß", "ss", "x" * 255]})
    for inserted in (6, 0):
        result = run(engine, asset("places", names, metadata=KEY), manager=undeclared(engine))
        assert metadata_of(result, "places")["rows_inserted"] == inserted


def test_the_column_of_the_partitions_gets_an_index(engine: sa.Engine) -> None:
    days = dg.DailyPartitionsDefinition("2025-10-01")
    rows = pd.DataFrame({"day": [dt.date(2025, 10, 2)], "name": ["Berlin"]})
    partitioned = asset("places", rows, partitions_def=days, metadata={"partition_expr": "day"})
    succeeded(run(engine, partitioned, manager=undeclared(engine), partition_key="2025-10-02"))
    indexes = sa.inspect(engine).get_indexes("places")
    assert [index["column_names"] for index in indexes] == [["day"]]


def test_a_partition_column_that_the_frame_has_not_is_refused_and_no_table_is_made(engine: sa.Engine) -> None:
    days = dg.DailyPartitionsDefinition("2025-10-01")
    partitioned = asset("places", frame(BERLIN), partitions_def=days, metadata={"partition_expr": "day"})
    result = run(engine, partitioned, manager=undeclared(engine), partition_key="2025-10-02")
    assert "asset places is partitioned by day, which is no column of table places: name, people" in error_of(result)
    assert schema.reflect(engine, "places") is None


def test_groups_of_a_table_without_a_key_are_replaced(engine: sa.Engine) -> None:
    run(engine, asset("groups", pd.DataFrame({"g": ["a", "a", "b"], "v": [1, 2, 3]})), manager=undeclared(engine))
    by_g = {"write_mode": "replace", "replace_by": ["g"]}
    again = asset("groups", pd.DataFrame({"g": ["a", "c"], "v": [5, 6]}), metadata=by_g)
    for deleted in (2, 2):
        result = succeeded(run(engine, again, manager=undeclared(engine)))
        assert metadata_of(result, "groups")["rows_deleted"] == deleted
        assert records(engine, "groups", "v") == [("b", 3), ("a", 5), ("c", 6)]


@pytest.mark.parametrize("schedule", range(3))
def test_a_table_that_several_make_at_once_is_made_once(engine: sa.Engine, schedule: int) -> None:
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def make() -> None:
        start.wait()
        try:
            schema.prepare(engine, schema.derive("places", frame(BERLIN)), add_columns=False)
        except Exception as error:  # noqa: BLE001 (a thread's error must reach the test)
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert stored(engine, "places").columns.keys() == ["name", "people", "height_m"]


def test_a_table_that_others_made_is_written_and_loaded_by_its_own_types(engine: sa.Engine) -> None:
    foreign = sa.Table(
        "foreign",
        sa.MetaData(),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("code", sa.String(3), nullable=False, unique=True),
        sa.Column("kind", sa.Enum("a", "b", name="kind")),
        sa.Column("small", sa.SmallInteger().with_variant(mysql.TINYINT(unsigned=True), "mysql", "mariadb")),
        sa.Column("price", sa.Numeric(6, 2)),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False, server_default=sa.text("1")),
    )
    foreign.create(engine)
    rows = pd.DataFrame(
        {
            "code": ["abc", "def"],
            "kind": ["a", None],
            "small": pd.array([200, None], dtype="Int64"),
            "price": [decimal.Decimal("1.50"), None],
            "at": pd.to_datetime(["2026-11-23T12:00Z", "2026-11-24T12:00Z"]),
        }
    )
    succeeded(run(engine, asset("foreign", rows), manager=undeclared(engine)))
    found = load(undeclared(engine), dg.AssetSpec("foreign"))
    assert found["number"].tolist() == [1, 2]
    assert found["code"].tolist() == ["abc", "def"]
    assert found["price"].tolist() == [decimal.Decimal("1.50"), None]
    assert found["at"].tolist() == rows["at"].tolist()
    assert found["open"].tolist() == [True, True]
    assert found["small"].tolist() == [200, pd.NA]
    long = rows.assign(code=["abcd", "e"])
    assert "code: longer than 3 characters (row 0: 'abcd')" in error_of(
        run(engine, asset("foreign", long), manager=undeclared(engine))
    )


def test_a_table_that_counts_up_its_key_is_upserted_by_another_one(engine: sa.Engine) -> None:
    counted = sa.Table(
        "counted",
        sa.MetaData(),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("code", sa.String(3), nullable=False, unique=True),
        sa.Column("people", sa.BigInteger()),
    )
    counted.create(engine)
    metadata = {"write_mode": "upsert", "primary_key": ["code"]}
    for rows in ([("abc", 1), ("def", 2)], [("def", 3), ("ghi", 4)]):
        upserted = asset("counted", pd.DataFrame(rows, columns=["code", "people"]), metadata=metadata)
        succeeded(run(engine, upserted, manager=undeclared(engine)))
    found = records(engine, "counted", "number")
    assert [row[1:] for row in found] == [("abc", 1), ("def", 3), ("ghi", 4)]
    assert [row[0] for row in found][:2] == [1, 2]


def test_checks_of_a_table_that_others_made_are_shown_and_name_the_rows_they_refuse(engine: sa.Engine) -> None:
    metadata = sa.MetaData()
    sa.Table(
        "checked",
        metadata,
        sa.Column("name", sa.String(20), primary_key=True),
        sa.Column("height_m", sa.Double()),
        sa.CheckConstraint("height_m < 9000", name="below_9000"),
    ).create(engine)
    high = {"name": "Olympus Mons", "height_m": 21_900.0}
    reason = failure_of(run(engine, asset("checked", frame(high)), manager=undeclared(engine)))
    assert "Olympus Mons" in reason
    assert "height_m" in reason
    result = run(engine, asset("checked", frame({**high, "height_m": 2.0})), manager=undeclared(engine))
    constraints = metadata_of(result, "checked")["dagster/column_schema"].constraints.other
    assert any("CHECK" in constraint and "9000" in constraint for constraint in constraints)


# -- drift ------------------------------------------------------------------------------------------------------------


def with_colour(colour: Any = "red") -> pd.DataFrame:
    """Return a frame with a column that the table does not have yet."""
    return frame({**BERLIN, "colour": colour})


def test_a_new_column_is_refused_by_name(engine: sa.Engine) -> None:
    run(engine, asset("places", frame(BERLIN)), manager=undeclared(engine))
    reason = error_of(run(engine, asset("places", with_colour()), manager=undeclared(engine)))
    assert "columns are unknown to the table: colour" in reason
    assert stored(engine, "places").columns.keys() == ["name", "people", "height_m"]
    assert len(records(engine, "places", "name")) == 1


@pytest.mark.parametrize("by", ["setting", "metadata of the asset"])
def test_a_new_column_is_added_where_that_is_wanted(engine: sa.Engine, by: str) -> None:
    run(engine, asset("places", frame(BERLIN, PARIS), metadata=KEY), manager=undeclared(engine))
    settings = {"schema_drift": "add"} if by == "setting" else {}
    metadata = {**KEY, "write_mode": "upsert"} | ({} if by == "setting" else {"schema_drift": "add"})
    for updated in (1, 0):
        changed = asset("places", with_colour(), metadata=metadata)
        result = run(engine, changed, manager=undeclared(engine, **settings))
        assert metadata_of(result, "places")["rows_updated"] == updated
    assert records(engine, "places", "name") == [(*BERLIN.values(), "red"), (*PARIS.values(), None)]
    assert shown_types(result, "places")["colour"] == "text"


def test_an_asset_may_forbid_what_the_setting_allows(engine: sa.Engine) -> None:
    run(engine, asset("places", frame(BERLIN)), manager=undeclared(engine))
    strict = asset("places", with_colour(), metadata={"schema_drift": "error"})
    result = run(engine, strict, manager=undeclared(engine, schema_drift="add"))
    assert "columns are unknown to the table: colour" in error_of(result)


def test_a_new_column_that_tells_no_type_is_not_added(engine: sa.Engine) -> None:
    run(engine, asset("places", frame(BERLIN)), manager=undeclared(engine))
    result = run(engine, asset("places", with_colour(None)), manager=undeclared(engine, schema_drift="add"))
    assert "colour: no value that would tell a type" in error_of(result)
    assert "colour" not in stored(engine, "places").columns


@pytest.mark.parametrize("drift", ["error", "add"])
def test_a_column_that_the_frame_lacks_is_missed_and_never_dropped(engine: sa.Engine, drift: str) -> None:
    run(engine, asset("places", frame(BERLIN)), manager=undeclared(engine))
    fewer = asset("places", frame({"name": "Berlin", "people": 1}))
    reason = error_of(run(engine, fewer, manager=undeclared(engine, schema_drift=drift)))
    assert "columns are missing: height_m" in reason
    assert records(engine, "places", "name") == [tuple(BERLIN.values())]


def old_places(engine: sa.Engine, *, without: str, more: str = "more") -> None:
    """Create the declared table ``places`` as it was before a column, with one that is no longer declared."""
    columns = [column._copy() for column in conftest.places.columns if column.name != without]
    sa.Table("places", sa.MetaData(), *columns, sa.Column(more, sa.Integer())).create(engine)


def test_a_declared_column_that_the_database_lacks_is_named_with_the_remedies(engine: sa.Engine) -> None:
    old_places(engine, without="people")
    reason = error_of(run(engine, asset("places", frame(place("Berlin")))))
    assert "the database's table places lacks the columns people: alter it, or let columns be added with" in reason
    assert 'schema_drift="add"' in reason
    assert records(engine, "places", "name") == []


def test_a_declared_column_is_added_and_what_is_not_declared_stays(engine: sa.Engine) -> None:
    old_places(engine, without="people")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO places (name, height_m, open, seen_at, more) VALUES ('Rome', 1, 1, '2026-11-23 12:00:00', 7)"
        )
    for inserted in (1, 0):
        result = run(engine, asset("places", frame(place("Berlin"))), manager=manager_of(engine, schema_drift="add"))
        assert metadata_of(result, "places")["rows_inserted"] == inserted
    table = stored(engine, "places")
    assert {"people", "more"} <= set(table.columns.keys())
    assert read(engine, table, ["name", "people", "more"]).astype(object).values.tolist() == [
        ["Berlin", 1, pd.NA],
        ["Rome", pd.NA, 7],
    ]
    if engine.dialect.name != "sqlite":
        assert table.c.people.comment == "Inhabitants"


def test_a_declared_column_that_may_not_be_null_is_not_added(engine: sa.Engine) -> None:
    old_places(engine, without="open")
    result = run(engine, asset("places", frame(place("Berlin"))), manager=manager_of(engine, schema_drift="add"))
    assert (
        "the database's table places lacks the columns open, of which open may not be NULL: only nullable columns are "
        "added to rows that exist"
    ) in error_of(result)
    assert "open" not in stored(engine, "places").columns


@pytest.mark.parametrize("drift", ["error", "add"])
@pytest.mark.parametrize("tables", [DECLARED, None], ids=["declared", "undeclared"])
def test_where_a_command_upgrades_the_schema_nothing_is_made_or_altered(
    engine: sa.Engine, tables: str | None, drift: str
) -> None:
    manager = manager_of(engine, tables=tables, upgrade_command="gans db upgrade", schema_drift=drift)
    said = "the database's schema is behind (table places {}): run gans db upgrade"
    result = run(engine, asset("places", frame(place("Berlin"))), manager=manager)
    assert failure_of(result) == said.format("does not exist")
    assert sa.inspect(engine).get_table_names() == []
    old_places(engine, without="people")
    result = run(
        engine, asset("places", frame(place("Berlin", more=1) if tables is None else place("Berlin"))), manager=manager
    )
    if tables is None and drift == "error":
        assert "columns are unknown to the table: people" in failure_of(result)
    else:
        assert failure_of(result) == said.format("lacks the columns people")
    assert "people" not in stored(engine, "places").columns


def test_a_schema_that_is_behind_is_not_tried_again(engine: sa.Engine) -> None:
    manager = manager_of(engine, upgrade_command="gans db upgrade")
    patient = asset("places", frame(place("Berlin")), retry_policy=dg.RetryPolicy(max_retries=1))
    result = run(engine, patient, manager=manager)
    assert not result.success
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]


def test_a_declared_table_that_is_missing_is_made_as_it_is_declared(engine: sa.Engine) -> None:
    succeeded(run(engine, asset("places", frame(place("Berlin")))))
    made, declared = stored(engine, "places"), conftest.places
    assert made.primary_key.columns.keys() == ["name"]
    assert [c.nullable for c in made.columns] == [c.nullable for c in declared.columns]
    with pytest.raises(sa.exc.DBAPIError), engine.begin() as connection:
        connection.exec_driver_sql("UPDATE places SET height_m = 9001")
    if engine.dialect.name != "sqlite":
        assert made.comment == declared.comment
        assert [c.comment for c in made.columns] == [c.comment for c in declared.columns]
        with engine.connect() as connection:
            assert "utf8mb4_bin" in connection.exec_driver_sql("SHOW CREATE TABLE places").one()[1]


def test_a_declared_table_that_refers_to_a_missing_one_is_made_after_it(engine: sa.Engine) -> None:
    """No order of the assets is wrong: an empty table refers to nothing."""
    result = run(engine, asset("visits", frame(conftest.visit("Berlin", conftest.MONDAY, "a")).iloc[:0]))
    succeeded(result)
    assert set(sa.inspect(engine).get_table_names()) == {"places", "visits"}


def changed_schema(engine: sa.Engine, *assets: dg.AssetsDefinition, **settings: Any) -> list[tuple[bool, str]]:
    """Materialize the assets one after the other; return what Dagster's check of their schema says each time."""
    said = []
    checks = dg.build_column_schema_change_checks(assets=[assets[0]])
    with dg.DagsterInstance.ephemeral() as instance:
        for one in assets:
            result = run(engine, one, *checks, manager=undeclared(engine, **settings), instance=instance)
            (evaluation,) = result.get_asset_check_evaluations()
            said.append((evaluation.passed, evaluation.description or ""))
    return said


def test_dagsters_schema_check_passes_while_the_schema_is_the_same(engine: sa.Engine) -> None:
    said = changed_schema(engine, *[asset("everything", EVERYTHING)] * 3)
    assert [passed for passed, _ in said] == [True, True, True], said


def test_dagsters_schema_check_warns_of_a_column_that_was_added(engine: sa.Engine) -> None:
    old, new = asset("places", frame(BERLIN)), asset("places", with_colour())
    (_, same, added) = changed_schema(engine, old, old, new, schema_drift="add")
    assert same[0], same
    assert not added[0]
    assert "Added columns: colour" in added[1]
    assert "Removed" not in added[1]
    assert "type changes" not in added[1]


# -- audit columns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", [DECLARED, None], ids=["declared", "undeclared"])
def test_each_row_tells_when_and_by_which_run_it_was_last_changed(engine: sa.Engine, tables: str | None) -> None:
    def write(*rows: dict[str, Any]) -> str:
        manager = manager_of(engine, tables=tables, audit_columns=True)
        result = run(engine, asset("places", frame(*rows), metadata=KEY), manager=manager)
        succeeded(result)
        found.append(metadata_of(result, "places"))
        return result.run_id

    def audited() -> dict[str, tuple[str, pd.Timestamp]]:
        rows = read(engine, stored(engine, "places"), ["name", schema.RUN_ID, schema.LOADED_AT])
        return {name: (run_id, loaded_at) for name, run_id, loaded_at in rows.itertuples(index=False)}

    found: list[dict[str, Any]] = []
    begin = pd.Timestamp.now("UTC")
    first = write(place("Berlin"), place("Paris"))
    before = audited()
    assert {name: run_id for name, (run_id, _) in before.items()} == {"Berlin": first, "Paris": first}
    assert all(begin <= loaded_at <= pd.Timestamp.now("UTC") for _, loaded_at in before.values())
    second = write(place("Berlin", people=2), place("Paris"), place("Rome"))
    after = audited()
    assert after["Paris"] == before["Paris"]
    assert (after["Berlin"][0], after["Rome"][0]) == (second, second)
    assert after["Berlin"][1] > before["Berlin"][1]
    assert [found[1][f"rows_{name}"] for name in ("inserted", "updated", "unchanged")] == [1, 1, 1]
    write(place("Berlin", people=2), place("Paris"), place("Rome"))
    assert audited() == after
    assert found[2]["rows_unchanged"] == 3


@pytest.mark.parametrize("tables", [DECLARED, None], ids=["declared", "undeclared"])
def test_an_input_gets_audit_columns_only_if_it_names_them(engine: sa.Engine, tables: str | None) -> None:
    manager = manager_of(engine, tables=tables, audit_columns=True)
    result = run(engine, asset("places", frame(place("Berlin"))), manager=manager)
    unasked = load(manager, dg.AssetSpec("places"))
    assert unasked.columns.tolist() == list(place("Berlin"))
    asked = load(manager, dg.AssetSpec("places"), metadata={"columns": ["name", schema.RUN_ID, schema.LOADED_AT]})
    assert asked[["name", schema.RUN_ID]].values.tolist() == [["Berlin", result.run_id]]
    assert str(asked[schema.LOADED_AT].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize("tables", [DECLARED, None], ids=["declared", "undeclared"])
def test_audit_columns_are_missed_or_added_where_a_table_was_made_without(
    engine: sa.Engine, tables: str | None
) -> None:
    run(engine, asset("places", frame(place("Rome")), metadata=KEY), manager=manager_of(engine, tables=tables))
    rows = asset("places", frame(place("Rome"), place("Berlin")), metadata=KEY)
    reason = error_of(run(engine, rows, manager=manager_of(engine, tables=tables, audit_columns=True)))
    assert "lacks the columns dagster_loaded_at, dagster_run_id" in reason
    manager = manager_of(engine, tables=tables, audit_columns=True, schema_drift="add")
    result = run(engine, rows, manager=manager)
    audited = read(engine, stored(engine, "places")).set_index("name")[schema.RUN_ID].dropna()
    assert audited.to_dict() == {"Berlin": result.run_id}


@pytest.mark.parametrize("tables", [DECLARED, None], ids=["declared", "undeclared"])
def test_audit_columns_that_are_no_longer_wanted_do_not_stand_in_the_way(engine: sa.Engine, tables: str | None) -> None:
    rows = asset("places", frame(place("Berlin")), metadata=KEY)
    succeeded(run(engine, rows, manager=manager_of(engine, tables=tables, audit_columns=True)))
    more = asset("places", frame(place("Berlin"), place("Paris")), metadata=KEY)
    succeeded(run(engine, more, manager=manager_of(engine, tables=tables)))
    assert read(engine, stored(engine, "places"))["name"].tolist() == ["Berlin", "Paris"]


def test_audit_columns_go_with_partitions_and_groups(engine: sa.Engine) -> None:
    days = dg.DailyPartitionsDefinition("2026-11-01", end_offset=30)
    manager = manager_of(engine, audit_columns=True)
    run(engine, asset("places", frame(place("Berlin"))), manager=manager)
    runs = []
    for day in (conftest.MONDAY, conftest.TUESDAY):
        rows = frame(conftest.visit("Berlin", day, "a"))
        result = run(engine, asset("visits", rows, partitions_def=days), manager=manager, partition_key=str(day))
        succeeded(result)
        runs.append(result.run_id)
    assert read(engine, stored(engine, "visits"))[schema.RUN_ID].tolist() == runs


# -- ops --------------------------------------------------------------------------------------------------------------


def execute(engine: sa.Engine, graph: dg.GraphDefinition, **settings: Any) -> dg.ExecuteInProcessResult:
    """Run a graph of ops with a manager that knows of no tables."""
    job = graph.to_job(resource_defs={"io_manager": undeclared(engine, **settings)})
    return job.execute_in_process(raise_on_error=False)


def test_ops_hand_frames_on_through_tables_that_their_outputs_name(engine: sa.Engine) -> None:
    @dg.op(out=dg.Out(metadata={"table": "first", "primary_key": ["a"]}))
    def three() -> pd.DataFrame:
        return pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})

    @dg.op(ins={"found": dg.In(metadata={"columns": ["b"]})}, out=dg.Out(metadata={"table": "second"}))
    def add_one(found: pd.DataFrame) -> pd.DataFrame:
        return found + 1

    @dg.graph
    def counting() -> None:
        add_one(three())

    for _ in range(2):
        succeeded(execute(engine, counting))
        assert records(engine, "first", "a") == [(1, 4), (2, 5), (3, 6)]
        assert records(engine, "second", "b") == [(5,), (6,), (7,)]


def test_an_op_without_metadata_writes_to_the_table_of_its_outputs_name(engine: sa.Engine) -> None:
    @dg.op(out={"odd": dg.Out(), "even": dg.Out()})
    def numbers() -> tuple[pd.DataFrame, pd.DataFrame]:
        return pd.DataFrame({"n": [1, 3]}), pd.DataFrame({"n": [2]})

    @dg.graph
    def split() -> None:
        numbers()

    succeeded(execute(engine, split))
    assert records(engine, "odd", "n") == [(1,), (3,)]
    assert records(engine, "even", "n") == [(2,)]


def test_ops_write_to_another_database(engine: sa.Engine, other_database: str) -> None:
    received = []

    @dg.op(out=dg.Out(metadata={"schema": other_database}))
    def one() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    @dg.op
    def reader(found: pd.DataFrame) -> None:
        received.append(found["a"].tolist())

    @dg.graph
    def there_and_back() -> None:
        reader(one())

    succeeded(execute(engine, there_and_back))
    assert received == [[1]]
    assert schema.reflect(engine, "result") is None
    assert read(engine, stored(engine, "result", other_database))["a"].tolist() == [1]


def test_an_op_may_append_instead(engine: sa.Engine) -> None:
    @dg.op(out=dg.Out(metadata={"table": "log", "write_mode": "append"}))
    def line() -> pd.DataFrame:
        return pd.DataFrame({"a": [1]})

    @dg.graph
    def logging() -> None:
        line()

    for expected in (1, 2):
        succeeded(execute(engine, logging))
        assert len(records(engine, "log", "a")) == expected


@pytest.mark.parametrize("value", [1, {"a": [1]}], ids=str)
def test_what_an_op_returns_that_is_no_frame_is_refused_with_advice(engine: sa.Engine, value: Any) -> None:
    @dg.op
    def wrong() -> Any:
        return value

    @dg.graph
    def unsupported() -> None:
        wrong()

    reason = error_of(execute(engine, unsupported))
    assert f"output result returned {type(value).__name__}: return a pandas DataFrame or a ScopedFrame" in reason
    assert schema.reflect(engine, "result") is None


# -- assets of several tables -----------------------------------------------------------------------------------------


def test_two_assets_hand_a_frame_on_and_leave_the_same_rows_when_run_again(engine: sa.Engine) -> None:
    @dg.asset(metadata={"table": "plus_one"})
    def downstream(numbers: pd.DataFrame) -> pd.DataFrame:
        return numbers + 1

    for _ in range(2):
        succeeded(run(engine, asset("numbers", pd.DataFrame({"a": [1, 2, 3]})), downstream, manager=undeclared(engine)))
        assert records(engine, "numbers", "a") == [(1,), (2,), (3,)]
        assert records(engine, "plus_one", "a") == [(2,), (3,), (4,)]


def test_an_asset_of_several_tables_writes_each_or_those_that_were_selected(engine: sa.Engine) -> None:
    @dg.multi_asset(
        outs={
            "odd": dg.AssetOut(is_required=False, metadata={"table": "odd_numbers", "primary_key": ["n"]}),
            "even": dg.AssetOut(is_required=False, key_prefix="prefix"),
        },
        can_subset=True,
    )
    def numbers(context: dg.AssetExecutionContext) -> Iterator[dg.Output[pd.DataFrame]]:
        for name, values in (("odd", [1, 3]), ("even", [2])):
            if name in context.op_execution_context.selected_output_names:
                yield dg.Output(pd.DataFrame({"n": values}), output_name=name, metadata={"mine": name})

    numbers_of_a_run: dg.AssetsDefinition = numbers
    result = run(engine, numbers_of_a_run, manager=undeclared(engine), selection=["odd"])
    succeeded(result)
    assert records(engine, "odd_numbers", "n") == [(1,), (3,)]
    assert schema.reflect(engine, "even") is None
    result = run(engine, numbers_of_a_run, manager=undeclared(engine))
    succeeded(result)
    assert records(engine, "even", "n") == [(2,)]
    shown = {
        event.asset_key.to_user_string(): {name: value.value for name, value in event.metadata.items()}
        for event in result.asset_materializations_for_node("numbers")
        if event.asset_key is not None
    }
    assert {key: (found["mine"], found["rows_inserted"]) for key, found in shown.items()} == {
        "odd": ("odd", 0),
        "prefix/even": ("even", 1),
    }
