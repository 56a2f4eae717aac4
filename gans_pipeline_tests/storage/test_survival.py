"""What is left of a write whose process, server or connection ends, and of writes that get in each other's way.

A database that cannot have the fault skips its test and says why.
"""

import multiprocessing
import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import reduce
from itertools import permutations
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gans_pipeline.storage import staging
from gans_pipeline.storage.engine import connected, create_engine, exclusive
from gans_pipeline.storage.frames import FrameError
from gans_pipeline.storage.reader import Condition
from gans_pipeline.storage.writer import (
    DEADLOCK,
    Append,
    Mode,
    Replace,
    ScopedFrame,
    Upsert,
    WriteError,
    WriteResult,
    write,
)
from gans_pipeline_tests.servers import (
    KINDS,
    Kind,
    RestartableServer,
    find_binary,
    fresh_database,
    restartable_server,
    unpacked_mysql,
)
from gans_pipeline_tests.storage.conftest import MONDAY, TUESDAY
from gans_pipeline_tests.storage.faults import (
    PATIENCE_S,
    Moments,
    Proxy,
    Row,
    Stock,
    batch,
    batches_in,
    before_statements,
    contents,
    cut,
    delivery,
    errors_of,
    eventually,
    metadata,
    proxy_to,
    readings,
    stock,
    stock_in,
    thread_of,
    write_and_wait,
    written,
)

