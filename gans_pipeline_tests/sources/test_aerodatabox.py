"""AeroDataBox: arrivals in every shape that was recorded, two windows a day, airports, and what its errors mean."""

import copy
import datetime as dt
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.aerodatabox import AeroDataBox, parse_airports, parse_arrivals
from gans_pipeline.sources.http import Access, MalformedError, PermanentError, QuotaError, SourceError, TransientError
from gans_pipeline.tables import airports, arrivals
from gans_pipeline_tests.sources.local_provider import USER_AGENT, Answer, LocalProvider, as_json, local_provider
from gans_pipeline_tests.sources.mutations import mutated

DAY = dt.date(2026, 11, 24)


def times(utc: str, local: str) -> dict[str, str]:
    return {"utc": f"2026-11-24 {utc}Z", "local": f"2026-11-24 {local}+01:00"}


FLIGHT: dict[str, Any] = {
    "departure": {
        "airport": {"icao": "EHAM", "iata": "AMS", "name": "Amsterdam"},
        "scheduledTime": times("10:30", "11:30"),
        "revisedTime": times("11:05", "12:05"),
        "runwayTime": times("11:14", "12:14"),
        "terminal": "9",
        "quality": ["Basic", "Live"],
    },
    "arrival": {
        "scheduledTime": times("11:45", "12:45"),
        "revisedTime": times("12:20", "13:20"),
        "runwayTime": times("12:11", "13:11"),
        "terminal": "2E",
        "quality": ["Basic", "Live"],
    },
    "number": "XX 1825",
    "callSign": "XXX25B",
    "status": "Delayed",
    "codeshareStatus": "IsOperator",
    "isCargo": False,
    "aircraft": {"reg": "PH-XXX", "modeS": "000000", "model": "Boeing 737"},
    "airline": {"name": "Example Air", "iata": "XX", "icao": "XXX"},
}


def flight(**changes: Any) -> dict[str, Any]:
    changed = {**copy.deepcopy(FLIGHT), **changes}
    return {name: value for name, value in changed.items() if value is not ...}


def fids(*flights: dict[str, Any]) -> dict[str, Any]:
    return {"arrivals": list(flights)}


def only_row(**changes: Any) -> dict[str, Any]:
    (row,) = parse_arrivals(fids(flight(**changes))).to_dict("records")
    return {str(name): value for name, value in row.items()}


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(f"2026-11-24 {text}", tz="UTC")


def test_a_flight_becomes_a_row() -> None:
    assert only_row() == {
        "flight_number": "XX 1825",
        "scheduled_at": utc("11:45"),
        "revised_at": utc("12:20"),
        "runway_at": utc("12:11"),
        "status": "Delayed",
        "codeshare_status": "IsOperator",
        "is_cargo": False,
        "origin_icao": "EHAM",
        "origin_iata": "AMS",
        "origin_name": "Amsterdam",
        "departed_at": utc("11:14"),
        "airline_name": "Example Air",
        "airline_iata": "XX",
        "airline_icao": "XXX",
        "call_sign": "XXX25B",
        "aircraft_model": "Boeing 737",
        "aircraft_registration": "PH-XXX",
        "terminal": "2E",
    }


@pytest.mark.parametrize(
    "nothing", [None, {"arrivals": []}, {"arrivals": None}, {"arrivals": None, "departures": None}]
)
def test_no_flights_are_an_empty_frame_of_the_same_types(nothing: Any) -> None:
    empty, full = parse_arrivals(nothing), parse_arrivals(fids(flight()))
    assert empty.empty
    assert empty.dtypes.equals(full.dtypes)
    given_elsewhere = {"airport_icao", "local_date", "provider", "retrieved_at"}
    assert list(full) == [column.name for column in arrivals.columns if column.name not in given_elsewhere]


@pytest.mark.parametrize("payload", [{}, {"departures": []}, {"arrivals": None, "departures": [FLIGHT]}, [], "text", 5])
def test_an_answer_without_arrivals_is_refused(payload: Any) -> None:
    with pytest.raises(MalformedError, match=r"arrivals|payload"):
        parse_arrivals(payload)


def test_a_saved_error_is_refused_with_its_message() -> None:
    with pytest.raises(MalformedError, match="an error and no flights: You are not subscribed"):
        parse_arrivals({"message": "You are not subscribed to this API."})


