"""What docs/reliability.md promises, cell by cell: the collectors against the sandbox with each fault, over HTTP."""

import datetime as dt
import logging
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import requests
from pydantic import SecretStr

from gans_pipeline.collect.flights import AirportDay, collect_arrivals
from gans_pipeline.collect.geo import collect_airports, collect_airports_near, collect_cities, collect_populations
from gans_pipeline.collect.outcome import Collected, NothingCollectedError
from gans_pipeline.collect.sources import Sources
from gans_pipeline.collect.weather import collect_weather_forecasts, collect_weather_observations
from gans_pipeline.sandbox import running
from gans_pipeline.sandbox.app import KINDS
from gans_pipeline.settings import SANDBOX_ROUTES, Settings
from gans_pipeline.sources import http
from gans_pipeline.sources.http import (
    ATTEMPTS,
    MalformedError,
    PermanentError,
    QuotaError,
    SourceError,
    TransientError,
)

NOW = dt.datetime(2026, 11, 24, 2, 30, tzinfo=dt.UTC)
DAY = dt.date(2026, 11, 24)
LONG_PAST_DAY = dt.date(2026, 8, 1)
TITLES = ("Lagos", "Istanbul", "Mumbai")
AIRPORTS = ("EGLL", "KJFK", "RJTT")
FILE = "airports.csv"
KEY = "d1stinctive/key+of tests"
TIMEOUT_S = 0.25
WRONG_CLOCK = "a clock a year off"


@dataclass(frozen=True)
class Cell:
    """One cell of the table."""

    fault: str
    provider: str
    outcome: str


def _table() -> list[Cell]:
    text = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text("utf-8")
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text[text.index("| fault |") :].split("\n\n")[0].splitlines()
    )
    return [
        Cell(fault.strip("`"), provider, outcome)
        for fault, _, *outcomes in rows
        for provider, outcome in zip(header[2:], outcomes, strict=True)
    ]


TABLE = _table()
ANSWERED = [cell for cell in TABLE if cell.outcome != "–"]

