"""The databases that the other tests rely on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from gans_pipeline_tests.servers import fresh_database, named_servers

PARTS = ("first", "second")


@pytest.mark.parametrize("part", PARTS)
def test_each_test_gets_an_empty_database(database_url: str, part: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    assert sa.inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE left_behind (name VARCHAR(20))")


def test_text_outside_the_basic_plane_survives(database_url: str) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE texts (name VARCHAR(20))")
        connection.execute(sa.text("INSERT INTO texts VALUES (:name)"), {"name": "Málaga 🛴"})
        assert connection.scalar(sa.text("SELECT name FROM texts")) == "Málaga 🛴"


def test_the_id_says_what_the_server_is(database_url: str, request: pytest.FixtureRequest) -> None:
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    query = "SELECT sqlite_version()" if database_url.startswith("sqlite") else "SELECT VERSION()"
    with engine.connect() as connection:
        version = str(connection.scalar(sa.text(query)))
    kind = request.node.callspec.id.partition("-")[0]
    assert ("MariaDB" in version) == (kind == "mariadb")


def test_a_dropped_database_is_gone(database_url: str) -> None:
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        pytest.skip("a database of SQLite is a file in the test's own folder")
    with fresh_database(url) as name:
        database = sa.make_url(name).database
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    assert database not in sa.inspect(engine).get_schema_names()


def test_a_named_server_that_does_not_answer_is_kept_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANS_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:1, ")
    (server,) = named_servers()
    assert server.label == "unreachable-1"
    assert "Can't connect" in server.error


def test_a_private_server_ends_even_when_its_owner_is_killed(database_url: str, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.id
    if kind not in ("mariadb", "mysql"):
        pytest.skip("not a private server")
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from gans_pipeline_tests.servers import find_binary, running_server\n"
            f"with running_server({kind!r}, find_binary({kind!r})) as url:\n"
            "    print(url, flush=True)\n"
            "    time.sleep(60)\n",
        ],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    engine = sa.create_engine(owner.stdout.readline().strip(), poolclass=sa.NullPool)
    with engine.connect() as connection:
        data = Path(str(connection.scalar(sa.text("SELECT @@datadir"))))
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    deadline = time.monotonic() + 10
    while data.parent.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not data.parent.exists()
    with pytest.raises(sa.exc.OperationalError):
        engine.connect()
