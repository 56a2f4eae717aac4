"""What the script and dlt have in common: the work they are given, and the rows that they make of an answer.

The rows have the columns of the tables, but none of the pipeline's checks: an answer of another shape ends them with a
KeyError, a value that is out of bounds is stored.
"""

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

FORECAST_KEY = ["city_id", "valid_at", "issued_at"]
ARRIVAL_KEY = ["airport_icao", "flight_number", "scheduled_at"]

FORECAST_PARAMS = {"units": "metric", "cnt": "40"}
ARRIVAL_PARAMS = {
    "direction": "Arrival",
    "withLeg": "true",
    "withCancelled": "true",
    "withCodeshared": "true",
    "withCargo": "true",
    "withPrivate": "true",
}
HEADERS = {"X-RapidAPI-Host": "aerodatabox.p.rapidapi.com", "X-RapidAPI-Key": "sandbox-key"}


class Work(NamedTuple):
    """What is to be asked, as JSON values: cities with their position, the two halves of each airport's day."""

    sandbox_url: str
    issued_at: str
    cities: list[dict[str, Any]]
    windows: list[dict[str, str]]
    concurrency: int

    def save(self, file: Path) -> None:
        """Write it for the child process that does it."""
        file.write_text(json.dumps(self._asdict()), encoding="utf-8")

    @classmethod
    def of_this_process(cls) -> "Work":
        """Read the file that ``GANS_BENCHMARK_WORK`` names."""
        return cls(**json.loads(Path(os.environ["GANS_BENCHMARK_WORK"]).read_text(encoding="utf-8")))


def forecast_row(city_id: int, step: dict[str, Any], issued_at: str) -> dict[str, Any]:
    """Return a row of one step of OpenWeatherMap's forecast."""
    return {
        "city_id": city_id,
        "valid_at": dt.datetime.fromtimestamp(step["dt"], dt.UTC),
        "issued_at": dt.datetime.fromisoformat(issued_at),
        "temperature_c": float(step["main"]["temp"]),
        "feels_like_c": float(step["main"]["feels_like"]),
        "humidity_pct": float(step["main"]["humidity"]),
        "precipitation_mm": float(step.get("rain", {}).get("3h", 0) + step.get("snow", {}).get("3h", 0)),
        "precipitation_probability": float(step["pop"]),
        "snow_mm": float(step.get("snow", {}).get("3h", 0)),
        "wind_speed_ms": float(step["wind"]["speed"]),
        "wind_gust_ms": float(step["wind"]["gust"]),
        "cloud_pct": float(step["clouds"]["all"]),
        "visibility_m": float(step["visibility"]),
        "conditions": step["weather"][0]["description"],
        "condition_code": step["weather"][0]["id"],
        "retrieved_at": dt.datetime.now(dt.UTC),
    }


def arrival_row(icao: str, local_date: str, flight: dict[str, Any]) -> dict[str, Any]:
    """Return a row of one flight of AeroDataBox's board."""
    here, there = flight["arrival"], flight["departure"]
    airline, aircraft = flight.get("airline", {}), flight.get("aircraft", {})
    return {
        "airport_icao": icao,
        "flight_number": flight["number"],
        "scheduled_at": _time(here, "scheduledTime"),
        "local_date": local_date,
        "revised_at": _time(here, "revisedTime"),
        "runway_at": _time(here, "runwayTime"),
        "status": flight["status"],
        "codeshare_status": flight["codeshareStatus"],
        "is_cargo": flight["isCargo"],
        "origin_icao": there["airport"].get("icao"),
        "origin_iata": there["airport"].get("iata"),
        "origin_name": there["airport"].get("name"),
        "departed_at": _time(there, "revisedTime") or _time(there, "scheduledTime"),
        "airline_name": airline.get("name"),
        "airline_iata": airline.get("iata"),
        "airline_icao": airline.get("icao"),
        "call_sign": flight.get("callSign"),
        "aircraft_model": aircraft.get("model"),
        "aircraft_registration": aircraft.get("reg"),
        "terminal": here.get("terminal"),
        "retrieved_at": dt.datetime.now(dt.UTC),
    }


def _time(movement: dict[str, Any], name: str) -> dt.datetime | None:
    return dt.datetime.fromisoformat(movement[name]["utc"]) if name in movement else None
