"""AeroDataBox's part of the sandbox: boards and search, keys, units and limits, against its specification."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import requests

from gans_pipeline.sandbox.geography import Airport, World
from gans_pipeline_tests.sandbox.conftest import Sandbox

TODAY, TOMORROW = "2026-11-23", "2026-11-24"
TOO_LONG = {
    "message": "The requested period of time be positive and must not be more than 12 hours in duration",
}
ORDER = ("Unknown", "Expected", "Delayed", "Approaching", "Arrived")
SEARCH: dict[str, Any] = {"lat": 51.5, "lon": -0.12, "radiusKm": 60, "limit": 250}


def _units_left(answer: requests.Response) -> int:
    return int(answer.headers["x-ratelimit-api-units-remaining"])


@pytest.mark.parametrize("key", ["", "invalid"])
def test_a_bad_key_is_401(sandbox: Sandbox, key: str) -> None:
    answer = sandbox.aerodatabox("/airports/search/location", key=key, **SEARCH)
    assert (answer.status_code, list(answer.json())) == (401, ["message"])


@pytest.mark.parametrize("host", [None, "weather.p.rapidapi.com"])
def test_a_key_for_another_service_is_403(sandbox: Sandbox, host: str | None) -> None:
    headers = {"X-RapidAPI-Key": "k", "X-RapidAPI-Host": host}
    answer = sandbox.get("aerodatabox", "/airports/search/location", headers, **SEARCH)
    assert (answer.status_code, answer.json()) == (403, {"message": "You are not subscribed to this API."})


def test_the_rate_limit_does_not_say_when_to_come_back(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"aerodatabox": {"per_second": 0}})
    answer = sandbox.board("EGLL", TODAY)
    assert (answer.status_code, answer.json()) == (
        429,
        {"message": "You have exceeded the rate limit per second for your plan, BASIC, by the API provider"},
    )
    assert "Retry-After" not in answer.headers


def test_units_are_charged_until_the_month_is_used_up(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"aerodatabox": {"units_per_month": 5}})
    left = [
        _units_left(sandbox.board("EGLL", TODAY)),
        _units_left(sandbox.aerodatabox("/airports/search/location", **SEARCH)),
    ]
    assert left == [3, 1]
    refused = sandbox.board("EGLL", TODAY)
    assert refused.status_code == 429
    assert refused.json()["message"].startswith("You have exceeded the MONTHLY quota for Requests on your current plan")
    assert "Retry-After" not in refused.headers
    assert int(refused.headers["x-ratelimit-api-units-reset"]) == 7 * 86400 + 12 * 3600 + 40 * 60
    sandbox.put("now", {"now": "2026-12-01T00:00Z"})
    assert _units_left(sandbox.board("EGLL", "2026-12-01")) == 3


def test_the_headers_tell_the_plan(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"aerodatabox": {"units_per_month": 600}})
    headers = sandbox.board("EGLL", TODAY).headers
    assert headers["x-tier"] == "Tier 2"
    assert (headers["x-ratelimit-api-units-limit"], headers["x-ratelimit-api-units-remaining"]) == ("600", "598")
    assert {"x-ratelimit-requests-limit", "x-ratelimit-requests-remaining", "x-ratelimit-requests-reset"} <= set(
        map(str.lower, headers)
    )
    assert headers["x-rapidapi-region"]
    assert headers["server"].startswith("RapidAPI-")


@pytest.mark.parametrize(
    "window", [f"{TODAY}T00:00/{TODAY}T23:59", f"{TODAY}T12:00/{TODAY}T12:00", f"{TOMORROW}/{TODAY}"]
)
def test_a_window_over_12_hours_is_refused_and_charged(sandbox: Sandbox, window: str) -> None:
    sandbox.put("limits", {"aerodatabox": {"units_per_month": 10}})
    answer = sandbox.aerodatabox(f"/flights/airports/icao/EGLL/{window}")
    assert (answer.status_code, answer.json()) == (400, TOO_LONG)
    assert _units_left(answer) == 8


def test_twelve_hours_to_the_minute_are_allowed(sandbox: Sandbox) -> None:
    answer = sandbox.aerodatabox(f"/flights/airports/icao/EGLL/{TODAY}/{TODAY}T12:00", direction="Arrival")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("/flights/airports/icao/EGLL/yesterday/today", {}, "fromLocal"),
        (f"/flights/airports/icao/EGLL/{TODAY}T00:00/{TODAY}T24:59", {}, "toLocal"),
        (f"/flights/airports/icao/EGLL/{TODAY}T00:00/{TODAY}T11:59", {"withLeg": "maybe"}, "withLeg"),
        (f"/flights/airports/icao/EGLL/{TODAY}T00:00/{TODAY}T11:59", {"direction": "Sideways"}, "direction"),
        (f"/flights/airports/icao/HEATHROW/{TODAY}T00:00/{TODAY}T11:59", {}, "code"),
        ("/airports/search/location", SEARCH | {"lat": None}, "lat"),
        ("/airports/search/location", SEARCH | {"limit": None}, "limit"),
        ("/airports/search/location", SEARCH | {"radiusKm": 1001}, "radiusKm"),
        ("/airports/search/location", SEARCH | {"radiusKm": "60.5"}, "radiusKm"),
        ("/airports/search/location", SEARCH | {"limit": 251}, "limit"),
    ],
)
def test_an_unreadable_value_is_named_and_costs_nothing(sandbox: Sandbox, path: str, query: Any, name: str) -> None:
    sandbox.put("limits", {"aerodatabox": {"units_per_month": 10}})
    answer = sandbox.aerodatabox(path, **query)
    body = answer.json()
    assert (answer.status_code, body["status"]) == (400, 400)
    assert body["title"] == "One or more validation errors occurred."
    assert list(body["errors"]) == [name]
    assert {"type", "traceId"} <= body.keys()
    assert _units_left(answer) == 10


def test_a_wrong_kind_of_code_is_404_with_an_empty_body(sandbox: Sandbox) -> None:
    answer = sandbox.aerodatabox(f"/flights/airports/local/EGLL/{TODAY}T00:00/{TODAY}T11:59")
    assert (answer.status_code, answer.content) == (404, b"")


def test_no_flights_is_204_with_an_empty_body(sandbox: Sandbox, world: World) -> None:
    quiet = next(airport for airport in world.airports.values() if not airport.movements)
    for icao in (quiet.icao, "ZZZZ"):
        answer = sandbox.board(icao, TODAY)
        assert (answer.status_code, answer.content) == (204, b"")


def test_iata_and_icao_codes_of_any_case_name_the_same_airport(sandbox: Sandbox) -> None:
    by_icao = sandbox.board("EGLL", TODAY).content
    path = f"/flights/airports/IATA/lhr/{TODAY}T00:00/{TODAY}T11:59"
    assert sandbox.aerodatabox(path, direction="arrival", withLeg="True").content == by_icao


def test_only_the_asked_direction_is_there(sandbox: Sandbox) -> None:
    arrivals = sandbox.board("EGLL", TODAY).json()
    assert arrivals["arrivals"]
    assert not arrivals.get("departures")
    both = sandbox.board("EGLL", TODAY, direction="Both").json()
    assert both["departures"]
    assert both["arrivals"] == arrivals["arrivals"]
    answers = [sandbox.board(icao, TODAY).json() for icao in ("EGLL", "EGKK", "LFPG", "KJFK", "VHHH", "WSSS", "RJTT")]
    assert {"departures" in answer for answer in answers} == {True, False}


def test_the_search_lists_the_nearest_first_with_its_edge_rows(sandbox: Sandbox) -> None:
    berlin = sandbox.aerodatabox("/airports/search/location", lat=52.52, lon=13.405, radiusKm=60, limit=250).json()
    assert berlin["searchBy"] == {"lat": 52.52, "lon": 13.405}
    assert berlin["count"] == len(berlin["items"])
    assert [item["icao"] for item in berlin["items"]] == ["EDDT", "EDDB"]
    wide = sandbox.aerodatabox("/airports/search/location", lat=35, lon=-100, radiusKm=1000, limit=250).json()["items"]
    nameless = [item for item in wide if not item["name"]]
    assert nameless
    assert all("municipalityName" not in item for item in nameless)
    assert any("timeZone" not in item for item in wide)
    assert {item["countryCode"] for item in wide} <= {"US", "MX"}
    assert len(wide) == 250


@pytest.fixture(scope="module")
def live(world: World) -> list[Airport]:
    """Large airports with live times where it is about noon."""
    return [
        airport
        for airport in world.airports.values()
        if airport.live and airport.kind == "large_airport" and airport.country_code in ("GB", "DE", "FR", "ES")
    ]


@pytest.fixture(scope="module")
def planned(world: World) -> list[Airport]:
    """Airports that only have a schedule."""
    return [a for a in world.airports.values() if not a.live and a.kind == "large_airport"][:25]


def _lines(sandbox: Sandbox, airports: list[Airport], day: str, half: int = 0) -> list[dict[str, Any]]:
    return [line for airport in airports for line in sandbox.board(airport.icao, day, half).json()["arrivals"]]


def _rate(lines: list[dict[str, Any]], *path: str) -> float:
    def has(line: Any) -> bool:
        for name in path:
            line = line.get(name) if isinstance(line, dict) else None
        return line is not None

    return 100 * sum(map(has, lines)) / len(lines)


def test_live_airports_have_the_recorded_presence_rates(sandbox: Sandbox, live: list[Airport]) -> None:
    lines = [
        line
        for line in _lines(sandbox, live, TODAY)
        if line["codeshareStatus"] != "IsCodeshared" and line["status"] != "Canceled"
    ]
    assert len(lines) > 700
    for path, percent in {
        ("callSign",): 74,
        ("arrival", "scheduledTime"): 100,
        ("arrival", "revisedTime"): 99,
        ("arrival", "terminal"): 97,
        ("arrival", "gate"): 96,
        ("arrival", "baggageBelt"): 96,
        ("departure", "airport", "icao"): 98,
        ("departure", "airport", "iata"): 98,
        ("departure", "scheduledTime"): 96,
        ("aircraft", "reg"): 95,
        ("aircraft", "modeS"): 94,
        ("airline", "iata"): 97,
        ("airline", "icao"): 97,
    }.items():
        assert _rate(lines, *path) == pytest.approx(percent, abs=4 if path == ("callSign",) else 2.5), path
    assert 20 < _rate(lines, "arrival", "runwayTime") < 45
    status = Counter(line["status"] for line in lines)
    assert status["Arrived"] > status["Expected"] > status["Approaching"] > 0
    assert status["Delayed"] > 0
    assert status["Unknown"] < 0.02 * len(lines)


def test_schedule_only_airports_have_the_recorded_presence_rates(sandbox: Sandbox, planned: list[Airport]) -> None:
    lines = _lines(sandbox, planned, TODAY, 1)
    assert len(lines) > 1000
    status = Counter(line["status"] for line in lines)
    assert set(status) == {"Unknown", "CanceledUncertain"}
    assert 100 * status["Unknown"] / len(lines) == pytest.approx(96, abs=2)
    for path, percent in {
        ("callSign",): 7,
        ("arrival", "revisedTime"): 0,
        ("arrival", "runwayTime"): 0,
        ("arrival", "terminal"): 100,
        ("arrival", "gate"): 0,
        ("arrival", "baggageBelt"): 0,
        ("departure", "airport", "icao"): 98,
        ("airline", "icao"): 0,
        ("airline", "name"): 100,
    }.items():
        assert _rate(lines, *path) == pytest.approx(percent, abs=2.5), path
    assert _rate(lines, "aircraft", "reg") == pytest.approx(20, abs=4)


def test_the_board_of_the_day_after_tomorrow_is_a_schedule(sandbox: Sandbox, live: list[Airport]) -> None:
    lines = _lines(sandbox, live[:6], "2026-11-25")
    assert {line["status"] for line in lines} == {"Expected", "Unknown"}
    assert _rate(lines, "arrival", "revisedTime") == 0


def test_a_large_airport_has_hundreds_of_arrivals_and_the_night_is_quiet(sandbox: Sandbox) -> None:
    day = [sandbox.board("EGLL", TODAY, half).json()["arrivals"] for half in (0, 1)]
    assert 200 < len(day[0]) + len(day[1]) < 450
    hours = Counter(line["arrival"]["scheduledTime"]["local"][11:13] for line in day[0] + day[1])
    assert hours["02"] + hours["03"] < hours["18"] / 2


def test_codeshares_repeat_the_operating_flight(sandbox: Sandbox, live: list[Airport]) -> None:
    lines = _lines(sandbox, live, TODAY)
    shared = [line for line in lines if line["codeshareStatus"] == "IsCodeshared"]
    assert 0.25 < len(shared) / len(lines) < 0.35

    def aircraft(line: dict[str, Any]) -> str:
        return json.dumps([line["arrival"], line["departure"], line["aircraft"]])

    operating = {aircraft(line) for line in lines if line["codeshareStatus"] != "IsCodeshared"}
    assert sum(aircraft(line) in operating for line in shared) == len(shared)


def test_a_board_has_the_oddities_that_were_recorded(sandbox: Sandbox, live: list[Airport]) -> None:
    lines = _lines(sandbox, live, TODAY) + _lines(sandbox, live, TODAY, 1)
    private = [line for line in lines if line["airline"]["name"] == "Unknown/Private owner"]
    assert 0.005 < len(private) / len(lines) < 0.04
    unknown = [line for line in lines if line["departure"]["airport"] == {"name": "Unknown"}]
    assert 0.007 < len(unknown) / len(lines) < 0.03
    assert all(line["departure"]["quality"] == [] for line in unknown)
    assert all(
        line["arrival"]["scheduledTime"] == line["arrival"].get("revisedTime", line["arrival"]["scheduledTime"])
        for line in private
    )
    assert any(line["isCargo"] for line in lines)
    assert any(re.search(r"\d[A-Z]$", line["number"]) for line in lines)
    keys = Counter(
        (line["number"], line["arrival"]["scheduledTime"]["utc"], line["departure"]["airport"]["name"])
        for line in lines
    )
    assert 0 < sum(count - 1 for count in keys.values()) < 0.03 * len(lines)
    ends = [line["departure"]["airport"] for line in lines]
    assert {end["countryCode"].islower() for end in ends if "countryCode" in end} == {True}
    assert 0.2 < sum("timeZone" in end for end in ends) / len(ends) < 0.8
    scheduled = [line["arrival"]["scheduledTime"]["utc"] for line in sandbox.board("EGLL", TODAY).json()["arrivals"]]
    assert sum(late < early for early, late in pairwise(scheduled)) > 10
    assert any(line["status"] == "Canceled" for line in lines)


def test_delays_are_those_of_an_ordinary_day(sandbox: Sandbox, live: list[Airport]) -> None:
    def minutes(line: dict[str, Any]) -> float:
        scheduled, revised = (
            datetime.fromisoformat(line["arrival"][name]["local"]) for name in ("scheduledTime", "revisedTime")
        )
        return (revised - scheduled).total_seconds() / 60

    delays = [minutes(line) for line in _lines(sandbox, live, TODAY) if line["status"] == "Arrived"]
    assert -3 < mean(delays) < 3
    assert min(delays) >= -26
    assert 40 < max(delays) <= 150


@pytest.mark.parametrize("with_leg", ["false", "true"])
def test_filters_leave_out_what_they_name(sandbox: Sandbox, live: list[Airport], with_leg: str) -> None:
    off: Any = {"withCancelled": "false", "withCodeshared": "false", "withCargo": "false", "withPrivate": "false"}
    lines = [line for a in live for line in sandbox.board(a.icao, TODAY, withLeg=with_leg, **off).json()["arrivals"]]
    assert {line["codeshareStatus"] for line in lines} == {"IsOperator", "Unknown"}
    assert {line["isCargo"] for line in lines} == {False}
    assert not {"Canceled", "Diverted"} & {line["status"] for line in lines}
    assert all(line["airline"]["name"] != "Unknown/Private owner" for line in lines)


def test_without_leg_there_is_one_movement_with_the_other_airport(sandbox: Sandbox) -> None:
    with_leg, without = (sandbox.board("EGLL", TODAY, withLeg=flag).json()["arrivals"] for flag in ("true", "false"))
    for one, two in zip(with_leg, without, strict=True):
        assert "airport" not in one["arrival"]
        assert two["movement"] == {"airport": one["departure"]["airport"], **one["arrival"]}
        assert one["number"] == two["number"]
        assert not {"arrival", "departure"} & two.keys()


def test_a_window_holds_the_best_known_times(sandbox: Sandbox, live: list[Airport]) -> None:
    lines = sandbox.board("EGLL", TODAY).json()["arrivals"]
    best = [line["arrival"].get("revisedTime", line["arrival"]["scheduledTime"])["local"] for line in lines]
    assert all(f"{TODAY} 00:00" <= time[:16] <= f"{TODAY} 11:59" for time in best)
    moved = [
        line
        for line in _lines(sandbox, live, TODAY, 1)
        if line["arrival"]["scheduledTime"]["local"][:16] < f"{TODAY} 12:00"
    ]
    assert moved


def test_as_the_clock_moves_a_flight_only_goes_forward(sandbox: Sandbox) -> None:
    seen: dict[tuple[str, str], list[str]] = {}
    landed: dict[tuple[str, str], Any] = {}
    for hour in range(-30, 16, 2):
        sandbox.put("now", {"now": (datetime.fromisoformat(f"{TODAY}T08:00Z") + timedelta(hours=hour)).isoformat()})
        for line in sandbox.board("EGLL", TODAY).json()["arrivals"]:
            key = (line["number"], line["arrival"]["scheduledTime"]["utc"])
            seen.setdefault(key, []).append(line["status"])
            if line["status"] == "Arrived" and line["aircraft"].get("model") != "Airbus A320neo":
                assert landed.setdefault(key, line["arrival"]) == line["arrival"]
    assert len(landed) > 50
    for statuses in seen.values():
        ranks = [ORDER.index(status) for status in statuses if status in ORDER]
        assert ranks == sorted(ranks), statuses


@pytest.mark.parametrize(
    ("icao", "zone", "day", "length"),
    [
        ("EGLL", "Europe/London", "2026-03-29", 23),
        ("EGLL", "Europe/London", "2026-10-25", 25),
        ("KJFK", "America/New_York", "2026-03-08", 23),
        ("KJFK", "America/New_York", "2026-11-01", 25),
    ],
)
def test_days_of_23_and_25_hours_have_flights_in_the_hours_that_exist(
    sandbox: Sandbox, icao: str, zone: str, day: str, length: int
) -> None:
    sandbox.put("now", {"now": f"{day}T12:00Z"})
    lines = [line for half in (0, 1) for line in sandbox.board(icao, day, half).json()["arrivals"]]
    times = [line["arrival"].get("revisedTime", line["arrival"]["scheduledTime"]) for line in lines]
    for time in times:
        local, utc = datetime.fromisoformat(time["local"]), datetime.fromisoformat(time["utc"])
        assert local == utc
        assert utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local.replace(tzinfo=None)
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    hours = {int((datetime.fromisoformat(time["utc"]).timestamp() - midnight.timestamp()) // 3600) for time in times}
    assert hours <= set(range(length))
    assert set(range(6, length)) <= hours


def test_invented_airlines_say_so_in_their_names(sandbox: Sandbox) -> None:
    names = {line["airline"]["name"] for line in sandbox.board("EGLL", TODAY).json()["arrivals"]}
    assert len(names) > 10
    assert all(name.startswith("Sandbox ") for name in names - {"Unknown/Private owner"})


@pytest.fixture(scope="module")
def specification() -> dict[str, Any]:
    folder = os.environ.get("GANS_CONTRACTS_DIR")
    if not folder:
        pytest.skip("GANS_CONTRACTS_DIR is not set: no specification of AeroDataBox to hold the sandbox against")
    import yaml  # type: ignore[import-untyped,unused-ignore]

    specification: dict[str, Any] = yaml.safe_load(Path(folder, "aerodatabox", "openapi.yml").read_text())
    return specification


def _errors(specification: dict[str, Any], schema: str, body: Any) -> Iterator[tuple[str, str]]:
    """Yield (place, message) of what the specification does not allow."""
    from openapi_schema_validator import OAS30Validator

    root = {"$ref": f"#/components/schemas/{schema}", "components": specification["components"]}
    for error in OAS30Validator(root).iter_errors(body):
        yield ".".join(str(step) for step in error.absolute_path if isinstance(step, str)), error.message


@pytest.mark.parametrize("direction", ["Arrival", "Both"])
@pytest.mark.parametrize(
    ("with_leg", "deviations"),
    [
        ("false", set()),
        (
            "true",
            {
                ("arrivals.arrival", "'airport' is a required property"),
                ("departures.departure", "'airport' is a required property"),
            },
        ),
    ],
)
def test_boards_obey_the_specification_but_for_the_recorded_deviation(
    sandbox: Sandbox,
    live: list[Airport],
    planned: list[Airport],
    specification: dict[str, Any],
    direction: str,
    with_leg: str,
    deviations: set[tuple[str, str]],
) -> None:
    for airport in live[:2] + planned[:2]:
        body = sandbox.board(airport.icao, TODAY, direction=direction, withLeg=with_leg).json()
        assert set(_errors(specification, "AirportFidsContract", body)) <= deviations


def test_the_search_obeys_the_specification_but_for_empty_names(
    sandbox: Sandbox, specification: dict[str, Any]
) -> None:
    body = sandbox.aerodatabox("/airports/search/location", lat=35, lon=-100, radiusKm=1000, limit=250).json()
    schema = "GeoCoordinatesContractListingAirportContractSearchResultCollectionContract"
    assert {place for place, _ in _errors(specification, schema, body)} == {"items.name"}


def test_errors_obey_the_specification(sandbox: Sandbox, specification: dict[str, Any]) -> None:
    path = f"/flights/airports/icao/EGLL/{TODAY}T00:00/{TODAY}T23:59"
    for answer in (sandbox.aerodatabox(path), sandbox.aerodatabox(path, key="invalid")):
        assert not list(_errors(specification, "ErrorContract", answer.json()))
