"""Faults as a client meets them: what goes over the wire, which requests are hit, how they are planned."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from gans_pipeline.sandbox import running
from gans_pipeline.sandbox.app import KINDS
from gans_pipeline.sandbox.faults import read
from gans_pipeline_tests.sandbox.conftest import NOW, Sandbox


def plan(sandbox: Sandbox, provider: str, kind: str, **more: Any) -> None:
    assert sandbox.put("faults", [{"provider": provider, "kind": kind, **more}]).status_code == 204


def statuses(sandbox: Sandbox, requests_: int) -> list[int]:
    return [sandbox.forecast().status_code for _ in range(requests_)]


def test_a_fault_hits_as_many_requests_as_it_is_told(sandbox: Sandbox) -> None:
    plan(sandbox, "openweathermap", "500", times=2)
    assert statuses(sandbox, 4) == [500, 500, 200, 200]


def test_a_rate_hits_that_share_and_the_same_requests_again(sandbox: Sandbox) -> None:
    plan(sandbox, "openweathermap", "500", rate=0.3)
    first = statuses(sandbox, 60)
    assert 8 <= first.count(500) <= 28  # 18 are expected; beyond these bounds is one seed in a thousand
    plan(sandbox, "openweathermap", "500", rate=0.3)
    sandbox.forecast(lat=10)  # another request does not move the draws of this one
    assert statuses(sandbox, 60) == first
    plan(sandbox, "openweathermap", "500", rate=0)
    assert statuses(sandbox, 20) == [200] * 20


def test_a_key_does_not_change_which_requests_are_hit(sandbox: Sandbox) -> None:
    plan(sandbox, "openweathermap", "500", rate=0.5)
    one = [sandbox.forecast(appid="one").status_code for _ in range(30)]
    plan(sandbox, "openweathermap", "500", rate=0.5)
    assert [sandbox.forecast(appid="two").status_code for _ in range(30)] == one


def test_a_dropped_connection_gives_no_byte_and_a_cut_one_half_the_body(sandbox: Sandbox) -> None:
    whole = sandbox.forecast().content
    plan(sandbox, "openweathermap", "drop")
    with pytest.raises(requests.ConnectionError, match="without response"):
        sandbox.forecast()
    plan(sandbox, "openweathermap", "cut-body")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match=f"{len(whole) // 2} bytes read"):
        sandbox.forecast()
    assert [request["status"] for request in sandbox.journal()["requests"]] == [200, None, 200]


def test_a_hang_gives_no_byte_and_is_in_the_journal_meanwhile(sandbox: Sandbox) -> None:
    plan(sandbox, "ourairports", "hang")
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{sandbox.url}/ourairports/airports.csv", timeout=0.1)
    assert [request["status"] for request in sandbox.journal()["requests"]] == [None]


def test_a_hang_does_not_keep_the_sandbox_from_ending() -> None:
    with ThreadPoolExecutor() as pool:
        with running(cities=1, now=NOW, fault=["ourairports=hang"]) as url:
            hanging = pool.submit(requests.get, f"{url}/ourairports/airports.csv", timeout=20)
            while not Sandbox(url).journal()["requests"]:
                assert not hanging.done()
        assert isinstance(hanging.exception(), requests.ConnectionError)


def test_a_slow_body_comes_byte_by_byte(sandbox: Sandbox) -> None:
    plan(sandbox, "aerodatabox", "slow-body")
    with requests.get(f"{sandbox.url}/aerodatabox/airports/search/location", stream=True, timeout=5) as answer:
        assert int(answer.headers["Content-Length"]) > 50
        assert answer.raw.read(3) == b'{"m'


def test_a_truncated_answer_announces_what_it_has(sandbox: Sandbox) -> None:
    whole = sandbox.article("London").content
    plan(sandbox, "wikipedia", "truncated")
    answer = sandbox.article("London")
    assert answer.content == whole[: len(whole) // 2]
    assert answer.headers["Content-Length"] == str(len(answer.content))
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


@pytest.mark.parametrize("provider", KINDS)
def test_every_provider_limits_with_and_without_a_time_to_wait(sandbox: Sandbox, provider: str) -> None:
    waits = []
    for kind in ("429", "429-retry-after", "429-retry-in-an-hour"):
        plan(sandbox, provider, kind)
        answer = sandbox.get(provider, "/")
        assert answer.status_code == 429
        waits.append(answer.headers.get("Retry-After"))
    assert waits == [None, "2", "3600"]


def test_a_given_answer_has_its_status_body_and_headers(sandbox: Sandbox) -> None:
    plan(sandbox, "open-meteo", "answer", status=418, body='{"tea": true}', headers={"X-Pot": "brown"})
    answer = sandbox.open_meteo()
    assert (answer.status_code, answer.json(), answer.headers["X-Pot"]) == (418, {"tea": True}, "brown")


LONDON = "Q2002643743"
CONTENT = {"unknown-fields", "missing-field", "renamed-field", "retyped-field", "implausible", "empty"}


def _true_answer(sandbox: Sandbox, provider: str, kind: str) -> str:
    if provider == "wikipedia":
        return sandbox.article("London").text
    if provider == "wikidata":
        return sandbox.wikidata(LONDON).text
    if provider == "openweathermap":
        return sandbox.forecast().text
    if provider == "open-meteo":
        return sandbox.open_meteo(current="weather_code", timeformat="unixtime").text
    if provider == "open-meteo-archive":
        return sandbox.open_meteo_archive(timeformat="unixtime").text
    if provider == "ourairports":
        return sandbox.get("ourairports", "/airports.csv").text
    if kind == "implausible":
        return sandbox.aerodatabox("/airports/search/location", lat=51.5, lon=0, radiusKm=60, limit=9).text
    return sandbox.board("EGLL", "2026-11-24").text


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        (provider, kind)
        for provider, kinds in KINDS.items()
        for kind in sorted(kinds)
        if kind in CONTENT | {"wrong-century", "population-jump", "disambiguation"}
    ],
)
def test_a_fault_in_the_content_changes_the_true_answer_and_leaves_its_form(
    sandbox: Sandbox, provider: str, kind: str
) -> None:
    true = _true_answer(sandbox, provider, kind)
    plan(sandbox, provider, kind)
    changed = _true_answer(sandbox, provider, kind)
    assert changed != true
    if provider != "ourairports":
        assert set(json.loads(changed)) >= set(json.loads(true))


def test_errors_are_not_rewritten(sandbox: Sandbox) -> None:
    plan(sandbox, "openweathermap", "missing-field")
    assert sandbox.forecast(appid="").json()["cod"] == 401


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"provider": "x", "kind": "500"}, "no such provider: x; there are wikipedia, wikidata, openweathermap"),
        (
            {"provider": "ourairports", "kind": "maxlag"},
            "no such fault of ourairports: maxlag; there are 204, 429, 429-retry-after",
        ),
        ({"provider": "wikipedia", "kind": "answer"}, "a status belongs to the kind 'answer'"),
        ({"provider": "wikipedia", "kind": "500", "status": 500}, "a status belongs to the kind 'answer'"),
        ({"provider": "wikipedia", "kind": "500", "rate": 1.5}, "rate"),
        ({"provider": "wikipedia", "kind": "500", "how": "bad"}, "how"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_what_there_is(
    sandbox: Sandbox, fault: dict[str, Any], reason: str
) -> None:
    answer = sandbox.put("faults", [fault])
    assert answer.status_code == 422
    assert reason in answer.text


def test_faults_are_named_on_the_command_line(sandbox: Sandbox) -> None:
    with running(cities=1, now=NOW, fault=["openweathermap=502-html", "all=quota"]) as url:
        planned = Sandbox(url)
        assert planned.forecast().status_code == 502
        assert "Daily API request limit exceeded" in planned.open_meteo().text
        assert "MONTHLY quota" in planned.aerodatabox("/airports/search/location").text
        assert planned.article("London").status_code == 200


def test_all_means_every_provider_that_knows_the_kind() -> None:
    assert {fault.provider for fault in read(["all=500:0.25"], KINDS)} == set(KINDS)
    lagging = [(fault.provider, fault.rate) for fault in read(["all=maxlag:0.25"], KINDS)]
    assert lagging == [("wikipedia", 0.25), ("wikidata", 0.25)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("wikipedia", "no such fault of wikipedia: ; there are 204, "),
        ("openmeteo=500", "no such provider: openmeteo; there are wikipedia, "),
        ("open-meteo=5000", "no such fault of open-meteo: 5000; there are 204, "),
        ("all=fire", "no provider knows fire; there are 204, "),
        ("wikipedia=500:2", "should be less than or equal to 1: 2"),
        ("wikipedia=500:often", "could not convert string to float: 'often'"),
        ("wikipedia=answer", "the control endpoint only"),
    ],
)
def test_a_wrong_fault_on_the_command_line_is_named_with_what_there_is(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^--fault {text}: ") as raised:
        read([text], KINDS)
    assert reason in str(raised.value)
