"""Open-Meteo's forecast: hourly variables, one place (an object) or several (an array), on the grid of its model.

The days are ``past_days`` and ``forecast_days`` around today or, instead, ``start_date`` to ``end_date``. ``current``
is what the forecast says for the quarter of an hour. Left out: ``daily`` and ``minutely_15``, which the platform does
not ask for; they are refused by name.
"""

import math
import re
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gans_pipeline.sandbox import weather
from gans_pipeline.sandbox.chance import share
from gans_pipeline.sandbox.faults import UNIX_TIMES_A_CENTURY_LATER, rewrites, says
from gans_pipeline.sandbox.geography import World, zone_of
from gans_pipeline.sandbox.state import State

GRID_DEGREES = 0.07
PLACES_PER_CALL = 1000
PAST_DAYS = 92
LONG_LEAD_S = 72 * 3600
QUARTER_S = 900

_REASONS = {
    "per_second": "Minutely API request limit exceeded. Please try again in one minute.",
    "per_minute": "Minutely API request limit exceeded. Please try again in one minute.",
    "per_hour": "Hourly API request limit exceeded. Please try again in the next hour.",
    "per_day": "Daily API request limit exceeded. Please try again tomorrow.",
    "concurrency": "Too many concurrent requests",
}

_FACTORS = {
    "temperature_unit": {"celsius": ("°C", 1.0), "fahrenheit": ("°F", 1.8)},
    "wind_speed_unit": {"kmh": ("km/h", 3.6), "ms": ("m/s", 1.0), "mph": ("mp/h", 2.236936), "kn": ("kn", 1.943844)},
    "precipitation_unit": {"mm": ("mm", 1.0), "inch": ("inch", 1 / 25.4)},
}
_DEFAULTS = {"temperature_unit": "celsius", "wind_speed_unit": "kmh", "precipitation_unit": "mm"}

_Reader = Callable[[weather.Hour], float]
_VARIABLES: dict[str, tuple[str, _Reader]] = {
    "temperature_2m": ("temperature_unit", lambda h: h.temperature_c),
    "apparent_temperature": ("temperature_unit", lambda h: h.feels_like_c),
    "relative_humidity_2m": ("%", lambda h: h.humidity),
    "precipitation_probability": ("%", lambda h: h.precipitation_probability),
    "precipitation": ("precipitation_unit", lambda h: h.rain_mm + h.snow_mm),
    "rain": ("precipitation_unit", lambda h: h.rain_mm if h.temperature_c < 18 else 0.0),
    "showers": ("precipitation_unit", lambda h: h.rain_mm if h.temperature_c >= 18 else 0.0),
    "snowfall": ("cm", lambda h: h.snow_mm * 0.7),  # 1 mm of water is 0.7 cm of snow, as the provider reckons
    "weather_code": ("wmo code", lambda h: _wmo_code(h)),
    "pressure_msl": ("hPa", lambda h: h.pressure_hpa),
    "surface_pressure": ("hPa", lambda h: h.pressure_hpa - 5),
    "cloud_cover": ("%", lambda h: h.cloud_cover),
    "visibility": ("m", lambda h: h.visibility_m),
    "wind_speed_10m": ("wind_speed_unit", lambda h: h.wind_speed_ms),
    "wind_gusts_10m": ("wind_speed_unit", lambda h: h.wind_gust_ms),
    "wind_direction_10m": ("°", lambda h: h.wind_direction),
    "is_day": ("", lambda h: int(h.is_day)),
}
_WHOLE_NUMBERS = frozenset(
    {
        "relative_humidity_2m",
        "precipitation_probability",
        "weather_code",
        "cloud_cover",
        "wind_direction_10m",
        "is_day",
    }
)
_NOT_IN_THE_MODEL = frozenset(
    {
        "temperature_20m",
        "temperature_80m",
        "wind_speed_80m",
        "cape",
        "uv_index",
        "freezing_rain_probability",
        "ice_pellets_probability",
        "rain_probability",
        "snowfall_probability",
        "thunderstorm_probability",
    }
)
_SHORT_LIVED = frozenset({"visibility", "wind_gusts_10m"})


MOST_DAYS = 16


