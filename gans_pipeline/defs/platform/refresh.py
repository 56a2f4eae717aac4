"""What every asset that is collected has in common: how it retries, what it reports, which cities it can be told."""

import datetime as dt
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Concatenate, ParamSpec

import dagster as dg
import pandas as pd
from pydantic import Field

from gans_pipeline import tables
from gans_pipeline.collect.geo import select_cities
from gans_pipeline.collect.outcome import (
    Collected,
    Failure,
    NothingCollectedError,
    NothingToCollectError,
    on_progress,
)
from gans_pipeline.collect.sources import Sources
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.settings import Settings
from gans_pipeline.sources.http import SourceError, TransientError
from gans_pipeline.storage.table_metadata import foreign_key_lineage

P = ParamSpec("P")

OWNERS = ["team:data-platform"]

# Sources have retried for about ten seconds by then; half a minute later a provider that restarts is often back.
RETRY = dg.RetryPolicy(max_retries=1, delay=30, jitter=dg.Jitter.PLUS_MINUS)

NAMED_FAILURES = 50


class InterruptedRefreshError(dg.DagsterError, dg.DagsterExecutionInterruptedError):
    """Ctrl-C or a termination came while an asset was collected; it ends the run.

    Dagster answers its own interruption with the retry policy: half a minute of waiting that cannot be interrupted, and
    then the same step again. An error of the framework passes by the policy.
    """

    is_user_code_error = False


class CitiesConfig(dg.Config):
    """Which cities a run is about."""

    cities: list[str] = Field(
        default=[], description="Names, article titles or ids of cities in the database; none means all of them"
    )

    def select(self, cities: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``cities`` that the run is about; one that is not there fails it without a retry."""
        try:
            return select_cities(cities, self.cities)
        except ValueError as error:
            raise dg.Failure(str(error), allow_retries=False) from None


def now() -> dt.datetime:
    """Return the current time in UTC."""
    return dt.datetime.now(dt.UTC)


def table_asset(
    name: str, *, group: str, kinds: set[str], pool: str, is_compared: bool = False, **options: Any
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Declare the asset that fills the table ``name``: retried, and checked for what is missing from it.

    One whose rows the collector compares (``is_compared``) is checked for what is doubtful too.
    ``pool`` bounds how many runs may ask one provider, or write the table, at once; ``options`` are those of
    ``dagster.asset``.
    """
    checks = [
        dg.AssetCheckSpec("complete", asset=name, description="Everything that was asked for was fetched and stored.")
    ]
    if is_compared:
        checks.append(
            dg.AssetCheckSpec(
                "plausible", asset=name, description="What was stored agrees with Wikidata and with what was before."
            )
        )
    # Dagster 1.13 takes the annotation MaterializeResult for "returns nothing" and compares the frame with a sentinel,
    # which pandas refuses; the I/O manager checks the value's type anyway.
    decorate: Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition] = dg.asset(
        name=name,
        group_name=group,
        kinds=kinds,
        pool=pool,
        retry_policy=RETRY,
        check_specs=checks,
        dagster_type=dg.Any,
        **options,
    )
    return decorate


@contextmanager
def _noticing_interrupts() -> Iterator[None]:
    """Raise Dagster's interruption after the next item at the latest.

    Dagster's handler raises it wherever the signal arrives. Inside a callback of the garbage collector Python drops it:
    of 40 signals 2 were lost, and the refresh went on to its end.
    """
    handler, report = signal.getsignal(signal.SIGINT), on_progress.get()
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    noticed = threading.Event()

    def notice(number: int, frame: FrameType | None) -> None:
        noticed.set()
        handler(number, frame)

    def check(table: str, done: int, total: int) -> None:
        if noticed.is_set():
            raise dg.DagsterExecutionInterruptedError
        report(table, done, total)

    signals = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is handler]
    token = on_progress.set(check)
    for number in signals:
        signal.signal(number, notice)
    try:
        yield
        if noticed.is_set():
            raise dg.DagsterExecutionInterruptedError
    finally:
        for number in signals:
            signal.signal(number, handler)
        on_progress.reset(token)


