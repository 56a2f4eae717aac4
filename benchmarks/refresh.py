"""One refresh of forecasts and arrivals: this pipeline, a plain script and dlt, in one run on one server.

    python -m benchmarks.refresh --url mysql+pymysql://root@127.0.0.1:3306 --cities 300 --latency-ms 100

All three ask the same sandbox, whose clock stands still, for the forecasts of all cities and for tomorrow's arrivals at
all airports that serve them, and store what comes in empty tables of the same server; as many rows as the others, or
the run fails. The times are those of whole commands, start-up included. ``gans refresh`` finds its cities and airports
in the database, put there by another refresh that is not timed; the others are told them.

The limit (``limit_s``) is what no client can beat that keeps to the limits of the settings: for each provider the
greatest of calls × latency ÷ concurrency, calls ÷ requests a second and calls ÷ requests a minute. The limits of
providers add up, for the assets of a run are collected one after the other.

Above 300 cities the script would take most of an hour. There it and dlt do the work of the first 300 cities, and their
times are scaled by calls or by rows, whichever is less; the numbers of rows are compared for those cities.
"""

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import requests
import sqlalchemy as sa

from benchmarks.database import temporary_database
from benchmarks.memory import MEGABYTE
from benchmarks.refresh_rows import Work
from gans_pipeline import tables
from gans_pipeline.collect.flights import airport_days
from gans_pipeline.collect.geo import each_city
from gans_pipeline.sandbox import running
from gans_pipeline.settings import ProviderSettings, Settings, Wikipedia
from gans_pipeline.storage.reader import read

MOST_BY_ALL = 300
"""Cities of which the script and dlt are given all the work."""

HALVES = (("00:00", "11:59"), ("12:00", "23:59"))
"""The halves of a day in which AeroDataBox is asked."""

DAGSTER_YAML = Path(__file__).parents[1] / "dagster.yaml"


class Measured(NamedTuple):
    """What a command took: wall clock, processor time, and the most memory that it held at once."""

    seconds: float
    cpu_s: float
    peak_mb: float


def main() -> None:
    """Measure, and print a table or JSON: seconds unless a key says otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    url = os.environ.get("GANS_DATABASE_URL")
    parser.add_argument(
        "--url",
        default=url,
        required=url is None,
        help="server, as the SQLAlchemy URL of a user who may create databases (default: GANS_DATABASE_URL)",
    )
    parser.add_argument("--cities", type=int, default=300, help="how many of the most populous (default 300)")
    parser.add_argument("--latency-ms", type=float, default=100, help="of each answer of the sandbox (default 100)")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    measured = _measure(sa.make_url(arguments.url), arguments.cities, arguments.latency_ms)
    if arguments.json:
        print(json.dumps(measured))
    else:
        _print(measured)


def _measure(server: sa.URL, cities: int, latency_ms: float) -> dict[str, Any]:
    now = dt.datetime.now(dt.UTC)
    name = f"gans_benchmark_{os.getpid()}"
    with (
        running(cities=cities, now=now, latency_ms=latency_ms) as sandbox_url,
        temporary_database(server.set(database=name)) as engine,
        temporary_database(server.set(database=f"{name}_script")) as of_script,
        temporary_database(server.set(database=f"{name}_dlt")) as of_dlt,
        tempfile.TemporaryDirectory() as folder,
    ):
        shutil.copy(DAGSTER_YAML, folder)
        settings = Settings(sandbox_url=sandbox_url)
        environment = {"GANS_SANDBOX_URL": sandbox_url, "DAGSTER_HOME": folder}
        gans = ["gans_pipeline.cli", "refresh"]
        _run([*gans, "cities", "airports", "city_airports", "--cities", str(cities)], engine, environment, folder)
        requests.delete(f"{sandbox_url}/_/requests", timeout=60)
        of_gans = _run([*gans, "weather_forecasts", "arrivals"], engine, environment, folder)
        calls: dict[str, int] = requests.get(f"{sandbox_url}/_/requests", timeout=60).json()["totals"]

        work = _work(engine, settings, now, cities)
        _expect("calls", calls["openweathermap"] + calls["aerodatabox"], len(work.cities) + len(work.windows))
        sample = _work(engine, settings, now, MOST_BY_ALL)
        file = Path(folder, "work.json")
        sample.save(file)
        rows = _rows(engine, sample)
        others = {}
        for tool, database in (("script", of_script), ("dlt", of_dlt)):
            task = [f"benchmarks.refresh_{tool}"]
            others[tool] = _run(task, database, {"GANS_BENCHMARK_WORK": str(file)}, folder).seconds
            _expect(f"rows of {tool}", _rows(database, sample), rows)
        all_rows = _rows(engine, work)
        with engine.connect() as connection:
            version = connection.exec_driver_sql("SELECT VERSION()").scalar_one()

    more = min(
        (len(work.cities) + len(work.windows)) / (len(sample.cities) + len(sample.windows)),
        sum(all_rows.values()) / sum(rows.values()),
    )
    script_s, dlt_s = others["script"] * more, others["dlt"] * more
    limit_s = sum(
        _limit_s(calls[provider], latency_ms, limits)
        for provider, limits in (("openweathermap", settings.openweathermap), ("aerodatabox", settings.aerodatabox))
    )
    real = Wikipedia()
    return {
        "server": f"{engine.dialect.name} {version}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "cities": len(work.cities),
        "airports": len(work.windows) // len(HALVES),
        "latency_ms": latency_ms,
        "concurrency": work.concurrency,
        "http_calls": sum(calls.values()),
        "rows": all_rows,
        "gans_s": of_gans.seconds,
        "gans_cpu_s": of_gans.cpu_s,
        "peak_mb": of_gans.peak_mb,
        "limit_s": limit_s,
        "script_s": script_s,
        "dlt_s": dlt_s,
        "script_scaled_from": None if more == 1 else len(sample.cities),
        "gans_ms_per_city": 1000 * of_gans.seconds / len(work.cities),
        "times_script": script_s / of_gans.seconds,
        "times_dlt": dlt_s / of_gans.seconds,
        "of_limit": of_gans.seconds / limit_s,
        "wikipedia_per_second": real.per_second,
        "wikipedia_per_minute": real.per_minute,
        "wikipedia_bound_s": _limit_s(len(work.cities), 0, real),
    }


def _limit_s(calls: int, latency_ms: float, limits: ProviderSettings) -> float:
    """Return the seconds that so many calls take at least."""
    return max(
        calls * latency_ms / 1000 / limits.concurrency,
        calls / limits.per_second,
        calls * 60 / limits.per_minute if limits.per_minute else 0,
    )


def _run(arguments: list[str], engine: sa.Engine, environment: dict[str, str], folder: str) -> Measured:
    """Run ``python -m`` with these arguments on a database, in a folder without a ``.env``; end if it fails.

    The system tells the greatest memory of the command and of this process when it started it, which is smaller.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GANS_")}
    variables |= {
        "GANS_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "PYTHONPATH": os.pathsep.join([str(DAGSTER_YAML.parent), variables.get("PYTHONPATH", "")]),
        **environment,
    }
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=variables, cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(arguments)} ended with {child.returncode}:\n{output.read()}")
    return Measured(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / MEGABYTE)


