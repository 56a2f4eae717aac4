"""AeroDataBox: arrivals at an airport (FIDS) and the search of airports: https://doc.aerodatabox.com.

It is sold through RapidAPI and api.market; one request of either kind costs 2 units of the plan.
"""

import datetime as dt
import functools
import math
import re
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlsplit

import pandas as pd
import requests
from pydantic import BeforeValidator, Field

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.http import (
    Access,
    Http,
    MalformedError,
    PermanentError,
    QuotaError,
    SourceError,
    TransientError,
    describe,
    retry_after_s,
)
from gans_pipeline.sources.payloads import (
    COUNTRY,
    IATA,
    ICAO,
    Payload,
    code,
    fitting_text,
    rows_to_frame,
    validate,
)
from gans_pipeline.tables import airports, arrivals
from gans_pipeline.tables.flights import CODESHARE_STATUSES, FLIGHT_STATUSES

NAME = "aerodatabox"
RAPIDAPI_HOST = "aerodatabox.p.rapidapi.com"
"""RapidAPI routes by this header, also behind a proxy of another name."""

HOW_TO_GET_A_KEY = "subscribe at https://rapidapi.com/aedbx-aedbx/api/aerodatabox, a free plan is there"

UNITS_PER_CALL = 2.0
"""What a call of tier 2 costs, whatever it answers."""

FARTHEST_DAYS = 3
"""A flight that is listed on a day arrives on that day or, long delayed, a few days beside it."""

MOST_AIRPORTS = 250
"""The search gives no more than this, the nearest first."""

CLOSED = {
    "EDDI": "Berlin-Tempelhof, 2008",
    "EDDT": "Berlin-Tegel, 2020",
    "ENFB": "Oslo Fornebu, 1998",
    "LGAT": "Athens Ellinikon, 2001",
    "SEQU": "Quito, old Mariscal Sucre, 2013",
    "VHHX": "Hong Kong Kai Tak, 1998",
    "ZBNY": "Beijing Nanyuan, 2019",
}
"""Fields of large cities that were closed for good. The search listed Tegel two years after, like any other airport."""


def _utc(value: Any, assumed: dt.tzinfo | None) -> dt.datetime | None:
    """Return a point in time; the provider writes a space or a ``T``, seconds or none, ``Z`` or an offset.

    One without an offset is in the zone ``assumed``, and unknown if that is None.
    """
    if value is None:
        return None
    if not isinstance(value, str) or ":" not in value:
        raise ValueError("not a time")
    return _read_time(value, assumed)


@functools.lru_cache(20_000)  # a day has 1,440 minutes and its flights five times each: a tenth of all parsing
def _read_time(value: str, assumed: dt.tzinfo | None) -> dt.datetime | None:
    time = dt.datetime.fromisoformat(value.strip())
    if time.tzinfo is None and assumed is None:
        return None
    try:
        return (time if time.tzinfo else time.replace(tzinfo=assumed)).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("not a time that can be told in UTC") from None


Utc = Annotated[dt.datetime | None, BeforeValidator(lambda value: _utc(value, dt.UTC))]
Local = Annotated[dt.datetime | None, BeforeValidator(lambda value: _utc(value, None))]
Text = Annotated[str | None, BeforeValidator(lambda value: str(value) if type(value) is int else value)]


class _Time(Payload):
    utc: Utc = None
    local: Local = None


class _Airport(Payload):
    icao: str | None = None
    iata: str | None = None
    name: str | None = None


class _Movement(Payload):
    """Times and terminal; the flat times are those of answers of 2022 and before."""

    airport: _Airport | None = None
    scheduled: _Time | None = Field(default=None, alias="scheduledTime")
    revised: _Time | None = Field(default=None, alias="revisedTime")
    predicted: _Time | None = Field(default=None, alias="predictedTime")
    runway: _Time | None = Field(default=None, alias="runwayTime")
    scheduled_utc: Utc = Field(default=None, alias="scheduledTimeUtc")
    scheduled_local: Local = Field(default=None, alias="scheduledTimeLocal")
    actual_utc: Utc = Field(default=None, alias="actualTimeUtc")
    actual_local: Local = Field(default=None, alias="actualTimeLocal")
    runway_utc: Utc = Field(default=None, alias="runwayTimeUtc")
    runway_local: Local = Field(default=None, alias="runwayTimeLocal")
    terminal: Text = None

    @property
    def scheduled_at(self) -> dt.datetime | None:
        return _first(self.scheduled) or self.scheduled_utc or self.scheduled_local

    @property
    def revised_at(self) -> dt.datetime | None:
        return _first(self.revised) or self.actual_utc or self.actual_local or _first(self.predicted)

    @property
    def runway_at(self) -> dt.datetime | None:
        return _first(self.runway) or self.runway_utc or self.runway_local


