"""Dagster's UI as a person sees it: the real server and daemon beside the sandbox, looked at with a real browser.

What an asset does when it is materialized, and what a schedule asks for, is tested in ``defs``.

With ``GANS_REQUIRE_BROWSER=1`` a missing Chromium fails the tests that look at a page, which are skipped otherwise.
``GANS_SCREENSHOT_DIR`` names a folder, ``docs/images`` in this project, that gets the README's picture of the lineage.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from gans_pipeline import tables
from gans_pipeline.sandbox import running
from gans_pipeline_tests.servers import free_port

PROJECT = Path(__file__).parents[1]
ASSETS = ("cities", "populations", "airports", "city_airports", "weather_forecasts", "weather_observations", "arrivals")
GROUPS = ("geo", "weather", "flights")

START_TIMEOUT_S = 120.0
"""A start takes 5 seconds on an idle machine, and took 18 while packages were installed beside it."""
RUN_TIMEOUT_S = 60.0
"""A run that materializes three cities takes 5 seconds, 4 of which it waits in the queue and starts its process."""
PAGE_TIMEOUT_MS = 30_000.0

# Ends the whole process group when our end of the pipe closes, which the system does for us however pytest ends.
# Dagster's own shutdown is not enough: it asks its processes with SIGINT, which one started in the background ignores.
_ENDS_WITH_US = 'exec 3<&0; { read -r _ <&3; kill -KILL 0; } & exec "$@" </dev/null 3<&-'


@dataclass
class UI:
    """A running ``dagster dev``."""

    url: str
    log: Path

    def end_of_log(self) -> str:
        """Return the last of what Dagster printed."""
        return self.log.read_text(errors="replace")[-10_000:]

    def ask(self, query: str) -> Any:
        """Return what a GraphQL query's only field holds."""
        answer = requests.post(f"{self.url}/graphql", json={"query": query}, timeout=30)
        answer.raise_for_status()
        (value,) = answer.json()["data"].values()
        return value

    def runs(self) -> dict[str, str]:
        """Return the status of each run, by its id."""
        listed = self.ask("{ runsOrError { ... on Runs { results { runId status } } } }")
        return {run["runId"]: run["status"] for run in listed["results"]}