def test_without_leg_the_movement_names_the_origin_and_has_the_times_here() -> None:
    movement = {**FLIGHT["arrival"], "airport": {"icao": "LKPR", "iata": "PRG", "name": "Prague"}}
    row = only_row(movement=movement, arrival=..., departure=...)
    assert (row["origin_icao"], row["origin_iata"], row["origin_name"]) == ("LKPR", "PRG", "Prague")
    assert (row["scheduled_at"], row["terminal"]) == (utc("11:45"), "2E")
    assert pd.isna(row["departed_at"])


def test_the_own_airport_is_not_the_origin() -> None:
    row = only_row(arrival={**FLIGHT["arrival"], "airport": {"icao": "EDDB", "name": "Berlin"}}, departure=...)
    assert pd.isna(row["origin_icao"])
    assert pd.isna(row["origin_name"])


@pytest.mark.parametrize(
    "scheduled",
    [
        {"scheduledTime": {"utc": "2026-11-24 11:45Z", "local": "2026-11-24 12:45+01:00"}},
        {"scheduledTime": {"utc": "2026-11-24T11:45Z", "local": "2026-11-24T12:45+01:00"}},
        {"scheduledTime": {"utc": "2026-11-24T11:45:00Z", "local": "2026-11-24T12:45:00+01:00"}},
        {"scheduledTime": {"utc": "2026-11-24 11:45+00:00"}},
        {"scheduledTime": {"utc": "2026-11-24 11:45"}},
        {"scheduledTime": {"local": "2026-11-24 12:45+01:00"}},
        {"scheduledTime": {"local": "2026-11-24 06:45-05:00"}},
        {"scheduledTimeUtc": "2026-11-24 11:45Z", "scheduledTimeLocal": "2026-11-24 12:45+01:00"},
        {"scheduledTimeLocal": "2026-11-24 12:45+01:00"},
        {"scheduledTimeUtc": "2026-11-24 11:45Z", "scheduledTimeLocal": "2026-11-24 12:45"},
    ],
)
def test_every_way_to_write_a_time_is_the_same_time(scheduled: dict[str, Any]) -> None:
    assert only_row(arrival=scheduled)["scheduled_at"] == utc("11:45")


def test_the_older_flat_times_are_read() -> None:
    row = only_row(
        arrival={
            "scheduledTimeUtc": "2026-11-24 11:45Z",
            "actualTimeUtc": "2026-11-24 12:20Z",
            "runwayTimeUtc": "2026-11-24 12:11Z",
        },
        departure={
            "airport": {"name": "X"},
            "scheduledTimeUtc": "2026-11-24 10:30Z",
            "actualTimeLocal": "2026-11-24 12:05+01:00",
        },
    )
    assert (row["revised_at"], row["runway_at"], row["departed_at"]) == (utc("12:20"), utc("12:11"), utc("11:05"))


def test_times_on_both_sides_of_a_change_of_the_clocks_are_an_hour_apart() -> None:
    local = ("2026-10-25 02:30+02:00", "2026-10-25 02:30+01:00")
    frame = parse_arrivals(fids(*(flight(arrival={"scheduledTime": {"local": time}}) for time in local)))
    assert list(frame["scheduled_at"].diff().dropna()) == [pd.Timedelta(hours=1)]


@pytest.mark.parametrize(
    ("left", "expected"), [("runwayTime", "11:05"), ("revisedTime", "11:14"), ("both", "10:30"), ("all", None)]
)
def test_departed_at_is_the_best_that_is_known(left: str, expected: str | None) -> None:
    gone = {"both": ["runwayTime", "revisedTime"], "all": ["runwayTime", "revisedTime", "scheduledTime"]}
    departure = {name: value for name, value in FLIGHT["departure"].items() if name not in gone.get(left, [left])}
    departed_at = only_row(departure=departure)["departed_at"]
    assert departed_at == utc(expected) if expected else pd.isna(departed_at)


def test_a_predicted_time_stands_in_for_a_revised_one() -> None:
    arrival = {"scheduledTime": times("11:45", "12:45"), "predictedTime": times("12:01", "13:01")}
    assert only_row(arrival=arrival)["revised_at"] == utc("12:01")


