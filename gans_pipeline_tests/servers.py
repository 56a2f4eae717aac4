"""Database servers for tests: those that the environment names, and private ones from the binaries on the PATH.

Here belongs how a server is found, started and ended, and how a test gets a database of its own on it. What the tests
ask of a database belongs into them; the fixture that hands it out is in ``conftest``.

``GANS_TEST_MYSQL_URL`` names servers as comma-separated SQLAlchemy URLs of an administrator. With
``GANS_REQUIRE_SERVERS=1`` a run in which MariaDB or MySQL is missing fails instead of skipping.
"""

import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa

Kind = Literal["mariadb", "mysql"]
KINDS: tuple[Kind, ...] = ("mariadb", "mysql")

START_TIMEOUT_S = 60.0
"""A first start takes about 3 seconds on an idle machine; an emulated or busy one may need many times that."""

# Ends the server and removes its data when our end of the pipe closes, which the system does for us however pytest
# ends: finalizers do not run in a worker that pytest-xdist kills, and each such run would leave a server behind.
_KEEPER = 'dir=$1; shift; "$@" </dev/null >"$dir/log" 2>&1 & read -r _; kill -9 $! 2>/dev/null; wait; rm -rf "$dir"'


class NamedServer(NamedTuple):
    """A server of ``GANS_TEST_MYSQL_URL``; ``kind`` is None where it does not answer, and ``error`` says why."""

    url: sa.URL
    kind: Kind | None
    error: str = ""

    @property
    def label(self) -> str:
        """Return kind and port, as a test's id shows them."""
        return f"{self.kind or 'unreachable'}-{self.url.port or 3306}"


def named_servers() -> list[NamedServer]:
    """Return the servers of ``GANS_TEST_MYSQL_URL``, each asked what it is (the URL's scheme does not tell)."""
    urls = [text.strip() for text in os.environ.get("GANS_TEST_MYSQL_URL", "").split(",")]
    return [_ask(sa.make_url(url)) for url in urls if url]


def _ask(url: sa.URL) -> NamedServer:
    engine = sa.create_engine(url, connect_args={"connect_timeout": 5}, poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            version = str(connection.scalar(sa.text("SELECT VERSION()")))
    except sa.exc.OperationalError as error:
        return NamedServer(url, None, str(error.orig))
    return NamedServer(url, "mariadb" if "MariaDB" in version else "mysql")


def find_binary(kind: Kind) -> str | None:
    """Return the path of the server's program, or None. MariaDB installs a ``mysqld`` too: the version text tells."""
    for name in ("mariadbd", "mysqld") if kind == "mariadb" else ("mysqld",):
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/libexec")
        if path is None:
            continue
        version = subprocess.run([path, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
        if version.returncode == 0 and ("MariaDB" in version.stdout) == (kind == "mariadb"):
            return path
    return None


@contextmanager
def running_server(kind: Kind, binary: str) -> Iterator[sa.URL]:
    """Run a server with empty data on a free port of 127.0.0.1; yield the URL of its administrator.

    It is tuned to forget: nothing waits for the disk. Raises ``RuntimeError`` with the log if it does not start.
    """
    # Not pytest's tmp_path: a socket's path may have 107 characters (103 on macOS).
    directory = Path(tempfile.mkdtemp(prefix="gans-test-db-"))
    data, port = directory / "data", free_port()
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    _initialize(kind, binary, data, as_root, directory)
    command = [
        binary,
        "--no-defaults",
        *as_root,
        f"--datadir={data}",
        f"--socket={directory / 'socket'}",
        f"--pid-file={directory / 'pid'}",
        "--bind-address=127.0.0.1",
        f"--port={port}",
        "--innodb-buffer-pool-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
        "--skip-log-bin",
        # MySQL listens on a second port otherwise, and looks for a folder that only its package's own server has
        *(["--mysqlx=OFF", "--secure-file-priv=NULL"] if kind == "mysql" else []),
    ]
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, "keeper", str(directory), *command],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for pytest
    )
    url = sa.URL.create("mysql+pymysql", username="root", host="127.0.0.1", port=port)
    try:
        _wait_until_it_answers(url, directory / "log")
        yield url
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()


def free_port() -> int:
    """Return a port for a server that starts in a moment.

    Below 32768: a port that the system chooses may serve an outgoing connection by the time the server binds it.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError("100 ports of 127.0.0.1 are in use")


def _initialize(kind: Kind, binary: str, data: Path, as_root: list[str], directory: Path) -> None:
    if kind == "mysql":
        command = [binary, "--no-defaults", "--initialize-insecure", *as_root, f"--datadir={data}"]
    else:
        command = ["mariadb-install-db", "--no-defaults", *as_root, f"--datadir={data}"]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(directory)
        raise RuntimeError(f"{command[0]} failed with status {made.returncode}:\n{made.stdout}{made.stderr}"[-4000:])


def _wait_until_it_answers(url: sa.URL, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while _ask(url).kind is None:
        text = log.read_text(errors="replace") if log.exists() else ""
        if re.search(r"\[ERROR\].*Aborting", text) or time.monotonic() > deadline:
            raise RuntimeError(f"the database server did not start:\n{text[-4000:]}")
        time.sleep(0.05)


@contextmanager
def fresh_database(administrator: sa.URL) -> Iterator[str]:
    """Create an empty utf8mb4 database on the server, yield its URL, drop it."""
    name = f"gans_test_{uuid.uuid4().hex[:16]}"
    engine = sa.create_engine(administrator, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield administrator.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
