"""LOAD DATA LOCAL INFILE: what is sent, to whom, and what happens when it goes wrong."""

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pytest
import sqlalchemy as sa

from gans_pipeline.storage import load_data
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.load_data import LoadingConnection
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.writer import write
from gans_pipeline_tests.storage.conftest import frame, place, places

OK = b"\x00\x00\x00\x02\x00\x00\x00"
HANDSHAKE = (
    b"\x0a8.4.0-thief\x00" + struct.pack("<I", 1) + b"a" * 8 + b"\x00"
    b"\xff\xf7\xff\x02\x00\xff\xc1\x15" + b"\x00" * 10 + b"b" * 12 + b"\x00mysql_native_password\x00"
)


class Thief:
    """A server that answers queries with a request for a file, as any server on the way to ours could."""

    def __init__(self, wanted: str, after: bytes) -> None:
        self.wanted, self.after = wanted, after
        self.stolen = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.listener.getsockname()[1])

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as made:
            stream = cast(IO[bytes], made)
            self._send(stream, 0, HANDSHAKE)
            self._receive(stream)
            self._send(stream, 2, OK)
            while True:
                number, query = self._receive(stream)
                if not query:
                    return
                if not query[1:].startswith(self.after):
                    self._send(stream, number + 1, OK)
                    continue
                self._send(stream, number + 1, b"\xfb" + self.wanted.encode())
                while True:
                    number, stolen = self._receive(stream)
                    self.stolen += stolen
                    if not stolen:
                        break
                self._send(stream, number + 1, OK)

    def _send(self, stream: IO[bytes], number: int, packet: bytes) -> None:
        stream.write(len(packet).to_bytes(3, "little") + bytes([number % 256]) + packet)
        stream.flush()

    def _receive(self, stream: IO[bytes]) -> tuple[int, bytes]:
        header = stream.read(4)
        return (header[3], stream.read(int.from_bytes(header[:3], "little"))) if len(header) == 4 else (0, b"")


@contextmanager
def thief(wanted: Path, after: bytes) -> Iterator[Thief]:
    """Run such a server; it asks for the file in answer to the first query that begins so."""
    server = Thief(str(wanted), after)
    server.thread.start()
    try:
        yield server
    finally:
        server.thread.join(timeout=10)
        server.listener.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that is nobody's business."""
    path = tmp_path / "secret"
    path.write_text("the customer's secret")
    return path


def test_a_server_that_asks_for_a_file_unasked_gets_none(secret: Path) -> None:
    with thief(secret, after=b"SELECT") as server:
        connection = LoadingConnection(host="127.0.0.1", port=server.port, user="u", ssl_disabled=True)
        with pytest.raises(RuntimeError, match="local_infile option is false"):
            connection.query("SELECT 1")
        connection._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # in the midst of a statement
    assert server.stolen == b""


def test_a_server_that_asks_for_another_file_than_it_is_offered_gets_none(secret: Path, tmp_path: Path) -> None:
    offered = tmp_path / "rows"
    offered.write_text("1\t2\n")
    with thief(secret, after=b"LOAD DATA") as server:
        connection = LoadingConnection(host="127.0.0.1", port=server.port, user="u", ssl_disabled=True)
        with connection.allowing(str(offered)), pytest.raises(RuntimeError, match="local_infile option is false"):
            connection.query(f"LOAD DATA LOCAL INFILE '{offered}' INTO TABLE t")
        connection._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # in the midst of a statement
    assert server.stolen == b""


def test_the_file_that_is_offered_is_sent(tmp_path: Path) -> None:
    offered = tmp_path / "rows"
    offered.write_text("1\t2\n")
    with thief(offered, after=b"LOAD DATA") as server:
        connection = LoadingConnection(host="127.0.0.1", port=server.port, user="u", ssl_disabled=True)
        with connection.allowing(str(offered)):
            connection.query(f"LOAD DATA LOCAL INFILE '{offered}' INTO TABLE t")
        connection.close()
    assert server.stolen == b"1\t2\n"


@pytest.mark.parametrize(
    ("host", "tls_ca", "is_loading"),
    [
        ("localhost", None, True),
        ("127.0.0.1", None, True),
        ("[::1]", None, True),
        ("db.example.com", None, False),
        ("10.0.0.5", None, False),
        ("db.example.com", "ca", True),
    ],
)
def test_rows_are_sent_as_a_file_only_to_this_machine_or_a_verified_server(
    host: str, tls_ca: str | None, is_loading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssl.create_default_context", lambda **_: object())
    engine = create_engine(f"mysql+pymysql://u:p@{host}/d", tls_ca=tls_ca)
    connects = [listener.__name__ for listener in engine.dialect.dispatch.do_connect]
    assert bool(connects) == is_loading


def test_an_obstacle_is_named(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no LOAD DATA")
    with engine.connect() as connection:
        assert load_data.obstacle(connection) is None
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert load_data.obstacle(connection) == "pyarrow is not installed"
    with sa.create_engine(engine.url).connect() as connection:
        assert load_data.obstacle(connection) == "the connection is neither local nor verified by TLS"


def test_a_rendering_that_fails_midway_leaves_the_table_as_it_was(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no LOAD DATA")
    write(engine, places, frame(place("Berlin")))

    def render(_rows: Any, _delicate: Any, pipe: BinaryIO) -> None:
        pipe.write(b"Paris\t1\t2.5\t1\t2026-11-23 12:00:00\n")
        raise MemoryError("no room for the rest")

    monkeypatch.setattr(load_data, "_render", render)
    with pytest.raises(MemoryError, match="no room"):
        write(engine, places, frame(place("Paris"), place("Rome")))
    monkeypatch.undo()
    assert read(engine, places)["name"].tolist() == ["Berlin"]
    assert write(engine, places, frame(place("Paris"))).inserted == 1


def test_a_server_that_refuses_the_load_leaves_no_thread_and_no_pipe(engine: sa.Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no LOAD DATA")
    rows = frame(*(place(f"p{number}") for number in range(20_000)))  # more than a pipe holds
    with engine.connect() as connection:
        before = len(os.listdir("/dev/fd"))
        with pytest.raises(sa.exc.ProgrammingError):
            load_data.load(connection, "nowhere", rows)
        assert len(os.listdir("/dev/fd")) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "render rows"]
