"""AeroDataBox behind RapidAPI: the boards of airports (FIDS), the search for airports, units and what they cost.

Reproduced where the answers differ from the specification: with ``withLeg=true`` the airport that was asked is left
out of its own side, and some airports have an empty name. Left out: XML, and the form with relative times.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gans_pipeline.sandbox.chance import share
from gans_pipeline.sandbox.faults import rewrites, says
from gans_pipeline.sandbox.flights import Board, Flight, Known
from gans_pipeline.sandbox.geography import Airport, World, zone_of
from gans_pipeline.sandbox.state import State

HOST = "aerodatabox.p.rapidapi.com"
"""What the host header has to say, if it does not name the host that the request went to: the sandbox's own."""

UNITS_PER_CALL = 2
LONGEST_WINDOW = timedelta(hours=12)
FARTHEST_KM = 1000
MOST_AIRPORTS = 250
REJECTED_KEY = "invalid"

_KINDS = ("withCancelled", "withCodeshared", "withCargo", "withPrivate")
_PER_RATE = {"per_second": "second", "per_minute": "minute", "per_hour": "hour", "per_day": "day"}
_MONTHLY = (
    "You have exceeded the MONTHLY quota for Requests on your current plan, BASIC."
    " Upgrade your plan at https://rapidapi.com/aedbx-aedbx/api/aerodatabox"
)
_BAD_KEY = "Invalid API key. Go to https://docs.rapidapi.com/docs/keys for more info."
_NOT_SUBSCRIBED = "You are not subscribed to this API."
_TOO_LONG = "The requested period of time be positive and must not be more than 12 hours in duration"
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?")


N = TypeVar("N", int, float)


class _Invalid(Exception):  # noqa: N818
    """A value that the service cannot read: (its name, what is wrong with it)."""


def refusal(limit: str, _renewed_in_s: int) -> Response:
    """Return the answer to one request too many; RapidAPI does not say when to come back."""
    unit = _PER_RATE.get(limit, "second")
    return _message(f"You have exceeded the rate limit per {unit} for your plan, BASIC, by the API provider", 429)


def routes(world: World, state: State) -> list[Route]:
    """Return the routes of the service."""
    board = Board(world)

    async def search(request: Request) -> Response:
        return _paid(request, state, lambda: _found(world, request.query_params))

    async def fids(request: Request) -> Response:
        code_type = request.path_params["code_type"].lower()
        if code_type not in ("icao", "iata"):
            return Response(status_code=404)
        return _paid(request, state, lambda: _board(board, request, code_type, state.now()))

    return [
        Route("/airports/search/location", search),
        Route("/flights/airports/{code_type}/{code}/{from_local}/{to_local}", fids),
    ]


def _message(text: str, status: int) -> Response:
    return JSONResponse({"message": text}, status)


FAULTS = {
    "401": says(_message(_BAD_KEY, 401)),
    "403": says(_message(_NOT_SUBSCRIBED, 403)),
    "quota": says(_message(_MONTHLY, 429)),
    "empty": rewrites(r'"(arrivals|items)":\[.*\]', r'"\1":[]'),
    "missing-field": rewrites(r'"arrival":\{"scheduledTime":\{[^}]*\},', '"arrival":{'),
    "renamed-field": rewrites('"number":', '"flightNumber":'),
    "retyped-field": rewrites('"isCargo":(true|false)', r'"isCargo":"\1"'),
    "unknown-fields": rewrites('"number":', '"co2Kg":[1,{"scope":null}],"number":'),
    "implausible": rewrites(r'"lat":[^,]+', '"lat":200'),
    "wrong-century": rewrites('"(utc|local)":"20', r'"\1":"21'),
}
"""The faults that are this provider's own."""


