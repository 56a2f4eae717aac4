"""Engines for SQLite, MariaDB and MySQL that behave alike: UTC, strict, exact text, foreign keys, real transactions."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 300
LOCK_TIMEOUT_S = 30

# STRICT: MySQL otherwise cuts long text and turns wrong dates into zeros with a warning that nobody reads.
SESSION = "SET SESSION time_zone = '+00:00', SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE'"


def create_engine(url: str | URL, *, tls_ca: str | None = None) -> Engine:
    """Return an engine for an SQLAlchemy URL: ``sqlite:///file.db`` or ``mysql+pymysql://user:password@host/database``.

    ``tls_ca`` is the file of a certificate authority: the connection is then encrypted and certificate and host name
    are verified, or it fails. Raises ValueError for another database, a URL that names none or is unreadable, without
    its password; OSError where the folder of an SQLite file cannot be made.
    """
    url = _supported(url)
    return _sqlite(url) if url.get_backend_name() == "sqlite" else _mysql(url, tls_ca)


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


def _sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url.set(drivername="sqlite"), connect_args={"timeout": LOCK_TIMEOUT_S})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver would not open a transaction before a SELECT or DDL
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_mode = WAL")  # readers see the old rows while a writer works

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that first reads and then writes fails at once if another one wrote in between; a writer
        # therefore asks for the lock at its start (execution option sqlite_begin="IMMEDIATE") and waits for it.
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine


def _mysql(url: URL, tls_ca: str | None) -> Engine:
    arguments: dict[str, Any] = {
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": STATEMENT_TIMEOUT_S,
        "write_timeout": STATEMENT_TIMEOUT_S,
        "init_command": SESSION,
    }
    if tls_ca:
        arguments["ssl"] = ssl.create_default_context(cafile=tls_ca)
    return sa.create_engine(
        url.set(drivername="mysql+pymysql"),
        connect_args=arguments,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=1800,
    )


@contextmanager
def exclusive(engine: Engine, name: str) -> Iterator[sa.Connection]:
    """Begin a transaction on a connection while no other process is in one of the same name in this database.

    Under READ COMMITTED a writer does not see the rows that another one is inserting: two that replaced the same group
    at once left the rows of both. SQLite has one writer at a time by its nature. Raises TimeoutError after
    ``LOCK_TIMEOUT_S`` seconds.
    """
    with engine.execution_options(sqlite_begin="IMMEDIATE").connect() as connection:
        if connection.dialect.name == "sqlite":
            with connection.begin():
                yield connection
            return
        lock = f"{engine.url.database}.{name}"[-64:]  # one server has them all, of 64 characters at most
        try:
            with connection.begin():
                if connection.execute(sa.select(sa.func.get_lock(lock, LOCK_TIMEOUT_S))).scalar_one() != 1:
                    raise TimeoutError(f"another writer did not finish within {LOCK_TIMEOUT_S} s")
                yield connection
        finally:
            if not connection.invalidated:  # else the server let go of it with the connection
                connection.exec_driver_sql("DO RELEASE_ALL_LOCKS()")


def create_database(url: str | URL, *, tls_ca: str | None = None) -> bool:
    """Create the MySQL or MariaDB database that the URL names where the server has none; return whether it was made.

    SQLite makes its file by itself. Asks before it creates, so that a user without the right to create still gets on.
    """
    url = _supported(url)
    if url.get_backend_name() == "sqlite" or not url.database:
        return False
    server = _mysql(url._replace(database=None), tls_ca)  # set() takes None for 'as it is'
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