class Refused(Exception):  # noqa: N818
    """A parameter that is not allowed; the text is the reason that the client gets."""


def refusal(limit: str, _renewed_in_s: int) -> Response:
    """Return the answer to one request too many; it names the limit and has no ``Retry-After``."""
    return _error(_REASONS[limit], 429)


def weight(query: Mapping[str, str]) -> float:
    """Return what a call counts against the limits: 1 a place, more for many variables or days."""
    places = max(1, len(query.get("latitude", "").split(",")))
    variables = sum(len(query[group].split(",")) for group in ("hourly", "current") if query.get(group)) / 10
    return places * max(1.0, variables, variables * _days_asked(query) / 14)


def _days_asked(query: Mapping[str, str]) -> float:
    try:
        days = date.fromisoformat(query["end_date"]) - date.fromisoformat(query["start_date"])
        return max(1, days.days + 1)
    except (KeyError, ValueError):
        asked = query.get("forecast_days", "7")
        return min(float(asked), MOST_DAYS) if asked.isdecimal() else 7


def routes(world: World, state: State) -> list[Route]:
    """Return the route of the forecast."""

    async def forecast(request: Request) -> Response:
        query, now = request.query_params, state.now()
        return answered(lambda: answer(world, now, query, GRID_DEGREES, _chosen_days(query, now.date())))

    return [Route("/v1/forecast", forecast)]


def answered(make: Callable[[], list[dict[str, Any]]]) -> Response:
    """Return the answer for one or several places, or the reason why there is none."""
    try:
        places = make()
    except Refused as refused:
        return _error(str(refused), 400)
    return JSONResponse(places[0] if len(places) == 1 else places)


Days = Callable[[date], tuple[date, date]]
"""Gives the first and the last day of an answer, by the date of today at the place."""


def _chosen_days(query: Mapping[str, str], today: date) -> Days:
    if "start_date" in query or "end_date" in query:
        for name in ("forecast_days", "past_days"):
            if name in query:
                raise Refused(f"Parameter '{name}' is mutually exclusive with 'start_date' and 'end_date'")
        span = dates(query, today - timedelta(days=PAST_DAYS), today + timedelta(days=MOST_DAYS))
        return lambda _: span
    days = _days(query, "forecast_days", "Forecast days", MOST_DAYS, default=7)
    past_days = _days(query, "past_days", "Past days", PAST_DAYS, default=0)
    return lambda here: (here - timedelta(days=past_days), here + timedelta(days=days - 1))


def dates(query: Mapping[str, str], earliest: date, latest: date) -> tuple[date, date]:
    """Return ``start_date`` and ``end_date``, which have to lie between ``earliest`` and ``latest``."""
    found = []
    for name in ("start_date", "end_date"):
        if not query.get(name):
            raise Refused("Both 'start_date' and 'end_date' must be set in the url")
        try:
            found.append(date.fromisoformat(query[name]))
        except ValueError:
            raise Refused("Invalid date format. Make sure to use 'YYYY-MM-DD'") from None
        if not earliest <= found[-1] <= latest:
            raise Refused(f"Parameter '{name}' is out of allowed range from {earliest} to {latest}")
    if found[1] < found[0]:
        raise Refused("End-date must be larger or equals than start-date")
    return found[0], found[1]


def _error(reason: str, status: int) -> Response:
    return JSONResponse({"error": True, "reason": reason}, status)


FAULTS = {
    "quota": says(refusal("per_day", 0)),
    "empty": rewrites(r"\[[^\]]*\]", "[]"),
    "missing-field": rewrites(r',"temperature_2m":\[[^\]]*\]', ""),
    "renamed-field": rewrites('"temperature_2m"', '"temperature_2_m"'),
    "retyped-field": rewrites(r'"temperature_2m":\[[^,]+', '"temperature_2m":["mild"'),
    "unknown-fields": rewrites(r'"hourly":\{', '"model":{"run":null},"hourly":{"snow_depth":[0.1],'),
    "implausible": rewrites(r'"temperature_2m":\[[^\]]*', lambda hours: re.sub(r"-?\d+\.\d+", "200", hours[0])),
    "wrong-century": UNIX_TIMES_A_CENTURY_LATER,
}
"""The faults that are this provider's own."""