def _work(engine: sa.Engine, settings: Settings, now: dt.datetime, most: int) -> Work:
    """Return the work of the first ``most`` cities of the table."""
    cities, airports, pairs = (read(engine, table) for table in (tables.cities, tables.airports, tables.city_airports))
    cities = cities.head(most)
    icaos = pairs.loc[pairs["city_id"].isin(cities["city_id"]), "icao"]
    serving = airports[airports["icao"].isin(icaos)]
    dates = [now.date() + dt.timedelta(days=days) for days in (0, 1, 2)]
    days = airport_days(serving, dates, tomorrow_only=True, now=now)
    return Work(
        sandbox_url=str(settings.sandbox_url),
        issued_at=pd.Timestamp(now).floor("h").isoformat(),
        cities=[
            {"city_id": city.city_id, "latitude": city.latitude, "longitude": city.longitude}
            for city in each_city(cities)
        ],
        windows=[
            {
                "icao": day.icao,
                "local_date": str(day.local_date),
                "start": f"{day.local_date}T{start}",
                "end": f"{day.local_date}T{end}",
            }
            for day in days
            for start, end in HALVES
        ],
        concurrency=settings.aerodatabox.concurrency,
    )


def _rows(engine: sa.Engine, work: Work) -> dict[str, int]:
    """Count what is stored for these cities and airports."""
    wanted = {
        ("weather_forecasts", "city_id"): {city["city_id"] for city in work.cities},
        ("arrivals", "airport_icao"): {window["icao"] for window in work.windows},
    }
    counts = {}
    with engine.connect() as connection:
        for (name, key), values in wanted.items():
            rows = sa.select(sa.func.count()).select_from(sa.table(name)).where(sa.column(key).in_(sorted(values)))
            counts[name] = int(connection.execute(rows).scalar_one())
    return counts


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        sys.exit(f"{what}: {found} instead of {expected}")


def _print(measured: dict[str, Any]) -> None:
    print(f"{measured['server']}, {measured['machine']}")
    print(
        f"{measured['cities']:,} cities, {measured['airports']:,} airports, {measured['http_calls']:,} calls of "
        f"{measured['latency_ms']:g} ms, {measured['concurrency']} at once; "
        + ", ".join(f"{count:,} {table}" for table, count in measured["rows"].items())
    )
    scaled = f", scaled from {measured['script_scaled_from']} cities" if measured["script_scaled_from"] else ""
    for what, key, ratio, goal in (
        ("gans refresh", "gans_s", None, ""),
        ("limit by latency and concurrency", "limit_s", "of_limit", "gans takes {:.2f} of it (at most 1.3)"),
        (f"script{scaled}", "script_s", "times_script", "{:.1f} times as long as gans (at least 10)"),
        (f"dlt{scaled}", "dlt_s", "times_dlt", "{:.1f} times as long as gans (at least 3)"),
    ):
        print(f"  {what:40} {measured[key]:>9,.1f} s   {goal.format(measured[ratio]) if ratio else ''}".rstrip())
    print(f"  {'gans refresh, a city':40} {measured['gans_ms_per_city']:>9,.1f} ms")
    print(f"  {'gans refresh, processor time':40} {measured['gans_cpu_s']:>9,.1f} s")
    print(f"  {'gans refresh, peak memory':40} {measured['peak_mb']:>9,.0f} MB")
    print(
        f"Not measured: Wikipedia is asked {measured['wikipedia_per_second']:g} time a second and "
        f"{measured['wikipedia_per_minute']:g} times a minute by default, so that {measured['cities']:,} articles take "
        f"at least {measured['wikipedia_bound_s']:,.0f} s."
    )


if __name__ == "__main__":
    main()
