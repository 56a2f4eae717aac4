"""The sandbox's flights: invented schedules at real airports, and how they come true as the clock moves.

A flight is drawn for its airport and UTC hour, whatever the clock says; the clock only decides how much of its fate is
known. So a day has flights in each hour that it has (23 or 25 of them where clocks change), and what has landed stays
landed. Rates are those of BER in October 2023 for live airports, of BER in August 2022 for those that only have a
schedule. How AeroDataBox words a flight belongs into ``aerodatabox``.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from gans_pipeline.sandbox.chance import dice
from gans_pipeline.sandbox.geography import Airport, World, distance_km, zone_of

MOST_EARLY = timedelta(minutes=26)
MOST_LATE = timedelta(minutes=150)

KNOWN_AHEAD = timedelta(hours=24)
"""Live feeds speak of a flight from about a day ahead; before that it is a line of the schedule."""

_BY_LOCAL_HOUR = (
    0.25, 0.12, 0.08, 0.08, 0.15, 0.45, 0.9, 1.3, 1.5, 1.45, 1.4, 1.4,
    1.35, 1.35, 1.35, 1.4, 1.45, 1.5, 1.5, 1.45, 1.35, 1.2, 0.95, 0.6,
)  # fmt: skip
_BY_WEEKDAY = (1.04, 0.97, 0.99, 1.04, 1.09, 0.92, 0.95)
_DAYS_SUM = sum(_BY_LOCAL_HOUR)

_AIRLINE_WORDS = """
Airways, Atlantic, Pacific, Nordic, Orient, Andes, Sahara, Baltic, Express, Connect, Monsoon, Savanna, Polar,
Coral, Lagoon, Prairie, Summit, Harbour, Meridian, Horizon, Comet, Trade Wind, Island, Regional
"""


@dataclass(frozen=True, slots=True)
class Airline:
    """An airline that does not exist, and says so in its name."""

    name: str
    iata: str
    icao: str


AIRLINES = tuple(
    Airline(f"Sandbox {word}", f"{'XYZ'[number // 8]}{number % 8}", f"SB{chr(ord('A') + number)}")
    for number, word in enumerate(re.split(r",\s+", _AIRLINE_WORDS.strip()))
)
CARGO_AIRLINES = (Airline("Sandbox Cargo", "Q0", "SQA"), Airline("Sandbox Parcel", "Q1", "SQB"))
PRIVATE_OWNER = Airline("Unknown/Private owner", "", "")

_MODELS = (
    ("Airbus A320", 30),
    ("Boeing 737-800", 26),
    ("Airbus A321", 14),
    ("Embraer 190", 9),
    ("ATR 72", 6),
    ("Airbus A350-900", 5),
    ("Boeing 787-9", 6),
    ("Boeing 777-300ER", 4),
)
_MODEL_NAMES = [name for name, _ in _MODELS]
_MODEL_WEIGHTS = [weight for _, weight in _MODELS]
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Flight:
    """One line of an airport's board, with its fate. Times are UTC, to the minute.

    'own' is the airport that is asked, 'other' the one at the other end; ``other`` is None where it is not known.
    ``fate`` is 'flown', 'canceled', 'diverted' or 'uncertain'. Empty texts are fields that the answer leaves out.
    """

    number: str
    airline: Airline
    other: Airport | None
    scheduled: datetime
    actual: datetime
    runway: datetime | None
    other_scheduled: datetime
    other_actual: datetime
    has_other_schedule: bool
    fate: str
    is_codeshare: bool
    is_cargo: bool
    is_private: bool
    call_sign: str
    registration: str
    mode_s: str
    model: str
    terminal: str
    gate: str
    belt: str
    desk: str
    has_revision: bool
    is_announced_early: bool


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a flight at a time: AeroDataBox's status and the best-known times."""

    status: str
    revised: datetime | None
    other_revised: datetime | None
    runway: datetime | None


