"""The sandbox's weather: invented, plausible for latitude, season and hour, and alike for neighbours.

It is a formula, not a simulation: a climate by latitude, waves that travel east (some days long, a thousand kilometres
wide) for the weather, and an error of the forecast that changes with each hour of issue and grows with the lead. The
past has none: it is the same whenever it is asked for. How a provider words it belongs into the provider's module.
"""

import functools
import math
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from gans_pipeline.sandbox.chance import dice

HOUR_S = 3600


class Hour(NamedTuple):
    """Weather at an hour; amounts are sums of the hour that ends then."""

    at: int
    """POSIX seconds."""
    temperature_c: float
    feels_like_c: float
    humidity: int
    """Percent."""
    rain_mm: float
    snow_mm: float
    """Water equivalent."""
    precipitation_probability: int
    """Percent."""
    cloud_cover: int
    """Percent."""
    wind_speed_ms: float
    wind_gust_ms: float
    wind_direction: int
    """Degrees from which it blows."""
    pressure_hpa: float
    visibility_m: float
    is_day: bool


class _Wave(NamedTuple):
    per_second: float
    per_degree_east: float
    per_degree_north: float
    phase: float


@functools.cache
def _waves(seed: int, kind: str) -> tuple[_Wave, ...]:
    chance = dice(seed, "waves", kind)
    return tuple(
        _Wave(
            per_second=math.tau / (days * 86400 * chance.uniform(0.9, 1.1)),
            per_degree_east=-math.tau / width * chance.choice((1, 1, 0.5)),  # from west to east
            per_degree_north=math.tau / (width * chance.uniform(0.6, 1.5)),
            phase=chance.uniform(0, math.tau),
        )
        for days, width in ((1.3, 14), (2.9, 25), (5.7, 40), (11.9, 70))
    )


def _at_place(waves: tuple[_Wave, ...], latitude: float, longitude: float) -> list[tuple[float, float]]:
    return [(w.per_second, w.phase + longitude * w.per_degree_east + latitude * w.per_degree_north) for w in waves]


def _swing(waves: list[tuple[float, float]], at: int) -> float:
    """Return a value that wanders between -1 and 1."""
    return sum(math.sin(at * speed + phase) for speed, phase in waves) / len(waves)


def sun_height(at: float, latitude: float, longitude: float) -> float:
    """Return the sine of the sun's height; positive by day. Good to some minutes (equation of time left out)."""
    declination = _declination(at)
    hour_angle = math.tau * ((at / 86400 + longitude / 360) % 1 - 0.5)
    phi = math.radians(latitude)
    return math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(hour_angle)


def sun_times(at: float, latitude: float, longitude: float) -> tuple[int, int]:
    """Return sunrise and sunset (POSIX seconds) of the solar day around ``at``; zeros where there is none."""
    noon = (math.floor(at / 86400 + longitude / 360) + 0.5 - longitude / 360) * 86400
    cosine = -math.tan(math.radians(max(-89.9, min(89.9, latitude)))) * math.tan(_declination(noon))
    if abs(cosine) >= 1:
        return 0, 0
    half_day_s = math.acos(cosine) / math.tau * 86400
    return round(noon - half_day_s), round(noon + half_day_s)


def _declination(at: float) -> float:
    return -0.4091 * math.cos(math.tau * (at / 86400 / 365.2425 + 10 / 365))


def hours(seed: int, latitude: float, longitude: float, times: Iterable[int], issued: datetime) -> list[Hour]:
    """Return the weather at these times (POSIX seconds), from the clock hour of ``issued`` on as forecast in it."""
    issue = int(issued.timestamp()) // HOUR_S * HOUR_S
    error = dice(seed, "error", round(latitude, 2), round(longitude, 2), issue)
    error_phases = [error.uniform(0, math.tau) for _ in range(3)]
    warm = _at_place(_waves(seed, "warm"), latitude, longitude)
    wet = _at_place(_waves(seed, "wet"), latitude, longitude)
    windy = _at_place(_waves(seed, "windy"), latitude, longitude)
    mean_c = 27 - 0.0066 * latitude * latitude
    season_c = math.copysign(min(17.0, 0.24 * abs(latitude)), latitude)
    rainy = 0.1 * math.cos(math.radians(latitude * 4.5))  # wet at the equator and around 80°, dry around 40°
    return [
        _hour(at, issue, latitude, longitude, mean_c, season_c, rainy, warm, wet, windy, error_phases) for at in times
    ]


def _hour(
    at: int,
    issue: int,
    latitude: float,
    longitude: float,
    mean_c: float,
    season_c: float,
    rainy: float,
    warm: list[tuple[float, float]],
    wet: list[tuple[float, float]],
    windy: list[tuple[float, float]],
    error_phases: list[float],
) -> Hour:
    growth = 0.3 + (at - issue) / 86400 if at > issue else 0.0
    error_c, error_wet, error_ms = (
        growth * scale * math.sin(at / period + phase)
        for scale, period, phase in zip((0.35, 0.025, 0.25), (20000.0, 15000.0, 17000.0), error_phases, strict=True)
    )
    moisture = _swing(wet, at) + rainy + error_wet
    cloud = max(0.0, min(1.0, 0.5 + 0.9 * moisture))
    year = math.cos(math.tau * (at / 86400 - 200) / 365.2425)
    day = math.cos(math.tau * (at / 86400 + longitude / 360 - 15 / 24))
    temperature = mean_c + season_c * year + (5.5 - 3.5 * cloud) * day + 5 * _swing(warm, at) + error_c
    wind = max(0.2, 4.2 + 5.5 * _swing(windy, at) + 0.8 * day + error_ms)
    probability = max(0.0, min(1.0, (moisture - 0.12) / 0.4))
    amount = round(max(0.0, moisture - 0.3) ** 1.4 * 7, 2)
    snow = amount if temperature < 0.5 else 0.0
    humidity = max(15.0, min(100.0, 62 + 34 * moisture - 9 * day))
    feels = temperature - (0.45 * wind if temperature < 12 else 0.1 * wind)
    if temperature > 24:
        feels += (humidity - 45) / 12
    return Hour(
        at=at,
        temperature_c=round(temperature, 2),
        feels_like_c=round(feels, 2),
        humidity=round(humidity),
        rain_mm=amount - snow,
        snow_mm=snow,
        precipitation_probability=round(100 * probability),
        cloud_cover=round(100 * cloud),
        wind_speed_ms=round(wind, 2),
        wind_gust_ms=round(wind * 1.7 + 1 + max(0.0, 3 * moisture), 2),
        wind_direction=round(225 + 120 * _swing(warm, at + 40000) + 60 * moisture) % 360,
        pressure_hpa=round(1014 - 18 * moisture + 4 * _swing(windy, at), 1),
        visibility_m=round(max(800.0, min(1.0, 1.5 - amount * 0.4 - max(0.0, humidity - 90) / 14) * 24140)),
        is_day=sun_height(at, latitude, longitude) > 0,
    )
