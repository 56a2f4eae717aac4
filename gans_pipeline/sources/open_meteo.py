"""Open-Meteo's hourly forecast, folded to 3-hour steps: https://open-meteo.com/en/docs.

Free without a key where the use is not commercial; CC BY 4.0, "Weather data by Open-Meteo.com".
"""

import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import requests
from pydantic import Field

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.forecast import STEP_S, STEPS, Conditions, forecast_frame
from gans_pipeline.sources.http import (
    Access,
    Http,
    MalformedError,
    QuotaError,
    SourceError,
    TransientError,
    describe,
    retry_after_s,
)
from gans_pipeline.sources.payloads import Payload, shortened, validate

NAME = "open-meteo"

# WMO 4677 as far as Open-Meteo uses it
_BY_WMO: dict[int, Conditions] = {
    **dict.fromkeys((0, 1), "clear"),
    **dict.fromkeys((2, 3), "clouds"),
    **dict.fromkeys((45, 48), "mist"),
    **dict.fromkeys((51, 53, 55), "drizzle"),
    **dict.fromkeys((61, 63, 65, 80, 81, 82), "rain"),
    **dict.fromkeys((56, 57, 66, 67), "freezing rain"),
    **dict.fromkeys((71, 73, 75, 77, 85, 86), "snow"),
    **dict.fromkeys((95, 96, 99), "thunderstorm"),
}

_TEMPERATURE: dict[str, Callable[[float], float]] = {"°C": lambda x: x, "°F": lambda x: (x - 32) / 1.8}
_SPEED: dict[str, Callable[[float], float]] = {
    "m/s": lambda x: x,
    "km/h": lambda x: x / 3.6,
    "mp/h": lambda x: x * 0.44704,
    "kn": lambda x: x * 1852 / 3600,
}
_AMOUNT: dict[str, Callable[[float], float]] = {"mm": lambda x: x, "inch": lambda x: x * 25.4}
# Depth of fresh snow to water: Open-Meteo's documentation has 7 cm of snow for 10 mm of water.
_SNOW: dict[str, Callable[[float], float]] = {"cm": lambda x: x / 0.7, "inch": lambda x: x * 2.54 / 0.7}
_DISTANCE: dict[str, Callable[[float], float]] = {"m": lambda x: x, "ft": lambda x: x * 0.3048}
_PERCENT: dict[str, Callable[[float], float]] = {"%": lambda x: x}
_CODE: dict[str, Callable[[float], float]] = {"wmo code": lambda x: x}

_UNITS = {
    "temperature_2m": _TEMPERATURE,
    "apparent_temperature": _TEMPERATURE,
    "relative_humidity_2m": _PERCENT,
    "precipitation": _AMOUNT,
    "precipitation_probability": _PERCENT,
    "snowfall": _SNOW,
    "wind_speed_10m": _SPEED,
    "wind_gusts_10m": _SPEED,
    "cloud_cover": _PERCENT,
    "visibility": _DISTANCE,
    "weather_code": _CODE,
}
"""The variables that we ask for, and by the unit that the answer declares how each becomes ours."""

_YEAR_10000_S = 253402300800

_Values = list[float | None]


class _Hourly(Payload):
    time: list[Any] = Field(min_length=1)
    temperature_2m: _Values
    apparent_temperature: _Values | None = None
    relative_humidity_2m: _Values | None = None
    precipitation: _Values | None = None
    precipitation_probability: _Values | None = None
    snowfall: _Values | None = None
    wind_speed_10m: _Values | None = None
    wind_gusts_10m: _Values | None = None
    cloud_cover: _Values | None = None
    visibility: _Values | None = None
    weather_code: _Values | None = None


class _Current(Payload):
    time: Any


class _Forecast(Payload):
    utc_offset_seconds: int = Field(gt=-86400, lt=86400)
    hourly: _Hourly
    hourly_units: dict[str, str]
    current: _Current | None = None


def parse_forecast(payload: Any) -> pd.DataFrame:
    """Return the hourly forecast of one place (the decoded JSON, or an array of one) by 3-hour step.

    Columns and units are those of ``tables.weather_forecasts``, whatever units ``hourly_units`` declares. Amounts are
    the sums, gusts and the probability the greatest of the 3 hours that end at the step; the rest are the values at
    it. What is null in one of its hours is NULL, and so is a variable that was not asked for, save the temperature. A
    step whose 3 hours are not all there is left out, and so is one that is past by the answer's own ``current.time``.
    Raises :class:`MalformedError` naming the place, also for a saved error body.
    """
    if isinstance(payload, list):
        if len(payload) != 1:
            raise MalformedError(NAME, f"payload: {len(payload)} places where one was expected")
        payload = payload[0]
    if isinstance(payload, dict) and payload.get("error"):
        raise MalformedError(NAME, f"an error and no forecast: {payload.get('reason')!s:.200}")
    forecast = validate(_Forecast, payload, NAME)
    times = [_epoch_s(time, forecast, f"hourly.time[{i}]") for i, time in enumerate(forecast.hourly.time)]
    for index, (before, time) in enumerate(itertools.pairwise(times), start=1):
        if time - before != 3600:
            raise MalformedError(NAME, f"hourly.time[{index}]: not one hour after the time before it")
    if times[0] % 3600:
        # A local time of a zone like India's: folding it to our steps would mean to invent values between two hours.
        raise MalformedError(NAME, "hourly.time[0]: not a full hour in UTC; ask for timezone=GMT")
    values = {name: _converted(name, forecast) for name in _UNITS}
    now = _epoch_s(forecast.current.time, forecast, "current.time") if forecast.current else times[0]
    steps = [index for index, time in enumerate(times) if index >= 2 and time % STEP_S == 0 and time > now]
    if not steps:
        raise MalformedError(NAME, f"hourly.time: not one whole 3-hour step to come in {len(times)} hours")
    return forecast_frame([_row(times, values, index) for index in steps], NAME)


