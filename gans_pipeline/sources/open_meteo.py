"""Open-Meteo's hours: the forecast, folded to 3-hour steps, and the weather of the past, hour by hour.

https://open-meteo.com/en/docs and https://open-meteo.com/en/docs/historical-weather-api. Free without a key where the
use is not commercial; CC BY 4.0, "Weather data by Open-Meteo.com". ERA5 is from the Copernicus service.
"""

import datetime as dt
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

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
from gans_pipeline.sources.payloads import Payload, rows_to_frame, shortened, validate
from gans_pipeline.tables import weather_observations

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

_OBSERVED = [name for name in _UNITS if name != "precipitation_probability"]
_IN_ERA5 = [name for name in _OBSERVED if name != "visibility"]

EARLIEST_DAY = dt.date(1940, 1, 1)
"""Where the archive begins; an older ``start_date`` is refused with status 400."""

_YEAR_1940_S, _YEAR_10000_S = -946771200, 253402300800

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


class _Answer(Payload):
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
    times, values, clock = _read(payload)
    now = times[0] if clock is None else clock
    steps = [index for index, time in enumerate(times) if index >= 2 and time % STEP_S == 0 and time > now]
    if not steps:
        raise MalformedError(NAME, f"hourly.time: not one whole 3-hour step to come in {len(times)} hours")
    return forecast_frame([_step(times, values, index) for index in steps], NAME)


def parse_observations(payload: Any, product: Literal["analysis", "reanalysis"]) -> pd.DataFrame:
    """Return the past hours of one place (the decoded JSON, or an array of one), without those that are not known.

    Columns and units are those of ``tables.weather_observations``, whatever units ``hourly_units`` declares; an amount
    is that of the hour before. An hour without a temperature is not there yet (the archive says null for the days
    that ERA5 has not reached) and left out, and so is one that is not past by the answer's own ``current.time``: it
    would be a forecast. The frame may be empty. Raises :class:`MalformedError` as :func:`parse_forecast` does.
    """
    times, values, clock = _read(payload)
    end = math.inf if clock is None else clock - clock % 3600
    known = [i for i, time in enumerate(times) if values["temperature_2m"][i] is not None and time < end]
    rows = [{"product": product, **_hour(times, values, index)} for index in known]
    return rows_to_frame(rows, weather_observations, ("city_id", "provider", "retrieved_at"), NAME)


def _read(payload: Any) -> tuple[list[int], dict[str, _Values], int | None]:
    """Return the hours of one place (seconds since 1970 UTC), their values in our units, and the answer's own time."""
    if isinstance(payload, list):
        if len(payload) != 1:
            raise MalformedError(NAME, f"payload: {len(payload)} places where one was expected")
        payload = payload[0]
    if isinstance(payload, dict) and payload.get("error"):
        raise MalformedError(NAME, f"an error and no weather: {payload.get('reason')!s:.200}")
    answer = validate(_Answer, payload, NAME)
    times = [_epoch_s(time, answer, f"hourly.time[{i}]") for i, time in enumerate(answer.hourly.time)]
    for index, (before, time) in enumerate(itertools.pairwise(times), start=1):
        if time - before != 3600:
            raise MalformedError(NAME, f"hourly.time[{index}]: not one hour after the time before it")
    if times[0] % 3600:
        # A local time of a zone like India's: folding it to our steps would mean to invent values between two hours.
        raise MalformedError(NAME, "hourly.time[0]: not a full hour in UTC; ask for timezone=GMT")
    clock = _epoch_s(answer.current.time, answer, "current.time") if answer.current else None
    return times, {name: _converted(name, answer) for name in _UNITS}, clock


