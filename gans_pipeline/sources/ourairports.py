"""OurAirports' list of all airports, a CSV of about 85,000 rows: https://ourairports.com/data/. Public domain."""

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.http import Access, Http, MalformedError
from gans_pipeline.sources.payloads import COUNTRY, IATA, ICAO, code, fitting_text, rows_to_frame, shortened
from gans_pipeline.tables import airports

NAME = "ourairports"

_SIZES = {"large_airport": "large", "medium_airport": "medium"}
"""The types with scheduled flights that matter to a city. They leave out heliports, seaplane bases, and closed."""

_REQUIRED = (
    "id",
    "ident",
    "type",
    "name",
    "latitude_deg",
    "longitude_deg",
    "elevation_ft",
    "iso_country",
    "municipality",
    "scheduled_service",
    "iata_code",
    "gps_code",
)
FOOT_M = 0.3048


def parse_airports(text: str) -> pd.DataFrame:
    """Return the airports with scheduled passenger service that have an ICAO and an IATA code, by ICAO code.

    Columns and units are those of ``tables.airports`` without the time zone, which the file does not know. Kept are
    large and medium airports with ``scheduled_service`` yes and a name; a purely military field has no such service.
    The ICAO code is ``icao_code`` (since 2025), else ``gps_code``, else ``ident`` where that has the form of one.
    Of rows with the same ICAO code, then of rows with the same IATA code, the larger airport is kept, then the one
    whose ``ident`` is its ICAO code, then the one entered last: a new airport takes over the code of the old one.

    Columns are read by name and every cell as text, so that ``NA`` is Namibia. Raises :class:`MalformedError` naming
    the line and the column for a kept row that cannot be used, and for a text that is not this file.
    """
    best: dict[str, dict[str, Any]] = {}
    by_rank = sorted(_rows(text), key=lambda row: row["rank"], reverse=True)
    for key in ("icao", "iata"):
        best = {}
        for row in by_rank:
            best.setdefault(row[key], row)
        by_rank = list(best.values())
    ordered = sorted(by_rank, key=lambda row: str(row["icao"]))
    return rows_to_frame(ordered, airports, ("timezone", "provider", "retrieved_at"), NAME)


def _rows(text: str) -> Iterator[dict[str, Any]]:
    for line, cells in _records(text):
        icao = next(
            (found for name in ("icao_code", "gps_code", "ident") if (found := code(cells.get(name), ICAO))), None
        )
        iata, name = code(cells["iata_code"], IATA), fitting_text(cells["name"], airports.c.name)
        if cells["scheduled_service"] != "yes" or cells["type"] not in _SIZES or not (icao and iata and name):
            continue
        country = code(cells["iso_country"], COUNTRY)
        if country is None:
            raise _malformed(line, "iso_country", cells["iso_country"], "not a country code")
        elevation_ft = _number(line, "elevation_ft", cells) if cells["elevation_ft"] else None
        yield {
            "icao": icao,
            "iata": iata,
            "name": name,
            "municipality": fitting_text(cells["municipality"], airports.c.municipality),
            "country_code": country,
            "latitude": _number(line, "latitude_deg", cells, limit=90),
            "longitude": _number(line, "longitude_deg", cells, limit=180),
            "elevation_m": None if elevation_ft is None else round(elevation_ft * FOOT_M, 1),
            "size": _SIZES[cells["type"]],
            "rank": (cells["type"] == "large_airport", cells["ident"] == icao, _number(line, "id", cells)),
        }


def _records(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines' numbers and cells by column name."""
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in _REQUIRED if name not in header]
        if missing:
            start = shortened(" ".join(text[:200].split()))
            raise MalformedError(NAME, f"not the airports file, no column {', '.join(missing)}; it starts {start}")
        empty = True
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise MalformedError(NAME, f"line {reader.line_num}: {len(cells)} cells for {len(header)} columns")
            empty = False
            yield reader.line_num, dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        reason = str(error)
    else:
        if not empty:
            return
        reason = "no airport below the header"
    raise MalformedError(NAME, f"line {reader.line_num}: {reason}")


def _number(line: int, column: str, cells: dict[str, str], limit: float = math.inf) -> float:
    try:
        number = float(cells[column])
    except ValueError:
        number = math.nan
    if math.isfinite(number) and abs(number) <= limit:
        return number
    raise _malformed(line, column, cells[column], "not a number" + (f" up to ±{limit:g}" if limit < math.inf else ""))


def _malformed(line: int, column: str, value: str, reason: str) -> MalformedError:
    return MalformedError(NAME, f"line {line}, {column}: {shortened(value)} is {reason}")


class OurAirports:
    """The client; there is no key and no limit beyond good manners: once a day."""

    name = NAME
    file = "airports.csv"

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        self._http = Http(NAME, settings, access, revalidates=True)

    def airports(self) -> pd.DataFrame:
        """Return the airports of the world that have scheduled service; raises :class:`SourceError`."""
        frame = parse_airports(self._http.get_text(f"/{self.file}"))
        if frame.empty:
            raise MalformedError(NAME, "no airport in the world has scheduled service: the file has changed its words")
        return frame

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