def answer(
    world: World,
    now: datetime,
    query: Mapping[str, str],
    grid_degrees: float,
    days: Days,
    known_until: float = math.inf,
    lacking: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """Return what is said of each place that was asked for.

    Hours after ``known_until`` (POSIX seconds) are null; the model lacks the variables ``lacking`` besides those that
    none has.
    """
    for group in ("daily", "minutely_15"):
        if group in query:
            raise Refused(f"The sandbox serves hourly and current variables only. Given: {group}.")
    latitudes = _coordinates(query, "latitude", 90)
    longitudes = _coordinates(query, "longitude", 180)
    if len(latitudes) != len(longitudes):
        raise Refused("Parameter 'latitude' and 'longitude' must have the same number of elements")
    if len(latitudes) > PLACES_PER_CALL:
        raise Refused(f"Only up to {PLACES_PER_CALL} locations can be requested at once")
    zones = query.get("timezone", "GMT").split(",")
    if len(zones) not in (1, len(latitudes)):
        raise Refused("Parameter 'timezone' must have the same number of elements as coordinates")
    hourly, current = _variables(query, "hourly"), _variables(query, "current")
    units = {parameter: _unit(query, parameter) for parameter in _FACTORS}
    unix_time = _one_of(query, "timeformat", ("iso8601", "unixtime"), "iso8601") == "unixtime"
    answers = []
    for number, (latitude, longitude) in enumerate(zip(latitudes, longitudes, strict=True)):
        zone = _zone(world, zones[number if len(zones) > 1 else 0], latitude, longitude)
        place = _place(world.seed, now, latitude, longitude, zone, grid_degrees)
        if number:
            place["location_id"] = number
        if current:
            times = [_quarter(now)]
            place |= _series(world.seed, place, "current", current, times, units, now, unix_time, known_until, lacking)
        if hourly:
            times = _hours_of_days(*days(now.astimezone(zone).date()), zone)
            place |= _series(world.seed, place, "hourly", hourly, times, units, now, unix_time, known_until, lacking)
        answers.append(place)
    return answers


def _variables(query: Mapping[str, str], group: str) -> list[str]:
    names = [name for name in query.get(group, "").split(",") if name]
    for name in names:
        if name not in _VARIABLES and name not in _NOT_IN_THE_MODEL:
            raise Refused(
                "Data corrupted at path ''. Cannot initialize SurfacePressureAndHeightVariable<VariableAndPreviousDay,"
                f" ForecastPressureVariable, ForecastHeightVariable> from invalid String value {name}."
            )
    return names


def _coordinates(query: Mapping[str, str], name: str, limit: int) -> list[float]:
    if not query.get(name):
        raise Refused(f"Value of type 'Float' required for key '{name}'.")
    degrees = []
    for text in query[name].split(","):
        try:
            value = float(text)
        except ValueError:
            raise Refused(f"Data corrupted at path '{name}'. Cannot convert '{text}' to Float.") from None
        if not abs(value) <= limit:
            raise Refused(f"{name.capitalize()} must be in range of -{limit} to {limit}°. Given: {value}.")
        degrees.append(value)
    return degrees


def _days(query: Mapping[str, str], name: str, word: str, limit: int, *, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or float(text) > limit:
        raise Refused(f"{word} is invalid. Allowed range 0 to {limit}. Given {text}.")
    return int(text)


def _one_of(query: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = query.get(name, default)
    if value not in allowed:
        raise Refused(f"Data corrupted at path '{name}'. Cannot initialize from invalid String value {value}.")
    return value


def _unit(query: Mapping[str, str], parameter: str) -> tuple[str, float]:
    units = _FACTORS[parameter]
    return units[_one_of(query, parameter, tuple(units), _DEFAULTS[parameter])]


def _zone(world: World, name: str, latitude: float, longitude: float) -> ZoneInfo:
    if name == "auto":
        return zone_of(world.places.nearest(latitude, longitude).timezone)
    try:
        return zone_of(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused("Invalid timezone") from None


def _place(
    seed: int, now: datetime, latitude: float, longitude: float, zone: ZoneInfo, grid_degrees: float
) -> dict[str, Any]:
    cell = [_on_grid(latitude, grid_degrees), _on_grid(longitude, grid_degrees)]
    offset = now.astimezone(zone).utcoffset() or timedelta()
    return {
        "latitude": cell[0],
        "longitude": cell[1],
        "generationtime_ms": round(0.02 + share(seed, "took", *cell, now) / 10, 6),
        "utc_offset_seconds": int(offset.total_seconds()),
        "timezone": zone.key,
        "timezone_abbreviation": _abbreviation(offset),
        "elevation": float(int(share("elevation", *cell) ** 3 * 600)),
    }


def _on_grid(degrees: float, grid_degrees: float) -> float:
    """Return the nearest grid line as the provider prints it: a 32-bit number with its rounding (6.8729997)."""
    line = round(degrees / grid_degrees) * grid_degrees
    return float(f"{struct.unpack('f', struct.pack('f', line))[0]:.8g}")


def _abbreviation(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    if not minutes:
        return "GMT"
    hours, rest = divmod(abs(minutes), 60)
    return f"GMT{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02}" if rest else "")


def _hours_of_days(first: date, last: date, zone: ZoneInfo) -> list[int]:
    """Return the hours of the local days, both included; a day has 23 or 25 where the clocks change."""
    return list(range(_midnight(first, zone), _midnight(last + timedelta(days=1), zone), weather.HOUR_S))


def _midnight(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(), zone).astimezone(UTC).timestamp())


def _quarter(now: datetime) -> int:
    return int(now.timestamp()) // QUARTER_S * QUARTER_S


def _series(
    seed: int,
    place: Mapping[str, Any],
    group: str,
    variables: list[str],
    times: list[int],
    units: Mapping[str, tuple[str, float]],
    now: datetime,
    unix_time: bool,
    known_until: float,
    lacking: frozenset[str],
) -> dict[str, Any]:
    """Return units and values: lists for the hours, single values for 'current'.

    In a tenth of the cells the model ends early: some variables are null after 72 hours.
    """
    grid = weather.hours(seed, place["latitude"], place["longitude"], times, now)
    short = share(seed, "model", place["latitude"], place["longitude"]) < 0.1
    last_known = now.timestamp() + LONG_LEAD_S
    zone = zone_of(place["timezone"])
    printed: list[Any] = times if unix_time else [f"{datetime.fromtimestamp(at, zone):%Y-%m-%dT%H:%M}" for at in times]
    names = {"time": "unixtime" if unix_time else "iso8601"}
    values: dict[str, list[Any]] = {"time": printed}
    if group == "current":
        names["interval"], values["interval"] = "seconds", [QUARTER_S]
    for variable in variables:
        if variable in _NOT_IN_THE_MODEL | lacking:
            names[variable], values[variable] = "undefined", [None] * len(grid)
            continue
        unit, read = _VARIABLES[variable]
        names[variable], factor = units.get(unit, (unit, 1.0))
        origin = 32.0 if names[variable] == "°F" else 0.0
        digits = None if variable in _WHOLE_NUMBERS else 3 if names[variable] == "inch" else 2 if unit == "cm" else 1
        ends = min(last_known, known_until) if short and variable in _SHORT_LIVED else known_until
        values[variable] = [None if hour.at > ends else round(read(hour) * factor + origin, digits) for hour in grid]
    if group == "current":
        return {"current_units": names, "current": {name: series[0] for name, series in values.items()}}
    return {"hourly_units": names, "hourly": values}


def _wmo_code(hour: weather.Hour) -> int:
    """Return the weather code of WMO table 4677, as far as the provider uses it."""
    if hour.snow_mm > 0:
        return 71 if hour.snow_mm < 0.5 else 73
    if hour.rain_mm > 0:
        if hour.temperature_c >= 18:
            return 80 if hour.rain_mm < 2.5 else 81
        return 51 if hour.rain_mm < 0.2 else 61 if hour.rain_mm < 2.5 else 63
    return 0 if hour.cloud_cover < 13 else 1 if hour.cloud_cover < 38 else 2 if hour.cloud_cover < 75 else 3