def test_a_private_flight_keeps_what_is_known_of_it() -> None:
    row = only_row(
        number="DXXXX",
        airline={"name": "Unknown/Private owner"},
        departure={"airport": {"name": "Unknown"}, "quality": []},
        arrival={"scheduledTime": times("11:45", "12:45"), "revisedTime": times("11:45", "12:45")},
        aircraft=...,
        callSign=...,
    )
    assert (row["flight_number"], row["airline_name"]) == ("DXXXX", "Unknown/Private owner")
    unknown = ["origin_icao", "origin_iata", "origin_name", "departed_at", "airline_iata", "aircraft_model", "terminal"]
    assert all(pd.isna(row[name]) for name in unknown)


@pytest.mark.parametrize("value", ["Teleported", None, ...])
def test_a_status_that_is_not_known_does_not_lose_the_flight(value: Any) -> None:
    row = only_row(status=value, codeshareStatus=value)
    assert (row["status"], row["codeshare_status"]) == ("Unknown", "Unknown")


@pytest.mark.parametrize(("terminal", "expected"), [("1", "1"), (1, "1"), ("2E", "2E"), ("Main ", "Main"), ("", None)])
def test_a_terminal_is_a_text(terminal: Any, expected: str | None) -> None:
    row = only_row(arrival={**FLIGHT["arrival"], "terminal": terminal})
    assert row["terminal"] == expected if expected else pd.isna(row["terminal"])


def test_a_number_in_small_letters_is_the_same_flight() -> None:
    assert list(parse_arrivals(fids(flight(), flight(number="xx 1825")))["flight_number"]) == ["XX 1825"]


@pytest.mark.parametrize(("number", "kept"), [("XX 1825", "XX 1825"), (" 3V  8ER ", "3V 8ER"), ("DXXXX", "DXXXX")])
def test_a_number_keeps_its_inner_blank(number: str, kept: str) -> None:
    assert only_row(number=number)["flight_number"] == kept


def test_codes_are_upper_case_and_what_is_none_is_null() -> None:
    row = only_row(
        departure={"airport": {"icao": "eham", "iata": "Амс", "name": "Amsterdam"}},
        airline={"name": "A", "iata": "TOOLONG", "icao": "xx"},
        callSign="C" * 17,
    )
    assert row["origin_icao"] == "EHAM"
    assert all(pd.isna(row[name]) for name in ("origin_iata", "airline_iata", "airline_icao", "call_sign"))


def test_departures_beside_the_arrivals_are_not_read() -> None:
    payload = {"departures": [flight(number="ZZ 9")], "arrivals": [flight()]}
    assert list(parse_arrivals(payload)["flight_number"]) == ["XX 1825"]


def test_codeshares_are_kept_and_marked() -> None:
    payload = fids(flight(), flight(number="YY 7", codeshareStatus="IsCodeshared"))
    assert list(parse_arrivals(payload)["codeshare_status"]) == ["IsOperator", "IsCodeshared"]