def _paid(request: Request, state: State, answer: Callable[[], Response]) -> Response:
    """Check the key, answer, and charge the units; a window that is too long is charged, an unreadable value is not."""
    key = request.headers.get("x-rapidapi-key", "").strip()
    if key in ("", REJECTED_KEY):
        return _message(_BAD_KEY, 401)
    if request.headers.get("x-rapidapi-host", "").lower() not in (HOST, request.url.hostname):
        return _message(_NOT_SUBSCRIBED, 403)
    try:
        response = answer()
    except _Invalid as invalid:
        name, reason = invalid.args
        response = JSONResponse(
            {
                "errors": {name: [reason]},
                "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
                "title": "One or more validation errors occurred.",
                "status": 400,
                "traceId": f"00-{int(share(request.url.path, request.url.query) * 16**16):016x}-00",
            },
            400,
        )
        units = 0
    else:
        units = UNITS_PER_CALL
    balance = state.charge("aerodatabox", units)
    if balance is None:
        response, balance = _message(_MONTHLY, 429), (state.limits["aerodatabox"].units_per_month, 0)
    allowed, remaining = balance
    reset_s = _seconds_to_next_month(state.now())
    response.headers.update(
        {
            "Server": "RapidAPI-1.2.8",
            "X-RapidAPI-Region": "AWS - eu-central-1",
            "X-Tier": "Tier 2",
            "X-RateLimit-API-Units-Limit": str(allowed),
            "X-RateLimit-API-Units-Remaining": str(remaining),
            "X-RateLimit-API-Units-Reset": str(reset_s),
            "X-RateLimit-Requests-Limit": str(allowed),
            "X-RateLimit-Requests-Remaining": str(remaining),
            "X-RateLimit-Requests-Reset": str(reset_s),
        }
    )
    return response


def _seconds_to_next_month(now: datetime) -> int:
    start = (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int((start - now).total_seconds())


def _found(world: World, query: Mapping[str, str]) -> Response:
    latitude, longitude = _number(query, "lat", -90, 90, float), _number(query, "lon", -180, 180, float)
    radius_km = _number(query, "radiusKm", 1, FARTHEST_KM, int)
    limit = _number(query, "limit", 1, MOST_AIRPORTS, int)
    _flag(query, "withFlightInfoOnly", False)  # the provider lists airports without flights all the same
    near = [airport for _, airport in world.airport_atlas.within(latitude, longitude, radius_km) if airport.has_icao]
    items = [_listed(world.seed, airport) for airport in near[:limit]]
    return JSONResponse({"searchBy": {"lat": latitude, "lon": longitude}, "count": len(items), "items": items})


def _number(query: Mapping[str, str], name: str, lowest: int, highest: int, read: Callable[[str], N]) -> N:
    text = query.get(name, "")
    if not text:
        raise _Invalid(name, f"A value for the '{name}' parameter or property was not provided.")
    try:
        value = read(text)
    except ValueError:
        raise _Invalid(name, f"The value '{text}' is not valid.") from None
    if not lowest <= value <= highest:
        raise _Invalid(name, f"The field {name} must be between {lowest} and {highest}.")
    return value


def _listed(seed: int, airport: Airport) -> dict[str, Any]:
    """Return an airport as the search lists it. Military fields have no name, some airports no time zone."""
    is_military = airport.kind == "medium_airport" and not airport.scheduled_service and "Air" in airport.name
    listed: dict[str, Any] = {"icao": airport.icao, "iata": airport.iata}
    if airport.local_code:
        listed["localCode"] = airport.local_code
    if is_military and share(seed, "nameless", airport.icao) < 0.5:
        listed["name"] = ""
    else:
        listed |= {"name": airport.name, "shortName": _short_name(airport), "municipalityName": airport.municipality}
    listed["location"] = {"lat": airport.latitude, "lon": airport.longitude}
    listed["countryCode"] = airport.country_code
    if share(seed, "zoneless", airport.icao) >= 0.05:
        listed["timeZone"] = airport.timezone
    return listed


def _short_name(airport: Airport) -> str:
    short = airport.name.removesuffix(" Airport").removesuffix(" International")
    return short.removeprefix(f"{airport.municipality} ") or airport.name


def _board(board: Board, request: Request, code_type: str, now: datetime) -> Response:
    code = request.path_params["code"].upper()
    if not 3 <= len(code) <= 4:
        raise _Invalid("code", "The field code must be a string with a minimum length of 3 and a maximum length of 4.")
    start, end = _local(request, "from_local", "fromLocal"), _local(request, "to_local", "toLocal")
    query = request.query_params
    direction = query.get("direction", "Both").lower()
    if direction not in ("arrival", "departure", "both"):
        raise _Invalid("direction", f"The value '{query['direction']}' is not valid.")
    with_leg = _flag(query, "withLeg", False)
    wanted = {name: _flag(query, name, True) for name in _KINDS}
    _flag(query, "withLocation", False)
    if not timedelta() < end - start <= LONGEST_WINDOW:
        return _message(_TOO_LONG, 400)
    world = board.world
    airport = world.airports.get(code if code_type == "icao" else world.icao_of.get(code, ""))
    if airport is None:
        return Response(status_code=204)
    answer: dict[str, list[dict[str, Any]] | None] = {}
    for name, arrivals in (("departures", False), ("arrivals", True)):
        if direction in (name[:-1], "both"):
            lines = board.window(airport, start, end, now, arrivals=arrivals)
            zone = zone_of(airport.timezone)
            answer[name] = [
                _line(flight, known, zone, arrivals, with_leg)
                for flight, known in lines
                if _is_wanted(flight, known, wanted)
            ]
        elif share(world.seed, "null", airport.icao) < 0.5:
            answer[name] = None
    if not any(answer.values()):
        return Response(status_code=204)
    return JSONResponse(answer)


def _local(request: Request, part: str, name: str) -> datetime:
    text = request.path_params[part]
    try:
        if not _TIME.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text)
    except ValueError:
        raise _Invalid(name, f"The value '{text}' is not valid.") from None


