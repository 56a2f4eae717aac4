"""What may be spent: counted in the database before a call, by all processes together."""

import datetime as dt
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline.collect.budget import Budget
from gans_pipeline.collect.flights import AirportDay, collect_arrivals, serving
from gans_pipeline.collect.geo import collect_cities, most_populous_first
from gans_pipeline.collect.outcome import NothingCollectedError
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts
from gans_pipeline.settings import Settings
from gans_pipeline.sources.http import BudgetError
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.writer import ScopedFrame
from gans_pipeline.tables import schema
from gans_pipeline.tables.queries import usage
from gans_pipeline_tests.collect.conftest import NOW, Sandbox

LONDONS_TOMORROW = dt.date(2026, 11, 25)


@pytest.fixture
def engine(database_url: str) -> sa.Engine:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    return engine


@pytest.fixture
def sources_of(sandbox: Sandbox, engine: sa.Engine) -> Callable[..., Sources]:
    """Make clients with a budget of so many units for AeroDataBox."""

    def make(units: float | None, **settings: Any) -> Sources:
        limited = Settings.model_validate(
            {"sandbox_url": sandbox.url, "aerodatabox": {"budget": units, "concurrency": 1}, **settings}
        )
        return Sources(limited, budget=Budget(engine, limited))

    return make


def spent(engine: sa.Engine, provider: str = "sandbox-aerodatabox") -> float:
    return sum(units for (name, _), units in usage(engine).items() if name == provider)


def test_arrivals_stop_at_the_budget_and_name_what_was_skipped_for_it(
    engine: sa.Engine, sandbox: Sandbox, sources_of: Callable[..., Sources]
) -> None:
    days = [AirportDay(icao, LONDONS_TOMORROW) for icao in ("EGLL", "EGKK", "EGSS", "EGGW")]
    collected = collect_arrivals(sources_of(10), days, now=NOW)
    assert isinstance(collected.data, ScopedFrame)
    assert collected.data.scope["airport_icao"].tolist() == ["EGLL", "EGKK"]
    assert [skipped.item for skipped in collected.skipped] == ["EGSS 2026-11-25", "EGGW 2026-11-25"]
    assert "the budget of 10 units for 20" in str(collected.skipped[0])
    assert "GANS_AERODATABOX_BUDGET" in str(collected.skipped[0])
    assert collected.failures == ()
    assert len(sandbox.asked("aerodatabox")) == 4
    assert spent(engine) == 8  # half a day of the third airport would have been of no use


def test_a_budget_that_covers_nothing_is_an_error_and_no_call(
    engine: sa.Engine, sandbox: Sandbox, sources_of: Callable[..., Sources]
) -> None:
    with pytest.raises(NothingCollectedError, match="budget of 3 units") as raised:
        collect_arrivals(sources_of(3), [AirportDay("EGLL", LONDONS_TOMORROW)], now=NOW)
    assert isinstance(raised.value.failures[0].error, BudgetError)
    assert sandbox.asked("aerodatabox") == []
    assert spent(engine) == 0


