"""The ``gans`` command. Reading arguments and printing belong here; what is done lives in the modules that are called.

Heavy imports (Dagster takes a second) are made by the commands that need them, so that ``gans --help`` answers at once.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import pydantic
import typer
from rich.console import Console
from rich.markup import escape

from gans_pipeline.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Collect cities, weather, airports and flights into the database, and look at what is there.",
)
database = typer.Typer(no_args_is_help=True, help="Create, upgrade, check and draw the database.")
app.add_typer(database, name="db")

out = Console()
err = Console(stderr=True, highlight=False)

COMPLETE, FAILED, PARTIAL = 0, 1, 2

MOST_SANDBOX_CITIES = 10_000
STANDING_SANDBOX = "http://127.0.0.1:8700"


def main() -> None:
    """Run the command line; what the user can mend is one line on standard error, not a traceback."""
    import sqlalchemy as sa

    try:
        app()
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        name = "GANS_" + "_".join(str(part) for part in first["loc"]).upper()
        _fail(f"setting {name}: {first['msg']} (see .env.example)")
    except sa.exc.DBAPIError as error:
        reason = error.orig.args[-1] if error.orig is not None and error.orig.args else type(error).__name__
        _fail(f"the database does not answer: {reason} (GANS_DATABASE_URL; try: gans db check)")
    except (ValueError, OSError) as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    err.print(f"[red]gans:[/] {escape(message)}", soft_wrap=True)
    raise SystemExit(FAILED)


@app.command()
def refresh(
    assets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Which of cities, populations, airports, city_airports, weather_forecasts, arrivals; by default all."
        ),
    ] = None,
    sandbox: Annotated[
        bool,
        typer.Option(
            "--sandbox",
            help="Collect invented data from the sandbox: the one on port 8700, or one started for this command.",
        ),
    ] = False,
    cities: Annotated[
        str,
        typer.Option(
            help="Which cities: how many of the most populous ('30'), or article titles ('Berlin,New York City'). "
            "Default: GANS_CITIES for the table of cities, every city in it for the others."
        ),
    ] = "",
    date: Annotated[
        str,
        typer.Option(help="Local date of the arrivals, as 2026-11-24. Default: each airport's own tomorrow."),
    ] = "",
) -> None:
    """Collect the tables now, in one run that the Dagster UI shows, and print what changed.

    Exit status 0: everything was fetched and stored. 1: a table could not be refreshed. 2: what could be fetched was
    stored, and what is missing is named.

    Examples: 'gans refresh --sandbox', 'gans refresh cities city_airports --cities 30,Berlin',
    'gans refresh arrivals --cities Berlin --date 2026-11-24'.
    """
    from gans_pipeline import refreshing

    with _sandbox_if_wanted(sandbox, cities):
        outcome = refreshing.refresh(assets or [], cities=cities, date=date, console=err)
        refreshing.print_outcome(outcome, out)
    raise typer.Exit(outcome.exit_status)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: table name to rows and newest.")] = False,
) -> None:
    """Show how many rows each table has and how new its newest data is."""
    from rich.table import Table

    from gans_pipeline.tables.queries import contents

    found = contents(_engine(current=True))
    if as_json:
        out.print_json(data=found)
        return
    shown = Table("table", "rows", "newest (UTC)")
    shown.columns[1].justify = "right"
    for name, content in found.items():
        shown.add_row(name, f"{content['rows']:,}", (content["newest"] or "–").replace("+00:00", "").replace("T", " "))
    out.print(shown)


@app.command()
def parse(
    provider: Annotated[str, typer.Argument(help="wikipedia, openweathermap, open-meteo, ourairports or aerodatabox")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A saved answer of the provider.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what the parser makes of a saved answer, or why it refuses it (exit status 1)."""
    from gans_pipeline import parsing

    parsed = parsing.parse(provider, file)
    if as_json:
        out.print_json(data=parsed)
    else:
        parsing.show(parsed, out)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8700,
    cities: Annotated[
        int,
        typer.Option(
            min=1, max=MOST_SANDBOX_CITIES, help="How many cities its list has; it knows 10,000 by their titles."
        ),
    ] = 30,
    seed: Annotated[int, typer.Option(help="Another seed invents other weather and flights.")] = 0,
    now: Annotated[
        str, typer.Option(help="Fixed time of its clock, as 2026-11-24T18:00Z. Default: the real time.")
    ] = "",
    latency_ms: Annotated[float, typer.Option(min=0, help="How long each answer takes at least, in milliseconds.")] = 0,
) -> None:
    """Run a local stand-in for all providers: real geography, invented weather and flights."""
    import datetime as dt

    from gans_pipeline.sandbox import serve

    clock = dt.datetime.fromisoformat(now) if now else None
    if clock is not None and clock.tzinfo is None:
        raise ValueError(f"--now {now} has no time zone: append Z for UTC")
    serve("127.0.0.1", port, cities=cities, seed=seed, now=clock, latency_ms=latency_ms)


@database.command()
def upgrade() -> None:
    """Create the database's tables, or bring them to the newest schema."""
    from gans_pipeline.storage.engine import create_database, display_url
    from gans_pipeline.tables import schema

    settings = Settings()
    create_database(settings.database_url.get_secret_value(), tls_ca=settings.database_tls_ca)
    engine = _engine()
    if schema.state(engine) is schema.State.FOREIGN:
        _fail(schema.advice(schema.State.FOREIGN))
    schema.upgrade(engine)
    out.print(f"{display_url(engine.url)} has the newest schema.", soft_wrap=True, highlight=False)


@database.command()
def check() -> None:
    """Tell whether the database answers and has the newest schema (exit status 0), or what to do (1)."""
    from gans_pipeline.storage.engine import display_url

    engine = _engine(current=True)
    out.print(f"{display_url(engine.url)} answers and has the newest schema.", soft_wrap=True, highlight=False)


@database.command()
def erd(file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("docs/database.md")) -> None:
    """Write the tables with an entity-relationship diagram as Markdown."""
    from gans_pipeline.tables import schema

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(schema.erd(), encoding="utf-8")
    out.print(f"Wrote {file}.", highlight=False)


def _engine(*, current: bool = False) -> Any:
    """Return the engine; with ``current``, only of a database that has the newest schema."""
    from gans_pipeline.storage.engine import create_engine
    from gans_pipeline.tables import schema

    settings = Settings()
    engine = create_engine(settings.database_url.get_secret_value(), tls_ca=settings.database_tls_ca)
    if current:
        state = schema.state(engine)
        if state is not schema.State.CURRENT:
            _fail(schema.advice(state))
    return engine


@contextmanager
def _sandbox_if_wanted(wanted: bool, cities: str) -> Iterator[None]:
    """Point the settings at a sandbox: at the one that runs, or at one that is started for this command."""
    if not wanted or os.environ.get("GANS_SANDBOX_URL"):
        yield
        return

    import requests

    from gans_pipeline.sandbox import running

    try:
        requests.get(f"{STANDING_SANDBOX}/_/health", timeout=1).raise_for_status()
    except requests.RequestException:
        numbers = [int(part) for part in (cities or Settings().cities).split(",") if part.strip().isdecimal()]
        listed = min(max(30, *numbers), MOST_SANDBOX_CITIES) if numbers else 30
        with running(cities=listed) as url:
            os.environ["GANS_SANDBOX_URL"] = url
            yield
    else:
        os.environ["GANS_SANDBOX_URL"] = STANDING_SANDBOX
        yield


if __name__ == "__main__":
    main()