def _epoch_s(time: Any, forecast: _Forecast, place: str) -> int:
    """Return seconds since 1970 UTC.

    A time in ISO format is local and says no offset: it is ``utc_offset_seconds`` for the whole answer, also beyond a
    change of the clocks. Unix times are UTC whatever the zone that was asked for.
    """
    seconds: Any = time
    if isinstance(time, str):
        try:
            local = dt.datetime.fromisoformat(time)
            if local.tzinfo is None:
                local = local.replace(tzinfo=dt.timezone(dt.timedelta(seconds=forecast.utc_offset_seconds)))
            seconds = int(local.timestamp())
        except (ValueError, OverflowError):
            seconds = None
    if type(seconds) is int and 0 <= seconds < _YEAR_10000_S:
        return seconds
    raise MalformedError(NAME, f"{place}: not a time: {shortened(time)}")


def _converted(name: str, forecast: _Forecast) -> _Values:
    hours = len(forecast.hourly.time)
    values: _Values | None = getattr(forecast.hourly, name)
    if values is None:
        return [None] * hours
    if len(values) != hours:
        raise MalformedError(NAME, f"hourly.{name}: {len(values)} values for {hours} times")
    if not any(value is not None for value in values):
        return values  # a variable that the weather model does not have; its unit is then 'undefined'
    unit = forecast.hourly_units.get(name)
    convert = _UNITS[name].get(unit or "")
    if convert is None:
        known = ", ".join(_UNITS[name])
        raise MalformedError(NAME, f"hourly_units.{name}: {unit!r} is none of the units {known}")
    return [None if value is None else convert(value) for value in values]


def _row(times: Sequence[int], values: dict[str, _Values], index: int) -> dict[str, Any]:
    def at_step(name: str) -> float | None:
        return _rounded(values[name][index])

    def over_step(name: str, fold: Callable[[list[float]], float]) -> float | None:
        hours = values[name][index - 2 : index + 1]
        known = [value for value in hours if value is not None]
        return _rounded(fold(known)) if len(known) == len(hours) else None

    probability_pct = over_step("precipitation_probability", max)
    code = values["weather_code"][index]
    if code is not None and not (code.is_integer() and 0 <= code <= 99):
        raise MalformedError(NAME, f"hourly.weather_code[{index}]: {code:g} is no WMO code")
    return {
        "valid_at": dt.datetime.fromtimestamp(times[index], dt.UTC),
        "temperature_c": at_step("temperature_2m"),
        "feels_like_c": at_step("apparent_temperature"),
        "humidity_pct": at_step("relative_humidity_2m"),
        "precipitation_mm": over_step("precipitation", sum),
        "precipitation_probability": None if probability_pct is None else probability_pct / 100,
        "snow_mm": over_step("snowfall", sum),
        "wind_speed_ms": at_step("wind_speed_10m"),
        "wind_gust_ms": over_step("wind_gusts_10m", max),
        "cloud_pct": at_step("cloud_cover"),
        "visibility_m": at_step("visibility"),
        "conditions": None if code is None else _BY_WMO.get(int(code)),
        "condition_code": None if code is None else int(code),
    }


def _rounded(value: float | None) -> float | None:
    # 0.1 + 0.2 and 12.6 km/h would else differ from the same value in other units in the sixteenth digit
    return None if value is None else round(value, 4)


def weight(params: Mapping[str, Any]) -> float:
    """Return what a call for one place counts against the provider's limits: more than 1 for many variables or days."""
    variables = sum(len(str(params[group]).split(",")) for group in ("hourly", "current") if group in params) / 10
    return max(1.0, variables, variables * int(params.get("forecast_days", 7)) / 14)


class OpenMeteo:
    """The client; the key is needed only for the paid host."""

    name = NAME
    units_per_forecast = max(1.0, (len(_UNITS) + 1) / 10)
    """By :func:`weight`."""

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        secrets = {"apikey": settings.key} if settings.key else None
        self._http = Http(NAME, settings, access, secrets=secrets, explain=_explain, cost=weight)

    def forecast(self, latitude: float, longitude: float) -> pd.DataFrame:
        """Return the next 40 steps for a place (degrees north and east); raises :class:`SourceError`."""
        params = {
            "latitude": latitude,
            "longitude": longitude,
            "hourly": ",".join(_UNITS),
            "current": "weather_code",  # for the provider's time, by which the next step is known
            "wind_speed_unit": "ms",
            "timeformat": "unixtime",
            "timezone": "GMT",
            "forecast_days": 6,  # the days begin at midnight: late in the evening five of them hold 33 steps to come
        }
        return parse_forecast(self._http.get_json("/v1/forecast", params)).head(STEPS)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _explain(response: requests.Response) -> SourceError | None:
    if response.status_code != 429:
        return None
    reason = response.text.casefold()
    if "hourly" in reason or "daily" in reason:
        return QuotaError(NAME, describe(response))
    if "minutely" in reason:
        # No Retry-After is documented; the counter falls at the next full minute.
        return TransientError(NAME, describe(response), retry_after_s=retry_after_s(response) or 60)
    return None
