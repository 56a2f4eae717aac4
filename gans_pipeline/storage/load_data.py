"""LOAD DATA LOCAL INFILE: the fastest way of rows into MySQL and MariaDB, and what it takes to use it safely.

A frame goes through a pipe: rendering and loading overlap, and nothing of it is ever in a file. pyarrow renders.
Without it, and where server or connection do not allow LOAD DATA, the staging of rows falls back to multi-row INSERTs.
"""

import contextlib
import importlib.util
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import pandas as pd
import pymysql
import sqlalchemy as sa
from pymysql.connections import MySQLResult
from pymysql.constants import CR
from pymysql.protocol import LoadLocalPacketWrapper

CHUNK_ROWS = 50_000
"""Rows that are rendered at a time: 10 to 20 MB of forecasts."""


class LoadError(ValueError):
    """The server did not take every row as it was sent; the message says why, in the server's words."""


class LoadingConnection(pymysql.Connection):
    """A connection on which ``load`` may be used; others refuse every request for a file.

    Any server may answer any statement with a request for any of the client's files, and PyMySQL sends what is asked
    for once ``local_infile`` is on. This one sends the pipe that it has itself named, and nothing else.
    """

    allowed_path: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, local_infile=True)
        self._local_infile = False  # from here on it is set for the one file that is allowed

    @contextmanager
    def allowing(self, path: str) -> Iterator[None]:
        """Send this file if the server asks for it."""
        self.allowed_path = path
        try:
            yield
        finally:
            self.allowed_path = None

    def _read_query_result(self, unbuffered: bool = False) -> Any:
        if self.allowed_path is None:
            return super()._read_query_result(unbuffered)  # type: ignore[misc]
        self._result = None
        result = _GuardedResult(self)
        result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        return result.affected_rows


class _GuardedResult(MySQLResult):
    def _read_load_local_packet(self, first_packet: Any) -> None:
        connection: Any = self.connection
        asked_for = bytes(LoadLocalPacketWrapper(first_packet).filename).decode(errors="replace")
        connection._local_infile = asked_for == connection.allowed_path
        try:
            super()._read_load_local_packet(first_packet)  # type: ignore[misc]
        except AttributeError:  # of PyMySQL 1.2, when the connection breaks while rows are sent
            if connection.open:
                raise
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "connection lost while rows were sent") from None
        finally:
            connection._local_infile = False


def obstacle(connection: sa.Connection) -> str | None:
    """Return why LOAD DATA cannot be used on this connection, or None if it can."""
    if not isinstance(connection.connection.dbapi_connection, LoadingConnection):
        return "the connection is neither local nor verified by TLS"
    if importlib.util.find_spec("pyarrow") is None:
        return "pyarrow is not installed"
    if not os.path.exists("/dev/fd"):
        return "this system has no /dev/fd"
    if not connection.exec_driver_sql("SELECT @@GLOBAL.local_infile").scalar_one():
        return "the server's local_infile is off"
    return None


def load(connection: sa.Connection, table: str, frame: pd.DataFrame) -> None:
    """Load a frame of the table's dtypes into columns of the same names; raises :class:`LoadError` if a row is lost.

    LOCAL turns every error into a warning and goes on, which is why both rows and warnings are counted.
    """
    quote = connection.dialect.identifier_preparer.quote
    delicate = [name for name in frame.columns if _is_delicate(frame[name])]
    targets = [f"@v{i}" if name in delicate else quote(name) for i, name in enumerate(frame.columns)]
    settings = [
        f"{quote(name)} = CONVERT(UNHEX(@v{i}) USING utf8mb4)"
        for i, name in enumerate(frame.columns)
        if name in delicate
    ]
    dbapi: Any = connection.connection.dbapi_connection
    with _piped(frame, delicate) as path, dbapi.allowing(path):
        result = connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE {table} CHARACTER SET utf8mb4 "
            "FIELDS TERMINATED BY '\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\n' "
            f"({', '.join(targets)}) {'SET ' + ', '.join(settings) if settings else ''}"
        )
    if result.rowcount != len(frame) or result.context.cursor.warning_count:
        warnings = connection.exec_driver_sql("SHOW WARNINGS LIMIT 3").all()
        said = "; ".join(str(message) for _, _, message in warnings) or "without a reason"
        raise LoadError(f"the server took {result.rowcount} of {len(frame)} rows as they are: {said}")


@contextmanager
def _piped(frame: pd.DataFrame, delicate: Sequence[str]) -> Iterator[str]:
    """Render the frame into a pipe, in a thread, and yield the path to read it from."""
    read_end, write_end = os.pipe()
    errors: list[BaseException] = []

    def render() -> None:
        try:
            with os.fdopen(write_end, "wb", buffering=2**20) as pipe:
                _render(frame, delicate, pipe)
        except BrokenPipeError:
            pass  # the reader failed, and says why
        except BaseException as error:  # noqa: BLE001 (a thread's error has to reach the one that waits for its rows)
            errors.append(error)

    thread = threading.Thread(target=render, name="render rows")
    thread.start()
    try:
        yield f"/dev/fd/{read_end}"
    finally:
        os.close(read_end)
        thread.join()
        if errors:
            raise errors[0]


def _is_delicate(values: "pd.Series[Any]") -> bool:
    """Tell whether a column holds text with characters that mean something in the file: such columns travel as hex."""
    return isinstance(values.dtype, pd.StringDtype) and bool(values.str.contains('["\\\\\t\r\n]', na=False).any())


def _render(frame: pd.DataFrame, delicate: Sequence[str], pipe: BinaryIO) -> None:
    r"""Write rows as LOAD DATA reads them: fields between tabs, ``\N`` for NULL, nothing quoted.

    pandas' own ``to_csv`` takes longer than the server needs to load the rows: 4.9 s a million, 0.5 s by pyarrow.
    """
    import pyarrow as pa
    import pyarrow.csv as csv

    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    for start in range(0, len(frame), CHUNK_ROWS):
        chunk = frame.iloc[start : start + CHUNK_ROWS]
        columns = [_to_arrow(chunk[name], is_delicate=name in delicate) for name in chunk.columns]
        csv.write_csv(pa.table(columns, names=[str(i) for i in range(len(columns))]), pipe, options)


def _to_arrow(values: "pd.Series[Any]", *, is_delicate: bool) -> Any:
    """Return a column as an Arrow array whose text LOAD DATA understands."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_localize(None)
    if is_delicate:
        values = values.map(lambda text: text.encode().hex(), na_action="ignore")
    array = pa.array(values, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    elif pa.types.is_timestamp(array.type):
        with contextlib.suppress(pa.ArrowInvalid):  # whole seconds are a quarter shorter, and parsed faster
            array = array.cast(pa.timestamp("s"))
    elif pa.types.is_null(array.type):
        array = array.cast(pa.string())
    if array.null_count:
        array = pc.fill_null(array.cast(pa.large_string()), "\\N")
    return array