def test_retries_are_paid_for_too(
    engine: sa.Engine, sandbox: Sandbox, sources_of: Callable[..., Sources], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = sources_of(100)
    monkeypatch.setattr(sources.aerodatabox._http._retrying, "sleep", lambda _: None)
    sandbox.control(
        "faults", [{"kind": "answer", "provider": "aerodatabox", "match": "T12:00", "status": 500, "body": ""}]
    )
    with pytest.raises(NothingCollectedError, match="HTTP 500"):
        collect_arrivals(sources, [AirportDay("EGLL", LONDONS_TOMORROW)], now=NOW)
    assert len(sandbox.asked("aerodatabox")) == 5
    assert spent(engine) == 10


def test_calls_are_counted_where_there_is_no_limit(engine: sa.Engine, sources_of: Callable[..., Sources]) -> None:
    collect_arrivals(sources_of(None), [AirportDay("EGLL", LONDONS_TOMORROW)], now=NOW)
    assert spent(engine) == 4


@pytest.mark.parametrize(("provider", "units"), [("open-meteo", 1.2), ("openweathermap", 1)])
def test_forecasts_count_with_the_providers_weight(
    engine: sa.Engine, sources_of: Callable[..., Sources], provider: str, units: float
) -> None:
    sources = sources_of(None, weather_provider=provider)
    cities = collect_cities(sources, "Lagos,Istanbul", now=NOW).frame
    collect_weather_forecasts(sources, cities, now=NOW)
    assert spent(engine, f"sandbox-{provider}") == pytest.approx(2 * units)


def test_each_month_has_a_budget_of_its_own(
    engine: sa.Engine, sources_of: Callable[..., Sources], monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = sources_of(10).budget
    assert budget
    for month, expected in (("2026-11", 10.0), ("2026-12", 10.0)):
        monkeypatch.setattr("gans_pipeline.collect.budget.period_of", lambda *_, month=month: month)
        for _ in range(5):
            budget.spend("aerodatabox", 2)
        with pytest.raises(BudgetError, match=month):
            budget.spend("aerodatabox", 2)
        assert usage(engine)["sandbox-aerodatabox", month] == expected


def test_what_is_set_aside_is_given_back_and_a_killed_process_leaves_a_hundredth(
    engine: sa.Engine, sources_of: Callable[..., Sources]
) -> None:
    killed, settled = sources_of(1000).budget, sources_of(1000).budget
    assert killed
    assert settled
    killed.spend("aerodatabox", 2)
    assert spent(engine) == 10
    settled.spend("aerodatabox", 2)
    settled.settle()
    settled.settle()
    assert spent(engine) == 12


def test_eight_processes_together_spend_no_more_than_the_budget(engine: sa.Engine, tmp_path: Path) -> None:
    script = tmp_path / "spend.py"
    script.write_text(
        "import sys\n"
        "from gans_pipeline.collect.budget import Budget\n"
        "from gans_pipeline.settings import Settings\n"
        "from gans_pipeline.sources.http import BudgetError\n"
        "from gans_pipeline.storage.engine import create_engine\n"
        "budget = Budget(create_engine(sys.argv[1]), Settings.model_validate({'aerodatabox': {'budget': 100}}))\n"
        "made = 0\n"
        "try:\n"
        "    while True:\n"
        "        budget.spend('aerodatabox', 2)\n"
        "        made += 1\n"
        "except BudgetError:\n"
        "    budget.settle()\n"
        "    print(made)\n"
    )
    url = engine.url.render_as_string(hide_password=False)
    processes = [
        subprocess.Popen([sys.executable, str(script), url], stdout=subprocess.PIPE, text=True) for _ in range(8)
    ]
    made = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(made) == 50
    assert spent(engine, "aerodatabox") == 100


def test_airports_of_the_most_populous_cities_come_first_and_each_once() -> None:
    cities = pd.DataFrame({"city_id": [1, 2, 3, 4]})
    airports = pd.DataFrame({"icao": ["AAAA", "BBBB", "CCCC", "DDDD"], "timezone": "UTC"})
    city_airports = pd.DataFrame(
        {
            "city_id": [1, 2, 2, 3, 4],
            "icao": ["AAAA", "BBBB", "AAAA", "CCCC", "DDDD"],
            "distance_km": [5.0, 50.0, 10.0, 1.0, 1.0],
        }
    )
    ranked = most_populous_first(cities, {1: 100, 2: 9000, 3: 500})
    assert ranked["city_id"].tolist() == [2, 3, 1, 4]
    assert serving(ranked, airports, city_airports)["icao"].tolist() == ["AAAA", "BBBB", "CCCC", "DDDD"]
    assert serving(ranked[:1], airports, city_airports)["icao"].tolist() == ["AAAA", "BBBB"]