def refreshed(
    collector: Callable[Concatenate[Sources, P], Collected], sources: Sources, *args: P.args, **kwargs: P.kwargs
) -> dg.MaterializeResult:
    """Run a collector and return its rows with what is missing from them.

    An outage (nothing was had) raises ``dagster.Failure``, which is retried only if a later attempt may succeed. A step
    that is tried again, as when the database was away, does not ask and pay again for what the first attempt got.
    """
    began = _begin_if_tried_again()
    try:
        with _noticing_interrupts():
            collected = collector(sources.reusing(began) if began else sources, *args, **kwargs)
    except dg.DagsterExecutionInterruptedError:
        raise InterruptedRefreshError from None
    except NothingCollectedError as error:
        raise _failure(str(error), error.failures) from None
    except (NothingToCollectError, ValueError) as error:
        raise _failure(str(error), ()) from None
    except SourceError as error:
        raise _failure(str(error), (Failure("everything", error),)) from None
    failed = [str(failure) for failure in collected.failures]
    skipped = [str(failure) for failure in collected.skipped]
    doubts = [str(doubt) for doubt in collected.doubts or ()]
    sandbox = Settings().sandbox_url
    lacking: dict[str, Any] = {"failed": len(failed), **_named(missing=failed, skipped=skipped)}
    checks = [_check("complete", passed=not failed and not skipped, metadata=lacking)]
    if collected.doubts is not None:
        checks.append(_check("plausible", passed=not doubts, metadata=_named(doubts=doubts)))
    return dg.MaterializeResult(
        value=collected.data,
        metadata={
            "source": f"INVENTED DATA from the sandbox at {sandbox}" if sandbox else "the real providers",
            "rows_fetched": len(collected.frame),
            **lacking,
            **_named(doubts=doubts),
            **({"not archived": sources.archive.problem} if sources.archive and sources.archive.problem else {}),
        },
        check_results=checks,
    )


def _begin_if_tried_again() -> dt.datetime | None:
    """Return when the run began if its step is being tried again, else None."""
    context = dg.OpExecutionContext.get()
    if context.retry_number == 0:
        return None
    record = context.instance.get_run_record_by_id(context.run_id)
    return record.create_timestamp if record else None


def _check(name: str, *, passed: bool, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    """Return the result of a check that warns: what was had is stored all the same."""
    return dg.AssetCheckResult(check_name=name, passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)


def _failure(description: str, failures: tuple[Failure, ...]) -> dg.Failure:
    return dg.Failure(
        description,
        metadata={"failed": len(failures), **_named(missing=[str(failure) for failure in failures])},
        allow_retries=any(isinstance(failure.error, TransientError) for failure in failures),
    )


def _named(**lists: list[str]) -> dict[str, dg.MetadataValue]:
    """Return each list that is not empty as Markdown."""
    named: dict[str, dg.MetadataValue] = {}
    for key, names in lists.items():
        rest = [f"… and {len(names) - NAMED_FAILURES} more"] if len(names) > NAMED_FAILURES else []
        if names:
            named[key] = dg.MetadataValue.md("\n".join(f"- {name}" for name in [*names[:NAMED_FAILURES], *rest]))
    return named


def describe(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Give an asset what its table says of it (description, columns, where they come from), and its owner."""
    table = tables.metadata.tables[spec.key.path[-1]]
    described = spec.replace_attributes(
        description=f"{table.comment}.\n\n{spec.description or ''}".strip(), owners=OWNERS
    )
    lineage = foreign_key_lineage(table, {name: dg.AssetKey(name) for name in tables.metadata.tables})
    if lineage is not None:
        described = described.merge_attributes(metadata={"dagster/column_lineage": lineage})
    return Database().describe(described)
