"""MySQLIOManager inside Dagster, on every database."""

from typing import Any

import dagster as dg
import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline.storage.io_manager import MySQLIOManager
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.table_metadata import column_schema
from gans_pipeline.storage.writer import ScopedFrame, write
from gans_pipeline_tests.storage import conftest
from gans_pipeline_tests.storage.conftest import MONDAY, TUESDAY, frame, place, places, visit, visits

DAYS = dg.DailyPartitionsDefinition("2026-11-20", end_offset=30)


def run(engine: sa.Engine, *assets: dg.AssetsDefinition, **options: Any) -> dg.ExecuteInProcessResult:
    """Materialize the assets into the engine's database."""
    url = engine.url.render_as_string(hide_password=False)
    manager = MySQLIOManager(url=url, tables=f"{conftest.__name__}:metadata")
    return dg.materialize(assets, resources={"io_manager": manager}, raise_on_error=False, **options)


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
    patient = asset("places", frame(place("x" * 21)), retry_policy=dg.RetryPolicy(max_retries=3, delay=60))
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
