"""Faults of processes, connections and neighbours, made on purpose, and two tables to see what they leave."""

import datetime as dt
import random
import select
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.writer import Mode, Upsert, write
from gans_pipeline_tests.storage.conftest import MYSQL

NO_SUCH_THREAD = 1094
PATIENCE_S = 60.0
"""How long something may take that takes milliseconds on an idle machine."""

metadata = sa.MetaData()

stock = sa.Table(
    "stock",
    metadata,
    sa.Column("area", sa.String(20), primary_key=True),
    sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("amount", sa.BigInteger()),
    sa.Column("note", sa.String(200)),
    sa.Column("seen_on", sa.Date(), info={"compare": False}),
    sa.Column("origin", sa.String(20), nullable=False, server_default="home"),
    **MYSQL,
)
readings = sa.Table(
    "readings",
    metadata,
    sa.Column("batch", sa.Integer(), nullable=False),
    sa.Column("amount", sa.BigInteger()),
    sa.Column("note", sa.String(200)),
    **MYSQL,
)

Row = tuple[int | None, str | None, dt.date | None, str]
"""Amount, note, day and origin of a row of stock."""
Stock = dict[tuple[str, int], Row]


def delivery(number: int, rows: int) -> pd.DataFrame:
    """Return rows of stock: of those of the number before, a tenth is gone, a quarter of the rest as it was."""
    keys = np.arange(rows) + number * rows // 10
    frame = pd.DataFrame({"area": [f"area {key % 5}" for key in keys], "number": keys})
    frame["amount"] = keys + np.where(keys % 4 == 0, 0, number * 1_000_000)
    return frame.assign(note="carried over land and sea", seen_on=None)


def batch(number: int, rows: int) -> pd.DataFrame:
    """Return rows of readings."""
    return pd.DataFrame({"batch": [number] * rows, "amount": range(rows), "note": "read by hand, at noon"})


def written(before: Stock, delivered: pd.DataFrame, mode: Mode) -> Stock:
    """Return what a delivery makes of the rows of stock."""
    columns = (delivered[name].tolist() for name in ("area", "number", "amount", "note"))
    rows: Stock = {
        (area, number): (amount, note, None, "home") for area, number, amount, note in zip(*columns, strict=True)
    }
    return before | rows if isinstance(mode, Upsert) else rows


def contents(connection: sa.Connection) -> Stock:
    """Return the rows of stock."""
    return {(area, number): (*values,) for area, number, *values in connection.execute(sa.select(stock))}


def stock_in(engine: sa.Engine) -> Stock:
    """Return the rows of stock, as a new reader sees them."""
    with engine.connect() as connection:
        return contents(connection)


def batches_in(engine: sa.Engine) -> Counter[int]:
    """Return the number of rows of each batch of readings."""
    query = sa.select(readings.c.batch, sa.func.count()).group_by(readings.c.batch)
    with engine.connect() as connection:
        return Counter(dict(connection.execute(query).all()))


def write_and_wait(url: str, rows: pd.DataFrame, mode: Mode, parent: "Pipe[str, str]") -> None:
    """Write to stock, in a process that is going to be killed, and say when it begins and when it is done."""
    engine = create_engine(url)
    parent.send("begins")
    write(engine, stock, rows, mode)
    parent.send("done")
    parent.recv()


class Moments:
    """Random moments of something that takes about ``duration_s``: most lie before its end, some after.

    The limit follows what is met, so that neither a busier machine nor a quieter one makes all of them miss.
    """

    def __init__(self, duration_s: float) -> None:
        self._limit_s = duration_s

    def draw(self) -> float:
        """Return the time to wait from its beginning, in seconds."""
        return random.uniform(0, self._limit_s)

    def met(self, *, the_end: bool) -> None:
        """Take note whether it had come to its end."""
        self._limit_s *= 0.85 if the_end else 1.05  # three of four before the end


def eventually(condition: Callable[[], object], *, every_s: float = 0.005) -> None:
    """Wait until the condition holds; raises AssertionError if it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        threading.Event().wait(every_s)


@contextmanager
def before_statements(engine: sa.Engine, act: Callable[[sa.Connection, str], None]) -> Iterator[None]:
    """Call ``act`` with each statement that the engine is about to send, COMMIT included."""

    def statement(connection: sa.Connection, _cursor: Any, text: str, *_: Any) -> None:
        act(connection, text)

    def commit(connection: sa.Connection) -> None:
        act(connection, "COMMIT")

    sa.event.listen(engine, "before_cursor_execute", statement)
    sa.event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", statement)
        sa.event.remove(engine, "commit", commit)


@contextmanager
def errors_of(engine: sa.Engine) -> Iterator[list[Any]]:
    """Yield a list that gets the driver's codes of the errors that the engine meets in use."""
    codes: list[Any] = []

    def note(context: sa.ExceptionContext) -> None:
        if not context.is_pre_ping:
            codes.append(next(iter(context.original_exception.args), None))

    sa.event.listen(engine, "handle_error", note)
    try:
        yield codes
    finally:
        sa.event.remove(engine, "handle_error", note)


def thread_of(connection: sa.Connection) -> int:
    """Return the number by which the server knows the connection."""
    driver: Any = connection.connection.dbapi_connection
    return int(driver.thread_id())


def cut(administrator: sa.Engine, thread: int) -> None:
    """End a connection as the server's administrator does, and wait until it is gone."""
    with administrator.connect() as connection:
        try:
            connection.exec_driver_sql(f"KILL CONNECTION {thread}")
        except sa.exc.DBAPIError as error:
            if error.orig is None or error.orig.args[0] != NO_SUCH_THREAD:
                raise
        known = sa.text("SELECT COUNT(*) FROM information_schema.processlist WHERE id = :thread")
        eventually(lambda: connection.scalar(known, {"thread": thread}) == 0)


class Proxy(socketserver.ThreadingTCPServer):
    """Forwards connections to a server, and breaks one when told to."""

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, url: sa.URL) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.target = (url.host or "localhost", url.port or 3306)
        self.url = url.set(host="127.0.0.1", port=self.server_address[1])
        self.sent = 0
        self.allowed: int | None = None
        self.loses_answer = self.is_away = False

    def break_after(self, sent: int) -> None:
        """Break the connection when so many bytes more were sent to the server."""
        self.allowed = sent

    def lose_answer(self) -> None:
        """Break the connection when the server answers next, without the answer."""
        self.loses_answer = True

    def passes(self, data: bytes, *, is_answer: bool) -> tuple[bytes, bool]:
        """Return what is forwarded of the data, and whether the connection is broken then."""
        if is_answer:
            lost, self.loses_answer = self.loses_answer, False
            return (b"", True) if lost else (data, not data)
        is_broken = not data
        if self.allowed is not None:
            is_broken = len(data) >= self.allowed
            data = data[: self.allowed]
            self.allowed = None if is_broken else self.allowed - len(data)
        self.sent += len(data)
        return data, is_broken

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Forward connections until the end of the block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Forwarder(socketserver.BaseRequestHandler):
    server: Proxy
    request: socket.socket

    def handle(self) -> None:
        if self.server.is_away:
            return
        with socket.create_connection(self.server.target) as there:
            other = {self.request: there, there: self.request}
            while True:
                for source in select.select(list(other), [], [])[0]:
                    try:
                        data, is_broken = self.server.passes(source.recv(2**16), is_answer=source is there)
                        other[source].sendall(data)
                    except ConnectionError:
                        return
                    if is_broken:
                        return


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """Forward connections to the server of the URL."""
    with Proxy(sa.make_url(url)) as proxy, proxy.running():
        yield proxy