class _Aircraft(Payload):
    reg: str | None = None
    model: str | None = None


class _Airline(Payload):
    name: str | None = None
    iata: str | None = None
    icao: str | None = None


class _Flight(Payload):
    number: str
    status: str | None = None
    codeshare_status: str | None = Field(default=None, alias="codeshareStatus")
    is_cargo: bool = Field(alias="isCargo")
    call_sign: str | None = Field(default=None, alias="callSign")
    aircraft: _Aircraft | None = None
    airline: _Airline | None = None
    movement: _Movement | None = None
    departure: _Movement | None = None
    arrival: _Movement | None = None


_NO_AIRPORT, _NO_MOVEMENT, _NO_AIRCRAFT, _NO_AIRLINE = _Airport(), _Movement(), _Aircraft(), _Airline()


class _Fids(Payload):
    arrivals: list[_Flight] | None
    departures: list[Any] | None = None


def parse_arrivals(payload: Any) -> pd.DataFrame:
    """Return the arrivals of a FIDS answer (the decoded JSON, None for 204), one row a number and scheduled time.

    Columns are those of ``tables.arrivals`` without the airport and the day, which an answer does not tell. Read are
    ``withLeg`` true and false and the flat times of 2022. Departures are ignored.

    - A status that we do not know is ``Unknown``: a new word of the provider's must not lose the flight.
    - ``revised_at`` is the revised time, else the predicted one; ``departed_at`` at the origin the time on the
      runway, else the revised or predicted, else the scheduled one.
    - An origin that is called Unknown has no name. A code that is none is NULL, as is a text that is too long.
    - Of rows with the same number and scheduled time the one that tells most is kept, then the one with the latest
      times: answers list a flight twice (once with another aircraft), and so do windows that follow each other.

    Raises :class:`MalformedError` naming the place; also for a flight without a number or a scheduled arrival, for
    they are its key and every recorded row has them, and for an answer that holds departures only.
    """
    return _to_frame(_rows(payload))


def _to_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    listed: dict[tuple[dt.datetime, str], list[dict[str, Any]]] = {}
    for row in rows:
        listed.setdefault((row["scheduled_at"], row["flight_number"]), []).append(row)
    # Few are listed twice, and to tell what a row knows costs half of what it costs to read it.
    ordered = [same[0] if len(same) == 1 else max(same, key=_knowledge) for _, same in sorted(listed.items())]
    return rows_to_frame(ordered, arrivals, ("airport_icao", "local_date", "provider", "retrieved_at"), NAME)


def _knowledge(row: dict[str, Any]) -> tuple[int, dt.datetime, dt.datetime, str]:
    """Return by what a row beats another of the same flight; the last part decides where they differ in words only."""
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    known = sum(value is not None and value != "Unknown" for value in row.values())
    return known, row["runway_at"] or never, row["revised_at"] or never, repr(row)


def _rows(payload: Any) -> list[dict[str, Any]]:
    if payload is None:
        return []
    if isinstance(payload, dict) and "arrivals" not in payload and "message" in payload:
        raise MalformedError(NAME, f"an error and no flights: {payload['message']!s:.200}")
    answer = validate(_Fids, payload, NAME)
    if answer.arrivals is None and answer.departures is not None:
        raise MalformedError(NAME, "arrivals: null, with departures beside it: the other direction was asked")
    return [_row(flight, f"arrivals[{index}]") for index, flight in enumerate(answer.arrivals or [])]


