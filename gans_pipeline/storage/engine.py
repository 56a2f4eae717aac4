"""Engines for SQLite, MariaDB and MySQL that behave alike: UTC, strict, exact text, foreign keys, real transactions."""

import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import tenacity
from sqlalchemy.engine import URL, Engine, make_url

from gans_pipeline.storage.load_data import LoadingConnection

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 300
LOCK_TIMEOUT_S = 30

CONNECT_ATTEMPTS = 5
"""Attempts to reach a server that is away, in about 9 seconds: most restarts are over then, a fail-over is not."""

# Codes of the server or of PyMySQL, on which the same may work in a moment: cannot connect, gone, lost, too many
# connections, shutting down, interrupted.
AWAY = (2002, 2003, 2006, 2013, 1040, 1053, 1317, 1927, 0)


def create_engine(
    url: str | URL,
    *,
    password: str | None = None,
    tls_ca: str | None = None,
    connect_timeout_s: int = CONNECT_TIMEOUT_S,
    statement_timeout_s: int = STATEMENT_TIMEOUT_S,
    lock_timeout_s: int = LOCK_TIMEOUT_S,
) -> Engine:
    """Return an engine for an SQLAlchemy URL: ``sqlite:///file.db`` or ``mysql+pymysql://user:password@host/database``.

    ``password`` is that of a URL without one. ``tls_ca`` is the file of a certificate authority: the connection is then
    encrypted and certificate and host name are verified, or it fails. A statement that takes longer than its time-out
    ends with an error, as does one that waits longer than ``lock_timeout_s`` for another writer. Raises ValueError for
    another database, a URL that names none or is unreadable, without its password; OSError where the folder of an
    SQLite file cannot be made.
    """
    url = _supported(url)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, lock_timeout_s)
    if password is not None:
        url = url.set(password=password)
    return _mysql(url, tls_ca, connect_timeout_s, statement_timeout_s, lock_timeout_s)


def _supported(url: str | URL) -> URL:
    try:
        url = make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # ValueError: a port that is not a number
        raise ValueError("the database URL is not of the form dialect://user:password@host:port/database") from None
    backend = url.get_backend_name()
    if backend not in ("sqlite", "mysql", "mariadb"):
        raise ValueError(f"{backend} databases are not supported: use sqlite:///… or mysql+pymysql://…")
    if backend != "sqlite" and not url.database:
        raise ValueError("the database URL names no database: append one, …@host:port/gans")
    return url


def _sqlite(url: URL, lock_timeout_s: int) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url.set(drivername="sqlite"), connect_args={"timeout": lock_timeout_s})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver would not open a transaction before a SELECT or DDL
        connection.execute("PRAGMA foreign_keys = ON")
        # Readers see the old rows while a writer works. Where another process is just making the file WAL it is locked,
        # without waiting (20 of 600 times when three opened a new file at once), and WAL in a moment.
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that first reads and then writes fails at once if another one wrote in between; a writer
        # therefore asks for the lock at its start (execution option sqlite_begin="IMMEDIATE") and waits for it.
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


def _mysql(
    url: URL, tls_ca: str | None, connect_timeout_s: int, statement_timeout_s: int, lock_timeout_s: int
) -> Engine:
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": connect_timeout_s,
        "read_timeout": statement_timeout_s,
        "write_timeout": statement_timeout_s,
        "init_command": _session(statement_timeout_s, lock_timeout_s),
    }
    if tls_ca:
        arguments["ssl"] = ssl.create_default_context(cafile=tls_ca)
    engine = sa.create_engine(
        url.set(drivername="mysql+pymysql"),
        connect_args=arguments,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=1800,
        execution_options={"lock_timeout_s": lock_timeout_s},
    )
    if tls_ca or _is_local(url):
        # Rows are not sent as a file to a server that may be anybody: it could ask for other files too.
        @sa.event.listens_for(engine, "do_connect")
        def _connect(_dialect: Any, _record: Any, args: Any, kwargs: Any) -> LoadingConnection:
            return LoadingConnection(*args, **kwargs)

    return engine


