"""One refresh from the command line: a run of the assets in this process, recorded in the Dagster instance."""

import datetime as dt
import gc
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._serdes import ConfigurableClassData
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gans_pipeline.collect.flights import tomorrows
from gans_pipeline.collect.outcome import on_progress
from gans_pipeline.collect.sources import Sources
from gans_pipeline.definitions import defs
from gans_pipeline.defs.flights.assets import local_days
from gans_pipeline.defs.platform.resources import connect
from gans_pipeline.settings import Settings
from gans_pipeline.sources.http import SourceError
from gans_pipeline.storage.engine import create_database, display_url
from gans_pipeline.tables import schema
from gans_pipeline.tables.queries import refuse_to_mix

LINEAGE = ("cities", "populations", "airports", "city_airports", "weather_forecasts", "arrivals")
"""The assets, each after those that it needs."""

COUNTS = ("inserted", "updated", "unchanged", "deleted")
SHOWN_FAILURES = 20
CAPTURE_NOTHING = ConfigurableClassData(
    "dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager", config_yaml="{}"
)


@dataclass
class AssetOutcome:
    """What became of one asset: rows written, items that are missing, and the reason if it failed as a whole."""

    counts: dict[str, int] = field(default_factory=dict)
    rows: int | None = None
    missing: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0


@dataclass
class Outcome:
    """What became of a refresh."""

    assets: dict[str, AssetOutcome]
    source: str
    database: str
    run_id: str

    @property
    def exit_status(self) -> int:
        """0 complete, 1 an asset failed, 2 everything that could be had is stored and the rest is named."""
        if any(asset.error for asset in self.assets.values()):
            return 1
        return 2 if any(asset.missing for asset in self.assets.values()) else 0


