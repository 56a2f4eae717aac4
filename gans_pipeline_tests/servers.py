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
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple

import sqlalchemy as sa

Kind = Literal["mariadb", "mysql"]
KINDS: tuple[Kind, ...] = ("mariadb", "mysql")

START_TIMEOUT_S = 60.0
"""A first start takes about 3 seconds on an idle machine; an emulated or busy one may need many times that."""

# Ends the server and removes its data when our end of the pipe closes, which the system does for us however pytest
# ends: finalizers do not run in a worker that pytest-xdist kills, and each such run would leave a server behind.
# A line through the pipe starts a server again that has ended or is about to.
_KEEPER = (
    'dir=$1; shift; run() { "$@" </dev/null >>"$dir/log" 2>&1 & }; run "$@"; '
    'while read -r _; do wait; run "$@"; done; kill -9 $! 2>/dev/null; wait; rm -rf "$dir"'
)
_SCRIPT = Path(__file__).parents[1] / "scripts" / "mysql-server"


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


class RestartableServer(NamedTuple):
    """A server on which what was committed outlives the server's end, and which :attr:`start` starts again."""

    url: sa.URL
    pid_file: Path
    start: Callable[[], None]

    def kill(self) -> None:
        """End it as a crash does."""
        pid = int(self.pid_file.read_text())
        os.kill(pid, signal.SIGKILL)
        self._wait_until_it_is_gone(pid)

    def shut_down(self) -> None:
        """End it as its administrator does: connections are closed, nothing is left to be recovered."""
        pid = int(self.pid_file.read_text())
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with suppress(sa.exc.OperationalError), engine.connect() as connection:  # it may be gone before it answers
            connection.exec_driver_sql("SHUTDOWN")
        self._wait_until_it_is_gone(pid)

    def _wait_until_it_is_gone(self, pid: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while _is_used(self.url.port or 3306) or Path(f"/proc/{pid}/exe").exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the database server {pid} does not end")
            time.sleep(0.02)


@contextmanager
def running_server(kind: Kind, binary: str, *options: str) -> Iterator[sa.URL]:
    """Run a server with empty data on a free port of 127.0.0.1; yield the URL of its administrator.

    It is tuned to forget: nothing waits for the disk. Raises ``RuntimeError`` with the log if it does not start.
    """
    with _kept_server(kind, binary, "--innodb-flush-log-at-trx-commit=0", *options) as server:
        yield server.url


@contextmanager
def restartable_server(kind: Kind, binary: str | None) -> Iterator[RestartableServer]:
    """Run a server with empty data, durable settings and a free port; without a binary the MySQL of the script.

    Raises ``RuntimeError`` with the log if it does not start.
    """
    with _kept_server(kind, binary) if binary else _unpacked_server() as server:
        yield server


def unpacked_mysql() -> Path | None:
    """Return the folder that ``scripts/mysql-server`` has unpacked a MySQL into, or None; only root can run it."""
    root = Path(os.environ.get("MYSQL_ROOT", "/opt/gans-mysql"))
    return root if os.geteuid() == 0 and (root / "usr/sbin/mysqld").exists() else None


@contextmanager
def _unpacked_server() -> Iterator[RestartableServer]:
    root, port = unpacked_mysql(), free_port()
    assert root is not None

    def start() -> None:
        started = subprocess.run([_SCRIPT, "start", str(port)], capture_output=True, text=True, check=False)
        if started.returncode != 0:
            raise RuntimeError(f"the database server did not start:\n{started.stdout}{started.stderr}"[-4000:])

    url = sa.URL.create("mysql+pymysql", username="root", host="127.0.0.1", port=port)
    keeper = subprocess.Popen(
        ["sh", "-c", 'read -r _; exec "$@"', "keeper", _SCRIPT, "stop", str(port)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    server = RestartableServer(url, root / f"run/mysql-{port}/pid", start)
    with _ending(keeper):
        start()
        yield server
        with suppress(OSError):  # it may have ended already
            server.kill()  # to shut down would take 3 seconds more


@contextmanager
def _kept_server(kind: Kind, binary: str, *options: str) -> Iterator[RestartableServer]:
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
        f"--tmpdir={directory}",
        "--skip-log-bin",
        "--local-infile=ON",
        # MySQL listens on a second port otherwise, and looks for a folder that only its package's own server has
        *(["--mysqlx=OFF", "--secure-file-priv=NULL"] if kind == "mysql" else []),
        *options,
    ]
    keeper = subprocess.Popen(
        ["sh", "-c", _KEEPER, "keeper", str(directory), *command],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for pytest
    )
    url = sa.URL.create("mysql+pymysql", username="root", host="127.0.0.1", port=port)

    def start_again() -> None:
        assert keeper.stdin is not None
        keeper.stdin.write(b"\n")
        keeper.stdin.flush()
        _wait_until_it_answers(url, directory / "log")

    with _ending(keeper):
        _wait_until_it_answers(url, directory / "log")
        yield RestartableServer(url, directory / "pid", start_again)


@contextmanager
def _ending(keeper: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        assert keeper.stdin is not None
        keeper.stdin.close()
        keeper.wait()


def free_port() -> int:
    """Return a port for a server that starts in a moment.

    Below 32768: a port that the system chooses may serve an outgoing connection by the time the server binds it.
    """
    for port in random.sample(range(20_000, 32_000), 100):
        if not _is_used(port):
            return port
    raise RuntimeError("100 ports of 127.0.0.1 are in use")


def _is_used(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _initialize(kind: Kind, binary: str, data: Path, as_root: list[str], directory: Path) -> None:
    if kind == "mysql":
        command = [binary, "--no-defaults", "--initialize-insecure", *as_root, f"--datadir={data}"]
    else:
        command = ["mariadb-install-db", "--no-defaults", *as_root, f"--datadir={data}"]
        # Two installations at once have met in /tmp, where their temporary tables have the same names.
        command += ["--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={directory}"]
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
