"""OurAirports' ``airports.csv``: a static file with ETag and Last-Modified, rebuilt every night.

``?columns=18`` gives the layout from before 2025, without ``icao_code``: every later position is one less.
"""

import functools
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gans_pipeline.sandbox.faults import rewrites
from gans_pipeline.sandbox.geography import Airport, World
from gans_pipeline.sandbox.state import State

COLUMNS = (
    "id",
    "ident",
    "type",
    "name",
    "latitude_deg",
    "longitude_deg",
    "elevation_ft",
    "continent",
    "iso_country",
    "iso_region",
    "municipality",
    "scheduled_service",
    "icao_code",
    "iata_code",
    "gps_code",
    "local_code",
    "home_link",
    "wikipedia_link",
    "keywords",
)

_BEFORE_LATITUDE = r'("(?:large|medium)_airport","(?:[^"]|"")*",)[^,]+'

FAULTS = {
    "empty": rewrites(r"\n.*", "\n"),
    "missing-field": rewrites('"iata_code",', ""),
    "renamed-field": rewrites('"iata_code"', '"iata"'),
    "retyped-field": rewrites(_BEFORE_LATITUDE, r"\1north"),
    "unknown-fields": rewrites(r"(?<=.)\n", ',"new"\n'),
    "implausible": rewrites(_BEFORE_LATITUDE, r"\g<1>200"),
}
"""The faults that are this provider's own."""


def refusal(_limit: str, renewed_in_s: int) -> Response:
    """Return the answer to one request too many; the real host has no limit but good manners."""
    return PlainTextResponse("Too Many Requests", 429, headers={"Retry-After": str(renewed_in_s)})


def routes(world: World, state: State) -> list[Route]:
    """Return the route of the file."""

    @functools.cache
    def file(columns: int) -> tuple[bytes, str]:
        left_out = frozenset({"icao_code"}) if columns == 18 else frozenset[str]()
        body = airports_csv(tuple(world.airports.values()), left_out).encode()
        return body, f'"{hashlib.blake2b(body, digest_size=10).hexdigest()}"'

    async def airports(request: Request) -> Response:
        columns = request.query_params.get("columns", "19")
        if columns not in ("18", "19"):
            return PlainTextResponse(f"columns must be 18 or 19, not {columns}", 400)
        body, etag = file(int(columns))
        built = state.now().replace(hour=0, minute=0, second=0, microsecond=0)
        headers = {
            "ETag": etag,
            "Last-Modified": format_datetime(built, usegmt=True),
            "Cache-Control": "max-age=600",
        }
        if _is_known(request, etag, built):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="text/csv; charset=utf-8")

    return [Route("/airports.csv", airports)]


def _is_known(request: Request, etag: str, built: datetime) -> bool:
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags == "*" or etag in (tag.strip().removeprefix("W/") for tag in tags.split(","))
    try:
        since = parsedate_to_datetime(request.headers.get("if-modified-since", ""))
    except ValueError:
        return False
    return since.astimezone(UTC) >= built


def airports_csv(airports: Sequence[Airport], left_out: frozenset[str] = frozenset()) -> str:
    """Return the file: texts quoted, numbers and empty fields bare, regions unknown ('-U-A')."""
    kept = [index for index, column in enumerate(COLUMNS) if column not in left_out]
    lines = [",".join(f'"{COLUMNS[index]}"' for index in kept)]
    for number, airport in enumerate(sorted(airports, key=lambda airport: airport.icao)):
        fields = (
            2000 + number,
            airport.icao,
            airport.kind,
            airport.name,
            airport.latitude,
            airport.longitude,
            airport.elevation_ft,
            airport.continent,
            airport.country_code,
            f"{airport.country_code}-U-A",
            airport.municipality,
            "yes" if airport.scheduled_service else "no",
            airport.icao if airport.has_icao else "",
            airport.iata,
            airport.icao,
            airport.local_code,
            "",
            "",
            f'{airport.iata}, "{airport.municipality}"' if number % 500 == 0 else "",
        )
        lines.append(",".join(_field(fields[index]) for index in kept))
    return "\n".join(lines) + "\n"


def _field(value: str | float) -> str:
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"' if value else ""
    return str(value)