def refresh(assets: list[str], *, cities: str, date: str, console: Console) -> Outcome:
    """Materialize the assets in one run; raises ValueError for what has to be mended before anything is fetched."""
    unknown = [name for name in assets if name not in LINEAGE]
    if unknown:
        raise ValueError(f"no such asset: {', '.join(unknown)}; there are {', '.join(LINEAGE)}")
    selected = [name for name in LINEAGE if not assets or name in assets]
    settings = Settings()
    tags, run_config = _run_request(selected, cities=cities, date=date)
    _require_keys(selected, settings)
    instance = _instance()
    _prepare_database(settings, console)
    # What is imported by now lives as long as the process. Left in sight, the garbage collector goes through it again
    # and again while thousands of small objects are made of an answer, which took a third of the parsing's time.
    gc.freeze()
    with _ProgressBars(console):
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey(name) for name in selected],
            instance=instance,
            tags={
                **tags,
                "gans/source": "sandbox" if settings.sandbox_url else "live",
                "gans/asked_by": "command line",
            },
            run_config=run_config,
            raise_on_error=False,
        )
    failures = (event.step_failure_data for event in result.all_events if event.is_step_failure)
    if any(failure.error_source and failure.error_source.name == "INTERRUPT" for failure in failures):
        raise KeyboardInterrupt
    outcomes = _read_events(selected, result)
    for step in instance.get_run_step_stats(result.run_id):
        if step.step_key in outcomes and step.start_time and step.end_time:
            outcomes[step.step_key].seconds = step.end_time - step.start_time
    return Outcome(
        assets=outcomes,
        source=f"INVENTED DATA from the sandbox at {settings.sandbox_url}"
        if settings.sandbox_url
        else "live providers",
        database=display_url(settings.database_url.get_secret_value()),
        run_id=result.run_id,
    )


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print a table of what was written, then what is missing and what failed."""
    headers = ("asset", *COUNTS, "failed", "seconds", "rows")
    table = Table(*headers, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)  # fits into 80 characters
    for column in table.columns[1:]:
        column.justify = "right"
    for name, asset in outcome.assets.items():
        counts = [f"{asset.counts[key]:,}" if asset.counts else "–" for key in COUNTS]
        failed = "[red]all[/]" if asset.error else f"[yellow]{len(asset.missing):,}[/]" if asset.missing else "0"
        rows = "–" if asset.rows is None else f"{asset.rows:,}"
        table.add_row(name, *counts, failed, f"{asset.seconds:.1f}", rows)
    console.print(table)
    for name, asset in outcome.assets.items():
        if asset.error:
            console.print(f"[red]{name} failed:[/] {escape(asset.error)}", soft_wrap=True, highlight=False)
        for missing in asset.missing[:SHOWN_FAILURES]:
            console.print(f"[yellow]{name} lacks[/] {escape(missing)}", soft_wrap=True, highlight=False)
        if len(asset.missing) > SHOWN_FAILURES:
            console.print(f"[yellow]{name} lacks[/] {len(asset.missing) - SHOWN_FAILURES} more; the run names them")
    console.print(f"Source: {outcome.source}. Database: {outcome.database}. Run {outcome.run_id}.", soft_wrap=True)


class _ProgressBars:
    """Shows a bar for each asset that asks for many items, while it is entered."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> None:
        self._token = on_progress.set(self._show)
        self._progress.start()

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        on_progress.reset(self._token)

    def _show(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
        self._progress.update(self._tasks[name], completed=done)


def _require_keys(selected: list[str], settings: Settings) -> None:
    """Raise ValueError with the variable and the way to get it, if a provider of these assets needs what is not set."""
    sources = Sources(settings)
    airports = "aerodatabox" if settings.airports_provider == "aerodatabox" else "ourairports"
    clients = {
        "cities": "wikipedia",
        "populations": "wikipedia",
        "airports": airports,
        "weather_forecasts": "weather",
        "arrivals": "aerodatabox",
    }
    lacking: dict[str, str] = {}
    for name in selected:
        try:
            getattr(sources, clients.get(name, airports))
        except SourceError as error:
            lacking[name] = str(error)
    if lacking:
        others = [name for name in selected if name not in lacking]
        without = f"; what needs none: gans refresh {' '.join(others)}" if others else ""
        raise ValueError(
            f"{'; '.join(dict.fromkeys(lacking.values()))}{without}; invented data: gans refresh --sandbox"
        )


def _prepare_database(settings: Settings, console: Console) -> None:
    """Create an empty database's tables; raise ValueError for one that is behind or holds the other world's data."""
    url = settings.database_url.get_secret_value()
    create_database(url, tls_ca=settings.database_tls_ca)
    engine = connect(settings)
    state = schema.state(engine)
    if state is schema.State.EMPTY:
        schema.upgrade(engine)
        console.print(f"Created the tables in {display_url(url)}.", soft_wrap=True)
    elif state is not schema.State.CURRENT:
        raise ValueError(schema.advice(state))
    refuse_to_mix(engine, sandbox=settings.sandbox_url is not None)
    engine.dispose()


def _run_request(selected: list[str], *, cities: str, date: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the tags (which partitions) and the run configuration (which cities) of the run."""
    parts = [part.strip() for part in cities.split(",") if part.strip()]
    named = [] if any(part.isdecimal() for part in parts) else parts
    ops: dict[str, dict[str, Any]] = {"cities": {"config": {"cities": cities}}}
    for name in ("populations", "weather_forecasts", "arrivals"):
        ops[name] = {"config": {"cities": named}}
    tags = {}
    if "arrivals" in selected:
        try:
            first = last = dt.date.fromisoformat(date) if date else None
        except ValueError:
            raise ValueError(f"--date {date} is not a date such as 2026-11-24") from None
        if first is not None and not local_days.has_partition_key(str(first)):
            days = local_days.get_partition_keys()
            raise ValueError(f"--date {date} is outside of the days that are kept, {days[0]} to {days[-1]}")
        if first is None or last is None:
            first, last = tomorrows(dt.datetime.now(dt.UTC))
            ops["arrivals"]["config"]["tomorrow_only"] = True
        tags = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}
    return tags, {
        "ops": {name: config for name, config in ops.items() if name in selected},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},  # the outcome is printed instead
    }


def _instance() -> dg.DagsterInstance:
    """Return the instance of DAGSTER_HOME, by default the one that dagster.yaml in this folder describes.

    It does not capture what the process prints: that takes the terminal away, so that the progress bar was seen at its
    end only, and its two helper processes print tracebacks on Ctrl-C.
    """
    if "DAGSTER_HOME" not in os.environ:
        if not Path("dagster.yaml").exists():
            raise ValueError(
                "DAGSTER_HOME is not set and there is no dagster.yaml here: run gans in the project's folder"
            )
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
    try:
        described = dg.DagsterInstance.get().get_ref()
    except dg.DagsterError as error:
        raise ValueError(f"DAGSTER_HOME: {error}") from None
    return dg.DagsterInstance.from_ref(described._replace(compute_logs_data=CAPTURE_NOTHING))


def _read_events(selected: list[str], result: dg.ExecuteInProcessResult) -> dict[str, AssetOutcome]:
    """Return what the run's events say of each asset."""
    outcomes = {name: AssetOutcome(error="not run, since something that it needs failed") for name in selected}
    for event in result.all_events:
        outcome = outcomes.get(event.step_key or "")
        if outcome is None:
            continue
        if event.is_step_failure:
            outcome.error = _reason(event.step_failure_data)
        elif event.is_step_materialization:
            metadata = event.step_materialization_data.materialization.metadata
            outcome.counts = {key: int(str(metadata[f"rows_{key}"].value)) for key in COUNTS}
            outcome.rows = int(str(metadata["dagster/row_count"].value))
            outcome.error = None
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            missing = event.asset_check_evaluation_data.metadata.get("missing")
            outcome.missing = str(missing.value).removeprefix("- ").split("\n- ") if missing else []
    return outcomes


def _reason(failure: Any) -> str:
    """Return in one line why a step failed: what the asset said of it, else the message of the innermost error."""
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "for an unknown reason"