def _row(flight: _Flight, place: str) -> dict[str, Any]:
    number = _fitting(flight.number.upper(), "flight_number")
    if number is None:
        raise MalformedError(NAME, f"{place}.number: {flight.number[:40]!r} is empty or too long")
    # With withLeg=false the movement holds the other airport, and the times at this one.
    here, part = (flight.arrival, "arrival") if flight.arrival else (flight.movement, "movement")
    if here is None:
        raise MalformedError(NAME, f"{place}: neither arrival nor movement")
    if here.scheduled_at is None:
        raise MalformedError(
            NAME, f"{place}.{part}.scheduledTime: missing, {number} cannot be told from its next flight"
        )
    origin = (flight.departure.airport if flight.departure else None) if flight.arrival else here.airport
    there, aircraft = flight.departure or _NO_MOVEMENT, flight.aircraft or _NO_AIRCRAFT
    origin, airline = origin or _NO_AIRPORT, flight.airline or _NO_AIRLINE
    return {
        "flight_number": number,
        "scheduled_at": here.scheduled_at,
        "revised_at": here.revised_at,
        "runway_at": here.runway_at,
        "status": flight.status if flight.status in FLIGHT_STATUSES else "Unknown",
        "codeshare_status": flight.codeshare_status if flight.codeshare_status in CODESHARE_STATUSES else "Unknown",
        "is_cargo": flight.is_cargo,
        "origin_icao": code(origin.icao, r"[A-Z0-9]{4}"),
        "origin_iata": code(origin.iata, IATA),
        "origin_name": None if origin.name == "Unknown" else _fitting(origin.name, "origin_name"),
        "departed_at": there.runway_at or there.revised_at or there.scheduled_at,
        "airline_name": _fitting(airline.name, "airline_name"),
        "airline_iata": code(airline.iata, r"[A-Z0-9]{2,3}"),
        "airline_icao": code(airline.icao, r"[A-Z0-9]{3,4}"),
        "call_sign": _fitting(flight.call_sign, "call_sign"),
        "aircraft_model": _fitting(aircraft.model, "aircraft_model"),
        "aircraft_registration": _fitting(aircraft.reg, "aircraft_registration"),
        "terminal": _fitting(here.terminal, "terminal"),
    }


@functools.lru_cache(20_000)  # a day of flights names the same airlines, models and origins again and again
def _fitting(value: str | None, column: str) -> str | None:
    return fitting_text(value, arrivals.c[column])


def _first(time: _Time | None) -> dt.datetime | None:
    return (time.utc or time.local) if time else None


class _Location(Payload):
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)


class _ListedAirport(Payload):
    icao: str | None = None
    iata: str | None = None
    name: str
    municipality: str | None = Field(default=None, alias="municipalityName")
    location: _Location
    country: str | None = Field(default=None, alias="countryCode")


class _Search(Payload):
    items: list[_ListedAirport]


def parse_airports(payload: Any) -> pd.DataFrame:
    """Return the airports of a search (the decoded JSON, None for 204) that serve passengers, by ICAO code.

    Columns are those of ``tables.airports`` without the time zone; size and elevation are not told. The answer does
    not tell the type of a field either, so left out are: what lacks a name, a municipality, a country or a code (as
    the military Brüggen, which has neither name nor municipality), an air base by its name that is not also called an
    airport, and the fields in ``CLOSED``. Raises :class:`MalformedError` naming the place.
    """
    if isinstance(payload, dict) and "items" not in payload and "message" in payload:
        raise MalformedError(NAME, f"an error and no airports: {payload['message']!s:.200}")
    items = [] if payload is None else validate(_Search, payload, NAME).items
    rows: dict[str, dict[str, Any]] = {}
    for item in items:
        row = {
            "icao": code(item.icao, ICAO),
            "iata": code(item.iata, IATA),
            "name": fitting_text(item.name, airports.c.name),
            "municipality": fitting_text(item.municipality, airports.c.municipality),
            "country_code": code(item.country, COUNTRY),
            "latitude": item.location.lat,
            "longitude": item.location.lon,
            "elevation_m": None,
            "size": "unknown",
        }
        told = all(value is not None for name, value in row.items() if name != "elevation_m")
        if told and row["icao"] not in CLOSED and not _is_air_base(item.name):
            rows.setdefault(str(row["icao"]), row)
    return rows_to_frame(
        [rows[icao] for icao in sorted(rows)], airports, ("timezone", "provider", "retrieved_at"), NAME
    )


def _is_air_base(name: str) -> bool:
    military = re.search(r"\b(air (force )?base|afb|army air ?field|naval air station|raf)\b", name, re.IGNORECASE)
    return military is not None and not re.search(r"\b(airport|international)\b", name, re.IGNORECASE)