@pytest.fixture(scope="module")
def server() -> Iterator[UI]:
    """The UI beside the sandbox, after ``gans refresh`` has collected three cities; its settings ask for four."""
    # Not pytest's tmp_path: Dagster's processes talk through sockets in TMPDIR, whose path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="gans-ui-", ignore_cleanup_errors=True) as folder, running() as sandbox:
        home = Path(folder)
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(PROJECT / name, home)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GANS_")} | {
            "DAGSTER_HOME": str(home),
            "GANS_DATABASE_URL": f"sqlite:///{home / 'gans.db'}",
            "GANS_SANDBOX_URL": sandbox,
            "GANS_CITIES": "4",
            "TMPDIR": str(home),
        }
        refresh = [sys.executable, "-m", "gans_pipeline.cli", "refresh", "--cities", "3"]
        done = subprocess.run(refresh, cwd=home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        ui = UI(f"http://127.0.0.1:{free_port()}", home / "log")
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", "127.0.0.1"]
        command += ["-p", ui.url.rpartition(":")[2]]
        with ui.log.open("w") as log:
            process = subprocess.Popen(
                ["sh", "-c", _ENDS_WITH_US, "dagster", *command],
                cwd=home,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_it_answers(ui, process)
            yield ui
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_it_answers(ui: UI, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            requests.get(f"{ui.url}/server_info", timeout=5).raise_for_status()
            return
        time.sleep(0.2)
    pytest.fail(f"dagster dev did not start:\n{ui.end_of_log()}", pytrace=False)


@pytest.fixture
def ui(server: UI) -> Iterator[UI]:
    """The running UI; the report of a test that fails shows the end of its log."""
    yield server
    sys.stdout.write(server.end_of_log())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("GANS_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium on the PATH", pytrace=False)
        pytest.skip("no chromium on the PATH")
    quietly = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=path, args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quietly]
        )


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An empty page of a browser that has not been here before, as sharp as a README needs it."""
    with browser.new_context(
        viewport=ViewportSize(width=1600, height=1400), device_scale_factor=1.5, color_scheme="light"
    ) as context:
        context.set_default_timeout(PAGE_TIMEOUT_MS)
        yield context.new_page()


def test_the_code_location_loads_without_an_error(ui: UI) -> None:
    workspace = ui.ask(
        "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError "
        "{ __typename ... on PythonError { message } } } } } }"
    )
    assert workspace["locationEntries"] == [
        {
            "name": "gans_pipeline.definitions",
            "loadStatus": "LOADED",
            "locationOrLoadError": {"__typename": "RepositoryLocation"},
        }
    ]


def test_the_schedules_and_the_sensor_wait_to_be_switched_on(ui: UI) -> None:
    workspace = ui.ask(
        "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { ... on RepositoryLocation { "
        "repositories { schedules { name scheduleState { status } } sensors { name sensorState { status } } } "
        "} } } } } }"
    )
    (repository,) = workspace["locationEntries"][0]["locationOrLoadError"]["repositories"]
    assert {schedule["name"]: schedule["scheduleState"]["status"] for schedule in repository["schedules"]} == {
        "cities_weekly": "STOPPED",
        "populations_monthly": "STOPPED",
        "airports_monthly": "STOPPED",
        "forecasts_every_3_hours": "STOPPED",
        "observations_daily": "STOPPED",
        "archive_retention_daily": "STOPPED",
        "arrivals_every_evening": "STOPPED",
    }
    assert {sensor["name"]: sensor["sensorState"]["status"] for sensor in repository["sensors"]} == {
        "cities_that_lack_something": "STOPPED"
    }


def test_the_lineage_shows_the_assets_that_the_command_line_has_materialized(ui: UI, page: Page) -> None:
    shown = json.dumps(["description", "checks", "status", "kind-tag"])
    page.add_init_script(f"localStorage.setItem('asset-node-facets', {json.dumps(shown)})")
    page.goto(f"{ui.url}/asset-groups?expanded={','.join(f'global@global:{group}' for group in GROUPS)}")
    for name in ASSETS:
        node = page.locator("foreignObject").filter(has=page.locator(f'[data-tooltip="{name}"]'))
        expect(node).to_be_visible(timeout=PAGE_TIMEOUT_MS)
        status = "partitions" if name in ("arrivals", "weather_observations") else "Materialized"
        expect(node).to_contain_text(status, timeout=PAGE_TIMEOUT_MS)
        checks = 2 if name in ("cities", "populations") else 1
        expect(node).to_contain_text(f"{checks} / {checks} Passed", timeout=PAGE_TIMEOUT_MS)
    if folder := os.environ.get("GANS_SCREENSHOT_DIR"):
        _take_picture_of_the_lineage(page, Path(folder) / "lineage.png")


def _take_picture_of_the_lineage(page: Page, file: Path) -> None:
    """Save the groups with a margin, without what surrounds them in the window."""
    boxes = [box for node in page.locator("foreignObject").all() if (box := node.bounding_box())]
    margin = 24
    left, top = min(box["x"] for box in boxes) - margin, min(box["y"] for box in boxes) - margin
    width = max(box["x"] + box["width"] for box in boxes) + margin - left
    height = max(box["y"] + box["height"] for box in boxes) + margin - top
    page.screenshot(path=file, clip={"x": left, "y": top, "width": width, "height": height})


def test_an_asset_materialized_by_a_click_shows_the_rows_that_it_added_and_its_columns(ui: UI, page: Page) -> None:
    before = ui.runs()
    page.goto(f"{ui.url}/assets/cities")
    expect(page.get_by_text(str(tables.cities.c.city_id.comment))).to_be_visible(timeout=PAGE_TIMEOUT_MS)
    page.get_by_role("button").filter(has_text=re.compile("^Materialize$")).click()
    deadline = time.monotonic() + RUN_TIMEOUT_S
    while not (launched := ui.runs().keys() - before.keys()) or ui.runs()[min(launched)] not in ("SUCCESS", "FAILURE"):
        assert time.monotonic() < deadline, ui.runs()
        time.sleep(0.2)
    assert ui.runs()[min(launched)] == "SUCCESS"
    page.goto(f"{ui.url}/assets/cities?view=events")
    for entry, value in (("rows_inserted", "1"), ("rows_unchanged", "3"), ("dagster/row_count", "4")):
        row = page.locator("tr").filter(has=page.get_by_text(entry, exact=True))
        expect(row.locator("td").nth(1)).to_have_text(value, timeout=PAGE_TIMEOUT_MS)
    expect(page.get_by_text("INVENTED DATA from the sandbox").first).to_be_visible()