def _epoch_s(time: Any, answer: _Answer, place: str) -> int:
    """Return seconds since 1970 UTC.

    A time in ISO format is local and says no offset: it is ``utc_offset_seconds`` for the whole answer, also beyond a
    change of the clocks. Unix times are UTC whatever the zone that was asked for.
    """
    seconds: Any = time
    if isinstance(time, str):
        try:
            local = dt.datetime.fromisoformat(time)
            if local.tzinfo is None:
                local = local.replace(tzinfo=dt.timezone(dt.timedelta(seconds=answer.utc_offset_seconds)))
            seconds = int(local.timestamp())
        except (ValueError, OverflowError):
            seconds = None
    if type(seconds) is int and _YEAR_1940_S <= seconds < _YEAR_10000_S:
        return seconds
    raise MalformedError(NAME, f"{place}: not a time: {shortened(time)}")


def _converted(name: str, answer: _Answer) -> _Values:
    hours = len(answer.hourly.time)
    values: _Values | None = getattr(answer.hourly, name)
    if values is None:
        return [None] * hours
    if len(values) != hours:
        raise MalformedError(NAME, f"hourly.{name}: {len(values)} values for {hours} times")
    if not any(value is not None for value in values):
        return values  # a variable that the weather model does not have; its unit is then 'undefined'
    unit = answer.hourly_units.get(name)
    convert = _UNITS[name].get(unit or "")
    if convert is None:
        known = ", ".join(_UNITS[name])
        raise MalformedError(NAME, f"hourly_units.{name}: {unit!r} is none of the units {known}")
    return [None if value is None else convert(value) for value in values]


def _step(times: Sequence[int], values: dict[str, _Values], index: int) -> dict[str, Any]:
    """Return the row of the 3-hour step that ends at this hour."""

    def over_step(name: str, fold: Callable[[list[float]], float]) -> float | None:
        hours = values[name][index - 2 : index + 1]
        known = [value for value in hours if value is not None]
        return _rounded(fold(known)) if len(known) == len(hours) else None

    probability_pct = over_step("precipitation_probability", max)
    at_step = _hour(times, values, index)
    return {
        **at_step,
        "valid_at": at_step["observed_at"],
        "precipitation_mm": over_step("precipitation", sum),
        "precipitation_probability": None if probability_pct is None else probability_pct / 100,
        "snow_mm": over_step("snowfall", sum),
        "wind_gust_ms": over_step("wind_gusts_10m", max),
    }


def _hour(times: Sequence[int], values: dict[str, _Values], index: int) -> dict[str, Any]:
    """Return the row of an hour."""
    code = values["weather_code"][index]
    if code is not None and not (code.is_integer() and 0 <= code <= 99):
        raise MalformedError(NAME, f"hourly.weather_code[{index}]: {code:g} is no WMO code")
    return {
        "observed_at": dt.datetime.fromtimestamp(times[index], dt.UTC),
        "temperature_c": _rounded(values["temperature_2m"][index]),
        "feels_like_c": _rounded(values["apparent_temperature"][index]),
        "humidity_pct": _rounded(values["relative_humidity_2m"][index]),
        "precipitation_mm": _rounded(values["precipitation"][index]),
        "snow_mm": _rounded(values["snowfall"][index]),
        "wind_speed_ms": _rounded(values["wind_speed_10m"][index]),
        "wind_gust_ms": _rounded(values["wind_gusts_10m"][index]),
        "cloud_pct": _rounded(values["cloud_cover"][index]),
        "visibility_m": _rounded(values["visibility"][index]),
        "conditions": None if code is None else _BY_WMO.get(int(code)),
        "condition_code": None if code is None else int(code),
    }


def _rounded(value: float | None) -> float | None:
    # 0.1 + 0.2 and 12.6 km/h would else differ from the same value in other units in the sixteenth digit
    return None if value is None else round(value, 4)


def weight(params: Mapping[str, Any]) -> float:
    """Return what a call for one place counts against the provider's limits: more than 1 for many variables or days."""
    variables = sum(len(str(params[group]).split(",")) for group in ("hourly", "current") if group in params) / 10
    days = int(params.get("forecast_days", 7))
    if "start_date" in params:
        first, last = (dt.date.fromisoformat(params[name]) for name in ("start_date", "end_date"))
        days = (last - first).days + 1
    return max(1.0, variables, variables * days / 14)