CHANGES = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) (stock|readings)\b")
STAGES = re.compile(r"LOAD DATA|INSERT INTO _staged\b")


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database whose tables are empty."""
    engine = create_engine(database_url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def administrator(engine: sa.Engine) -> Iterator[sa.Engine]:
    """An engine on the same database, from which to do harm to connections."""
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has neither connections that could be cut nor rows that could be locked")
    made = sa.create_engine(engine.url, isolation_level="AUTOCOMMIT")
    yield made
    made.dispose()


def is_kept_or_lost(future: "Future[WriteResult]", look: Callable[[], Any], before: Any, after: Any) -> bool:
    """Return whether the write succeeded; assert that it may else be tried again, and told the truth in any case."""
    error = future.exception()
    if isinstance(error, WriteError):
        assert error.transient, error
        assert look() in ([before] if "nothing was written" in str(error) else [before, after]), error
        return False
    future.result()
    assert look() == after
    return True


# The process ends

KILLS = 50


def test_a_killed_writer_leaves_the_rows_from_before_or_after_and_is_in_nobodys_way(
    engine: sa.Engine, database_url: str
) -> None:
    context = multiprocessing.get_context("forkserver")
    # What a child does not have to import: it starts in 5 ms instead of 2 s.
    context.set_forkserver_preload(["pytest", "pyarrow.csv", write_and_wait.__module__])
    moments = Moments(0.1)
    outcomes: Counter[str] = Counter()
    after: Stock = {}
    for number in range(KILLS):
        mode: Mode = Upsert() if number % 2 else Replace()
        rows = delivery(number, 1_500)
        before, after = after, written(after, rows, mode)

        ours, childs = context.Pipe()
        process = context.Process(target=write_and_wait, args=(database_url, rows, mode, childs))
        process.start()
        childs.close()
        assert ours.poll(PATIENCE_S)
        assert ours.recv() == "begins"
        moments.met(the_end=ours.poll(moments.draw()))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL

        # The server may still be at a statement of the client that is gone; its lock is free when it has noticed.
        with connected(engine) as connection, exclusive(connection, stock.name):
            found = contents(connection)
        assert found in (before, after), f"delivery {number} by {mode} is there in part"
        outcomes["after" if found == after else "before"] += 1
        write(engine, stock, rows, mode)
        assert stock_in(engine) == after
    assert min(outcomes["before"], outcomes["after"]) > 0, outcomes


# The server ends


@pytest.fixture(scope="module", params=["sqlite", *KINDS])
def server(request: pytest.FixtureRequest) -> Iterator[RestartableServer]:
    """A server of each kind that may be ended, and forgets nothing by it."""
    if request.param == "sqlite":
        pytest.skip("SQLite has no server")
    kind: Kind = request.param
    binary = find_binary(kind)
    if binary is None and not (kind == "mysql" and unpacked_mysql()):
        reason = f"no {kind} server that may be ended: none on the PATH, and none unpacked by scripts/mysql-server"
        if os.environ.get("GANS_REQUIRE_SERVERS") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with restartable_server(kind, binary) as running:
        yield running


RESTARTS = {
    "killed, replace": (RestartableServer.kill, Replace()),
    "killed, append": (RestartableServer.kill, Append()),
    "shut down, replace": (RestartableServer.shut_down, Replace()),
}


@pytest.mark.parametrize(("end", "mode"), RESTARTS.values(), ids=RESTARTS)
def test_a_server_that_restarts_during_a_write_has_all_of_its_rows_or_none(
    server: RestartableServer, end: Callable[[RestartableServer], None], mode: Mode
) -> None:
    """It ends while it changes rows, which takes 15 to 100 ms."""
    changes = threading.Event()

    def notice(_: sa.Connection, text: str) -> None:
        if CHANGES.match(text):
            changes.set()

    with fresh_database(server.url) as url, ThreadPoolExecutor(1) as pool:
        engine = create_engine(url)
        metadata.create_all(engine)
        table, look = (readings, batches_in) if isinstance(mode, Append) else (stock, stock_in)
        write(engine, table, delivery(0, 10_000) if table is stock else batch(0, 10_000), mode)
        with before_statements(engine, notice), errors_of(engine) as errors:
            for number, patience_s in enumerate([0.03] * 4 + [0], start=1):
                rows = delivery(number, 10_000) if table is stock else batch(number, 10_000)
                before: Any = look(engine)
                after = written({}, rows, mode) if table is stock else {**before, number: 10_000}
                changes.clear()
                future = pool.submit(write, engine, table, rows, mode)
                assert changes.wait(PATIENCE_S)
                wait([future], timeout=random.uniform(0, patience_s))
                end(server)
                server.start()
                is_kept_or_lost(future, lambda: look(engine), before, after)
                if errors:  # else it was over before the server was
                    break
        assert errors, "no write noticed"
        assert write(engine, readings, batch(100, 10), Append()).inserted == 10
        engine.dispose()


# The connection ends

CUTS = 20


def test_a_write_whose_connection_is_killed_at_any_moment_is_whole_or_may_be_tried_again(
    engine: sa.Engine, administrator: sa.Engine
) -> None:
    moments = Moments(0.1)
    after: Stock = {}
    with errors_of(engine) as errors:
        for number in range(CUTS):
            mode: Mode = Upsert() if number % 2 else Replace()
            rows = delivery(number, 2_000)
            before, after = after, written(after, rows, mode)
            future = cut_while_writing(engine, administrator, moments, stock, rows, mode)
            if not is_kept_or_lost(future, lambda: stock_in(engine), before, after):
                write(engine, stock, rows, mode)
    assert errors, "the writes did not notice"


def test_rows_are_appended_once_or_not_at_all_when_the_connection_is_killed_at_any_moment(
    engine: sa.Engine, administrator: sa.Engine
) -> None:
    moments = Moments(0.05)
    with errors_of(engine) as errors:
        for number in range(CUTS):
            before = batches_in(engine)
            future = cut_while_writing(engine, administrator, moments, readings, batch(number, 2_000), Append())
            is_kept_or_lost(future, lambda: batches_in(engine), before, {**before, number: 2_000})
    assert errors, "the writes did not notice"


def cut_while_writing(
    engine: sa.Engine, administrator: sa.Engine, moments: Moments, table: sa.Table, rows: pd.DataFrame, mode: Mode
) -> "Future[WriteResult]":
    """Write, cut the connection meanwhile or just after, and return what becomes of the write."""
    threads: list[int] = []
    with (
        before_statements(engine, lambda connection, _: threads.append(thread_of(connection))),
        ThreadPoolExecutor(1) as pool,
    ):
        future = pool.submit(write, engine, table, rows, mode)
        eventually(lambda: threads)
        wait([future], timeout=moments.draw())
        moments.met(the_end=future.done())
        cut(administrator, threads[0])
    return future


@pytest.mark.parametrize("mode", [Replace(), Append()], ids=["replace", "append"])
def test_a_connection_that_is_gone_before_any_of_its_statements_costs_no_more_than_another_attempt(
    engine: sa.Engine, administrator: sa.Engine, mode: Mode
) -> None:
    """Where the commit was heard of, whatever comes after it changes neither the rows nor the counts."""
    number, statement = 0, "the first"
    while statement:
        number += 1
        if isinstance(mode, Append):
            before: Any = batches_in(engine)
            after: Any = {**before, number: 40}
            expected = WriteResult(inserted=40, updated=0, unchanged=0, deleted=0)
            result, statement = cut_before(number, engine, administrator, readings, batch(number, 40), mode)
            found: Any = batches_in(engine)
        else:
            write(engine, stock, delivery(0, 40), mode)
            after = written({}, delivery(1, 40), mode)
            expected = WriteResult(inserted=4, updated=27, unchanged=9, deleted=4)
            result, statement = cut_before(number, engine, administrator, stock, delivery(1, 40), mode)
            found = stock_in(engine)
        if isinstance(result, WriteError):
            assert isinstance(mode, Append)
            assert statement == "COMMIT"
            assert result.transient
            assert "not known whether the rows were written" in str(result)
            assert found in (before, after)
        else:
            assert found == after, f"cut before {statement}"
            assert result == expected, f"cut before {statement}"
    assert number > 10


def cut_before(
    number: int, engine: sa.Engine, administrator: sa.Engine, table: sa.Table, rows: pd.DataFrame, mode: Mode
) -> tuple[WriteResult | WriteError, str]:
    """Cut the connection before the n-th statement of a write; return what becomes of it, and that statement."""
    texts: list[str] = []

    def count(connection: sa.Connection, text: str) -> None:
        texts.append(text)
        if len(texts) == number:
            cut(administrator, thread_of(connection))

    with before_statements(engine, count):
        try:
            result: WriteResult | WriteError = write(engine, table, rows, mode)
        except WriteError as error:
            result = error
    return result, texts[number - 1] if len(texts) >= number else ""


def test_a_connection_that_breaks_while_rows_travel_costs_no_more_than_another_attempt(
    engine: sa.Engine, administrator: sa.Engine, database_url: str
) -> None:
    """It breaks at random bytes of 0.5 MB; upserts and appends alternate."""
    rows = 10_000
    limits: list[int] = []
    after: Stock = {}
    with proxy_to(database_url) as proxy:
        far = create_engine(proxy.url)

        def limit(_: sa.Connection, text: str) -> None:
            if STAGES.match(text) and limits:
                proxy.break_after(limits.pop())

        write(far, readings, batch(0, rows), Append())
        size = proxy.sent
        with before_statements(far, limit):
            for number in range(1, 7):
                limits.append(random.randrange(size * 9 // 10))
                with errors_of(far) as errors:
                    if number % 2:
                        after = written(after, delivery(number, rows), Upsert())
                        write(far, stock, delivery(number, rows), Upsert())
                        assert stock_in(engine) == after
                    else:
                        assert write(far, readings, batch(number, rows), Append()).inserted == rows
                assert errors, "the connection was not broken"
        assert batches_in(engine) == dict.fromkeys((0, 2, 4, 6), rows)
        far.dispose()


@pytest.fixture
def losing(administrator: sa.Engine, database_url: str) -> Iterator[tuple[sa.Engine, Proxy]]:
    """An engine and the proxy behind it, whose connection breaks when the server reports that rows are committed."""
    texts: list[str] = []

    def lose(_: sa.Connection, text: str) -> None:
        texts.append(text)
        if text == "COMMIT" and any(map(CHANGES.match, texts)) and texts.count("lost") == 0:
            proxy.lose_answer()
            texts.append("lost")

    with proxy_to(database_url) as proxy:
        far = create_engine(proxy.url)
        with before_statements(far, lose):
            yield far, proxy
        far.dispose()
    assert "lost" in texts


def test_rows_whose_commit_was_not_heard_of_are_written_again_where_that_is_safe(
    engine: sa.Engine, losing: tuple[sa.Engine, Proxy]
) -> None:
    far, _ = losing
    write(engine, stock, delivery(0, 20), Replace())
    write(far, stock, delivery(1, 20), Replace())
    assert stock_in(engine) == written({}, delivery(1, 20), Replace())


def test_rows_whose_commit_was_not_heard_of_are_not_appended_again(
    engine: sa.Engine, losing: tuple[sa.Engine, Proxy]
) -> None:
    far, _ = losing
    with pytest.raises(WriteError, match="not known whether the rows were written; look before") as caught:
        write(far, readings, batch(1, 20), Append())
    assert caught.value.transient
    assert batches_in(engine) == {1: 20}


def test_a_server_that_stays_away_after_a_commit_leaves_it_open_whether_rows_were_written(
    engine: sa.Engine, losing: tuple[sa.Engine, Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last attempt wrote nothing, but the one before it did."""
    monkeypatch.setattr("gans_pipeline.storage.engine.CONNECT_ATTEMPTS", 1)
    far, proxy = losing

    def leave(_: sa.Connection, _text: str) -> None:
        proxy.is_away = proxy.loses_answer

    with before_statements(far, leave), pytest.raises(WriteError, match="not known whether") as caught:
        write(far, stock, delivery(1, 20), Upsert())
    assert caught.value.transient
    assert stock_in(engine) == written({}, delivery(1, 20), Upsert())


