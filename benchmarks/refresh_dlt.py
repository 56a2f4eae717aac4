"""The work of a refresh with dlt: its REST API source, resources in parallel, merged by the same primary keys.

What dlt is given to be fast: as many workers as the pipeline has requests under way, parents that are yielded one by
one (the children of one page are asked for in a row), and flat rows, without tables of their own for nested lists.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import dlt
import sqlalchemy as sa
from dlt.sources.rest_api import rest_api_source

from benchmarks.refresh_rows import (
    ARRIVAL_KEY,
    ARRIVAL_PARAMS,
    FORECAST_KEY,
    FORECAST_PARAMS,
    HEADERS,
    Work,
    arrival_row,
    forecast_row,
)


def main() -> None:
    """Ask for all forecasts and all arrivals, and merge them into two tables."""
    work = Work.of_this_process()
    url = os.environ["GANS_DATABASE_URL"]
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["EXTRACT__WORKERS"] = os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = str(work.concurrency)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "refresh",
            destination=dlt.destinations.sqlalchemy(url),
            dataset_name=str(sa.make_url(url).database),
            pipelines_dir=folder,
        )
        pipeline.run([_openweathermap(work), _aerodatabox(work)], write_disposition="merge")


def _openweathermap(work: Work) -> Any:
    @dlt.resource(selected=False)
    def cities() -> Iterator[list[dict[str, Any]]]:
        for city in work.cities:
            yield [city]

    forecasts: Any = {
        "name": "weather_forecasts",
        "primary_key": FORECAST_KEY,
        "parallelized": True,
        "include_from_parent": ["city_id"],
        "endpoint": {
            "path": "data/2.5/forecast",
            "params": {
                "lat": "{resources.cities.latitude}",
                "lon": "{resources.cities.longitude}",
                "appid": "sandbox-key",
                **FORECAST_PARAMS,
            },
            "data_selector": "list",
            "paginator": "single_page",
        },
        "processing_steps": [{"map": lambda step: forecast_row(step["_cities_city_id"], step, work.issued_at)}],
    }
    return rest_api_source(
        {"client": {"base_url": f"{work.sandbox_url}/owm/"}, "resources": [cities(), forecasts]}, name="openweathermap"
    )


def _aerodatabox(work: Work) -> Any:
    @dlt.resource(selected=False)
    def windows() -> Iterator[list[dict[str, str]]]:
        for window in work.windows:
            yield [window]

    arrivals: Any = {
        "name": "arrivals",
        "primary_key": ARRIVAL_KEY,
        "parallelized": True,
        "include_from_parent": ["icao", "local_date"],
        "endpoint": {
            "path": "flights/airports/icao/{resources.windows.icao}/{resources.windows.start}/{resources.windows.end}",
            "params": ARRIVAL_PARAMS,
            "data_selector": "arrivals",
            "paginator": "single_page",
            "response_actions": [{"status_code": 204, "action": "ignore"}],
        },
        "processing_steps": [
            {"map": lambda flight: arrival_row(flight["_windows_icao"], flight["_windows_local_date"], flight)}
        ],
    }
    return rest_api_source(
        {
            "client": {"base_url": f"{work.sandbox_url}/aerodatabox/", "headers": HEADERS},
            "resources": [windows(), arrivals],
        },
        name="aerodatabox",
    )


if __name__ == "__main__":
    main()