_OUR_UNITS = {"wind_speed_unit": "ms", "timeformat": "unixtime", "timezone": "GMT"}
_CLOCK = {"current": "weather_code"}
"""Asked for because the provider's own time comes with it, by which the hours to come are known."""


class OpenMeteo:
    """The client of the forecast host; the key is needed only for the paid one."""

    name = NAME
    units_per_forecast = max(1.0, (len(_UNITS) + 1) / 10)
    """By :func:`weight`."""

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        self._http = _http(self.name, settings, access)

    def forecast(self, latitude: float, longitude: float) -> pd.DataFrame:
        """Return the next 40 steps for a place (degrees north and east); raises :class:`SourceError`."""
        params = {
            "latitude": latitude,
            "longitude": longitude,
            "hourly": ",".join(_UNITS),
            **_CLOCK,
            **_OUR_UNITS,
            "forecast_days": 6,  # the days begin at midnight: late in the evening five of them hold 33 steps to come
        }
        return parse_forecast(self._http.get_json("/v1/forecast", params)).head(STEPS)

    def observations(self, latitude: float, longitude: float, first: dt.date, last: dt.date) -> pd.DataFrame:
        """Return the hours of the UTC days ``first`` to ``last``, both included, as the newest model runs have them.

        The host has 92 past days; raises :class:`SourceError`, a permanent one for a day that it refuses.
        """
        params = {"latitude": latitude, "longitude": longitude, **self._of_days(first, last)}
        return parse_observations(self._http.get_json("/v1/forecast", params), "analysis")

    def units_per_range(self, first: dt.date, last: dt.date) -> float:
        """Return what the hours of these days cost for one place, by :func:`weight`."""
        return weight(self._of_days(first, last))

    def _of_days(self, first: dt.date, last: dt.date) -> dict[str, str]:
        dates = {"start_date": str(first), "end_date": str(last)}
        return {**dates, "hourly": ",".join(_OBSERVED), **_CLOCK, **_OUR_UNITS}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class OpenMeteoArchive:
    """The client of the archive: ERA5, the reanalysis of ECMWF's Copernicus service, from 1940 on.

    ERA5 is asked for by name. The archive would else fill in with the forecast model IFS from 2017 on, and one column
    would not mean the same through the years.
    """

    name = "open-meteo-archive"

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        self._http = _http(self.name, settings, access)

    def observations(self, latitude: float, longitude: float, first: dt.date, last: dt.date) -> pd.DataFrame:
        """Return the hours of the UTC days ``first`` to ``last``, both included, save those that ERA5 has not reached.

        It is 5 to 7 days behind. Raises :class:`SourceError`, a permanent one for a day that the archive refuses.
        """
        params = {"latitude": latitude, "longitude": longitude, **self._of_days(first, last)}
        return parse_observations(self._http.get_json("/v1/archive", params), "reanalysis")

    def units_per_range(self, first: dt.date, last: dt.date) -> float:
        """Return what the hours of these days cost for one place, by :func:`weight`."""
        return weight(self._of_days(first, last))

    def _of_days(self, first: dt.date, last: dt.date) -> dict[str, str]:
        dates = {"start_date": str(first), "end_date": str(last)}
        return {**dates, "hourly": ",".join(_IN_ERA5), "models": "era5", **_OUR_UNITS}

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _http(provider: str, settings: ProviderSettings, access: Access) -> Http:
    secrets = {"apikey": settings.key} if settings.key else None
    return Http(provider, settings, access, secrets=secrets, explain=partial(_explain, provider), cost=weight)


def _explain(provider: str, response: requests.Response) -> SourceError | None:
    if response.status_code != 429:
        return None
    reason = response.text.casefold()
    if "hourly" in reason or "daily" in reason:
        return QuotaError(provider, describe(response))
    if "minutely" in reason:
        # No Retry-After is documented; the counter falls at the next full minute.
        return TransientError(provider, describe(response), retry_after_s=retry_after_s(response) or 60)
    return None