class AeroDataBox:
    """The client; raises :class:`PermanentError` when it is made without a key."""

    name = NAME
    units_per_day = 2 * UNITS_PER_CALL
    """Of arrivals: two windows of 12 hours."""
    units_per_search = UNITS_PER_CALL

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        if settings.key is None:
            raise PermanentError(NAME, f"no key: set GANS_AERODATABOX_KEY ({HOW_TO_GET_A_KEY})")
        host = urlsplit(settings.url).hostname or ""
        market = host == "api.market" or host.endswith(".api.market")
        self._http = Http(
            NAME,
            settings,
            access,
            headers={} if market else {"X-RapidAPI-Host": RAPIDAPI_HOST},
            secret_headers={"x-api-market-key" if market else "X-RapidAPI-Key": settings.key},
            explain=_explain,
            cost=lambda _: UNITS_PER_CALL,
        )

    def arrivals(self, icao: str, local_date: dt.date) -> pd.DataFrame:
        """Return all flights listed as arriving at an airport on a day of its own calendar.

        ``parse_arrivals`` with the columns ``airport_icao`` and ``local_date``. The provider allows 12 hours a
        request, so there are two; if one fails, its :class:`SourceError` is raised and there is no half day. So is
        :class:`MalformedError` for a flight with a time that is far from the day.
        """
        if code(icao, ICAO) != icao:
            raise ValueError(f"not an ICAO code: {icao!r}")
        # All is fetched before any of it is parsed: what no parser understands today can be replayed as a whole.
        payloads = [
            self._http.get_json(
                f"/flights/airports/icao/{icao}/{local_date:%Y-%m-%d}T{start}/{local_date:%Y-%m-%d}T{end}", _ASKED
            )
            for start, end in (("00:00", "11:59"), ("12:00", "23:59"))
        ]
        rows = [row for payload in payloads for row in _rows(payload)]
        _must_be_near(rows, local_date)
        return _to_frame(rows).assign(airport_icao=icao, local_date=local_date)

    def airports_near(self, latitude: float, longitude: float, radius_km: float) -> pd.DataFrame:
        """Return the airports within a great-circle distance of a place; raises :class:`SourceError`.

        Latitude and longitude in degrees north and east, ``radius_km`` up to 1,000.
        """
        params = {
            "lat": latitude,
            "lon": longitude,
            "radiusKm": math.ceil(radius_km),  # whole kilometres only
            "limit": MOST_AIRPORTS,
            "withFlightInfoOnly": "true",
        }
        payload = self._http.get_json("/airports/search/location", params)
        frame = parse_airports(payload)
        if payload is not None and len(payload["items"]) >= MOST_AIRPORTS:
            raise PermanentError(
                NAME,
                f"more than {MOST_AIRPORTS} airports within {radius_km:g} km: set a smaller GANS_AIRPORT_RADIUS_KM",
            )
        return frame

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _must_be_near(rows: list[dict[str, Any]], local_date: dt.date) -> None:
    midnight = dt.datetime.combine(local_date, dt.time(), dt.UTC)
    days = dt.timedelta(days=FARTHEST_DAYS)
    for row in rows:
        for name in ("scheduled_at", "revised_at", "runway_at"):
            at = row[name]
            if at is not None and not midnight - days <= at <= midnight + days + dt.timedelta(days=1):
                raise MalformedError(
                    NAME,
                    f"{name} of {row['flight_number']}: {at:%Y-%m-%d %H:%M} UTC is more than {FARTHEST_DAYS} days from "
                    f"{local_date}, the day that was asked for",
                )


# The last four are the provider's defaults, which it may change. Codeshares and freight are kept and marked.
_ASKED = {
    "direction": "Arrival",
    "withLeg": "true",
    "withCancelled": "true",
    "withCodeshared": "true",
    "withCargo": "true",
    "withPrivate": "true",
}


def _explain(response: requests.Response) -> SourceError | None:
    if response.status_code in (401, 403):
        return PermanentError(
            NAME, f"the key was refused ({describe(response)}): check GANS_AERODATABOX_KEY, {HOW_TO_GET_A_KEY}"
        )
    if response.status_code == 429:
        if "quota" in response.text.casefold():
            return QuotaError(NAME, describe(response))
        # The limit is one a second, and no Retry-After is sent.
        return TransientError(NAME, describe(response), retry_after_s=retry_after_s(response) or 1.1)
    return None
