"""The table writer against other ways of rows into MySQL or MariaDB, in one run on one server.

    python -m benchmarks.writer --url mysql+pymysql://root@127.0.0.1:3306 --rows 200000

All of them write the same 12-column forecast rows, and all times include the way from the frame and the commit. LOAD
DATA into the empty table is the limit: it can neither be repeated nor tell what changed. Of the slow ones fewer rows
are written where that does not change their rows a second; their number is in the output.
"""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from benchmarks.database import temporary_database
from benchmarks.forecasts import STEPS, forecast_rows, forecasts
from benchmarks.memory import peak_above_mb
from gans_pipeline.storage import load_data
from gans_pipeline.storage.table_metadata import storage_kind
from gans_pipeline.storage.writer import Upsert, WriteResult, write

SMALL_ROWS, SMALL_ROUNDS = 1_200, 25
EXECUTEMANY_ROWS, TO_SQL_ROWS, DLT_ROWS = 200_000, 20_000, 20_000
ROUNDS_OF_ROWS = 1_000_000
"""Enough rows to be timed once; fewer are timed up to five times, and the median counts."""

KEY = [column.name for column in forecasts.primary_key.columns]


def main() -> None:
    """Measure, and print a table or JSON: rows per second unless a key says otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True, help="server, as the SQLAlchemy URL of a user who may create databases")
    parser.add_argument("--rows", type=int, default=200_000, help="rows to write (default 200,000)")
    parser.add_argument(
        "--table-rows", type=int, default=0, help="also write into a table that has so many rows already"
    )
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    url = sa.make_url(arguments.url).set(database=f"gans_benchmark_{os.getpid()}")
    with temporary_database(url) as engine:
        measured = _measure(engine, arguments.rows, arguments.table_rows)
    if arguments.json:
        print(json.dumps(measured))
    else:
        _print(measured)


def _measure(engine: sa.Engine, rows: int, table_rows: int) -> dict[str, Any]:
    frame = forecast_rows(rows)
    changed = frame.copy()
    changed.loc[changed.index % 10 == 0, "temperature_c"] += 1
    with engine.connect() as connection:
        version, pool_bytes = connection.exec_driver_sql("SELECT VERSION(), @@innodb_buffer_pool_size").one()
        obstacle = load_data.obstacle(connection)
    if obstacle is not None:
        sys.exit(f"LOAD DATA LOCAL cannot be used, which is what is measured: {obstacle}")
    measured: dict[str, Any] = {
        "server": f"{storage_kind(engine)} {version}",
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "buffer_pool_mb": pool_bytes // 2**20,
        "rows": rows,
    }
    measured |= _writer_and_limit(engine, frame, changed)
    executemany = {"first": frame, "reload": frame, "changed": changed}
    part = {name: contents.head(EXECUTEMANY_ROWS) for name, contents in executemany.items()}
    measured |= _executemany(engine, part)
    few = frame.head(TO_SQL_ROWS)
    measured["to_sql_multi"] = _rate(few, lambda: _to_sql(engine, few), before=lambda: _empty(engine))
    measured["to_sql_multi.rows"] = len(few)
    measured |= _dlt(engine, frame.head(DLT_ROWS))
    measured |= _small(engine)
    del changed
    measured |= _memory(engine, frame)
    if table_rows:
        measured |= _into_existing(engine, rows, table_rows)
    return measured


def _writer_and_limit(engine: sa.Engine, frame: pd.DataFrame, changed: pd.DataFrame) -> dict[str, float]:
    """Time the writer and bare LOAD DATA in turns, so that a noisy minute meets both."""
    seconds: dict[str, list[float]] = {name: [] for name in ("load_data", "first", "reload", "changed")}
    write(engine, _empty(engine), frame.head(SMALL_ROWS), Upsert())  # connections and imports are not measured
    tenth = -(-len(frame) // 10)
    for _ in range(max(1, min(5, ROUNDS_OF_ROWS // len(frame)))):
        _empty(engine)
        seconds["load_data"].append(_seconds(lambda: _load_data(engine, frame)))
        _empty(engine)
        seconds["first"].append(_seconds(lambda: _expect(_upsert(engine, frame), inserted=len(frame))))
        seconds["reload"].append(_seconds(lambda: _expect(_upsert(engine, frame), unchanged=len(frame))))
        seconds["changed"].append(_seconds(lambda: _expect(_upsert(engine, changed), updated=tenth)))
    rates = {name: len(frame) / statistics.median(found) for name, found in seconds.items()}
    return {"load_data": rates.pop("load_data"), **{f"writer.{name}": rate for name, rate in rates.items()}}


def _executemany(engine: sa.Engine, frames: dict[str, pd.DataFrame]) -> dict[str, float]:
    _empty(engine)
    rates = {}
    for name, frame in frames.items():
        rates[name] = len(frame) / _seconds(partial(_upsert_by_executemany, engine, frame))
    return {
        "executemany": rates["first"],
        "executemany.reload": rates["reload"],
        "executemany.changed": rates["changed"],
        "executemany.rows": len(frames["first"]),
    }


def _dlt(engine: sa.Engine, frame: pd.DataFrame) -> dict[str, Any]:
    """Time dlt's merge, first and again, and the writer with as many rows; without dlt there is None."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    try:
        import dlt
    except ImportError:
        return {"dlt_merge": None, "dlt_merge.reload": None}
    database = f"{engine.url.database}_dlt"
    url = engine.url.set(database=database)
    with temporary_database(url), tempfile.TemporaryDirectory() as folder:
        destination = dlt.destinations.sqlalchemy(url.render_as_string(hide_password=False))
        pipeline = dlt.pipeline("bench", destination=destination, dataset_name=database, pipelines_dir=folder)
        run: Callable[[], object] = lambda: pipeline.run(  # noqa: E731
            frame, table_name="forecasts", write_disposition="merge", primary_key=KEY
        )
        first, again = _seconds(run), _seconds(run)
    _empty(engine)
    return {
        "dlt_merge": len(frame) / first,
        "dlt_merge.reload": len(frame) / again,
        "dlt_merge.rows": len(frame),
        "writer_of_dlt_rows": _rate(frame, lambda: _upsert(engine, frame), before=lambda: _empty(engine)),
        "writer_of_dlt_rows.reload": _rate(frame, lambda: _upsert(engine, frame)),
    }