# What the error says, by the kind of fault and, where it differs, by provider.
WORDS = {
    "hang": "ReadTimeout",
    "slow-body": f"the body is not whole after {TIMEOUT_S} seconds",
    "drop": "ConnectionError",
    "cut-body": "IncompleteRead",
    "500": "HTTP 500",
    "502-html": "HTTP 502 .*502 Bad Gateway",
    "truncated": "no JSON but application/json: HTTP 200",
    "truncated ourairports": r"line \d+: \d+ cells for 19 columns",
    "captive-portal": "no JSON but text/html.*Welcome to the guest network",
    "captive-portal ourairports": "not the airports file, no column id, .* it starts '<!DOCTYPE html>",
    "429": "HTTP 429",
    "429-retry-after": "HTTP 429",
    "429-retry-in-an-hour": "HTTP 429",
    "quota open-meteo": "Daily API request limit exceeded",
    "quota aerodatabox": "You have exceeded the MONTHLY quota",
    "401": "Invalid API key",
    "403 wikipedia": "GANS_CONTACT.*robot policy",
    "403 aerodatabox": "You are not subscribed to this API.*GANS_AERODATABOX_KEY",
    "maxlag": r"maxlag: Waiting for .* 9 seconds lagged",
    "204 wikipedia": "neither HTML nor a JSON object but NoneType",
    "204 openweathermap": "payload: Input should be",
    "204 open-meteo": "payload: Input should be",
    "204 ourairports": "not the airports file",
    "empty wikipedia": "has no infobox",
    "empty openweathermap": "list: List should have at least 1 item",
    "empty open-meteo": r"hourly\.time: List should have at least 1 item",
    "empty ourairports": "no airport below the header",
    "missing-field wikipedia": "has no Wikidata item",
    "missing-field openweathermap": r"list\[0\]\.main\.temp: Field required",
    "missing-field open-meteo": r"hourly\.temperature_2m: Field required",
    "missing-field ourairports": "no column iata_code",
    "missing-field aerodatabox": r"arrivals\[0\]\.arrival\.scheduledTime: missing",
    "renamed-field wikipedia": "no 'text' in the answer",
    "renamed-field openweathermap": r"list\[0\]\.main\.temp: Field required",
    "renamed-field open-meteo": r"hourly\.temperature_2m: Field required",
    "renamed-field ourairports": "no column iata_code",
    "renamed-field aerodatabox": r"arrivals\[0\]\.number: Field required",
    "retyped-field wikipedia": r"revid: not a whole number: 'r\d+'",
    "retyped-field openweathermap": r"list\[0\]\.main\.humidity: Input should be a valid number, got '\d+ %'",
    "retyped-field open-meteo": r"hourly\.temperature_2m\[0\]: Input should be a valid number, got 'mild'",
    "retyped-field ourairports": r"line \d+, latitude_deg: 'north' is not a number",
    "retyped-field aerodatabox": r"arrivals\[0\]\.isCargo: Input should be a valid boolean, got '\w+'",
    "implausible wikipedia": "200",
    "implausible openweathermap": r"temperature_c of row 0 is 200, outside",
    "implausible open-meteo": r"temperature_c of row 0 is 200, outside",
    "implausible ourairports": r"line \d+, latitude_deg: '200' is not a number up to ±90",
    "implausible aerodatabox": r"items\[0\]\.location\.lat: Input should be less than or equal to 90, got 200",
    "wrong-century openweathermap": "valid_at: 2126-11-24 .*is this machine's clock right",
    "wrong-century open-meteo": "valid_at: 2126-11-24 .*is this machine's clock right",
    "wrong-century aerodatabox": "scheduled_at of .*: 2126-11-2.* is more than 3 days from 2026-11-24",
    "redirect-to-nowhere": "missingtitle: The page you specified doesn't exist",
    "disambiguation": "is a disambiguation page, not a city",
    "wrong-century open-meteo-archive": "observed_at: 2126-08-01 00:00 UTC was not asked for",
    "204 wikidata": "payload: Input should be",
    "403 wikidata": "GANS_CONTACT.*robot policy",
    "empty wikidata": "Wikidata has no item Q",
    "missing-field wikidata": r"claims\.P625\[0\]\.rank: Field required",
    "renamed-field wikidata": r"claims\.P625\[0\]\.mainsnak: Field required",
    "retyped-field wikidata": r"amount: Input should be a valid string",
    "implausible wikidata": r"latitude: Input should be less than or equal to 90, got 200",
    "population-jump wikipedia": r"population [\d,]+ here, [\d,]+ stored before \(3\d\.\d % apart\)",
    WRONG_CLOCK: r"valid_at: 2027-11-24 .* cannot be forecast at 2026-11-24 02:30 UTC: is this machine's clock right",
}
ERRORS: dict[str, tuple[type[SourceError], ...]] = {
    "retried": (TransientError,),
    "failed": (PermanentError, TransientError),  # the latter where the provider wants a longer wait than we have
    "malformed": (MalformedError,),
    "quota": (QuotaError,),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(cities=5, now=NOW) as url:
        yield url


@pytest.fixture(scope="module")
def cities(url: str) -> pd.DataFrame:
    return collect_cities(Sources(Settings(sandbox_url=url)), ",".join(TITLES), now=NOW).frame


class Platform:
    """The collectors of a provider, the faults of the sandbox, and what both have seen."""

    def __init__(self, url: str, cities: pd.DataFrame, cell: Cell) -> None:
        self.cell = cell
        self._url = url
        self._cities = cities
        self._stored: dict[int, int] = {}
        self._settings = Settings.model_validate(
            {
                "sandbox_url": url,
                "weather_provider": cell.provider if cell.provider in ("openweathermap", "open-meteo") else None,
            }
        )
        for name in SANDBOX_ROUTES:
            provider = getattr(self._settings, name)
            provider.key = SecretStr(KEY)
            if cell.fault in ("hang", "slow-body"):
                provider.timeout_s = TIMEOUT_S
            if cell.outcome == "quota":
                provider.concurrency = 1  # so that it is known who was asked before

    @property
    def items(self) -> list[str]:
        """What is asked for, by the names under which it is missing."""
        if self.cell.provider == "ourairports":
            return [FILE]
        if self.cell.provider == "aerodatabox" and self.cell.fault != "implausible":
            return [f"{icao} {DAY}" for icao in AIRPORTS]
        if self.cell.provider == "open-meteo-archive":
            return [f"{title} {LONG_PAST_DAY}" for title in TITLES]
        return list(TITLES)

    @property
    def match(self) -> str:
        """What is in the requests for the second item, or the only one, and in no other."""
        if self.cell.provider == "ourairports":
            return FILE
        if self.cell.provider == "wikipedia":
            return TITLES[1]
        if self.cell.provider == "wikidata":  # which is asked for all at once
            return ""
        if self.cell.provider != "aerodatabox" or self.cell.fault == "implausible":
            city = self._cities.iloc[1]
            return f"{city['latitude']},{city['longitude']}"
        return AIRPORTS[1]

    def collect(self) -> Collected:
        """Collect everything as a new process would."""
        sources = Sources(self._settings)
        if self.cell.fault == "population-jump":
            return collect_populations(sources, self._cities, stored=self._stored, now=NOW)
        if self.cell.provider == "open-meteo-archive":
            return collect_weather_observations(sources, self._cities, [LONG_PAST_DAY], now=NOW)
        if self.cell.provider in ("wikipedia", "wikidata"):
            return collect_cities(sources, ",".join(TITLES), now=NOW)
        if self.cell.provider == "ourairports":
            return collect_airports(sources, now=NOW)
        if self.cell.provider == "aerodatabox" and self.cell.fault == "implausible":
            return collect_airports_near(sources, self._cities, now=NOW)
        if self.cell.provider == "aerodatabox":
            return collect_arrivals(sources, [AirportDay(icao, DAY) for icao in AIRPORTS], now=NOW)
        return collect_weather_forecasts(sources, self._cities, now=NOW)

    def store_populations(self) -> None:
        """Remember the populations as they are, as if they were stored."""
        frame = self.collect().frame
        chosen = frame[frame["chosen"].astype(bool)]
        self._stored = dict(zip(chosen["city_id"], chosen["people"], strict=True))

    def plan(self, **where: Any) -> None:
        """Let the cell's fault begin, for the requests that are meant, and forget what was asked."""
        if self.cell.fault == WRONG_CLOCK:
            self._put("now", {"now": NOW.replace(year=NOW.year + 1).isoformat()})
        else:
            self._put("faults", [{"provider": self.cell.provider, "kind": self.cell.fault, **where}])
        requests.delete(f"{self._url}/_/requests", timeout=5)

    def end(self) -> None:
        """Let every fault end."""
        self._put("faults", [])
        self._put("now", {"now": NOW.isoformat()})

    def _put(self, control: str, body: Any) -> None:
        requests.put(f"{self._url}/_/{control}", json=body, timeout=5).raise_for_status()

    def most_asked(self) -> int:
        """Return how often the request was made that was made most often."""
        found = requests.get(f"{self._url}/_/requests", timeout=5).json()["requests"]
        return max(Counter((request["path"], request["query"]) for request in found).values())

    def asked(self) -> int:
        """Return how many requests were made."""
        total: int = requests.get(f"{self._url}/_/requests", timeout=5).json()["totals"][self.cell.provider]
        return total

    def must_be_the_fault(self, error: SourceError) -> None:
        """Assert that an error is of the outcome's type and says what happened."""
        assert isinstance(error, ERRORS[self.cell.outcome])
        assert re.search(self.words, str(error)), str(error)

    @property
    def words(self) -> str:
        """What is said of the fault."""
        names = (f"{self.cell.fault} {provider}" for provider in (self.cell.provider, self.cell.provider[:10]))
        return next((WORDS[name] for name in names if name in WORDS), "") or WORDS[self.cell.fault]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that clients would have waited before they asked again."""
    waited: list[float] = []
    monkeypatch.setattr(http, "time", SimpleNamespace(**vars(time) | {"sleep": waited.append}))
    return waited


@pytest.fixture
def platform(
    request: pytest.FixtureRequest,
    url: str,
    cities: pd.DataFrame,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> Iterator[Platform]:
    """The platform for a cell; afterwards no fault is left and no key was told."""
    caplog.set_level(logging.DEBUG)
    platform = Platform(url, cities, request.param)
    yield platform
    platform.end()
    assert "d1stinctive" not in caplog.text
    assert "d1stinctive" not in requests.get(f"{url}/_/requests", timeout=5).text


def cells(*outcomes: str, one_of_many: bool = False) -> pytest.MarkDecorator:
    """Run a test for every cell with one of the outcomes; those where a fault can hit one item of many."""
    chosen = [
        pytest.param(cell, id=f"{cell.provider}-{cell.fault.replace(' ', '-')}")
        for cell in ANSWERED
        if cell.outcome in outcomes
        and not (one_of_many and (cell.provider == "ourairports" or cell.fault == WRONG_CLOCK))
    ]
    return pytest.mark.parametrize("platform", chosen, indirect=True)


@cells("retried")
def test_what_ends_is_retried_and_stored(platform: Platform, waits: list[float]) -> None:
    platform.plan(match=platform.match, times=2)
    collected = platform.collect()
    assert collected.failures == ()
    assert platform.most_asked() == 3
    assert len(waits) == 2
    platform.end()
    assert_same_rows(collected.frame, platform.collect().frame)


@cells("retried", "failed", "malformed", one_of_many=True)
def test_what_lasts_for_one_is_named_and_the_others_are_had(platform: Platform, waits: list[float]) -> None:
    platform.plan(match=platform.match)
    collected = platform.collect()
    (missing,) = collected.failures
    assert missing.item == platform.items[1]
    platform.must_be_the_fault(missing.error)
    assert platform.most_asked() == (ATTEMPTS if platform.cell.outcome == "retried" else 1)
    assert len(waits) == platform.most_asked() - 1
    assert "d1stinctive" not in str(missing) + repr(vars(missing.error))
    platform.end()
    whole = platform.collect()
    assert whole.failures == ()
    assert 0 < len(collected.frame) < len(whole.frame)
    rows = set(whole.frame.drop(columns="retrieved_at").astype(str).itertuples(index=False))
    assert set(collected.frame.drop(columns="retrieved_at").astype(str).itertuples(index=False)) < rows


@cells("retried", "failed", "malformed", "quota")
def test_an_outage_is_never_an_empty_table(platform: Platform, waits: list[float]) -> None:
    platform.plan()
    with pytest.raises(NothingCollectedError) as raised:
        platform.collect()
    failures = raised.value.failures
    assert [failure.item for failure in failures] == platform.items
    platform.must_be_the_fault(failures[0].error)
    told = f"{raised.value!s}" + "".join(f"{vars(failure.error)} {failure.error.__context__!r}" for failure in failures)
    assert "d1stinctive" not in told
    if platform.cell.outcome != "retried":
        assert platform.most_asked() == 1
        assert waits == []


@cells("quota", one_of_many=True)
def test_a_used_up_quota_ends_the_asking_and_names_what_was_not_asked(platform: Platform) -> None:
    per_item = 2 if platform.cell.provider == "aerodatabox" else 1
    platform.plan(match=platform.match)
    collected = platform.collect()
    assert len(collected.frame)
    assert [failure.item for failure in collected.failures] == platform.items[1:]
    for failure in collected.failures:
        platform.must_be_the_fault(failure.error)
    assert "not asked" in str(collected.failures[1])
    assert platform.asked() == per_item + 1


@cells("doubted")
def test_what_is_doubtful_is_stored_and_named(platform: Platform) -> None:
    if platform.cell.fault == "population-jump":
        platform.store_populations()
    whole = platform.collect().frame
    platform.plan()
    collected = platform.collect()
    assert collected.failures == ()
    assert len(collected.frame) == len(whole)
    assert any(re.search(platform.words, str(doubt)) for doubt in collected.doubts or ()), collected.doubts
    assert "d1stinctive" not in str(collected.doubts)


@cells("stored")
def test_a_valid_answer_is_stored_as_it_is(platform: Platform) -> None:
    whole = platform.collect().frame
    platform.plan(match=platform.match)
    collected = platform.collect()
    assert collected.failures == ()
    if platform.cell.fault in ("204", "empty"):
        whole = whole[whole["airport_icao"] != AIRPORTS[1]]
    if platform.cell.fault != WRONG_CLOCK:  # flights of a day long past have arrived
        assert_same_rows(collected.frame, whole)
    assert len(collected.frame)


def assert_same_rows(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


@pytest.mark.parametrize("kind", [cell.fault for cell in ANSWERED if cell.provider == "wikipedia"])
def test_a_list_of_cities_that_cannot_be_read_is_no_empty_selection(url: str, waits: list[float], kind: str) -> None:
    settings = Settings(sandbox_url=url)
    settings.wikipedia.timeout_s = TIMEOUT_S if kind in ("hang", "slow-body") else 30
    fault = {"provider": "wikipedia", "kind": kind, "match": "List of largest cities"}
    requests.put(f"{url}/_/faults", json=[fault], timeout=5).raise_for_status()
    try:
        if kind in ("unknown-fields", "missing-field", "implausible", "population-jump"):  # of which it has no use
            assert len(collect_cities(Sources(settings), "2", now=NOW).frame) == 2
        else:
            with pytest.raises(SourceError):
                collect_cities(Sources(settings), "2", now=NOW)
    finally:
        requests.put(f"{url}/_/faults", json=[], timeout=5).raise_for_status()


def test_the_table_knows_every_fault_that_the_sandbox_plays() -> None:
    played = {(kind, name) for name, kinds in KINDS.items() for kind in kinds}
    assert {(cell.fault, cell.provider) for cell in ANSWERED if cell.fault != WRONG_CLOCK} == played


def test_every_outcome_is_explained() -> None:
    text = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text("utf-8")
    for outcome in {cell.outcome for cell in TABLE}:
        assert f"\n| {outcome} | " in text


Refresh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def refresh(tmp_path: Path) -> Refresh:
    """Run ``gans refresh`` as a person does, against a sandbox with faults."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")

    def run(*assets: str, fault: list[str]) -> "subprocess.CompletedProcess[str]":
        with running(cities=5, fault=fault) as url:
            environment = os.environ | {
                "DAGSTER_HOME": str(tmp_path),
                "GANS_DATABASE_URL": f"sqlite:///{tmp_path / 'gans.db'}",
                "GANS_SANDBOX_URL": url,
                "GANS_WEATHER_PROVIDER": "open-meteo",
                "COLUMNS": "200",
            }
            command = [sys.executable, "-m", "gans_pipeline.cli", "refresh", *assets, "--cities", "3"]
            return subprocess.run(
                command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
            )

    return run


def test_a_refresh_with_faults_in_a_fifth_of_all_requests_is_complete_or_names_what_it_lacks(refresh: Refresh) -> None:
    done = refresh(fault=["all=500:0.1", "all=drop:0.1", "all=truncated:0.05"])
    assert done.returncode in (0, 2), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (" lacks " in done.stdout) == (done.returncode == 2)


def test_a_refresh_of_answers_that_are_partly_malformed_names_each_with_its_field(refresh: Refresh) -> None:
    done = refresh("cities", "weather_forecasts", fault=["open-meteo=missing-field:0.5"])
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"weather_forecasts lacks \w+: open-meteo: hourly\.temperature_2m: Field required", done.stdout)


def test_a_refresh_without_a_quota_fails_the_arrivals_and_stores_the_rest(refresh: Refresh) -> None:
    done = refresh(fault=["aerodatabox=quota"])
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert re.search(r"arrivals failed: none of \d+ could be had: .*MONTHLY quota", done.stdout)
    assert "city_airports failed" not in done.stdout
