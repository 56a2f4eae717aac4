"""What all tests share: an environment without the developer's settings, and a fresh database of every kind."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from gans_pipeline.settings import Settings
from gans_pipeline_tests.servers import (
    KINDS,
    Kind,
    NamedServer,
    find_binary,
    fresh_database,
    named_servers,
    running_server,
)

OF_THE_TEST_RUN = {
    "GANS_TEST_MYSQL_URL",
    "GANS_REQUIRE_SERVERS",
    "GANS_REQUIRE_BROWSER",
    "GANS_SCREENSHOT_DIR",
    "GANS_RECORDED_DIR",
    "GANS_CONTRACTS_DIR",
}

Database = NamedServer | Kind | None
"""A parameter of ``database_url``: a named server, a private server of this kind, or None for SQLite."""


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A ``.env`` with keys and a production database must not reach a test, nor a test that database or archive."""
    for name in set(os.environ) - OF_THE_TEST_RUN:
        if name.startswith("GANS_") or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)
    monkeypatch.setitem(Settings.model_config, "env_file", None)
    monkeypatch.setenv("GANS_ARCHIVE", str(tmp_path_factory.mktemp("archive")))


@pytest.fixture(autouse=True)
def _no_provider_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that failed in one test is not left alone in the next, and never for seconds."""
    monkeypatch.setattr("gans_pipeline.sources.http._gates", {})
    monkeypatch.setattr("gans_pipeline.sources.http._Circuit.CLOSED_S", (0.01, 0.01, 0.01, 300))


@cache
def _databases() -> dict[str, Database]:
    """Return what ``database_url`` stands for in this run, by test id.

    A named server replaces the gap that a kind without a program on the PATH would leave; where neither is there, the
    kind stays in the list and its tests say what is missing.
    """
    named = named_servers()
    found = {server.kind for server in named}
    private: dict[str, Database] = {kind: kind for kind in KINDS if find_binary(kind) or kind not in found}
    return {"sqlite": None, **private, **{server.label: server for server in named}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses ``database_url`` once for each database: ids 'sqlite', 'mariadb', 'mysql', 'mysql-3307'."""
    if "database_url" in metafunc.fixturenames:
        databases = _databases()
        metafunc.parametrize("database_url", list(databases.values()), ids=list(databases), indirect=True)


@pytest.fixture(scope="session")
def _private_server() -> Iterator[Callable[[Kind], sa.URL]]:
    """Start each kind of server when the first test asks for it; end them with the session."""
    with ExitStack() as stack:

        @cache
        def start(kind: Kind) -> sa.URL:
            binary = find_binary(kind)
            if binary is not None:
                return stack.enter_context(running_server(kind, binary))
            reason = f"no {kind} server: none on the PATH, and none named in GANS_TEST_MYSQL_URL"
            if os.environ.get("GANS_REQUIRE_SERVERS") == "1":
                pytest.fail(reason, pytrace=False)
            pytest.skip(reason)

        yield start


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, _private_server: Callable[[Kind], sa.URL]
) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database, on SQLite and on every server of this run in turn."""
    database: Database = request.param
    if database is None:
        yield f"sqlite:///{tmp_path / 'gans.db'}"
        return
    if isinstance(database, NamedServer):
        if database.kind is None:
            pytest.fail(f"GANS_TEST_MYSQL_URL names {database.url!r}, which fails: {database.error}", pytrace=False)
        administrator = database.url
    else:
        administrator = _private_server(database)
    with fresh_database(administrator) as url:
        yield url