class Board:
    """Arrivals and departures of every airport of the world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._routes: dict[str, tuple[tuple[Airport, timedelta], ...]] = {}

    def window(
        self, airport: Airport, start: datetime, end: datetime, now: datetime, *, arrivals: bool
    ) -> list[tuple[Flight, Known]]:
        """Return the flights whose best-known time is in the window, with what is known of them.

        ``start`` and ``end`` are naive times of the airport's clock, both included. In the hour that a clock repeats a
        local time is meant twice. A flight that is early or late may so be in another window than its schedule says.
        """
        zone = zone_of(airport.timezone)
        first = start.replace(tzinfo=zone).astimezone(UTC) - MOST_LATE
        last = end.replace(tzinfo=zone, fold=1).astimezone(UTC) + MOST_EARLY
        hour = first.replace(minute=0)
        found = []
        while hour <= last:
            for flight in self._hour(airport, zone, hour, arrivals):
                known = known_at(flight, airport, now, arrivals=arrivals)
                best = known.revised or flight.scheduled
                if start <= best.astimezone(zone).replace(tzinfo=None) <= end:
                    found.append((flight, known))
            hour += timedelta(hours=1)
        found.sort(key=lambda pair: (pair[1].revised or pair[0].scheduled, pair[0].number))
        return found

    def _hour(self, airport: Airport, zone: ZoneInfo, hour: datetime, arrivals: bool) -> Iterator[Flight]:
        """Yield the flights that are scheduled in one UTC hour, codeshares and repeated lines included."""
        local = hour.astimezone(zone)
        expected = airport.movements * _BY_LOCAL_HOUR[local.hour] / _DAYS_SUM * _BY_WEEKDAY[local.weekday()]
        chance = dice(self.world.seed, "flights", airport.icao, arrivals, int(hour.timestamp()))
        count = int(expected) + (chance.random() < expected % 1)
        for _ in range(count):
            flight = self._drawn(airport, hour, chance, arrivals)
            yield flight
            yield from _codeshares(flight, chance)
            if chance.random() < 0.012:  # the provider lists some flights twice, with two models of aircraft
                yield replace(flight, model="Airbus A320neo" if flight.model else "Boeing 737")

    def _drawn(self, airport: Airport, hour: datetime, chance: Random, arrivals: bool) -> Flight:
        minute = chance.randrange(0, 60, 5) if chance.random() < 0.9 else chance.randrange(60)
        scheduled = hour + timedelta(minutes=minute)
        live = airport.live
        is_private = chance.random() < 0.025
        is_cargo = not is_private and chance.random() < 0.02
        registration, mode_s = _registration(chance), f"{chance.randrange(0x100000, 0xF00000):06X}"
        if is_private:
            airline, number = PRIVATE_OWNER, registration.replace("-", "")
        else:
            airline = chance.choice(CARGO_AIRLINES if is_cargo else AIRLINES)
            suffix = chance.choice(_LETTERS) if chance.random() < 0.04 else ""
            number = f"{airline.iata} {chance.randrange(10, 1000 if suffix else 9000)}{suffix}"
        routes = self._routes_of(airport)
        other, duration = chance.choice(routes)
        known_other = chance.random() >= (0.7 if is_private else 0.002)
        late = _delay(chance)
        fate = _fate(chance, live)
        absent = chance.random
        actual = scheduled if is_private or fate != "flown" else scheduled + late
        rolls = timedelta(minutes=chance.randrange(4, 13))
        return Flight(
            number=number,
            airline=airline if live or is_private else Airline(airline.name, "", ""),
            other=other if known_other else None,
            scheduled=scheduled,
            actual=actual,
            runway=(actual - rolls if arrivals else actual + rolls) if absent() < 0.4 else None,
            other_scheduled=scheduled - duration if arrivals else scheduled + duration,
            other_actual=(actual - duration if arrivals else actual + duration)
            + timedelta(minutes=chance.randrange(-5, 10)),
            has_other_schedule=known_other and absent() < 0.98,
            fate=fate,
            is_codeshare=False,
            is_cargo=is_cargo,
            is_private=is_private,
            call_sign=_call_sign(airline, number, chance) if absent() < (0.75 if live else 0.07) else "",
            registration=registration if is_private or absent() < (0.95 if live else 0.18) else "",
            mode_s=mode_s if absent() < (0.94 if live else 0.18) else "",
            model=chance.choices(_MODEL_NAMES, _MODEL_WEIGHTS)[0],
            terminal=chance.choice(("1", "2", "2E", "Main")) if absent() < (0.97 if live else 1) else "",
            gate=f"{chance.choice('ABCD')}{chance.randrange(1, 60)}" if live and absent() < 0.96 else "",
            belt=chance.choice(("1", "2", "3", "A3", "B7")) if live and absent() < 0.96 else "",
            desk=f"{chance.randrange(1, 90)}" if live and absent() < 0.9 else "",
            has_revision=live and absent() < 0.99,
            is_announced_early=absent() < 0.52,
        )

    def _routes_of(self, airport: Airport) -> tuple[tuple[Airport, timedelta], ...]:
        """Return where flights go from here and how long they take: near hubs mostly, and some of the whole world."""
        known = self._routes.get(airport.icao)
        if known is not None:
            return known
        hubs, chance = self.world.hubs, dice(self.world.seed, "routes", airport.icao)
        near = sorted(
            (hub for hub in hubs.get(airport.continent, ()) if hub is not airport),
            key=lambda hub: distance_km(hub, airport.latitude, airport.longitude) * chance.uniform(0.3, 3),
        )[:30]
        taken = {airport.icao, *(hub.icao for hub in near)}  # comparing airports by all their fields takes 5 ms
        far = [hub for hub in hubs[""] if hub.icao not in taken]
        reach = near + chance.sample(far, 12 if airport.kind == "large_airport" else 3 if near else 12)
        routes = tuple(
            (hub, timedelta(minutes=30 + round(distance_km(hub, airport.latitude, airport.longitude) / 12.5)))
            for hub in reach
        )
        self._routes[airport.icao] = routes
        return routes


def known_at(flight: Flight, airport: Airport, now: datetime, *, arrivals: bool) -> Known:
    """Return what is known of a flight; as the clock moves a status only goes forward."""
    if not airport.live:
        return Known("CanceledUncertain" if flight.fate == "uncertain" else "Unknown", None, None, None)
    if now < flight.scheduled - KNOWN_AHEAD:
        return Known("Expected" if flight.is_announced_early else "Unknown", None, None, None)
    leaves, lands = (flight.other_actual, flight.actual) if arrivals else (flight.actual, flight.other_actual)
    if flight.fate == "canceled":
        canceled = now >= flight.scheduled - timedelta(hours=6)
        return Known("Canceled" if canceled else "Expected", None, None, None)
    if flight.fate == "diverted" and now >= leaves + (lands - leaves) * 0.7:
        return Known("Diverted", None, leaves if flight.other else None, None)
    told = min(leaves, flight.scheduled - timedelta(hours=2))
    is_told = now >= told
    revised = (flight.actual if is_told else flight.scheduled) if flight.has_revision else None
    other_revised = flight.other_actual if is_told and flight.other else None
    runway = flight.runway if flight.runway and now >= flight.runway else None
    return Known(_status(flight, now, leaves, lands, is_told, arrivals), revised, other_revised, runway)


def _status(flight: Flight, now: datetime, leaves: datetime, lands: datetime, is_told: bool, arrivals: bool) -> str:
    if not flight.has_revision:
        return "Expected" if flight.is_announced_early else "Unknown"
    if now >= lands:
        return "Arrived"
    if arrivals and now >= max(leaves, lands - timedelta(minutes=20)):
        return "Approaching"
    if not arrivals and now >= leaves:
        return "Departed"
    if is_told and flight.actual - flight.scheduled >= timedelta(minutes=15):
        return "Delayed"
    return "Expected"


def _delay(chance: Random) -> timedelta:
    """Return revised minus scheduled: mean about -1 minute, most of it -26 to +57 (BER), with a rare long tail."""
    minutes = chance.gauss(-5, 7) if chance.random() < 0.86 else chance.expovariate(1 / 26)
    return max(-MOST_EARLY, min(MOST_LATE, timedelta(minutes=math.floor(minutes))))


def _fate(chance: Random, live: bool) -> str:
    drawn = chance.random()
    if not live:
        return "uncertain" if drawn < 0.04 else "flown"
    return "canceled" if drawn < 0.012 else "diverted" if drawn < 0.014 else "flown"


def _codeshares(flight: Flight, chance: Random) -> Iterator[Flight]:
    """Yield the same aircraft under the numbers of partners: about 3 of 10 lines of a board."""
    partners = chance.choices((0, 1, 2, 3), (70, 18, 9, 3))[0]
    if flight.is_private or flight.is_cargo or not partners:
        return
    others = [airline for airline in AIRLINES if airline.name != flight.airline.name]
    for partner in chance.sample(others, partners):
        airline = partner if flight.airline.iata else Airline(partner.name, "", "")
        number = f"{partner.iata} {chance.randrange(2000, 9999)}"
        yield replace(flight, number=number, airline=airline, is_codeshare=True)


def _registration(chance: Random) -> str:
    return "SB-" + "".join(chance.choices(_LETTERS, k=3))


def _call_sign(airline: Airline, number: str, chance: Random) -> str:
    if not airline.icao:
        return number
    return (
        f"{airline.icao}{number.split()[1]}" if chance.random() < 0.6 else f"{airline.icao}{chance.randrange(10, 99)}B"
    )
