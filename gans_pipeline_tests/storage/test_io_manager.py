"""MySQLIOManager inside Dagster, on every database."""

import gc
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pandas as pd
import pymysql
import pytest
import sqlalchemy as sa
from dagster._core.remote_representation.external_data import RepositorySnap  # what the web server gets to see

from gans_pipeline.storage import engine as engines
from gans_pipeline.storage.io_manager import MySQLIOManager
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.table_metadata import column_schema
from gans_pipeline.storage.writer import ScopedFrame, write
from gans_pipeline_tests.storage import conftest
from gans_pipeline_tests.storage.conftest import MONDAY, TUESDAY, frame, place, places, visit, visits

DAYS = dg.DailyPartitionsDefinition("2026-11-20", end_offset=30)


def manager_of(engine: sa.Engine, **settings: Any) -> MySQLIOManager:
    """Return a manager of the engine's database, by default with the declared tables of ``conftest``."""
    url = engine.url.render_as_string(hide_password=False)
    return MySQLIOManager(**{"url": url, "tables": f"{conftest.__name__}:metadata", **settings})


@cache
def shared_instance() -> dg.DagsterInstance:
    """Return one instance for all runs that look at nobody's history: making one takes as long as a run."""
    return dg.DagsterInstance.ephemeral()


def run(
    engine: sa.Engine,
    *assets: dg.AssetsDefinition | dg.AssetSpec | dg.AssetChecksDefinition,
    manager: MySQLIOManager | None = None,
    instance: dg.DagsterInstance | None = None,
    **options: Any,
) -> dg.ExecuteInProcessResult:
    """Materialize the assets into the engine's database."""
    resources = {"io_manager": manager or manager_of(engine)}
    where = instance or shared_instance()
    return dg.materialize(assets, resources=resources, instance=where, raise_on_error=False, **options)


def load(
    manager: MySQLIOManager,
    source: dg.AssetSpec,
    *,
    partitions_def: "dg.PartitionsDefinition[Any] | None" = None,
    annotation: Any = pd.DataFrame,
    partition_key: str | None = None,
    **given: Any,
) -> Any:
    """Return what an asset downstream of the source receives; ``given`` are arguments of its ``AssetIn``."""
    received = []

    def reader(found: Any) -> None:
        received.append(list(found) if isinstance(found, Iterator) else found)

    reader.__annotations__["found"] = annotation
    ins = {"found": dg.AssetIn(source.key, **given)}
    downstream: dg.AssetsDefinition = dg.asset(partitions_def=partitions_def, ins=ins)(reader)
    result = dg.materialize(
        [source, downstream],
        selection=[downstream],
        partition_key=partition_key,
        resources={"io_manager": manager},
        instance=shared_instance(),
    )
    assert result.success
    return received[0]


def asset(name: str, value: Any, **options: Any) -> dg.AssetsDefinition:
    """Return an asset with this value."""

    def made() -> Any:
        return value

    definition: dg.AssetsDefinition = dg.asset(name=name, **options)(made)
    return definition


def metadata_of(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Return the metadata of an asset's materialization."""
    (event,) = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in event.metadata.items()}


def error_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the innermost reason for a run's failure."""
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    error = failure.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    assert error is not None
    return error.message


