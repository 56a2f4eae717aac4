"""One refresh from the command line: runs of the assets in this process, recorded in the Dagster instance."""

import datetime as dt
import gc
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._serdes import ConfigurableClassData
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from gans_pipeline.collect.flights import tomorrows
from gans_pipeline.collect.outcome import on_progress
from gans_pipeline.collect.sources import Sources
from gans_pipeline.definitions import defs
from gans_pipeline.defs.flights.assets import local_days
from gans_pipeline.defs.platform.resources import connect
from gans_pipeline.defs.weather.assets import past_days
from gans_pipeline.reporting import COUNTS, AssetOutcome, Outcome
from gans_pipeline.settings import Settings
from gans_pipeline.sources.http import SourceError
from gans_pipeline.storage.engine import create_database, display_url
from gans_pipeline.tables import schema
from gans_pipeline.tables.queries import refuse_to_mix

LINEAGE = (
    "cities",
    "populations",
    "airports",
    "city_airports",
    "weather_forecasts",
    "weather_observations",
    "arrivals",
)
"""The assets, each after those that it needs."""

RECENT_DAYS = 7
"""Without a date, the weather of so many days is looked at, and what is missing of it collected."""

CAPTURE_NOTHING = ConfigurableClassData(
    "dagster._core.storage.noop_compute_log_manager", "NoOpComputeLogManager", config_yaml="{}"
)


def refresh(assets: list[str], *, cities: str, date: str, console: Console) -> Outcome:
    """Materialize the assets; raises ValueError for what has to be mended before anything is fetched."""
    unknown = [name for name in assets if name not in LINEAGE]
    if unknown:
        raise ValueError(f"no such asset: {', '.join(unknown)}; there are {', '.join(LINEAGE)}")
    selected = [name for name in LINEAGE if not assets or name in assets]
    settings = Settings()
    runs = _runs(selected, cities=cities, date=date)
    _require_keys(selected, settings)
    instance = _instance()
    _prepare_database(settings, console)
    # What is imported by now lives as long as the process. Left in sight, the garbage collector goes through it again
    # and again while thousands of small objects are made of an answer, which took a third of the parsing's time.
    gc.freeze()
    outcomes = {name: AssetOutcome(error="not run, since something that it needs failed") for name in selected}
    run_ids = []
    with _ProgressBars(console):
        for run in runs:
            if any(name in outcomes and outcomes[name].error for name in run.needs):
                continue
            result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
                asset_selection=[dg.AssetKey(name) for name in run.assets],
                instance=instance,
                tags={
                    **run.tags,
                    "gans/source": "sandbox" if settings.sandbox_url else "live",
                    "gans/asked_by": "command line",
                },
                run_config=run.config,
                raise_on_error=False,
            )
            run_ids.append(result.run_id)
            failures = (event.step_failure_data for event in result.all_events if event.is_step_failure)
            if any(failure.error_source and failure.error_source.name == "INTERRUPT" for failure in failures):
                raise KeyboardInterrupt
            _read_events(outcomes, result)
            for step in instance.get_run_step_stats(result.run_id):
                if step.step_key in outcomes and step.start_time and step.end_time:
                    outcomes[step.step_key].seconds = step.end_time - step.start_time
    return Outcome(
        assets=outcomes,
        source=f"INVENTED DATA from the sandbox at {settings.sandbox_url}"
        if settings.sandbox_url
        else "live providers",
        database=display_url(settings.database_url.get_secret_value()),
        run_ids=run_ids,
    )


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
        "weather_observations": "open_meteo",
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


@dataclass
class _Run:
    """A run of Dagster: its assets, which cities (config), which partitions (tags).

    It is not made if one of the assets that it ``needs`` failed in a run before it.
    """

    assets: list[str]
    config: dict[str, Any]
    tags: dict[str, str]
    needs: tuple[str, ...] = ()


def _runs(selected: list[str], *, cities: str, date: str) -> list[_Run]:
    """Return the runs: one, and another for the weather of the past, since a run has one range of partitions."""
    parts = [part.strip() for part in cities.split(",") if part.strip()]
    named = [] if any(part.isdecimal() for part in parts) else parts
    ops: dict[str, dict[str, Any]] = {"cities": {"config": {"cities": cities}}}
    for name in ("populations", "weather_forecasts", "weather_observations", "arrivals"):
        ops[name] = {"config": {"cities": named}}
    runs = []
    others = [name for name in selected if name != "weather_observations"]
    if others:
        tags = {}
        if "arrivals" in others:
            tags = _day("arrivals", local_days, date) or _range(*tomorrows(dt.datetime.now(dt.UTC)))
            ops["arrivals"]["config"]["tomorrow_only"] = not date
        runs.append(_Run(others, _config(others, ops), tags))
    if "weather_observations" in selected:
        yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
        recent = _range(yesterday - dt.timedelta(days=RECENT_DAYS - 1), yesterday)
        tags = _day("weather_observations", past_days, date) or recent
        ops["weather_observations"]["config"]["missing_only"] = not date
        runs.append(_Run(["weather_observations"], _config(["weather_observations"], ops), tags, needs=("cities",)))
    return runs


def _config(assets: list[str], ops: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "ops": {name: config for name, config in ops.items() if name in assets},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},  # the outcome is printed instead
    }


def _day(asset: str, partitions: dg.DailyPartitionsDefinition, date: str) -> dict[str, str]:
    """Return the tags for the day if one is given; raises ValueError for one that is not among the partitions."""
    if not date:
        return {}
    try:
        day = dt.date.fromisoformat(date)
    except ValueError:
        raise ValueError(f"--date {date} is not a date such as 2026-11-24") from None
    if not partitions.has_partition_key(str(day)):
        days = partitions.get_partition_keys()
        raise ValueError(f"--date {date} is outside of the days that {asset} can have, {days[0]} to {days[-1]}")
    return _range(day, day)


def _range(first: dt.date, last: dt.date) -> dict[str, str]:
    return {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(last)}


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


def _read_events(outcomes: dict[str, AssetOutcome], result: dg.ExecuteInProcessResult) -> None:
    """Write down what the run's events say of each asset."""
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
            listed = event.asset_check_evaluation_data.metadata
            if event.asset_check_evaluation_data.check_name == "plausible":
                outcome.doubts = _listed(listed.get("doubts"))
            else:
                outcome.missing, outcome.skipped = _listed(listed.get("missing")), _listed(listed.get("skipped"))


def _listed(markdown: dg.MetadataValue | None) -> list[str]:
    return str(markdown.value).removeprefix("- ").split("\n- ") if markdown else []


def _reason(failure: Any) -> str:
    """Return in one line why a step failed: what the asset said of it, else the message of the innermost error."""
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return str(failure.user_failure_data.description)
    error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "for an unknown reason"
