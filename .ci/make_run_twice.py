"""Run ``make run`` twice in a fresh clone, as a newcomer does: in time, all tables filled, nothing stored twice.

python .ci/make_run_twice.py CLONE sqlite|mariadb|mysql
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gans_pipeline_tests.servers import Kind, find_binary, fresh_database, named_servers, running_server

FIRST_S, SECOND_S = 180.0, 15.0
KEPT = ("cities", "airports", "city_airports", "weather_observations", "arrivals")
"""Tables that a second run on the same day must leave as they are; forecasts keep every issue."""


@contextmanager
def database(kind: Kind) -> Iterator[str]:
    """Yield the URL of an empty database on a named server of this kind, or on a private one."""
    with ExitStack() as stack:
        administrator = next((server.url for server in named_servers() if server.kind == kind), None)
        if administrator is None:
            binary = find_binary(kind)
            if binary is None:
                sys.exit(f"no {kind} server is named in GANS_TEST_MYSQL_URL, and none is on the PATH")
            administrator = stack.enter_context(running_server(kind, binary))
        yield stack.enter_context(fresh_database(administrator))


def make_run(clone: Path, environment: dict[str, str], limit_s: float) -> dict[str, int]:
    """Run it, and return the number of rows in each table."""
    began = time.monotonic()
    subprocess.run(["make", "run"], cwd=clone, env=environment, check=True)
    took_s = time.monotonic() - began
    print(f"make run took {took_s:.1f} s", flush=True)
    if took_s > limit_s:
        sys.exit(f"that is more than {limit_s:.0f} s")
    status = [clone / ".venv/bin/gans", "status", "--json"]
    answer = subprocess.run(status, cwd=clone, env=environment, check=True, capture_output=True, text=True)
    rows = {table: content["rows"] for table, content in json.loads(answer.stdout).items()}
    empty = [table for table, number in rows.items() if number == 0]
    if empty:
        sys.exit(f"not all tables are filled: {rows}")
    return rows


def main() -> None:
    """Compare the first run with the second."""
    clone, kind = Path(sys.argv[1]), sys.argv[2]
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GANS_", "DAGSTER_"))}
        environment = {**inherited, "HOME": home}
        if kind in ("mariadb", "mysql"):
            environment["GANS_DATABASE_URL"] = stack.enter_context(database(kind))
        first = make_run(clone, environment, FIRST_S)
        second = make_run(clone, environment, SECOND_S)
    added = {table: (first[table], second[table]) for table in KEPT if first[table] != second[table]}
    if added:
        sys.exit(f"the second run changed the number of rows: {added}")


if __name__ == "__main__":
    main()