@pytest.mark.parametrize(
    ("poorer", "why"),
    [
        ({"aircraft": {"reg": "PH-XXX"}}, "tells less"),
        ({"status": "Unknown"}, "tells less of its state"),
        ({"arrival": {**FLIGHT["arrival"], "runwayTime": times("12:05", "13:05")}}, "an earlier state"),
        ({"aircraft": {"reg": "PH-XXX", "model": "Airbus A320"}}, "another aircraft"),
    ],
)
def test_a_flight_that_is_listed_twice_is_one_row_in_any_order(poorer: dict[str, Any], why: str) -> None:
    twice = [flight(), flight(**poorer)]
    one, other = parse_arrivals(fids(*twice)), parse_arrivals(fids(*twice[::-1]))
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(one, parse_arrivals(fids(flight())), obj=why)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"number": ...}, "arrivals[1].number: Field required"),
        ({"number": " "}, "arrivals[1].number: ' ' is empty or too long"),
        ({"number": "X" * 17}, "arrivals[1].number"),
        ({"number": 1825}, "arrivals[1].number"),
        ({"status": 7}, "arrivals[1].status"),
        ({"isCargo": ...}, "arrivals[1].isCargo"),
        ({"isCargo": "no"}, "arrivals[1].isCargo"),
        ({"arrival": ...}, "arrivals[1]: neither arrival nor movement"),
        ({"arrival": {"revisedTime": times("12:20", "13:20")}}, "arrivals[1].arrival.scheduledTime: missing"),
        ({"arrival": {"scheduledTime": {"utc": "noon"}}}, "arrivals[1].arrival.scheduledTime.utc"),
        ({"arrival": {"scheduledTime": {"utc": "2026-11-24"}}}, "arrivals[1].arrival.scheduledTime.utc"),
        ({"arrival": {"scheduledTime": {"utc": 1764000000}}}, "arrivals[1].arrival.scheduledTime.utc"),
        ({"arrival": {"scheduledTime": {"local": "2026-11-24 12:45"}}}, "arrivals[1].arrival.scheduledTime"),
        ({"airline": "KLM"}, "arrivals[1].airline"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(change: dict[str, Any], place: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_arrivals(fids(flight(), flight(**change)))
    assert raised.value.detail.startswith(place)


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(mutated({"departures": None, "arrivals": [FLIGHT, {**FLIGHT, "number": "YY 1"}]}))
def test_a_damaged_answer_gives_a_frame_or_is_refused(payload: Any) -> None:
    with suppress(MalformedError):
        frame = parse_arrivals(payload)
        assert not frame.duplicated(["flight_number", "scheduled_at"]).any()


AIRPORT: dict[str, Any] = {
    "icao": "EDDB",
    "iata": "BER",
    "localCode": "BER",
    "name": "Berlin, Berlin Brandenburg",
    "shortName": "Brandenburg",
    "municipalityName": "Berlin",
    "location": {"lat": 52.362, "lon": 13.501},
    "countryCode": "DE",
    "timeZone": "Europe/Berlin",
}


def found(*items: dict[str, Any]) -> dict[str, Any]:
    return {"searchBy": {"lat": 52.5, "lon": 13.4}, "count": len(items), "items": list(items)}


def test_an_airport_becomes_a_row_without_size() -> None:
    (row,) = parse_airports(found(AIRPORT)).to_dict("records")
    assert pd.isna(row.pop("elevation_m"))
    assert row == {
        "icao": "EDDB",
        "iata": "BER",
        "name": "Berlin, Berlin Brandenburg",
        "municipality": "Berlin",
        "country_code": "DE",
        "latitude": 52.362,
        "longitude": 13.501,
        "size": "unknown",
    }


@pytest.mark.parametrize("nothing", [None, found()])
def test_no_airport_is_an_empty_frame_of_the_same_types(nothing: Any) -> None:
    full = parse_airports(found(AIRPORT))
    assert parse_airports(nothing).dtypes.equals(full.dtypes)
    given_elsewhere = {"timezone", "provider", "retrieved_at"}
    assert list(full) == [column.name for column in airports.columns if column.name not in given_elsewhere]


@pytest.mark.parametrize(
    "change",
    [
        {"icao": "EDDT", "iata": "TXL", "name": "Berlin, Berlin-Tegel"},
        {"icao": "ETXX", "iata": "XXX", "name": "", "municipalityName": None},
        {"icao": "ETXX", "iata": "XXX", "name": "  "},
        {"icao": "ETXX", "iata": "XXX", "municipalityName": None},
        {"icao": "ETXX", "iata": "XXX", "name": "Example Air Base"},
        {"icao": "ETXX", "iata": None},
        {"icao": None, "iata": "XXX"},
        {"icao": "ETXX", "iata": "XXX", "countryCode": None},
    ],
)
def test_closed_and_military_and_nameless_fields_are_left_out(change: dict[str, Any]) -> None:
    assert list(parse_airports(found({**AIRPORT, **change}, AIRPORT))["icao"]) == ["EDDB"]


def test_an_airport_beside_an_air_base_is_kept() -> None:
    shared = {**AIRPORT, "icao": "KCHS", "iata": "CHS", "name": "Charleston Air Force Base/International Airport"}
    assert list(parse_airports(found(shared))["icao"]) == ["KCHS"]


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({}, "items: Field required"),
        (found({**AIRPORT, "location": {"lat": 91, "lon": 0}}), "items[0].location.lat"),
        (found(AIRPORT, {"icao": "EDDH"}), "items[1].name"),
        ({"message": "Endpoint does not exist"}, "an error and no airports: Endpoint does not exist"),
    ],
)
def test_airports_that_do_not_fit_are_named_by_their_path(payload: Any, place: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_airports(payload)
    assert raised.value.detail.startswith(place)


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(mutated(found(AIRPORT, {**AIRPORT, "icao": "EDDH", "iata": "HAM"})))
def test_a_damaged_search_gives_a_frame_or_is_refused(payload: Any) -> None:
    with suppress(MalformedError):
        assert parse_airports(payload)["icao"].is_unique


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


def client(provider: LocalProvider, waits: list[float] | None = None) -> AeroDataBox:
    made = AeroDataBox(provider.settings(key=SecretStr("0123456789abcdef")), Access(USER_AGENT))
    made._http._retrying.sleep = (waits if waits is not None else []).append
    return made


def test_a_day_is_asked_in_two_windows_with_everything_explicit(provider: LocalProvider) -> None:
    provider.answers = [as_json(fids(flight())), as_json(fids(flight(number="YY 2")))]
    frame = client(provider).arrivals("EDDB", DAY)
    assert [asked.path for asked in provider.asked] == [
        "/flights/airports/icao/EDDB/2026-11-24T00:00/2026-11-24T11:59",
        "/flights/airports/icao/EDDB/2026-11-24T12:00/2026-11-24T23:59",
    ]
    for asked in provider.asked:
        assert asked.query == {
            "direction": "Arrival",
            "withLeg": "true",
            "withCancelled": "true",
            "withCodeshared": "true",
            "withCargo": "true",
            "withPrivate": "true",
        }
        assert asked.headers["X-RapidAPI-Key"] == "0123456789abcdef"
        assert asked.headers["X-RapidAPI-Host"] == "aerodatabox.p.rapidapi.com"
    assert list(frame["flight_number"]) == ["XX 1825", "YY 2"]
    assert set(frame["airport_icao"]) == {"EDDB"}
    assert set(frame["local_date"]) == {DAY}


@pytest.mark.parametrize("day", [dt.date(2026, 3, 29), dt.date(2026, 10, 25), DAY])
def test_the_windows_cover_every_minute_of_the_local_day_once(provider: LocalProvider, day: dt.date) -> None:
    provider.answers = [Answer(204, b"", {})]
    client(provider).arrivals("EDDB", day)
    windows = [[dt.datetime.fromisoformat(end) for end in asked.path.split("/")[-2:]] for asked in provider.asked]
    zone = ZoneInfo("Europe/Berlin")
    start = dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)
    end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone).astimezone(dt.UTC)
    while start < end:
        local = start.astimezone(zone).replace(tzinfo=None)
        assert sum(first <= local <= last for first, last in windows) == 1
        start += dt.timedelta(minutes=1)
    assert all(last - first <= dt.timedelta(hours=12) for first, last in windows)


