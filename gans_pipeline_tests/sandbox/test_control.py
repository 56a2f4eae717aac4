"""What holds for every provider: determinism, the journal, limits, planned faults, latency, the child process."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
import requests

from gans_pipeline.sandbox import running
from gans_pipeline.sandbox.geography import SMALLEST_CITY, build_world
from gans_pipeline_tests.sandbox.conftest import CITIES, NOW, Sandbox


def _some_of_everything(sandbox: Sandbox) -> list[bytes]:
    return [
        sandbox.article("List of largest cities").content,
        sandbox.article("London").content,
        sandbox.forecast().content,
        sandbox.open_meteo(hourly="temperature_2m,visibility", timezone="auto").content,
        sandbox.get("ourairports", "/airports.csv").content,
        sandbox.aerodatabox("/airports/search/location", lat=51.5, lon=0, radiusKm=60, limit=9).content,
        sandbox.board("EGLL", "2026-11-23", 1).content,
    ]


def test_another_process_gives_the_same_bytes_and_another_seed_does_not(sandbox: Sandbox) -> None:
    first = _some_of_everything(sandbox)
    with running(cities=CITIES, seed=0, now=NOW) as url:
        again = _some_of_everything(Sandbox(url))
    with running(cities=CITIES, seed=1, now=NOW) as url:
        other = _some_of_everything(Sandbox(url))
    assert first == again
    for name, one, two in zip(("list", "article", "steps", "hours", "file"), first, other, strict=False):
        assert one != two, name
    assert first[-1] != other[-1]


def test_answers_do_not_depend_on_what_was_asked_before(sandbox: Sandbox) -> None:
    first = _some_of_everything(sandbox)
    sandbox.board("KJFK", "2026-11-24")
    assert _some_of_everything(sandbox) == first


def test_a_larger_sandbox_has_the_same_largest_cities() -> None:
    few, many = build_world(5, 0), build_world(2000, 0)
    assert many.cities[:5] == few.cities
    assert many.by_title == few.by_title
    assert many.airports == few.airports


def test_more_cities_than_there_are_is_refused_with_the_number() -> None:
    with pytest.raises(ValueError, match=f"cities must be from 1 to .*{SMALLEST_CITY}.* not 999999"):
        build_world(999_999, 0)


def test_health_says_what_this_is(sandbox: Sandbox) -> None:
    assert requests.get(f"{sandbox.url}/_/health", timeout=5).json() == {
        "sandbox": "gans",
        "cities": CITIES,
        "seed": 0,
        "now": NOW.isoformat(),
    }


def test_the_journal_names_every_request_without_its_key(sandbox: Sandbox) -> None:
    sandbox.forecast(appid="s3cret")
    sandbox.article("Nowhere at all")
    sandbox.aerodatabox("/flights/airports/icao/EDDB/x/y", key="s3cret")
    journal = sandbox.journal()
    assert journal["totals"] == {
        "wikipedia": 1,
        "wikidata": 0,
        "openweathermap": 1,
        "open-meteo": 0,
        "open-meteo-archive": 0,
        "ourairports": 0,
        "aerodatabox": 1,
    }
    assert journal["requests"][0] == {
        "provider": "openweathermap",
        "method": "GET",
        "path": "/data/2.5/forecast",
        "query": "lat=52.52&lon=13.405",
        "status": 200,
    }
    assert [request["status"] for request in journal["requests"]] == [200, 200, 400]
    assert "s3cret" not in str(journal)


@pytest.mark.parametrize("match", ["lat=10&", "10,20", "/data/2.5/forecast?lat=10"])
def test_a_planned_fault_meets_only_what_it_names(sandbox: Sandbox, match: str) -> None:
    sandbox.put(
        "faults",
        [{"provider": "openweathermap", "kind": "answer", "match": match, "status": 502, "body": "<html>bad</html>"}],
    )
    failed = sandbox.get("openweathermap", "/data/2.5/forecast", lat=10, lon=20, appid="k")
    assert (failed.status_code, failed.text) == (502, "<html>bad</html>")
    assert failed.headers["Content-Type"].startswith("text/html")
    assert sandbox.forecast().status_code == 200
    sandbox.put("faults", [])
    assert sandbox.get("openweathermap", "/data/2.5/forecast", lat=10, lon=20, appid="k").status_code == 200


def test_a_planned_fault_finds_an_article_by_its_title(sandbox: Sandbox) -> None:
    sandbox.put("faults", [{"provider": "wikipedia", "kind": "answer", "match": "Mexico City", "status": 500}])
    assert sandbox.article("Mexico_City").status_code == 500
    assert sandbox.article("London").status_code == 200


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("limits", {"openmeteo": "own"}, "no such provider: openmeteo"),
        ("limits", {"open-meteo": {"per_fortnight": 1}}, "per_fortnight"),
        ("faults", [{"provider": "x", "kind": "500"}], "no such provider: x"),
        ("now", {"now": "yesterday"}, "now"),
    ],
)
def test_a_wrong_control_is_refused_by_name(sandbox: Sandbox, name: str, body: object, word: str) -> None:
    answer = sandbox.put(name, body)
    assert answer.status_code == 422
    assert word in answer.text


def test_limits_are_lifted_until_they_are_set_and_again_when_left_out(sandbox: Sandbox) -> None:
    assert {sandbox.forecast().status_code for _ in range(70)} == {200}
    sandbox.put("limits", {"openweathermap": {"per_day": 2}})
    assert [sandbox.forecast().status_code for _ in range(3)] == [200, 200, 429]
    assert sandbox.article("London").status_code == 200
    sandbox.put("limits", {})
    assert sandbox.forecast().status_code == 200


def test_own_limits_are_those_of_the_provider(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"aerodatabox": "own"})
    answer = sandbox.aerodatabox("/airports/search/location", lat=51.5, lon=0, radiusKm=60, limit=9)
    assert answer.headers["x-ratelimit-api-units-limit"] == "400"


def test_latency_is_waited_for_in_each_answer_and_side_by_side() -> None:
    with running(cities=1, now=NOW, latency_ms=150) as url:
        answer = Sandbox(url).forecast()
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.15


def test_the_real_clock_runs_when_none_is_set(sandbox: Sandbox) -> None:
    sandbox.put("now", {"now": None})
    shown = datetime.fromisoformat(requests.get(f"{sandbox.url}/_/health", timeout=5).json()["now"])
    assert abs((datetime.now(UTC) - shown).total_seconds()) < 60


def test_a_sandbox_that_cannot_start_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="did not start; exit status 1"), running(cities=0):
        pass
    assert "cities must be from 1" in capfd.readouterr().err


def test_the_child_ends_with_a_parent_that_was_killed() -> None:
    parent = (
        "import os, sys\n"
        "from gans_pipeline.sandbox import running\n"
        "with running(cities=1) as url:\n"
        "    print(url, flush=True); sys.stdin.readline(); os.kill(os.getpid(), 9)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert requests.get(f"{url}/_/health", timeout=5).ok
        process.communicate("end\n")
    session = requests.Session()
    for _ in range(200):
        try:
            session.get(f"{url}/_/health", timeout=1)
        except requests.ConnectionError:
            return
    pytest.fail("the sandbox outlived its parent")