def _small(engine: sa.Engine) -> dict[str, float]:
    """Time the everyday case: 1,200 rows, first and again, by the writer and by executemany in turns."""
    frame = forecast_rows(SMALL_ROWS)
    ways: dict[str, Callable[[], object]] = {
        "small_ms": lambda: _upsert(engine, frame),
        "small_executemany_ms": lambda: _upsert_by_executemany(engine, frame),
    }
    seconds: dict[str, list[float]] = {f"{name}{again}": [] for name in ways for again in ("", ".reload")}
    for _ in range(SMALL_ROUNDS):
        for name, way in ways.items():
            _empty(engine)
            seconds[name].append(_seconds(way))
            seconds[f"{name}.reload"].append(_seconds(way))
    return {name: statistics.median(found) * 1000 for name, found in seconds.items()}


def _memory(engine: sa.Engine, frame: pd.DataFrame) -> dict[str, float | None]:
    _empty(engine)
    return {"peak_mb": peak_above_mb(lambda: _upsert(engine, frame))}


def _into_existing(engine: sa.Engine, rows: int, table_rows: int) -> dict[str, float]:
    """Time the first write of a new issue into a table that holds many older ones of the same cities.

    Each row belongs between older ones, so that a buffer pool smaller than the table reads most of it again: with the
    128 MB of a server's defaults that, and not the writer, takes most of the time.
    """
    cities = -(-rows // STEPS)
    _empty(engine)
    issues = -(-table_rows // (cities * STEPS))
    for issue in range(issues):
        _load_data(engine, forecast_rows(cities * STEPS, issue=issue, cities=cities))
    ways: dict[str, Callable[[pd.DataFrame], object]] = {
        "load_data.into_existing": partial(_load_data, engine),
        "writer.into_existing": lambda frame: _expect(_upsert(engine, frame), inserted=rows),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(3):
        for turn, (name, way) in enumerate(ways.items()):
            frame = forecast_rows(rows, issue=issues + number * len(ways) + turn, cities=cities)
            seconds[name].append(_seconds(partial(way, frame)))
    rates = {name: rows / statistics.median(found) for name, found in seconds.items()}
    return {**rates, "writer.into_existing.rows": issues * cities * STEPS}


def _upsert(engine: sa.Engine, frame: pd.DataFrame) -> WriteResult:
    return write(engine, forecasts, frame, Upsert())


def _expect(result: WriteResult, **counts: int) -> None:
    wrong = {name: count for name, count in counts.items() if getattr(result, name) != count}
    if wrong:
        sys.exit(f"{result} instead of {wrong}")


def _load_data(engine: sa.Engine, frame: pd.DataFrame) -> None:
    """Load the frame by the same means as the writer, but neither checked nor compared, and not repeatable."""
    with engine.begin() as connection:
        load_data.load(connection, "forecasts", frame)


def _upsert_by_executemany(engine: sa.Engine, frame: pd.DataFrame) -> None:
    insert = mysql.insert(forecasts)
    upsert = insert.on_duplicate_key_update(
        {c.name: insert.inserted[c.name] for c in forecasts.columns if c.name not in KEY}
    )
    values = frame.astype(object).where(frame.notna(), None)
    for name in ("valid_at", "issued_at", "retrieved_at"):
        values[name] = pd.Series(frame[name].dt.to_pydatetime(), dtype=object)
    with engine.begin() as connection:
        rows: Any = values.to_dict("records")
        connection.execute(upsert, rows)


def _to_sql(engine: sa.Engine, frame: pd.DataFrame) -> None:
    naive = frame.assign(**{n: frame[n].dt.tz_localize(None) for n in ("valid_at", "issued_at", "retrieved_at")})
    with engine.begin() as connection:
        naive.to_sql("forecasts", connection, if_exists="append", index=False, method="multi", chunksize=1000)


def _empty(engine: sa.Engine) -> sa.Table:
    """Make the table anew and return it."""
    forecasts.drop(engine, checkfirst=True)
    forecasts.create(engine)
    return forecasts


def _rate(frame: pd.DataFrame, work: Callable[[], object], before: Callable[[], object] | None = None) -> float:
    seconds = []
    for _ in range(3):
        if before is not None:
            before()
        seconds.append(_seconds(work))
    return len(frame) / statistics.median(seconds)


def _seconds(work: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


RATIOS = (
    # what, the dividend, the divisor, the goal
    ("first load, of LOAD DATA", "writer.first", "load_data", 0.6),
    ("re-load, of LOAD DATA", "writer.reload", "load_data", 0.6),
    ("10 % changed, of LOAD DATA", "writer.changed", "load_data", 0.6),
    ("first load, times executemany", "writer.first", "executemany", 3),
    ("re-load, times executemany", "writer.reload", "executemany.reload", 3),
    ("10 % changed, times executemany", "writer.changed", "executemany.changed", 3),
    ("first load, times to_sql(multi)", "writer.first", "to_sql_multi", 10),
    ("first load, times dlt's merge", "writer_of_dlt_rows", "dlt_merge", 5),
    ("re-load, times dlt's merge", "writer_of_dlt_rows.reload", "dlt_merge.reload", 100),
    ("1,200 rows first, times executemany", "small_executemany_ms", "small_ms", 1.5),
    ("1,200 rows again, times executemany", "small_executemany_ms.reload", "small_ms.reload", 1.5),
    ("into a filled table, of an empty one", "writer.into_existing", "writer.first", 0.7),
    ("... of LOAD DATA into the filled one", "writer.into_existing", "load_data.into_existing", 0.6),
)


def _print(measured: dict[str, Any]) -> None:
    print(f"{measured['server']}, {measured['machine']}, {measured['rows']:,} rows")
    for name, value in measured.items():
        if isinstance(value, int | float):
            print(f"  {name:28} {value:>12,.0f}")
    print("ratios, and what they are meant to be at least")
    for what, dividend, divisor, goal in RATIOS:
        if measured.get(dividend) and measured.get(divisor):
            print(f"  {what:36} {measured[dividend] / measured[divisor]:>8.2f}  {goal:>6}")


if __name__ == "__main__":
    main()