def _session(statement_timeout_s: int, lock_timeout_s: int) -> str:
    """Return the statement that makes sessions of MySQL and MariaDB alike.

    STRICT: MySQL otherwise cuts long text and turns wrong dates into zeros with a warning that nobody reads. It also
    rounds fractions that a column does not hold, which puts 23:59:59.7 into the next day; MariaDB cuts them.
    A client that gives up leaves its query running in the server, hence the server's own limits (of SELECTs in MySQL).
    In ``/*!80000`` is what only MySQL 8 and newer reads, in ``/*M!`` what only MariaDB reads.
    """
    return (
        "SET SESSION time_zone = '+00:00', "
        "SESSION sql_mode = CONCAT('STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE' "
        "/*!80000 , ',TIME_TRUNCATE_FRACTIONAL' */), "
        f"SESSION innodb_lock_wait_timeout = {lock_timeout_s}, SESSION lock_wait_timeout = {lock_timeout_s} "
        f"/*!80000 , SESSION max_execution_time = {statement_timeout_s * 1000} */ "
        f"/*M! , SESSION max_statement_time = {statement_timeout_s} */"
    )


def _is_local(url: URL) -> bool:
    host = url.host or "localhost"
    return "unix_socket" in url.query or host in ("localhost", "::1") or host.startswith("127.")


def is_away(error: sa.exc.DBAPIError) -> bool:
    """Tell whether the server could not be reached or went away, so that the same may work in a moment."""
    if isinstance(getattr(error.orig, "original_exception", None), ssl.SSLError):
        return False
    code = error.orig.args[0] if error.orig is not None and error.orig.args else None
    return error.connection_invalidated or code in AWAY


@contextmanager
def connected(engine: Engine) -> Iterator[sa.Connection]:
    """Connect, with several attempts if the server is away; raises SQLAlchemy's DBAPIError of the last."""
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, sa.exc.DBAPIError) and is_away(error)),
        wait=tenacity.wait_exponential(multiplier=0.5) + tenacity.wait_random(0, 0.5),
        stop=tenacity.stop_after_attempt(CONNECT_ATTEMPTS),
        sleep=time.sleep,
        reraise=True,
    )
    with attempts(engine.connect) as connection:
        yield connection


@contextmanager
def exclusive(connection: sa.Connection, name: str) -> Iterator[None]:
    """Be in a transaction while no other process is in one of the same name in this database; commit at the end.

    Under READ COMMITTED a writer does not see the rows that another one is inserting: two that replaced the same group
    at once left the rows of both. SQLite has one writer at a time by its nature. Raises TimeoutError after the engine's
    ``lock_timeout_s`` seconds.
    """
    if connection.dialect.name == "sqlite":
        connection.execution_options(sqlite_begin="IMMEDIATE")
        try:
            with connection.begin():
                yield
        finally:
            connection.execution_options(sqlite_begin="DEFERRED")
        return
    lock = f"{connection.engine.url.database}.{name}"[-64:]  # one server has them all, of 64 characters at most
    limit_s = connection.get_execution_options().get("lock_timeout_s", LOCK_TIMEOUT_S)
    try:
        with connection.begin():
            got_it = connection.execute(sa.select(sa.func.get_lock(lock, limit_s))).scalar_one()
            if got_it is None:  # somebody killed the query
                raise TimeoutError("waiting for another writer was interrupted")
            if not got_it:
                raise TimeoutError(f"another writer did not finish within {limit_s} s")
            yield
    finally:
        try:
            if not connection.invalidated:
                with connection.begin():
                    connection.exec_driver_sql("DO RELEASE_ALL_LOCKS()")
        except sa.exc.SQLAlchemyError:  # the transaction is over, one way or the other: this is no failure of it
            connection.invalidate()  # the server lets go of the lock with the connection


def create_database(url: str | URL, *, tls_ca: str | None = None) -> bool:
    """Create the MySQL or MariaDB database that the URL names where the server has none; return whether it was made.

    SQLite makes its file by itself. Asks before it creates, so that a user without the right to create still gets on.
    """
    url = _supported(url)
    if url.get_backend_name() == "sqlite" or not url.database:
        return False
    server = _mysql(  # set() takes None for 'as it is'
        url._replace(database=None), tls_ca, CONNECT_TIMEOUT_S, STATEMENT_TIMEOUT_S, LOCK_TIMEOUT_S
    )
    try:
        with server.connect() as connection:
            known = sa.text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :name")
            if connection.execute(known, {"name": url.database}).first():
                return False
            name = server.dialect.identifier_preparer.quote(url.database)
            connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            return True
    finally:
        server.dispose()


def display_url(url: str | URL) -> str:
    """Return the URL without its password and query, fit to be shown."""
    return make_url(url).set(query={}).render_as_string(hide_password=True)