# Others are in the way


@pytest.fixture
def impatient(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """An engine that waits a second for a lock, twice."""
    monkeypatch.setattr("gans_pipeline.storage.writer.ATTEMPTS", 2)
    made = create_engine(engine.url, lock_timeout_s=1)
    yield made
    made.dispose()


def test_a_row_that_another_transaction_holds_is_waited_for_and_then_reported(
    engine: sa.Engine, impatient: sa.Engine
) -> None:
    write(engine, stock, delivery(0, 20), Replace())
    before = stock_in(engine)
    with engine.connect() as other, other.begin() as holding:
        other.execute(sa.update(stock).where(stock.c.number == 15).values(note="held"))
        with pytest.raises(WriteError, match="nothing was written") as caught:
            write(impatient, stock, delivery(1, 20), Replace())
        assert caught.value.transient
        assert stock_in(impatient) == before
        holding.rollback()
    write(impatient, stock, delivery(1, 20), Replace())
    assert stock_in(engine) == written({}, delivery(1, 20), Replace())


def test_another_writer_of_the_table_is_waited_for_and_then_reported(engine: sa.Engine, impatient: sa.Engine) -> None:
    with connected(engine) as other, exclusive(other, stock.name):
        with pytest.raises(WriteError, match="nothing was written") as caught:
            write(impatient, stock, delivery(1, 20), Replace())
        assert caught.value.transient
        assert stock_in(impatient) == {}
        if engine.dialect.name != "sqlite":  # whose writers wait for those of other tables too
            assert write(impatient, readings, batch(1, 20), Append()).inserted == 20
    assert write(impatient, stock, delivery(1, 20), Replace()).inserted == 20


def test_a_table_that_another_session_has_locked_is_waited_for_and_then_reported(
    engine: sa.Engine, administrator: sa.Engine, impatient: sa.Engine
) -> None:
    """As a migration locks it, also for those who read its columns only."""
    with administrator.connect() as other, ThreadPoolExecutor(1) as pool:
        other.exec_driver_sql("LOCK TABLES stock WRITE")
        future = pool.submit(write, impatient, stock, delivery(1, 20), Replace())
        wait([future], timeout=10)
        was_reported = future.done()
        other.exec_driver_sql("UNLOCK TABLES")
        assert not is_kept_or_lost(future, lambda: stock_in(engine), {}, written({}, delivery(1, 20), Replace()))
        assert was_reported
    assert write(impatient, stock, delivery(1, 20), Replace()).inserted == 20


def test_a_writer_that_steps_in_right_after_the_commit_takes_nothing_back(
    engine: sa.Engine, impatient: sa.Engine
) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("on servers nothing that comes after the commit waits for another writer")
    texts: list[str] = []
    with engine.connect().execution_options(sqlite_begin="IMMEDIATE") as other:

        def step_in(_: sa.Connection, text: str) -> None:
            if any(map(CHANGES.match, texts)) and texts[-1] == "COMMIT" and not other.in_transaction():
                other.begin()
            texts.append(text)

        with before_statements(impatient, step_in):
            assert write(impatient, readings, batch(1, 20), Append()).inserted == 20
        assert other.in_transaction()
    assert batches_in(engine) == {1: 20}


def test_a_deadlock_with_somebody_elses_transaction_is_resolved_by_another_attempt(
    engine: sa.Engine, administrator: sa.Engine
) -> None:
    """Of two that wait for each other, the server takes back the one that has changed fewer rows."""
    rows = 1_000
    fewer = delivery(0, rows).query("number > 0")
    fewer.loc[fewer["number"] == rows - 1, "note"] = "changed"
    write(engine, stock, delivery(0, rows), Replace())
    waiting = sa.text(
        "SELECT COUNT(*) FROM information_schema.innodb_trx AS t JOIN information_schema.processlist AS p "
        "ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
    )
    foreign = create_engine(engine.url)
    with administrator.connect() as watch, ThreadPoolExecutor(1) as pool, errors_of(engine) as errors:
        with foreign.begin() as other:
            other.execute(sa.update(stock).where(stock.c.number >= 100).values(amount=0))
            future = pool.submit(write, engine, stock, fewer, Replace())
            # It has deleted the first row, and waits for the last. The list stays as it is if it is read more often.
            eventually(lambda: watch.scalar(waiting), every_s=0.3)
            other.execute(sa.update(stock).where(stock.c.area == "area 0", stock.c.number == 0).values(amount=0))
        assert future.result().deleted == 1
    assert errors == [DEADLOCK]
    assert stock_in(engine) == written({}, fewer, Replace())
    foreign.dispose()


# Writers at once

ROUNDS = 12
Areas = dict[str, tuple[str, str, int, int]]
"""The first and the last note of each area, its number of rows and the sum of their amounts."""


@dataclass(frozen=True)
class Rival:
    """A writer of some areas, whose rows tell by whom and in which round they were written."""

    name: str
    areas: tuple[str, ...]
    has_fixed_keys: bool

    def keys(self, number: int) -> range:
        """Return the numbers of its rows in each area in this round."""
        if self.has_fixed_keys:
            return range(40)
        first = 5 * (ord(self.name) % 3)
        return range(first, first + 20 + 10 * (number % 3))

    def rows(self, number: int) -> pd.DataFrame:
        """Return what it writes in this round."""
        keys = [(area, key) for area in self.areas for key in self.keys(number)]
        frame = pd.DataFrame(keys, columns=["area", "number"])
        return frame.assign(amount=frame["number"] * number, note=f"{self.name}{number}", seen_on=None)

    def leaves(self, number: int) -> Areas:
        """Return what its areas are after its turn."""
        note, keys = f"{self.name}{number}", self.keys(number)
        return dict.fromkeys(self.areas, (note, note, len(keys), number * sum(keys)))


def areas_in(connection: sa.Connection) -> Areas:
    """Return what a reader sees of each area, all at one moment."""
    note, amount = stock.c.note, stock.c.amount
    query = sa.select(stock.c.area, sa.func.min(note), sa.func.max(note), sa.func.count(), sa.func.sum(amount))
    with connection.begin():
        found = connection.execute(query.group_by(stock.c.area)).all()
    return {area: (first, last, int(rows), int(total)) for area, first, last, rows, total in found}


def write_group(engine: sa.Engine, rows: pd.DataFrame, _areas: tuple[str, ...]) -> WriteResult:
    return write(engine, stock, rows, Replace(by=("area",)))


def write_partition(engine: sa.Engine, rows: pd.DataFrame, areas: tuple[str, ...]) -> WriteResult:
    return write(engine, stock, rows, Replace(), where=lambda table: table.c.area.in_(areas))


def write_keys(engine: sa.Engine, rows: pd.DataFrame, _areas: tuple[str, ...]) -> WriteResult:
    return write(engine, stock, rows, Upsert())


@pytest.mark.parametrize("way", [write_group, write_partition, write_keys])
def test_writers_at_once_leave_what_they_would_one_after_another_and_readers_see_nothing_else(
    engine: sa.Engine, way: Callable[[sa.Engine, pd.DataFrame, tuple[str, ...]], WriteResult]
) -> None:
    """Two of them share an area and have one each beside it, a third has the one beside those."""
    shares = {"A": ("a", "b"), "B": ("b", "c"), "C": ("d",)}
    rivals = [Rival(name, areas, has_fixed_keys=way is write_keys) for name, areas in shares.items()]
    engines = [create_engine(engine.url) for _ in rivals]
    start = threading.Barrier(len(rivals))
    state: Areas = {}

    def take_turn(rival: Rival, own: sa.Engine, number: int) -> WriteResult:
        rows = rival.rows(number)
        start.wait(PATIENCE_S)
        return way(own, rows, rival.areas)

    with engine.connect() as reader, ThreadPoolExecutor(len(rivals)) as pool:
        for number in range(ROUNDS):
            orders = [order for length in range(len(rivals) + 1) for order in permutations(rivals, length)]
            turns = [[rival.leaves(number) for rival in order] for order in orders]
            legal = [reduce(lambda left, right: left | right, turn, state) for turn in turns]
            futures = [pool.submit(take_turn, *each, number) for each in zip(rivals, engines, strict=True)]
            while not all(future.done() for future in futures):
                assert areas_in(reader) in legal
            for future in futures:
                future.result()
            state = areas_in(reader)
            assert state in [end for end, order in zip(legal, orders, strict=True) if len(order) == len(rivals)]
    for own in engines:
        own.dispose()


# Many writes in a row

Key = tuple[str, int]
Test = Callable[[Key, Row], bool]

CONDITIONS: dict[str, tuple[Condition, Test]] = {
    "area b": (lambda table: table.c.area == "b", lambda key, _: key[0] == "b"),
    "low numbers": (lambda table: table.c.number < 2, lambda key, _: key[1] < 2),
    "no small amounts": (lambda table: table.c.amount >= 1, lambda _, row: row[0] is not None and row[0] >= 1),
}


@dataclass(frozen=True)
class Step:
    """A write to stock; ``origins`` tells whether the rows bring that column, or leave it to the database."""

    mode: Mode
    rows: Stock
    origins: bool
    scope: frozenset[str] | None
    condition: str | None

    def frame(self) -> pd.DataFrame:
        """Return the rows."""
        columns: dict[str, Any] = {
            "area": [area for area, _ in self.rows],
            "number": pd.array([number for _, number in self.rows], dtype="int64"),
            "amount": pd.array([amount for amount, *_ in self.rows.values()], dtype="Int64"),
            "note": pd.Series([note for _, note, *_ in self.rows.values()], dtype="object"),
            "seen_on": pd.Series([day for _, _, day, _ in self.rows.values()], dtype="object"),
        }
        if self.origins:
            columns["origin"] = [origin for *_, origin in self.rows.values()]
        return pd.DataFrame(columns)

    def take(self, engine: sa.Engine) -> WriteResult:
        """Write them."""
        where = None if self.condition is None else CONDITIONS[self.condition][0]
        if self.scope is None:
            return write(engine, stock, self.frame(), self.mode, where=where)
        scope = pd.DataFrame({"area": sorted(self.scope)}, dtype="object")
        return write(engine, stock, ScopedFrame(self.frame(), scope), self.mode, where=where)

    def leaves(self, before: Stock) -> tuple[Stock, WriteResult] | None:
        """Return what becomes of the rows that are there, and the counts; None if the write is refused."""
        holds: Test = (lambda _key, _row: True) if self.condition is None else CONDITIONS[self.condition][1]
        if not all(holds(key, row) for key, row in self.rows.items()):
            return None
        if isinstance(self.mode, Append):
            taken = self.rows.keys() & before.keys()
            return None if taken else (before | self.completed({}), WriteResult(len(self.rows), 0, 0, 0))
        gone = set()
        if isinstance(self.mode, Replace):
            groups = {area for area, _ in self.rows} | (self.scope or set())
            in_groups = {key for key in before if not self.mode.by or key[0] in groups}
            gone = {key for key in in_groups if holds(key, before[key]) and key not in self.rows}
        rows = self.completed(before)
        new = rows.keys() - before.keys()
        changed = {k for k in rows.keys() & before.keys() if compared(rows[k]) != compared(before[k])}
        after = {key: row for key, row in before.items() if key not in gone}
        after |= {key: rows[key] for key in new | changed}
        return after, WriteResult(len(new), len(changed), len(rows) - len(new) - len(changed), len(gone))

    def completed(self, before: Stock) -> Stock:
        """Return the rows with the origins that they have in the table."""
        if self.origins:
            return self.rows
        return {key: (*row[:3], before[key][3] if key in before else "home") for key, row in self.rows.items()}


def compared(row: Row) -> tuple[Any, ...]:
    """Return what makes a row count as changed."""
    amount, note, _, origin = row
    return amount, note, origin


AMOUNTS = st.sampled_from([None, 0, 1, 2, -(2**63), 2**63 - 1])
NOTES = st.sampled_from([None, "", "NULL", "n", "N", "\\N", "a\tb\n", "ß", "ss", "🛴", 'it\'s "it"'])
DAYS = st.sampled_from([None, MONDAY, TUESDAY])
ORIGINS = st.sampled_from(["home", "away"])
MODES: list[Mode] = [Upsert(), Replace(), Replace(by=("area",)), Append()]


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Return writes whose rows have few different values, so that many are as they were."""
    values = draw(st.lists(st.tuples(AMOUNTS, NOTES, ORIGINS), min_size=1, max_size=3))
    row = st.builds(lambda value, day: (value[0], value[1], day, value[2]), st.sampled_from(values), DAYS)
    rows = st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from(range(3))), row, max_size=7)
    return [step(draw, draw(rows)) for _ in range(draw(st.integers(1, 6)))]


def step(draw: st.DrawFn, rows: Stock) -> Step:
    mode = draw(st.sampled_from(MODES))
    condition = draw(st.sampled_from([None, None, *CONDITIONS]))
    if condition is not None and draw(st.integers(0, 5)):  # else some rows may be outside
        rows = {key: row for key, row in rows.items() if CONDITIONS[condition][1](key, row)}
    scope = None
    if mode == Replace(by=("area",)):
        more = draw(st.none() | st.sets(st.sampled_from("abc")))
        scope = None if more is None else frozenset(more | {area for area, _ in rows})
    return Step(mode, rows, draw(st.booleans()), scope, condition)


@pytest.mark.parametrize("first_keys", [1, 100], ids=["known keys met while inserting", "known keys met before"])
@settings(max_examples=45, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps())
def test_any_writes_in_a_row_leave_and_count_what_they_would_in_a_dictionary(
    engine: sa.Engine, first_keys: int, writes: list[Step]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(stock))
    state: Stock = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "FIRST_KEYS", first_keys)
        for step in writes:
            expected = step.leaves(state)
            if expected is None:
                with pytest.raises(FrameError):
                    step.take(engine)
            else:
                state, counts = expected
                assert step.take(engine) == counts
            assert stock_in(engine) == state


BATCHES = st.lists(st.tuples(st.sampled_from(range(3)), AMOUNTS, NOTES), max_size=6)
KEYLESS_MODES: list[Mode | str] = [Append(), Replace(), Replace(by=("batch",)), "batch 1"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KEYLESS_MODES), BATCHES), min_size=1, max_size=6))
def test_any_writes_to_a_table_without_a_key_leave_and_count_what_they_would_in_a_list(
    engine: sa.Engine, writes: list[tuple[Mode | str, list[tuple[int, int | None, str | None]]]]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(readings))
    state: Counter[Any] = Counter()
    for mode, drawn in writes:
        rows = [row for row in drawn if row[0] == 1] if isinstance(mode, str) else drawn
        kept = state
        if isinstance(mode, Replace):
            kept = Counter(
                {row: n for row, n in state.items() if mode.by and row[0] not in {first for first, *_ in rows}}
            )
        elif isinstance(mode, str):
            kept = Counter({row: n for row, n in state.items() if row[0] != 1})
        frame = pd.DataFrame(
            {
                "batch": pd.array([number for number, _, _ in rows], dtype="int64"),
                "amount": pd.array([amount for _, amount, _ in rows], dtype="Int64"),
                "note": pd.Series([note for _, _, note in rows], dtype="object"),
            }
        )
        where = (lambda table: table.c.batch == 1) if isinstance(mode, str) else None
        result = write(engine, readings, frame, Replace() if isinstance(mode, str) else mode, where=where)
        assert result == WriteResult(len(rows), 0, 0, state.total() - kept.total())
        state = kept + Counter(rows)
        with engine.connect() as connection:
            assert Counter(tuple(row) for row in connection.execute(sa.select(readings))) == state


def test_a_group_without_a_name_is_refused_since_no_write_would_find_it_again(engine: sa.Engine) -> None:
    write(engine, stock, delivery(0, 20), Replace())
    before = stock_in(engine)
    unnamed = delivery(1, 20).assign(note=None)
    with pytest.raises(FrameError, match="note"):
        write(engine, stock, unnamed, Replace(by=("note",)))
    assert stock_in(engine) == before


def test_a_space_at_the_end_of_a_text_is_a_change(engine: sa.Engine) -> None:
    write(engine, stock, delivery(0, 20).assign(note="by hand"), Upsert())
    assert write(engine, stock, delivery(0, 20).assign(note="by hand "), Upsert()).updated == 20
    assert {note for _, note, *_ in stock_in(engine).values()} == {"by hand "}
