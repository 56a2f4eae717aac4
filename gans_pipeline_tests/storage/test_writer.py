"""What a write does to a table, on SQLite, MariaDB and MySQL alike."""

import datetime as dt
import threading
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.frames import FrameError
from gans_pipeline.storage.reader import read, read_portions
from gans_pipeline.storage.schema import MYSQL
from gans_pipeline.storage.staging import FIRST_KEYS
from gans_pipeline.storage.writer import Append, Mode, Replace, ScopedFrame, Upsert, WriteError, WriteResult, write
from gans_pipeline_tests.storage.conftest import MONDAY, NOON, TUESDAY, frame, place, places, visit, visits


def test_a_second_write_of_the_same_rows_changes_nothing(engine: sa.Engine) -> None:
    rows = frame(place("Berlin"), place("Paris"))
    assert write(engine, places, rows) == WriteResult(inserted=2, updated=0, unchanged=0, deleted=0)
    assert write(engine, places, rows) == WriteResult(inserted=0, updated=0, unchanged=2, deleted=0)
    assert len(read(engine, places)) == 2


def test_new_changed_and_unchanged_rows_are_counted_apart(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris"), place("Rome", people=None)))
    result = write(engine, places, frame(place("Berlin"), place("Paris", people=7), place("Rome"), place("Oslo")))
    assert result == WriteResult(inserted=1, updated=2, unchanged=1, deleted=0)
    assert read(engine, places, ["name", "people"]).to_dict("list") == {
        "name": ["Berlin", "Oslo", "Paris", "Rome"],
        "people": [1, 1, 7, 1],
    }


def test_a_known_key_after_many_new_ones_is_found_and_counted(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Zürich")))
    many = [place(f"Ort {number:03}") for number in range(FIRST_KEYS + 50)]
    assert write(engine, places, frame(*many, place("Zürich", people=2))) == WriteResult(len(many), 1, 0, 0)
    assert read(engine, places)["people"].tolist() == [1] * len(many) + [2]


def test_a_value_that_becomes_null_is_an_update(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    assert write(engine, places, frame(place("Berlin", height_m=None))).updated == 1
    assert read(engine, places)["height_m"].isna().all()


def test_a_column_that_is_not_compared_keeps_its_first_value_until_another_changes(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    later = NOON + pd.Timedelta("1h")
    assert write(engine, places, frame(place("Berlin", seen_at=later))).unchanged == 1
    assert read(engine, places)["seen_at"].tolist() == [NOON]
    write(engine, places, frame(place("Berlin", people=2, seen_at=later)))
    assert read(engine, places)["seen_at"].tolist() == [later]


def test_columns_are_matched_by_name_in_any_order(engine: sa.Engine) -> None:
    rows = frame(place("Berlin", people=3, height_m=4.0))
    write(engine, places, rows[["open", "height_m", "seen_at", "people", "name"]])
    stored = read(engine, places).iloc[0]
    assert (stored["name"], stored["people"], stored["height_m"]) == ("Berlin", 3, 4.0)


@pytest.mark.parametrize(
    "names",
    [
        ("Málaga", "Malaga", "malaga", "MALAGA"),
        ("ß", "ss", "SS"),
        ("🛴", "🛵"),
        ("100 %", "100 %s", "%(x)s"),
        ("it's", 'it"s', "back\\slash", "back\\\\slash"),
        ("'; DROP TABLE places; --", "NULL", "null"),
        ("é", "e\u0301"),
    ],
    ids=str,
)
def test_texts_that_differ_are_different_keys_and_come_back_as_they_were(
    engine: sa.Engine, names: tuple[str, ...]
) -> None:
    names = tuple(name[:20] for name in names)
    assert write(engine, places, frame(*(place(name) for name in names))).inserted == len(names)
    assert set(read(engine, places)["name"]) == set(names)
    assert write(engine, places, frame(*(place(name) for name in names))).unchanged == len(names)


def test_a_time_just_before_midnight_stays_on_its_day(engine: sa.Engine) -> None:
    late = pd.Timestamp("2026-11-23T23:59:59.700001Z")
    write(engine, places, frame(place("Berlin", seen_at=late)))
    assert read(engine, places)["seen_at"].tolist() == [late]


def test_a_local_time_is_stored_as_the_same_moment_in_utc(engine: sa.Engine) -> None:
    first_half_past_two = pd.Timestamp("2026-10-25T02:30").tz_localize("Europe/Berlin", ambiguous=True)
    write(engine, places, frame(place("Berlin", seen_at=first_half_past_two)))
    with engine.connect() as connection:
        stored = connection.execute(sa.text("SELECT seen_at FROM places")).scalar_one()
    assert str(stored).startswith("2026-10-25 00:30:00")


def test_an_empty_frame_writes_nothing_and_loads_with_the_tables_dtypes(engine: sa.Engine) -> None:
    nothing = pd.DataFrame(columns=[column.name for column in places.columns])
    assert write(engine, places, nothing) == WriteResult(0, 0, 0, 0)
    loaded = read(engine, places)
    assert loaded.empty
    write(engine, places, frame(place("Berlin")))
    assert read(engine, places).dtypes.to_dict() == loaded.dtypes.to_dict()


def test_nullable_integers_and_times_keep_their_type_when_loaded(engine: sa.Engine) -> None:
    rows = frame(place("Berlin"), place("Paris"))
    write(engine, places, rows.assign(people=pd.array([2**53 + 1, None], dtype="Int64")))
    loaded = read(engine, places)
    assert str(loaded["people"].dtype) == "Int64"
    assert loaded["people"].tolist()[0] == 2**53 + 1
    assert str(loaded["seen_at"].dtype) == "datetime64[us, UTC]"
    assert str(loaded["open"].dtype) == "bool"


half_a_character = frame(place("a")).astype({"name": object})
half_a_character.loc[0, "name"] = "a\ud83d"

FIRST_HOUR = dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5)))

BAD_FRAMES: dict[str, tuple[pd.DataFrame, str]] = {
    "missing column": (frame(place("Oslo")).drop(columns="people"), "columns are missing: people"),
    "unknown column": (frame(place("Oslo", colour="red")), "unknown to the table: colour"),
    "column twice": (
        pd.concat([frame(place("Oslo")), frame(place("Oslo"))[["people"]]], axis=1),
        "occur twice: people",
    ),
    "null key": (frame(place(None)), "name: a value is missing where NULL is not allowed"),  # type: ignore[arg-type]
    "null where not allowed": (frame(place("Oslo", seen_at=pd.NaT)), "seen_at: a value is missing"),
    "key twice": (frame(place("Oslo"), place("Oslo")), r"key \(name\) occurs more than once \(rows 0 and 1: 'Oslo'\)"),
    "text too long": (frame(place("x" * 21)), "name: longer than 20 characters"),
    "text with NUL": (frame(place("a\0b")), "name: holds a NUL"),
    "text with half a character": (half_a_character, "name: holds half a character"),
    "time without a year in UTC": (
        frame(place("Oslo", seen_at=FIRST_HOUR)),
        "seen_at: outside of the years 1000 to 9999",
    ),
    "key that ends with a space": (frame(place("Oslo ")), "name: a key that ends with a space"),
    "infinite number": (frame(place("Oslo", height_m=float("inf"))), "height_m: infinite"),
    "not a number in a key": (frame(place("Oslo"), place(float("nan"))), "name: a value is missing"),  # type: ignore[arg-type]
    "text for a number": (frame(place("Oslo", height_m="2")), "height_m: not a number"),
    "fraction for an integer": (frame(place("Oslo", people=1.5)), "people: not a whole number"),
    "integer out of range": (frame(place("Oslo", people=2**63)), "people: out of the column's range"),
    "number for a flag": (frame(place("Oslo", open=1)), "open: neither true nor false"),
    "naive time": (frame(place("Oslo", seen_at=pd.Timestamp("2026-11-23"))), "seen_at: no time zone"),
    "text for a time": (frame(place("Oslo", seen_at="2026-11-23")), "seen_at: not a point in time"),
    "value that a check refuses": (frame(place("Oslo", height_m=9001.0)), "height_m"),
}


@pytest.mark.parametrize("what", BAD_FRAMES)
def test_a_bad_frame_leaves_the_table_as_it_was(engine: sa.Engine, what: str) -> None:
    bad, message = BAD_FRAMES[what]
    write(engine, places, frame(place("Berlin")))
    before = read(engine, places)
    with pytest.raises((FrameError, WriteError), match=message):
        write(engine, places, bad)
    pd.testing.assert_frame_equal(read(engine, places), before)


def test_every_offending_column_is_named_in_one_error_with_its_first_rows() -> None:
    engine = create_engine("sqlite://")
    bad = frame(*(place(f"{row}" * 30, height_m=float("inf"), open=None) for row in range(5)))
    with pytest.raises(FrameError) as caught:
        write(engine, places, bad)
    assert len(caught.value.problems) == 3
    assert "row 0: '0000" in caught.value.problems[0]
    assert "and 2 more" in caught.value.problems[0]


def test_replacing_deletes_only_what_its_groups_no_longer_hold(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris")))
    first = [visit("Berlin", MONDAY, "a"), visit("Berlin", MONDAY, "b"), visit("Berlin", TUESDAY, "c")]
    write(engine, visits, frame(*first, visit("Paris", MONDAY, "d")))
    result = write(engine, visits, frame(visit("Berlin", MONDAY, "b", "again"), visit("Berlin", MONDAY, "e")))
    assert result == WriteResult(inserted=1, updated=1, unchanged=0, deleted=1)
    assert read(engine, visits, ["visitor"])["visitor"].tolist() == ["b", "e", "c", "d"]


def test_a_group_that_is_named_and_empty_is_emptied(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a"), visit("Berlin", TUESDAY, "b")))
    nothing = frame(visit("Berlin", MONDAY, "a")).iloc[:0]
    result = write(engine, visits, ScopedFrame(nothing, pd.DataFrame({"place": ["Berlin"], "day": [MONDAY]})))
    assert result.deleted == 1
    assert read(engine, visits)["visitor"].tolist() == ["b"]


def test_groups_that_share_a_value_are_replaced_each_for_itself(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a"), visit("Berlin", TUESDAY, "b")))
    scope = pd.DataFrame({"place": ["Berlin", "Berlin"], "day": [MONDAY, TUESDAY]})
    result = write(engine, visits, ScopedFrame(frame(visit("Berlin", TUESDAY, "b")), scope))
    assert result == WriteResult(inserted=0, updated=0, unchanged=1, deleted=1)


def test_an_empty_scope_deletes_nothing(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a")))
    nothing = frame(visit("Berlin", MONDAY, "a")).iloc[:0]
    result = write(engine, visits, ScopedFrame(nothing, pd.DataFrame({"place": [], "day": []})))
    assert result == WriteResult(0, 0, 0, 0)
    assert len(read(engine, visits)) == 1


def test_rows_outside_the_named_scope_are_refused(engine: sa.Engine) -> None:
    scope = pd.DataFrame({"place": ["Berlin"], "day": [MONDAY]})
    with pytest.raises(FrameError, match="outside the scope"):
        write(engine, visits, ScopedFrame(frame(visit("Berlin", TUESDAY, "a")), scope))


def test_a_reference_to_nothing_is_named_and_refused(engine: sa.Engine) -> None:
    with pytest.raises(
        FrameError, match=r"place: 1 values are not in places.name \('Atlantis'\): refresh places first"
    ):
        write(engine, visits, frame(visit("Atlantis", MONDAY, "a")))


def test_a_failed_insert_keeps_the_rows_that_it_would_have_replaced(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a")))
    with engine.begin() as connection:
        connection.exec_driver_sql(_refusing_trigger(engine.dialect.name))
    with pytest.raises(WriteError, match="visits: not today; nothing was written") as caught:
        write(engine, visits, frame(visit("Berlin", MONDAY, "b")))
    assert not caught.value.transient
    assert read(engine, visits)["visitor"].tolist() == ["a"]


def _refusing_trigger(dialect: str) -> str:
    if dialect == "sqlite":
        return "CREATE TRIGGER no BEFORE INSERT ON visits BEGIN SELECT RAISE(ABORT, 'not today'); END"
    return (
        "CREATE TRIGGER no BEFORE INSERT ON visits FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'"
    )


def test_the_next_write_on_the_same_connection_works_after_a_failed_one(engine: sa.Engine) -> None:
    with pytest.raises((FrameError, WriteError)):
        write(engine, visits, frame(visit("Atlantis", MONDAY, "a")))
    write(engine, places, frame(place("Atlantis")))
    assert write(engine, visits, frame(visit("Atlantis", MONDAY, "a"))).inserted == 1


def test_writers_of_the_same_keys_at_once_leave_one_row_a_key(engine: sa.Engine) -> None:
    names = [f"p{number}" for number in range(50)]
    errors: list[BaseException] = []
    results: list[WriteResult] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        try:
            results.append(write(engine, places, frame(*(place(name) for name in names))))
        except Exception as error:  # noqa: BLE001 (a thread's error must reach the test)
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(read(engine, places)) == 50
    assert sum(result.inserted for result in results) == 50


def test_writers_that_replace_one_group_at_once_leave_the_rows_of_one(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    errors: list[BaseException] = []
    start = threading.Barrier(2)

    def work(writer: str) -> None:
        for attempt in range(10):
            start.wait()
            try:
                rows = (visit("Berlin", MONDAY, f"{writer} {attempt} {number}") for number in range(50))
                write(engine, visits, frame(*rows))
            except Exception as error:  # noqa: BLE001 (a thread's error must reach the test)
                errors.append(error)
            start.wait()
            left.append(read(engine, visits)["visitor"].str[0].nunique())

    left: list[int] = []
    threads = [threading.Thread(target=work, args=(writer,)) for writer in "AB"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(left) == {1}


def test_columns_and_rows_can_be_selected_when_loading(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris", people=9)))
    assert read(engine, places, ["people"], lambda table: table.c.name == "Paris").to_dict("list") == {"people": [9]}
    with pytest.raises(ValueError, match="table places has no column colour"):
        read(engine, places, ["colour"])


def test_an_error_shows_neither_password_nor_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gans_pipeline.storage.engine.CONNECT_ATTEMPTS", 1)
    engine = create_engine("mysql+pymysql://someone:top-secret@127.0.0.1:1/nowhere")
    with pytest.raises(WriteError) as caught:
        write(engine, places, frame(place("Berlin")))
    assert "top-secret" not in str(caught.value)
    assert "Berlin" not in str(caught.value)


def _values(rows: pd.DataFrame) -> list[Any]:
    return rows.to_dict("records")


def test_loading_gives_back_what_was_written(engine: sa.Engine) -> None:
    rows = frame(place("a", people=None, height_m=0.1), place("b", open=False), place("c", height_m=-1e-300))
    write(engine, places, rows)
    assert _values(read(engine, places)[["name", "height_m", "open"]]) == _values(rows[["name", "height_m", "open"]])


codes = sa.Table(
    "codes",
    sa.MetaData(),
    sa.Column("id", sa.Integer(), primary_key=True),
    sa.Column("name", sa.String(20), nullable=False, unique=True),
    sa.Column("code", sa.String(20), unique=True),
    sa.Column("people", sa.Integer()),
    **MYSQL,
)


def code(name: str, code: str | None, people: int = 1) -> dict[str, Any]:
    """Return a row of codes without its id."""
    return {"name": name, "code": code, "people": people}


def test_a_key_other_than_the_primary_one_keeps_the_ids_that_the_database_counted(engine: sa.Engine) -> None:
    codes.create(engine)
    by_name = Upsert(key=("name",))
    write(engine, codes, frame(code("Berlin", "B"), code("Paris", "P")), by_name)
    before = read(engine, codes).set_index("name")["id"]
    result = write(engine, codes, frame(code("Paris", "P", 7), code("Rome", "R"), code("Berlin", "B")), by_name)
    assert result == WriteResult(inserted=1, updated=1, unchanged=1, deleted=0)
    after = read(engine, codes).set_index("name")
    assert after["id"][["Berlin", "Paris"]].tolist() == before[["Berlin", "Paris"]].tolist()
    assert after["people"]["Paris"] == 7
    assert write(engine, codes, frame(code("Rome", "R")), Replace(key=("name",))).deleted == 2


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([code("Rome", "B")], r"unique key \(code\): \('B',\) of row \('Rome',\) belongs to row \('Berlin',\)"),
        ([code("Paris", "B")], r"\('B',\) of row \('Paris',\) belongs to row \('Berlin',\)"),
        ([code("Berlin", "P"), code("Paris", "B")], "belongs to row"),
    ],
    ids=["insert", "update", "exchange"],
)
def test_a_unique_value_of_another_row_is_not_taken_from_it(
    engine: sa.Engine, rows: list[dict[str, Any]], problem: str
) -> None:
    codes.create(engine)
    write(engine, codes, frame(code("Berlin", "B"), code("Paris", "P"), code("Oslo", None)), Upsert(key=("name",)))
    before = read(engine, codes)
    with pytest.raises(FrameError, match=problem):
        write(engine, codes, frame(*rows), Upsert(key=("name",)))
    pd.testing.assert_frame_equal(read(engine, codes), before)


def test_a_check_that_only_the_database_knows_is_named_with_the_rows_that_it_refuses(engine: sa.Engine) -> None:
    rows = frame(place("Oslo"), *(place(f"p{number}", height_m=9000.0 + number) for number in range(5)))
    with pytest.raises(FrameError, match=r"not height_m < 9000 \(\{'name': 'p0', 'height_m': 9000.0\}.* and more\)"):
        write(engine, places, rows)
    assert read(engine, places).empty


def test_appended_rows_are_added_and_a_key_that_is_there_is_refused(engine: sa.Engine) -> None:
    assert write(engine, places, frame(place("Berlin")), Append()) == WriteResult(1, 0, 0, 0)
    with pytest.raises(FrameError, match=r"unique key \(name\): \('Berlin',\) is there already"):
        write(engine, places, frame(place("Berlin", people=2), place("Rome")), Append())
    assert read(engine, places, ["name", "people"]).to_dict("list") == {"name": ["Berlin"], "people": [1]}


def test_a_table_without_a_key_is_replaced_or_appended_to(engine: sa.Engine) -> None:
    notes = sa.Table("notes", sa.MetaData(), sa.Column("day", sa.Date()), sa.Column("note", sa.String(9)), **MYSQL)
    notes.create(engine)
    rows = pd.DataFrame({"day": [MONDAY, MONDAY, TUESDAY], "note": ["a", "a", None]})
    assert write(engine, notes, rows) == WriteResult(inserted=3, updated=0, unchanged=0, deleted=0)
    assert write(engine, notes, rows) == WriteResult(inserted=3, updated=0, unchanged=0, deleted=3)
    monday = rows.head(1)
    assert write(engine, notes, monday, where=lambda t: t.c.day == MONDAY) == WriteResult(1, 0, 0, deleted=2)
    assert write(engine, notes, monday, Append()).inserted == 1
    assert sorted(read(engine, notes)["day"]) == [MONDAY, MONDAY, TUESDAY]


def test_replacing_without_a_scope_leaves_what_the_frame_holds(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris"), place("Rome")))
    result = write(engine, places, frame(place("Rome"), place("Paris", people=3), place("Oslo")), Replace())
    assert result == WriteResult(inserted=1, updated=1, unchanged=1, deleted=1)
    assert write(engine, places, frame(place("Rome")).iloc[:0], Replace()).deleted == 3


def test_a_condition_limits_what_is_replaced_and_refuses_rows_outside_of_it(engine: sa.Engine) -> None:
    write(engine, places, frame(*(place(name, people=people) for name, people in [("a", 1), ("b", 2), ("c", 3)])))
    few = frame(place("b", people=1))
    assert write(engine, places, few, Replace(), where=lambda t: t.c.people < 3) == WriteResult(0, 1, 0, 1)
    assert read(engine, places)["name"].tolist() == ["b", "c"]
    for outside in (3, None):
        with pytest.raises(FrameError, match=rf"outside of the partition .*\(name=d, people={outside}\)"):
            write(engine, places, frame(place("d", people=outside)), Replace(), where=lambda t: t.c.people < 3)
    assert read(engine, places)["name"].tolist() == ["b", "c"]


def test_a_named_group_outside_of_the_condition_is_not_emptied(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a"), visit("Berlin", TUESDAY, "b")))
    both = pd.DataFrame({"place": ["Berlin"] * 2, "day": [MONDAY, TUESDAY]})
    nothing = frame(visit("Berlin", MONDAY, "a")).iloc[:0]
    assert write(engine, visits, ScopedFrame(nothing, both), where=lambda t: t.c.day == MONDAY).deleted == 1
    assert read(engine, visits)["visitor"].tolist() == ["b"]


KEYLESS = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer()))
NULLABLE = sa.Table("t", sa.MetaData(), sa.Column("id", sa.Integer(), primary_key=True), sa.Column("a", unique=True))


@pytest.mark.parametrize(
    ("table", "mode", "message"),
    [
        (KEYLESS, Upsert(), r"table t has no primary key to upsert by: name one, Upsert\(key=…\), or Replace\(\)"),
        (places, Upsert(key=("people",)), r"\(people\) is no unique key of table places: declare a UniqueConstraint"),
        (NULLABLE, Replace(key=("a",)), "a key of table t may be NULL, where rows cannot be told apart: a"),
    ],
    ids=["none", "not unique", "nullable"],
)
def test_a_key_that_does_not_tell_rows_apart_is_refused(table: sa.Table, mode: Mode, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(create_engine("sqlite://"), table, pd.DataFrame({"a": [1]}), mode)


def test_portions_are_the_whole_one_after_the_other_and_of_one_moment(engine: sa.Engine) -> None:
    write(engine, places, frame(*(place(f"p{number:03}") for number in range(250))))
    portions = read_portions(engine, places, ["name", "people"], lambda t: t.c.name < "p230", rows=100)
    first = next(portions)
    with engine.begin() as connection:
        connection.execute(sa.delete(places))
    rest = list(portions)
    assert [len(first), *map(len, rest)] == [100, 100, 30]
    assert str(first["people"].dtype) == "Int64"
    assert pd.concat([first, *rest])["name"].tolist() == [f"p{number:03}" for number in range(230)]
    (nothing,) = read_portions(engine, places, rows=100)
    pd.testing.assert_frame_equal(nothing, read(engine, places))


def test_a_reader_that_stops_early_leaves_no_connection_behind(engine: sa.Engine) -> None:
    write(engine, places, frame(*(place(f"p{number:03}") for number in range(250))))
    for _ in range(20):  # more than the pool has
        portions = read_portions(engine, places, rows=100)
        next(portions)
        portions.close()  # type: ignore[attr-defined]
    assert len(read(engine, places)) == 250


def test_a_text_that_the_column_takes_for_the_same_is_stored_as_it_is(engine: sa.Engine) -> None:
    collation = "NOCASE" if engine.dialect.name == "sqlite" else "utf8mb4_general_ci"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20) COLLATE {collation})")
    table = sa.Table(
        "t", sa.MetaData(), sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name", sa.String(20))
    )
    for name in ("berlin", "Berlin", "Berlin ", "berlin"):
        assert write(engine, table, pd.DataFrame({"id": [1], "name": [name]}), Upsert()).changed == 1
        assert read(engine, table)["name"].tolist() == [name]