def test_a_flight_in_both_windows_is_one_row(provider: LocalProvider) -> None:
    unknown = flight(arrival={"scheduledTime": times("11:45", "12:45")})
    provider.answers = [as_json(fids(unknown)), as_json(fids(flight()))]
    frame = client(provider).arrivals("EDDB", DAY)
    assert list(frame["revised_at"]) == [utc("12:20")]


def test_a_day_without_flights_is_empty_with_all_columns(provider: LocalProvider) -> None:
    provider.answers = [Answer(204, b"", {})]
    empty = client(provider).arrivals("EDDB", DAY)
    provider.answers = [as_json(fids(flight()))]
    assert empty.empty
    assert empty.dtypes.equals(client(provider).arrivals("EDDB", DAY).dtypes)


@pytest.mark.parametrize("name", ["scheduledTime", "revisedTime", "runwayTime"])
@pytest.mark.parametrize("day", ["2025-11-24", "2026-11-20", "2026-11-28", "2126-11-24"])
def test_a_time_far_from_the_day_that_was_asked_for_is_refused(provider: LocalProvider, name: str, day: str) -> None:
    arrival = {**flight()["arrival"], name: {"utc": f"{day} 13:00Z"}}
    provider.answers = [as_json(fids(flight(arrival=arrival)))]
    field = name.replace("Time", "_at")
    reason = f"{field} of XX 1825: {day} 13:00 UTC is more than 3 days from 2026-11-24, the day that was asked for"
    with pytest.raises(MalformedError, match=reason):
        client(provider).arrivals("EDDB", DAY)