def _flag(query: Mapping[str, str], name: str, default: bool) -> bool:
    text = query.get(name, str(default)).lower()
    if text not in ("true", "false"):
        raise _Invalid(name, f"The value '{text}' is not valid.")
    return text == "true"


def _is_wanted(flight: Flight, known: Known, wanted: Mapping[str, bool]) -> bool:
    return (
        (wanted["withCancelled"] or known.status not in ("Canceled", "Diverted", "CanceledUncertain"))
        and (wanted["withCodeshared"] or not flight.is_codeshare)
        and (wanted["withCargo"] or not flight.is_cargo)
        and (wanted["withPrivate"] or not flight.is_private)
    )


def _line(flight: Flight, known: Known, zone: ZoneInfo, arrivals: bool, with_leg: bool) -> dict[str, Any]:
    quality = ["Basic", "Live"] if known.revised or known.runway else ["Basic"]
    other_airport = _end_of_leg(flight.other)
    own: dict[str, Any] = {"scheduledTime": _time(flight.scheduled, zone)}
    if known.revised:
        own["revisedTime"] = _time(known.revised, zone)
    if known.runway:
        own["runwayTime"] = _time(known.runway, zone)
    for name, text in (
        ("terminal", flight.terminal),
        ("checkInDesk", "" if arrivals else flight.desk),
        ("gate", flight.gate),
        ("baggageBelt", flight.belt if arrivals else ""),
    ):
        if text:
            own[name] = text
    own["quality"] = quality
    line: dict[str, Any]
    if with_leg:
        other = {"airport": other_airport, **_other_times(flight, known, quality)}
        line = {"departure": other, "arrival": own} if arrivals else {"departure": own, "arrival": other}
    else:
        line = {"movement": {"airport": other_airport, **own}}
    line["number"] = flight.number
    if flight.call_sign:
        line["callSign"] = flight.call_sign
    line |= {
        "status": known.status,
        "codeshareStatus": "IsCodeshared" if flight.is_codeshare else "IsOperator" if quality[1:] else "Unknown",
        "isCargo": flight.is_cargo,
    }
    aircraft = {"reg": flight.registration, "modeS": flight.mode_s, "model": flight.model}
    line["aircraft"] = {name: text for name, text in aircraft.items() if text}
    airline = {"name": flight.airline.name, "iata": flight.airline.iata, "icao": flight.airline.icao}
    line["airline"] = {name: text for name, text in airline.items() if text}
    return line


def _end_of_leg(airport: Airport | None) -> dict[str, Any]:
    """Return the airport at the other end; half of them as newer answers have it, with country and time zone."""
    if airport is None:
        return {"name": "Unknown"}
    end = {"icao": airport.icao, "iata": airport.iata, "name": airport.municipality or airport.name}
    if share("newer", airport.icao) < 0.5:
        end |= {"countryCode": airport.country_code.lower(), "timeZone": airport.timezone}
    return end


def _other_times(flight: Flight, known: Known, quality: list[str]) -> dict[str, Any]:
    if flight.other is None:
        return {"quality": []}
    zone = zone_of(flight.other.timezone)
    times: dict[str, Any] = {}
    if flight.has_other_schedule:
        times["scheduledTime"] = _time(flight.other_scheduled, zone)
    if known.other_revised:
        times["revisedTime"] = _time(known.other_revised, zone)
    return {**times, "quality": quality}


def _time(at: datetime, zone: ZoneInfo) -> dict[str, str]:
    """Return a time (UTC) as the provider prints it, here and there."""
    return {
        "utc": at.isoformat(" ", "minutes")[:16] + "Z",
        "local": at.astimezone(zone).isoformat(" ", "minutes"),
    }
