"""What people are told at the command line: what became of a refresh or a replay, and how everything stands.

How a refresh is made belongs into ``refreshing``, a replay into ``replaying``.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.engine import Engine

from gans_pipeline.collect.budget import period_of
from gans_pipeline.replaying import TableReplay
from gans_pipeline.settings import PROVIDERS, Settings
from gans_pipeline.sources.archive import Archive
from gans_pipeline.tables.queries import contents, usage

COUNTS = ("inserted", "updated", "unchanged", "deleted")
SHOWN_ITEMS = 20


@dataclass
class AssetOutcome:
    """What became of one asset: rows written, what is missing, was skipped or is doubtful, why it failed if it did."""

    counts: dict[str, int] = field(default_factory=dict)
    rows: int | None = None
    missing: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0


@dataclass
class Outcome:
    """What became of a refresh."""

    assets: dict[str, AssetOutcome]
    source: str
    database: str
    run_ids: list[str]

    @property
    def exit_status(self) -> int:
        """0 complete, 1 an asset failed, 2 everything that could be had is stored and the rest is named.

        What is doubtful is complete.
        """
        if any(asset.error for asset in self.assets.values()):
            return 1
        return 2 if any(asset.missing or asset.skipped for asset in self.assets.values()) else 0


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Print a table of what was written, then what is missing, what is doubtful and what failed."""
    table = _counts_table("asset", "failed", "seconds", "rows")
    for name, asset in outcome.assets.items():
        counts = [f"{asset.counts[key]:,}" if asset.counts else "–" for key in COUNTS]
        failed = "[red]all[/]" if asset.error else f"[yellow]{len(asset.missing):,}[/]" if asset.missing else "0"
        rows = "–" if asset.rows is None else f"{asset.rows:,}"
        table.add_row(name, *counts, failed, f"{asset.seconds:.1f}", rows)
    console.print(table)
    for name, asset in outcome.assets.items():
        if asset.error:
            console.print(f"[red]{name} failed:[/] {escape(asset.error)}", soft_wrap=True, highlight=False)
        _name_items(f"{name} lacks", asset.missing, console)
        _name_items(f"{name} skipped", asset.skipped, console)
        _name_items(f"{name} doubts", asset.doubts, console)
    runs = f"Run{'s' if len(outcome.run_ids) > 1 else ''} {', '.join(outcome.run_ids)}"
    console.print(f"Source: {outcome.source}. Database: {outcome.database}. {runs}.", soft_wrap=True)


def print_replay(outcome: Mapping[str, TableReplay], console: Console) -> None:
    """Print what was written to each table, and what is still missing."""
    table = _counts_table("table", "failed", "refreshes")
    for name, done in outcome.items():
        counts = [f"{done.counts.get(count, 0):,}" for count in COUNTS]
        table.add_row(name, *counts, f"{len(done.missing):,}", f"{done.refreshes:,}")
    console.print(table)
    for name, done in outcome.items():
        _name_items(f"{name} lacks", done.missing, console)


def _counts_table(first: str, *last: str) -> Table:
    table = Table(first, *COUNTS, *last, box=box.SIMPLE_HEAD, padding=0, pad_edge=False)  # fits into 80 characters
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _name_items(heading: str, items: Sequence[str], console: Console) -> None:
    for item in items[:SHOWN_ITEMS]:
        console.print(f"[yellow]{heading}[/] {escape(item)}", soft_wrap=True, highlight=False)
    if len(items) > SHOWN_ITEMS:
        console.print(f"[yellow]{heading}[/] {len(items) - SHOWN_ITEMS} more")


def status(engine: Engine, settings: Settings) -> dict[str, Any]:
    """Return as JSON values how many rows each table has and how new they are.

    With ``api_usage`` come the ``budgets`` of this day or month, with a table its ``unparsed`` answers, if any.
    """
    spent = usage(engine)
    budgets = []
    for name in PROVIDERS:
        for source in (name, f"sandbox-{name}"):
            limits = settings.provider(name)
            period = period_of(limits, dt.datetime.now(dt.UTC))
            units = spent.get((source, period))
            limit = limits.budget if settings.provenance(name) == source else None
            if units is not None or limit is not None:
                left = None if limit is None else max(0.0, round(limit - (units or 0), 6))
                budgets.append(
                    {"provider": source, "period": period, "spent": round(units or 0, 6), "limit": limit, "left": left}
                )
    archive = Archive(settings.archive)
    unparsed = [found for source in archive.sources() for found in archive.unparsed(source)]
    found = contents(engine)
    found["api_usage"]["budgets"] = budgets
    for each in unparsed:
        found[each.table].setdefault("unparsed", []).append(each.model_dump(exclude={"table"}))
    return found


def show_status(found: dict[str, Any], console: Console) -> None:
    """Print the status for people."""
    tables = Table("table", "rows", "newest (UTC)")
    tables.columns[1].justify = "right"
    for name, content in found.items():
        newest = (content["newest"] or "–").replace("+00:00", "").replace("T", " ")
        tables.add_row(name, f"{content['rows']:,}", newest)
    console.print(tables)
    budgets = Table("provider", "period (UTC)", "units spent", "limit", "left")
    for column in budgets.columns[2:]:
        column.justify = "right"
    for row in found["api_usage"]["budgets"]:
        numbers = ["–" if row[key] is None else f"{row[key]:,.10g}" for key in ("spent", "limit", "left")]
        budgets.add_row(row["provider"], row["period"], *numbers)
    if budgets.row_count:
        console.print(budgets)
    are_unparsed = False
    for name, content in found.items():
        unparsed = [
            "\n  ".join([f"{each['item']}: {each['error']}", *each["keys"]]) for each in content.get("unparsed", ())
        ]
        _name_items(f"{name} could not parse", unparsed, console)
        are_unparsed |= bool(unparsed)
    if are_unparsed:
        console.print("Once the parser is mended, 'gans replay' stores them.", highlight=False)