@pytest.mark.parametrize("day", ["2026-11-22", "2026-11-23", "2026-11-25"])
def test_a_flight_delayed_from_or_into_another_day_is_kept(provider: LocalProvider, day: str) -> None:
    arrival = {**flight()["arrival"], "scheduledTime": {"utc": f"{day} 13:00Z"}}
    provider.answers = [as_json(fids(flight(arrival=arrival)))]
    assert len(client(provider).arrivals("EDDB", DAY)) == 1


def test_half_a_day_is_not_a_day(provider: LocalProvider) -> None:
    provider.answers = [as_json(fids(flight())), Answer(503, b"")]
    with pytest.raises(TransientError, match="HTTP 503"):
        client(provider).arrivals("EDDB", DAY)


@pytest.mark.parametrize("icao", ["BER", "eddb", "ED/B", ""])
def test_only_an_icao_code_is_asked_for(provider: LocalProvider, icao: str) -> None:
    with pytest.raises(ValueError, match="not an ICAO code"):
        client(provider).arrivals(icao, DAY)
    assert provider.asked == []


def test_the_search_sends_what_it_must(provider: LocalProvider) -> None:
    provider.answers = [as_json(found(AIRPORT))]
    assert list(client(provider).airports_near(52.5, 13.25, 60)["icao"]) == ["EDDB"]
    assert provider.asked[0].path == "/airports/search/location"
    assert provider.asked[0].query == {
        "lat": "52.5",
        "lon": "13.25",
        "radiusKm": "60",
        "limit": "250",
        "withFlightInfoOnly": "true",
    }


def test_a_search_that_was_cut_off_says_so(provider: LocalProvider) -> None:
    provider.answers = [as_json(found(*[AIRPORT] * 250))]
    with pytest.raises(PermanentError, match="set a smaller GANS_AIRPORT_RADIUS_KM"):
        client(provider).airports_near(52.5, 13.25, 900)


def test_api_market_takes_the_key_in_its_own_header() -> None:
    market = ProviderSettings(
        url="https://prod.api.market/api/v1/aedbx/aerodatabox", per_second=1, key=SecretStr("k3y")
    )
    headers = AeroDataBox(market, Access(USER_AGENT))._http._session.headers
    assert headers["x-api-market-key"] == "k3y"
    assert not any(name.lower().startswith("x-rapidapi") for name in headers)


def test_without_a_key_it_says_which_variable_to_set(provider: LocalProvider) -> None:
    with pytest.raises(PermanentError, match=r"GANS_AERODATABOX_KEY .*https://"):
        AeroDataBox(provider.settings(), Access(USER_AGENT))


def failing(provider: LocalProvider, answer: Answer) -> tuple[SourceError, list[float]]:
    provider.answers = [answer]
    provider.asked.clear()
    waits: list[float] = []
    with pytest.raises(SourceError) as raised:
        client(provider, waits).arrivals("EDDB", DAY)
    return raised.value, waits


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_says_what_to_check(provider: LocalProvider, status: int) -> None:
    error, waits = failing(provider, as_json({"message": "You are not subscribed to this API."}, status))
    assert isinstance(error, PermanentError)
    assert "not subscribed" in str(error)
    assert "GANS_AERODATABOX_KEY" in str(error)
    assert waits == []


@pytest.mark.parametrize("status", [400, 404, 405, 451])
def test_a_refused_question_is_permanent(provider: LocalProvider, status: int) -> None:
    error, waits = failing(provider, as_json({"message": "no"}, status))
    assert isinstance(error, PermanentError)
    assert (len(provider.asked), waits) == (1, [])


def test_the_limit_of_a_second_is_waited_for(provider: LocalProvider) -> None:
    error, waits = failing(provider, as_json({"message": "You have exceeded the rate limit per second"}, 429))
    assert isinstance(error, TransientError)
    assert error.retry_after_s == 1.1
    assert len(waits) == 3
    assert min(waits) >= 1.1


def test_the_quota_of_the_month_is_not_asked_again(provider: LocalProvider) -> None:
    error, waits = failing(provider, as_json({"message": "You have exceeded the MONTHLY quota for Requests"}, 429))
    assert isinstance(error, QuotaError)
    assert (len(provider.asked), waits) == (1, [])