def succeeded(result: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    """Return the result of a run that is to succeed; say why if it did not."""
    assert result.success, error_of(result)
    return result


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the description of the ``dagster.Failure`` that a run ended with."""
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data is not None
    return str(failure.step_failure_data.user_failure_data.description)


def messages_of(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> list[str]:
    """Return everything that a run said."""
    return [entry.user_message for entry in instance.all_logs(result.run_id)]


def test_a_frame_becomes_a_table_and_a_frame_again(engine: sa.Engine) -> None:
    received = []

    @dg.asset(name="visits")
    def downstream(places: pd.DataFrame) -> pd.DataFrame:
        received.append(places)
        return frame(*(visit(name, MONDAY, "a") for name in places["name"]))

    assert run(engine, asset("places", frame(place("Berlin"), place("Paris"))), downstream).success
    assert received[0]["name"].tolist() == ["Berlin", "Paris"]
    assert len(read(engine, visits)) == 2


def test_a_materialization_reports_what_it_changed(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris")))
    result = run(engine, asset("places", frame(place("Berlin", people=5), place("Rome"))))
    found = metadata_of(result, "places")
    assert {key: found[f"rows_{key}"] for key in ("inserted", "updated", "unchanged", "deleted")} == {
        "inserted": 1,
        "updated": 1,
        "unchanged": 0,
        "deleted": 0,
    }
    assert found["dagster/row_count"] == 3
    assert found["dagster/table_name"].split(".")[-1] == "places"
    assert found["dagster/column_schema"] == column_schema(places)
    assert "Rome" in found["preview"]


def test_a_preview_begins_with_the_key_and_leaves_empty_what_is_unknown(engine: sa.Engine) -> None:
    reordered = frame(place("Berlin", height_m=None), place("Rome"))[["open", "seen_at", "height_m", "people", "name"]]
    header, _, berlin, _ = metadata_of(run(engine, asset("places", reordered)), "places")["preview"].splitlines()
    assert [cell.strip() for cell in header.split("|")][1:4] == ["name", "people", "height_m"]
    assert [cell.strip() for cell in berlin.split("|")][1:4] == ["Berlin", "1", ""]


def test_the_column_schema_tells_types_keys_checks_and_meanings() -> None:
    columns = {column.name: column for column in column_schema(places).columns}
    assert columns["name"].type == "varchar(20)"
    assert columns["name"].constraints.other == ["PRIMARY KEY"]
    assert not columns["name"].constraints.nullable
    assert columns["height_m"].description == "Metres"
    assert columns["height_m"].constraints.nullable
    assert {column.name: column for column in column_schema(visits).columns}["place"].constraints.other == [
        "PRIMARY KEY",
        "REFERENCES places.name",
    ]


def test_no_password_is_in_the_metadata(engine: sa.Engine) -> None:
    result = run(engine, asset("places", frame(place("Berlin"))))
    password = engine.url.password or "no password"
    assert all(str(password) not in str(value) for value in metadata_of(result, "places").values())


@pytest.mark.parametrize("value", [None, 5, [1, 2], "text"], ids=str)
def test_what_is_no_frame_is_refused_with_advice(engine: sa.Engine, value: Any) -> None:
    result = run(engine, asset("places", value))
    assert not result.success
    assert ("annotate the function with '-> None'" if value is None else "return a pandas DataFrame") in error_of(
        result
    )


def test_a_frame_that_does_not_fit_is_not_tried_again(engine: sa.Engine) -> None:
    patient = asset("places", frame(place("x" * 21)), retry_policy=dg.RetryPolicy(max_retries=3))
    result = run(engine, patient)
    assert "longer than 20 characters" in error_of(result)
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]


def test_an_asset_without_a_table_is_refused_by_name(engine: sa.Engine) -> None:
    assert "asset nowhere has no table in" in error_of(run(engine, asset("nowhere", frame(place("Berlin")))))


def test_a_partition_replaces_its_own_rows_and_no_others(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "old"), visit("Berlin", TUESDAY, "kept")))
    monday = asset("visits", frame(visit("Berlin", MONDAY, "new")), partitions_def=DAYS)
    result = run(engine, monday, partition_key="2026-11-23")
    assert read(engine, visits)["visitor"].tolist() == ["new", "kept"]
    found = metadata_of(result, "visits")
    assert (found["dagster/partition_row_count"], found["dagster/row_count"]) == (1, 2)


def test_rows_of_another_partition_are_refused_with_examples(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    tuesday = asset("visits", frame(visit("Berlin", TUESDAY, "a")), partitions_def=DAYS)
    reason = error_of(run(engine, tuesday, partition_key="2026-11-23"))
    assert "outside of the partition that is written (place=Berlin, day=2026-11-24, visitor=a)" in reason
    assert read(engine, visits).empty


def test_a_downstream_partition_loads_its_own_rows(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Tuesday")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a"), visit("Berlin", TUESDAY, "b")))
    received = []

    @dg.asset(partitions_def=DAYS, io_manager_key="nowhere")
    def report(visits: pd.DataFrame) -> None:
        received.append(visits["visitor"].tolist())

    source = dg.AssetSpec("visits", partitions_def=DAYS)
    url = engine.url.render_as_string(hide_password=False)
    manager = MySQLIOManager(url=url, tables=f"{conftest.__name__}:metadata")
    result = dg.materialize(
        [source, report],
        selection=[report],
        partition_key="2026-11-24",
        resources={"io_manager": manager, "nowhere": dg.mem_io_manager},
    )
    assert result.success
    assert received == [["b"]]


def test_a_range_of_partitions_is_written_and_emptied_in_one_run(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a"), visit("Berlin", TUESDAY, "b")))
    scope = pd.DataFrame({"place": ["Berlin"] * 2, "day": [MONDAY, TUESDAY]})
    both = asset(
        "visits",
        ScopedFrame(frame(visit("Berlin", TUESDAY, "c")), scope),
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    days = {"dagster/asset_partition_range_start": "2026-11-23", "dagster/asset_partition_range_end": "2026-11-24"}
    result = run(engine, both, tags=days)
    assert read(engine, visits)["visitor"].tolist() == ["c"]
    events = result.asset_materializations_for_node("visits")
    assert [event.partition for event in events] == ["2026-11-23", "2026-11-24"]
    assert not any("dagster/partition_row_count" in event.metadata for event in events)  # it would be that of both


def test_columns_are_selected_by_the_inputs_metadata(engine: sa.Engine) -> None:
    received = []

    @dg.asset(name="visits", ins={"found": dg.AssetIn("places", metadata={"columns": ["people"]})})
    def downstream(found: pd.DataFrame) -> pd.DataFrame:
        received.append(list(found.columns))
        return frame(visit("Berlin", MONDAY, "a"))

    assert run(engine, asset("places", frame(place("Berlin"))), downstream).success
    assert received == [["people"]]


# -- settings ---------------------------------------------------------------------------------------------------------

SECRET = "top-secret-word"


@pytest.fixture
def passwords(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The passwords that the driver is given; it then connects with the one that the test's server has."""
    given: list[Any] = []
    original = pymysql.connections.Connection.__init__

    def connect(self: Any, *args: Any, password: Any = "", **options: Any) -> None:
        given.append(password)
        original(self, *args, password=engine.url.password or "", **options)

    monkeypatch.setattr(pymysql.connections.Connection, "__init__", connect)
    return given


def everything_said(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    """Return all that Dagster keeps of a run."""
    return "\n".join(dg.serialize_value(entry) for entry in instance.all_logs(result.run_id))


def test_the_url_may_come_from_the_environment(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", engine.url.render_as_string(hide_password=False))
    manager = manager_of(engine, url=dg.EnvVar("SHOP_URL"))
    succeeded(run(engine, asset("places", frame(place("Berlin"))), manager=manager))
    assert len(read(engine, places)) == 1


@pytest.mark.parametrize("fits", [True, False], ids=["a run that succeeds", "a run that fails"])
def test_a_password_from_the_environment_reaches_the_driver_and_nothing_else(
    engine: sa.Engine,
    passwords: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fits: bool,
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no passwords")
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    manager = manager_of(engine, password=dg.EnvVar("SHOP_PASSWORD"))
    upstream = asset("places", frame(place("Berlin" if fits else "x" * 21)))

    @dg.asset
    def downstream(places: pd.DataFrame) -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        result = run(engine, upstream, downstream, manager=manager, instance=instance)
        said = everything_said(instance, result)
    assert result.success == fits
    assert set(passwords) == {SECRET}
    definitions = dg.Definitions(assets=[upstream, downstream], resources={"io_manager": manager})
    shown = dg.serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "SHOP_PASSWORD" in shown
    for text in (said, shown, repr(manager), *capfd.readouterr()):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("url", "password", "message"),
    [
        ("nonsense", None, "the database URL is not of the form dialect://user:password@host:port/database"),
        ("nonsense", SECRET, "the database URL is not of the form dialect://user:password@host:port/database"),
        (f"mysql+pymysql://me:half@host:{SECRET}@host/shop", None, "the database URL is not of the form"),
        (f"mysql+pymysql://me:half@host:{SECRET}@host/shop", "other", "the database URL is not of the form"),
        ("mysql+pymysql://me@host:port/shop", SECRET, "the database URL is not of the form"),
        (f"postgresql://me:{SECRET}@host/shop", None, "postgresql databases are not supported: use sqlite:///"),
        (f"mysql+pymysql://me:{SECRET}@host", None, "the database URL names no database: append one"),
        ("mysql+pymysql://me@host", SECRET, "the database URL names no database: append one"),
    ],
)
def test_a_wrong_url_is_explained_at_once_and_without_the_password(
    url: str, password: str | None, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    impatient = asset("places", frame(place("Berlin")), retry_policy=dg.RetryPolicy(max_retries=1))
    manager = MySQLIOManager(url=url, password=password)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(NO_ENGINE, impatient, manager=manager, instance=instance)
        said = everything_said(instance, result)
    for text in (said, *capfd.readouterr()):
        assert SECRET not in text
    assert message in said
    assert not was_tried_again(result)


NO_ENGINE = sa.create_engine("sqlite://")
"""For runs with a manager of their own."""


def was_tried_again(result: dg.ExecuteInProcessResult) -> bool:
    """Tell whether a step was retried."""
    return any(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)


def test_settings_may_come_with_the_run(engine: sa.Engine) -> None:
    settings = {"url": engine.url.render_as_string(hide_password=False), "tables": f"{conftest.__name__}:metadata"}
    result = dg.materialize(
        [asset("places", frame(place("Berlin")))],
        resources={"io_manager": MySQLIOManager.configure_at_launch()},
        run_config={"resources": {"io_manager": {"config": settings}}},
        instance=shared_instance(),
    )
    assert metadata_of(result, "places")["rows_inserted"] == 1


def test_time_outs_reach_the_driver_and_the_server(engine: sa.Engine) -> None:
    manager = manager_of(engine, connect_timeout_s=7, statement_timeout_s=11, lock_timeout_s=13)
    with manager.engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == 13_000
        else:
            driver: Any = connection.connection.dbapi_connection
            assert (driver.connect_timeout, driver._read_timeout, driver._write_timeout) == (7, 11, 11)
            limit = "max_statement_time" if is_mariadb(engine) else "max_execution_time / 1000"
            found = connection.exec_driver_sql(f"SELECT @@innodb_lock_wait_timeout, @@{limit}").one()
            assert tuple(map(int, found)) == (13, 11)
    manager.engine.dispose()


def is_mariadb(engine: sa.Engine) -> bool:
    """Tell which of the two servers it is, in the server's own words."""
    with engine.connect() as connection:
        return "MariaDB" in str(connection.exec_driver_sql("SELECT VERSION()").scalar_one())


# -- connections ------------------------------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be waited before another attempt to connect; nobody waits."""
    seconds: list[float] = []
    monkeypatch.setattr(engines, "time", SimpleNamespace(sleep=seconds.append))
    return seconds


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next attempts of a manager to connect end with; empty at first."""
    errors: list[Exception] = []
    original = engines.create_engine

    def create_engine(*args: Any, **options: Any) -> sa.Engine:
        engine = original(*args, **options)
        connect = engine.connect

        def attempt() -> sa.Connection:
            if errors:
                raise errors.pop()
            return connect()

        monkeypatch.setattr(engine, "connect", attempt)
        return engine

    monkeypatch.setattr(engines, "create_engine", create_engine)
    return errors


def away() -> sa.exc.OperationalError:
    """Return the error of a server that does not answer."""
    return sa.exc.OperationalError("", {}, pymysql.err.OperationalError(2003, "Can't connect to MySQL server"))


@pytest.mark.parametrize("attempts", [1, 4])
def test_a_server_that_is_away_for_a_moment_is_waited_for_longer_each_time(
    engine: sa.Engine, waits: list[float], failures: list[Exception], attempts: int
) -> None:
    failures.extend(away() for _ in range(attempts))
    succeeded(run(engine, asset("places", frame(place("Berlin")))))
    assert len(waits) == attempts
    assert all(0.5 * 2**number <= wait <= 0.5 * 2**number + 0.5 for number, wait in enumerate(waits))
    assert len(read(engine, places)) == 1


def test_a_reader_waits_for_the_server_too(engine: sa.Engine, waits: list[float], failures: list[Exception]) -> None:
    write(engine, places, frame(place("Berlin")))
    failures.extend([away(), away()])
    found = load(manager_of(engine), dg.AssetSpec("places"))
    assert found["name"].tolist() == ["Berlin"]
    assert len(waits) == 2


def test_a_server_that_hangs_up_is_tried_again_a_few_times_and_may_be_later(
    waits: list[float], capfd: pytest.CaptureFixture[str]
) -> None:
    accepted = []
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                client, address = server.accept()
                client.close()
                if is_over.is_set():
                    return
                accepted.append(address)

        thread = threading.Thread(target=hang_up)
        thread.start()
        url = f"mysql+pymysql://me:{SECRET}@127.0.0.1:{server.getsockname()[1]}/shop"
        again = asset("places", frame(place("Berlin")), retry_policy=dg.RetryPolicy(max_retries=1))
        try:
            with dg.DagsterInstance.ephemeral() as instance:
                result = run(NO_ENGINE, again, manager=MySQLIOManager(url=url), instance=instance)
                said = everything_said(instance, result)
        finally:
            is_over.set()
            socket.create_connection(server.getsockname()).close()
            thread.join()
    assert len(accepted) == 2 * engines.CONNECT_ATTEMPTS
    assert len(waits) == 2 * (engines.CONNECT_ATTEMPTS - 1)
    assert was_tried_again(result)
    assert "Lost connection to MySQL server" in failure_of(result)
    for text in (said, *capfd.readouterr()):
        assert SECRET not in text


@pytest.mark.parametrize("what", ["password", "database"])
def test_a_server_that_refuses_the_login_is_not_asked_again(engine: sa.Engine, waits: list[float], what: str) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no logins")
    url = engine.url.set(password=SECRET) if what == "password" else engine.url.set(database=SECRET)
    manager = manager_of(engine, url=url.render_as_string(hide_password=False))
    impatient = asset("places", frame(place("Berlin")), retry_policy=dg.RetryPolicy(max_retries=1))
    result = run(engine, impatient, manager=manager)
    assert ("Access denied" if what == "password" else "Unknown database") in failure_of(result)
    assert waits == []
    assert not was_tried_again(result)


# -- definitions ------------------------------------------------------------------------------------------------------

WRONG_METADATA: dict[str, tuple[str, dict[str, Any], str]] = {
    "no table": ("nowhere", {}, "asset nowhere has no table in"),
    "no such table": ("places", {"table": "nowhere"}, "asset places has no table in"),
    "no such database": ("places", {"schema": "elsewhere"}, "asset places has no table in"),
    "no such mode": (
        "places",
        {"write_mode": "merge"},
        "the write_mode of asset places is 'merge', which is none of replace, upsert, append",
    ),
    "no such column to replace by": ("visits", {"write_mode": "replace", "replace_by": ["town"]}, "town"),
}


@pytest.mark.parametrize("what", WRONG_METADATA)
def test_wrong_metadata_is_refused_before_anything_runs(what: str) -> None:
    name, metadata, message = WRONG_METADATA[what]
    manager = MySQLIOManager(url=dg.EnvVar("NOT_SET"), tables=f"{conftest.__name__}:metadata")
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=message):
        dg.map_asset_specs(manager.describe, [asset(name, None, metadata=metadata)])


@pytest.mark.parametrize("what", WRONG_METADATA)
def test_wrong_metadata_is_refused_when_it_was_not_described(engine: sa.Engine, what: str) -> None:
    name, metadata, message = WRONG_METADATA[what]
    write(engine, places, frame(place("Berlin")))
    rows = frame(visit("Berlin", MONDAY, "a") if name == "visits" else place("Rome"))
    reason = error_of(run(engine, asset(name, rows, metadata=metadata)))
    assert reason.startswith("dagster._core.errors.DagsterInvalidDefinitionError")
    assert message in reason
    assert read(engine, places)["name"].tolist() == ["Berlin"]
    assert read(engine, visits).empty


def test_a_described_asset_shows_its_columns_and_where_it_is_kept() -> None:
    manager = MySQLIOManager(url=dg.EnvVar("NOT_SET"), tables=f"{conftest.__name__}:metadata")
    (described,) = dg.map_asset_specs(manager.describe, [asset("places", None, metadata={"mine": "kept"})])
    (spec,) = described.specs
    assert spec.metadata["dagster/column_schema"] == column_schema(places)
    assert spec.metadata["mine"] == "kept"
    assert spec.kinds == {"mysql"}


def test_an_upsert_without_a_key_is_refused_with_advice_and_not_tried_again(engine: sa.Engine) -> None:
    rows = pd.DataFrame({"name": ["Berlin"]})
    impatient = asset("keyless", rows, metadata={"write_mode": "upsert"}, retry_policy=dg.RetryPolicy(max_retries=1))
    result = run(engine, impatient, manager=manager_of(engine, tables=None))
    assert "table keyless has no primary key to upsert by" in failure_of(result)
    assert not was_tried_again(result)


# -- loading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [dg.AssetSpec("spots", metadata={"table": "places"}), dg.AssetSpec(["a", "places"])],
    ids=["named by metadata", "named by its key"],
)
@pytest.mark.parametrize("columns", [["people", "name"], None], ids=str)
def test_columns_of_an_external_asset_are_selected_in_the_order_they_are_named(
    engine: sa.Engine, source: dg.AssetSpec, columns: list[str] | None
) -> None:
    write(engine, places, frame(place("Berlin")))
    found = load(manager_of(engine), source, metadata={"columns": columns} if columns else None)
    expected = columns or list(places.columns.keys())
    assert found.columns.tolist() == expected
    assert found.dtypes.to_dict() == read(engine, places)[expected].dtypes.to_dict()


def test_a_source_asset_is_loaded_too(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    source = dg.SourceAsset("spots", metadata={"table": "places"})
    received = []

    @dg.asset(ins={"spots": dg.AssetIn(metadata={"columns": ["name"]})})
    def downstream(spots: pd.DataFrame) -> None:
        received.append(spots.to_dict("list"))

    manager = manager_of(engine)
    succeeded(dg.materialize([source, downstream], selection=[downstream], resources={"io_manager": manager}))
    assert received == [{"name": ["Berlin"]}]


def test_a_column_that_the_table_has_not_is_refused_by_name(engine: sa.Engine) -> None:
    @dg.asset(ins={"places": dg.AssetIn(metadata={"columns": ["name", "colour"]})})
    def downstream(places: pd.DataFrame) -> None: ...

    reason = error_of(run(engine, dg.AssetSpec("places"), downstream, selection=[downstream]))
    assert "table places has no column colour: name, people, height_m, open, seen_at" in reason


@pytest.mark.parametrize("tables", [f"{conftest.__name__}:metadata", None], ids=["declared", "undeclared"])
def test_loading_a_table_that_is_not_there_says_what_to_do(database_url: str, tables: str | None) -> None:
    manager = MySQLIOManager(url=database_url, tables=tables)
    with pytest.raises(
        dg.DagsterInvariantViolationError, match="has no table places: materialize what is stored there first"
    ):
        load(manager, dg.AssetSpec("places"))


@pytest.mark.parametrize("annotation", [pd.DataFrame, Any, object, pd.DataFrame | None], ids=str)
def test_a_frame_is_loaded_where_the_annotation_allows_one(engine: sa.Engine, annotation: Any) -> None:
    write(engine, places, frame(place("Berlin")))
    found = load(manager_of(engine), dg.AssetSpec("places"), annotation=annotation)
    assert found["name"].tolist() == ["Berlin"]


def test_a_frame_is_loaded_where_nothing_is_annotated(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    received = []

    @dg.asset
    def downstream(places) -> None:  # type: ignore[no-untyped-def]
        received.append(places["name"].tolist())

    succeeded(run(engine, dg.AssetSpec("places"), downstream, selection=[downstream]))
    assert received == [["Berlin"]]


@pytest.mark.parametrize("annotation", [int, str, dict], ids=str)
def test_an_input_of_another_type_is_refused_with_advice(engine: sa.Engine, annotation: Any) -> None:
    write(engine, places, frame(place("Berlin")))
    with pytest.raises(dg.DagsterInvariantViolationError) as caught:
        load(manager_of(engine), dg.AssetSpec("places"), annotation=annotation)
    assert (
        f"the input of asset places is annotated as {annotation.__name__}, and a table is loaded as a pandas "
        "DataFrame: annotate it so, or give it another I/O manager"
    ) in str(caught.value)


@pytest.mark.parametrize("annotation", [list, list[str], dict[str, int], Iterator], ids=str)
def test_an_input_of_several_values_is_refused(engine: sa.Engine, annotation: Any) -> None:
    write(engine, places, frame(place("Berlin")))
    with pytest.raises((dg.DagsterTypeCheckDidNotPass, dg.DagsterInvariantViolationError)):
        load(manager_of(engine), dg.AssetSpec("places"), annotation=annotation)


def test_values_come_back_in_the_tables_dtypes_also_when_there_are_none(engine: sa.Engine) -> None:
    dtypes = {
        "name": "str",
        "people": "Int64",
        "height_m": "float64",
        "open": "bool",
        "seen_at": "datetime64[us, UTC]",
    }
    empty = load(manager_of(engine), dg.AssetSpec("places"))
    assert empty.dtypes.astype(str).to_dict() == dtypes
    write(engine, places, frame(place("Berlin"), place("Rome", people=None, height_m=None, open=False)))
    found = load(manager_of(engine), dg.AssetSpec("places"))
    assert found.dtypes.astype(str).to_dict() == dtypes
    assert found["people"].tolist() == [1, pd.NA]
    assert found["open"].tolist() == [True, False]


def test_a_check_of_an_asset_gets_its_rows(engine: sa.Engine) -> None:
    @dg.asset_check(asset="places")
    def two_places(places: pd.DataFrame) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=places["name"].tolist() == ["Berlin", "Paris"])

    write(engine, places, frame(place("Paris")))
    result = succeeded(run(engine, asset("places", frame(place("Berlin"))), two_places))
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed


def test_a_value_can_be_loaded_outside_of_a_run(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(visit("Berlin", MONDAY, "a"), visit("Berlin", TUESDAY, "b")))
    definitions = dg.Definitions(
        assets=[asset("places", None), asset("visits", None, partitions_def=DAYS)],
        resources={"io_manager": manager_of(engine)},
    )
    with definitions.get_asset_value_loader() as loader:
        columns = {"columns": ["name"]}
        found: Any = loader.load_asset_value("places", python_type=pd.DataFrame, input_definition_metadata=columns)
        assert found.to_dict("list") == {"name": ["Berlin"]}
        found = loader.load_asset_value("visits", partition_key="2026-11-24")
        assert found["visitor"].tolist() == ["b"]
        days = dg.PartitionKeyRange("2026-11-22", "2026-11-23")
        found = loader.load_asset_value("visits", python_type=pd.DataFrame, partition_key_range=days)
        assert found["visitor"].tolist() == ["a"]
    gc.collect()  # Dagster closes what the loader made when that is collected: here, and not within another test


# -- portions ---------------------------------------------------------------------------------------------------------

MANY = frame(*(place(f"p{number:02}", people=number) for number in range(25)))


@pytest.mark.parametrize(("rows", "lengths"), [(10, [10, 10, 5]), (25, [25]), (5, [5] * 5), (100, [25])], ids=str)
def test_portions_put_together_are_the_whole(engine: sa.Engine, rows: int, lengths: list[int]) -> None:
    write(engine, places, MANY)
    metadata = {"portion_rows": rows}
    portions = load(manager_of(engine), dg.AssetSpec("places"), metadata=metadata, annotation=Iterator)
    assert [len(portion) for portion in portions] == lengths
    pd.testing.assert_frame_equal(pd.concat(portions, ignore_index=True), read(engine, places))


def test_portions_of_a_table_without_rows_are_one_frame_with_its_dtypes(engine: sa.Engine) -> None:
    """So that what puts them together needs no case of its own."""
    metadata = {"portion_rows": 10, "columns": ["people", "seen_at"]}
    portions = load(manager_of(engine), dg.AssetSpec("places"), metadata=metadata, annotation=Iterator)
    pd.testing.assert_frame_equal(pd.concat(portions), read(engine, places, ["people", "seen_at"]))


def test_portions_hold_the_rows_of_the_partition_and_the_columns_that_are_named(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin")))
    write(engine, visits, frame(*(visit("Berlin", day, name) for day in (MONDAY, TUESDAY) for name in "abcde")))
    portions = load(
        manager_of(engine),
        dg.AssetSpec("visits", partitions_def=DAYS),
        partitions_def=DAYS,
        partition_key="2026-11-24",
        metadata={"portion_rows": 2, "columns": ["day", "visitor"]},
        annotation=Iterator,
    )
    assert [portion["visitor"].tolist() for portion in portions] == [["a", "b"], ["c", "d"], ["e"]]
    assert {day for portion in portions for day in portion["day"]} == {TUESDAY}


def test_portions_that_are_abandoned_halfway_leave_the_manager_usable(engine: sa.Engine) -> None:
    write(engine, places, MANY)
    received = []

    @dg.asset(ins={"places": dg.AssetIn(metadata={"portion_rows": 2})})
    def hasty(places: Any) -> None:
        received.append(len(next(places)))

    @dg.asset(deps=[hasty])
    def thorough(places: pd.DataFrame) -> None:
        received.append(len(places))

    @dg.asset(name="places", deps=[hasty])
    def writer() -> pd.DataFrame:
        return MANY.head(3)

    manager = manager_of(engine)
    source = dg.AssetSpec("places")
    for _ in range(3):
        succeeded(run(engine, source, hasty, thorough, manager=manager, selection=[hasty, thorough]))
    assert received == [2, 25] * 3
    result = run(engine, asset("places", MANY.assign(people=0)), manager=manager)
    assert metadata_of(result, "places")["rows_updated"] == 24


# -- what a materialization shows -------------------------------------------------------------------------------------


def test_a_materialization_shows_where_its_rows_are_and_no_credentials(engine: sa.Engine) -> None:
    result = run(engine, asset("places", frame(place("Berlin"), place("Paris"))))
    found = metadata_of(result, "places")
    url = engine.url
    if engine.dialect.name == "sqlite":
        expected = ("sqlite", "places", f"sqlite:///{url.database}#places")
    else:
        kind = "mariadb" if is_mariadb(engine) else "mysql"
        expected = (kind, f"{url.database}.places", f"{kind}://{url.host}:{url.port or 3306}/{url.database}/places")
    assert (found["dagster/storage_kind"], found["dagster/table_name"], found["dagster/uri"]) == expected
    assert found["dagster/row_count"] == 2
    assert "dagster/partition_row_count" not in found
    assert found["write_mode"] == "upsert"


def test_what_an_asset_tells_of_itself_is_shown_beside_and_no_obstacle(engine: sa.Engine) -> None:
    mine = {"source": "a book", "dagster/row_count": 7, "preview": "mine"}
    found = metadata_of(run(engine, overriding("Output", frame(place("Berlin")), mine, name="places")), "places")
    assert found["source"] == "a book"
    assert found["dagster/row_count"] == 1
    assert "Berlin" in found["preview"]


def test_the_query_that_is_shown_gives_the_rows_when_it_is_pasted(engine: sa.Engine) -> None:
    result = run(engine, asset("places", frame(place("Berlin"), place("Paris"))))
    query = metadata_of(result, "places")["Query"].removeprefix("```sql\n").removesuffix("\n```")
    client = sa.create_engine(engine.url, poolclass=sa.NullPool).raw_connection()
    try:
        cursor = client.cursor()
        cursor.execute(query)
        assert [row[0] for row in cursor.fetchall()] == ["Berlin", "Paris"]
        assert [column[0] for column in cursor.description] == list(places.columns.keys())
    finally:
        client.close()


def test_the_column_schema_tells_keys_of_several_columns_and_checks_of_the_table() -> None:
    table = sa.Table(
        "shops",
        sa.MetaData(),
        sa.Column("town", sa.String(20), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("code", sa.String(3), nullable=False, unique=True, comment="Code"),
        sa.Column("opens", sa.Integer()),
        sa.Column("closes", sa.Integer()),
        sa.CheckConstraint("opens < closes"),
        sa.CheckConstraint("number > 0", info={"column": "number"}),
        sa.UniqueConstraint("town", "opens"),
    )
    shown = column_schema(table)
    columns = {column.name: column for column in shown.columns}
    assert {name for name, column in columns.items() if column.constraints.unique} == {"code"}
    assert {name for name, column in columns.items() if column.constraints.nullable} == {"opens", "closes"}
    assert columns["code"].description == "Code"
    assert columns["number"].constraints.other == ["PRIMARY KEY", "CHECK (number > 0)"]
    assert shown.constraints is not None
    assert set(shown.constraints.other) == {
        "PRIMARY KEY (town, number)",
        "UNIQUE (code)",
        "UNIQUE (town, opens)",
        "CHECK (opens < closes)",
    }


def test_dagsters_schema_check_passes_for_a_declared_table(engine: sa.Engine) -> None:
    rows = asset("places", frame(place("Berlin")))
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            checks = dg.build_column_schema_change_checks(assets=[rows])
            result = succeeded(run(engine, rows, *checks, instance=instance))
            (evaluation,) = result.get_asset_check_evaluations()
            assert evaluation.passed, evaluation.description


def test_the_lineage_of_the_definition_is_repeated_by_each_materialization(engine: sa.Engine) -> None:
    lineage = dg.TableColumnLineage({"name": [dg.TableColumnDep(dg.AssetKey("towns"), "label")]})
    told = asset("places", frame(place("Berlin")), metadata={"dagster/column_lineage": lineage})
    assert metadata_of(run(engine, told), "places")["dagster/column_lineage"] == lineage
    untold = asset("places", frame(place("Berlin")))
    assert "dagster/column_lineage" not in metadata_of(run(engine, untold), "places")


# -- the way of writing -----------------------------------------------------------------------------------------------

OVERRIDES = ["context.add_output_metadata", "Output", "MaterializeResult"]


def overriding(way: str, rows: pd.DataFrame, override: dict[str, Any], **options: Any) -> dg.AssetsDefinition:
    """Return an asset that gives metadata with its rows, in one of the ways there are."""

    def added(context: dg.AssetExecutionContext) -> pd.DataFrame:
        context.add_output_metadata(override)
        return rows

    def output() -> dg.Output[pd.DataFrame]:
        return dg.Output(rows, metadata=override)

    def materialized() -> Any:
        return dg.MaterializeResult(value=rows, metadata=override)

    made: Any = dict(zip(OVERRIDES, (added, output, materialized), strict=True))[way]
    definition: dg.AssetsDefinition = dg.asset(**options)(made)
    return definition


@pytest.mark.parametrize(
    ("way", "definition", "output"),
    [*((way, "upsert", "replace") for way in OVERRIDES), ("Output", "replace", "upsert"), ("Output", None, "replace")],
)
def test_the_metadata_of_an_output_goes_before_that_of_its_definition(
    engine: sa.Engine, way: str, definition: str | None, output: str
) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris")))
    metadata = {"write_mode": definition} if definition else {}
    rows = overriding(way, frame(place("Berlin")), {"write_mode": output}, name="places", metadata=metadata)
    result = succeeded(run(engine, rows))
    assert read(engine, places)["name"].tolist() == (["Berlin"] if output == "replace" else ["Berlin", "Paris"])
    assert metadata_of(result, "places")["write_mode"] == output


@pytest.mark.parametrize("way", OVERRIDES)
def test_an_output_may_name_the_groups_that_it_replaces(engine: sa.Engine, way: str) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris")))
    write(engine, visits, frame(*(visit(name, day, "a") for name in ("Berlin", "Paris") for day in (MONDAY, TUESDAY))))
    by_day = {"write_mode": "replace", "replace_by": ["day"]}
    succeeded(run(engine, overriding(way, frame(visit("Berlin", MONDAY, "b")), by_day, name="visits")))
    assert read(engine, visits, ["day", "visitor"]).values.tolist() == [
        [MONDAY, "b"],
        [TUESDAY, "a"],
        [TUESDAY, "a"],
    ]


@pytest.mark.parametrize("way", ["Output", "definition"])
def test_groups_to_replace_need_no_mode_beside_them(engine: sa.Engine, way: str) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris"), place("Rome", people=2)))
    by = {"replace_by": ["people"]}
    rows = frame(place("Paris"), place("Oslo"))
    if way == "definition":
        result = run(engine, asset("places", rows, metadata=by))
    else:
        result = run(engine, overriding(way, rows, by, name="places"))
    succeeded(result)
    assert read(engine, places)["name"].tolist() == ["Oslo", "Paris", "Rome"]


def test_an_output_that_names_only_the_mode_keeps_the_groups_of_its_definition(engine: sa.Engine) -> None:
    """Else what replaced a group a day would replace the whole table."""
    write(engine, places, frame(place("Berlin"), place("Paris"), place("Rome", people=2)))
    rows = frame(place("Paris"))
    metadata = {"write_mode": "upsert", "replace_by": ["people"]}
    own = overriding("Output", rows, {"write_mode": "replace"}, name="places", metadata=metadata)
    succeeded(run(engine, own))
    assert read(engine, places)["name"].tolist() == ["Paris", "Rome"]


def test_the_mode_of_the_definition_goes_before_that_of_the_table(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris")))
    succeeded(run(engine, asset("places", frame(place("Berlin")), metadata={"write_mode": "replace"})))
    assert read(engine, places)["name"].tolist() == ["Berlin"]


def test_appending_refuses_a_key_that_is_there(engine: sa.Engine) -> None:
    appended = asset("places", frame(place("Berlin")), metadata={"write_mode": "append"})
    assert metadata_of(run(engine, appended), "places")["rows_inserted"] == 1
    assert "Berlin" in failure_of(run(engine, appended))
    assert len(read(engine, places)) == 1


def test_rows_that_were_appended_are_not_appended_again_because_they_could_not_be_counted(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> int:
        raise away()

    monkeypatch.setattr(MySQLIOManager, "_count", lost)
    metadata = {"write_mode": "append", "table": "log"}
    again = dg.RetryPolicy(max_retries=2)
    run(
        engine,
        asset("log", pd.DataFrame({"line": [1]}), metadata=metadata, retry_policy=again),
        manager=manager_of(engine, tables=None),
    )
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT line FROM log").all() == [(1,)]


# -- nothing new ------------------------------------------------------------------------------------------------------


def guard(engine: sa.Engine, table: str) -> None:
    """Let the database refuse every change of the table's rows."""
    with engine.begin() as connection:
        for event in ("INSERT", "UPDATE", "DELETE"):
            raises = (
                "BEGIN SELECT RAISE(ABORT, 'touched'); END"
                if engine.dialect.name == "sqlite"
                else "FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'touched'"
            )
            connection.exec_driver_sql(f"CREATE TRIGGER no_{event} BEFORE {event} ON {table} {raises}")


@pytest.mark.parametrize("mode", ["upsert", "replace"])
def test_a_refresh_with_nothing_new_touches_no_row_and_says_so(engine: sa.Engine, mode: str) -> None:
    rows = frame(place("Berlin"), place("Paris", people=None, height_m=None), place("Rome"))
    write(engine, places, rows)
    guard(engine, "places")
    later = rows.assign(seen_at=rows["seen_at"] + pd.Timedelta("1h")).iloc[::-1]
    same = asset("places", later, metadata={"write_mode": mode})
    with dg.DagsterInstance.ephemeral() as instance:
        result = succeeded(run(engine, same, instance=instance))
        said = messages_of(instance, result)
    assert "places: 0 inserted, 0 updated, 3 unchanged, 0 deleted; nothing new, nothing was written" in said
    found = metadata_of(result, "places")
    assert [found[f"rows_{name}"] for name in ("inserted", "updated", "unchanged", "deleted")] == [0, 0, 3, 0]
    changed = asset("places", rows.assign(people=5), metadata={"write_mode": mode})
    assert "touched" in error_of(run(engine, changed))


@pytest.mark.parametrize("options", [{}, {"partitions_def": DAYS}], ids=["groups", "a partition"])
def test_groups_and_partitions_with_nothing_new_are_not_touched(engine: sa.Engine, options: dict[str, Any]) -> None:
    write(engine, places, frame(place("Berlin")))
    rows = frame(visit("Berlin", MONDAY, "a"), visit("Berlin", MONDAY, "b"))
    write(engine, visits, pd.concat([rows, frame(visit("Berlin", TUESDAY, "c"))]))
    guard(engine, "visits")
    key = "2026-11-23" if options else None
    with dg.DagsterInstance.ephemeral() as instance:
        result = succeeded(run(engine, asset("visits", rows, **options), partition_key=key, instance=instance))
        said = messages_of(instance, result)
    assert "visits: 0 inserted, 0 updated, 2 unchanged, 0 deleted; nothing new, nothing was written" in said
    nothing = ScopedFrame(rows.iloc[:0], pd.DataFrame({"place": ["Berlin"], "day": [MONDAY]}))
    assert "touched" in error_of(run(engine, asset("visits", nothing, **options), partition_key=key))


def test_what_was_written_is_said(engine: sa.Engine) -> None:
    write(engine, places, frame(place("Berlin"), place("Paris")))
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(engine, asset("places", frame(place("Berlin", people=5), place("Rome"))), instance=instance)
        assert "places: 1 inserted, 1 updated, 0 unchanged, 0 deleted" in messages_of(instance, result)


# -- independence -----------------------------------------------------------------------------------------------------

NEED_DAGSTER = {"io_manager", "options", "partitions", "table_metadata"}

IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys
import gans_pipeline

packages = [module.name for module in pkgutil.iter_modules(gans_pipeline.__path__)]
blocked = {f"gans_pipeline.{name}" for name in packages if name != "storage"} | set(sys.argv[1:])

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(f"{one}.") for one in blocked):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import gans_pipeline.storage
for module in pkgutil.iter_modules(gans_pipeline.storage.__path__):
    try:
        importlib.import_module(f"gans_pipeline.storage.{module.name}")
        print(module.name, "imported")
    except ImportError as error:
        print(module.name, error)
"""


def imported(*blocked: str) -> dict[str, str]:
    """Return what happens to each module of storage when the rest of the package and these others are not there."""
    command = [sys.executable, "-c", IMPORT_ALL, *blocked]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def test_storage_needs_nothing_else_of_this_package() -> None:
    found = imported()
    assert found.keys() >= NEED_DAGSTER | {"engine", "frames", "reader", "schema", "staging", "types", "writer"}
    assert set(found.values()) == {"imported"}


def test_frames_are_written_without_dagster() -> None:
    found = imported("dagster")
    assert {name for name, happened in found.items() if happened != "imported"} == NEED_DAGSTER
    assert {found[name] for name in NEED_DAGSTER} == {"dagster is blocked"}
