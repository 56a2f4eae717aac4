"""OpenWeatherMap's 5 day / 3 hour forecast: https://openweathermap.org/forecast5.

The answer does not say which units it is in. The client asks for ``units=metric``; a forecast that was fetched in
kelvin is refused by its temperatures, one in degrees Fahrenheit cannot be told apart.
"""

import datetime as dt
from typing import Any

import pandas as pd
import requests
from pydantic import Field, SecretStr

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.forecast import STEP_S, STEPS, Conditions, forecast_frame
from gans_pipeline.sources.http import (
    Access,
    Http,
    MalformedError,
    PermanentError,
    SourceError,
    TransientError,
    describe,
    retry_after_s,
)
from gans_pipeline.sources.payloads import Payload, validate

NAME = "openweathermap"

# https://openweathermap.org/weather-conditions; what is not listed goes by its hundreds
_BY_ID: dict[int, Conditions] = {
    511: "freezing rain",
    **dict.fromkeys((611, 612, 613, 615, 616), "sleet"),
    **dict.fromkeys((701, 741), "mist"),
    **dict.fromkeys((711, 721, 731, 751, 761, 762), "haze"),
    771: "squall",
    781: "tornado",
    800: "clear",
}
_BY_HUNDREDS: dict[int, Conditions] = {2: "thunderstorm", 3: "drizzle", 5: "rain", 6: "snow", 8: "clouds"}


class _Main(Payload):
    temp: float
    feels_like: float | None = None  # not in files of 2017
    humidity: float | None


class _Weather(Payload):
    id: int = Field(ge=0, lt=1000)


class _Clouds(Payload):
    all: float | None


class _Wind(Payload):
    speed: float | None
    gust: float | None = None


class _Step(Payload):
    dt: int = Field(ge=0, le=253402300799, multiple_of=STEP_S)
    main: _Main
    weather: list[_Weather] = Field(min_length=1)
    clouds: _Clouds
    wind: _Wind
    visibility: float | None = None
    pop: float | None = None  # not in files of 2017
    rain: dict[str, float | None] | None = Field(default_factory=dict)
    snow: dict[str, float | None] | None = Field(default_factory=dict)


class _Forecast(Payload):
    steps: list[_Step] = Field(alias="list", min_length=1)


def parse_forecast(payload: Any) -> pd.DataFrame:
    """Return the forecast (metric units, the decoded JSON of ``mode=json``) by step, in the order of time.

    Columns and units are those of ``tables.weather_forecasts``. Without rain or snow the provider leaves the key out
    or its object empty: both are 0 mm. A null, or an object that has no ``3h``, is an amount that we do not know.
    Raises :class:`MalformedError` naming the place, also for a saved error body.
    """
    if isinstance(payload, dict) and "list" not in payload and "message" in payload:
        raise MalformedError(NAME, f"an error and no forecast: cod {payload.get('cod')!r}, {payload['message']!s:.200}")
    steps = validate(_Forecast, payload, NAME).steps
    first_at: dict[int, int] = {}
    for index, step in enumerate(steps):
        if first_at.setdefault(step.dt, index) != index:
            raise MalformedError(NAME, f"list[{index}].dt: {step.dt} is also the time of list[{first_at[step.dt]}]")
    return forecast_frame(map(_row, steps), NAME)


def _row(step: _Step) -> dict[str, Any]:
    rain, snow = _amount_mm(step.rain), _amount_mm(step.snow)
    condition_id = step.weather[0].id
    return {
        "valid_at": dt.datetime.fromtimestamp(step.dt, dt.UTC),
        "temperature_c": step.main.temp,
        "feels_like_c": step.main.feels_like,
        "humidity_pct": step.main.humidity,
        "precipitation_mm": None if rain is None or snow is None else round(rain + snow, 4),
        "precipitation_probability": step.pop,
        "snow_mm": snow,
        "wind_speed_ms": step.wind.speed,
        "wind_gust_ms": step.wind.gust,
        "cloud_pct": step.clouds.all,
        "visibility_m": step.visibility,
        "conditions": _BY_ID.get(condition_id, _BY_HUNDREDS.get(condition_id // 100)),
        "condition_code": condition_id,
    }


def _amount_mm(amount: dict[str, float | None] | None) -> float | None:
    if amount is None:
        return None
    return amount.get("3h") if amount else 0.0


class OpenWeatherMap:
    """The client; raises :class:`PermanentError` when it is made without a key."""

    name = NAME
    units_per_forecast = 1.0

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        self._http = Http(NAME, settings, access, secrets={"appid": _required_key(settings.key)}, explain=_explain)

    def forecast(self, latitude: float, longitude: float) -> pd.DataFrame:
        """Return the next 40 steps for a place (degrees north and east); raises :class:`SourceError`."""
        params = {"lat": latitude, "lon": longitude, "units": "metric", "cnt": STEPS}
        return parse_forecast(self._http.get_json("/data/2.5/forecast", params))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


HOW_TO_GET_A_KEY = "a free key is at https://home.openweathermap.org/api_keys"


def _required_key(key: SecretStr | None) -> SecretStr:
    if key is None:
        raise PermanentError(NAME, f"no key: set GANS_OPENWEATHERMAP_KEY ({HOW_TO_GET_A_KEY})")
    return key


def _explain(response: requests.Response) -> SourceError | None:
    # By the status alone: the body's cod is a number here and a text there, and says nothing else.
    if response.status_code == 401:
        return PermanentError(
            NAME,
            f"the key was refused ({describe(response)}): check GANS_OPENWEATHERMAP_KEY; "
            f"a new one needs up to 2 hours, {HOW_TO_GET_A_KEY}",
        )
    if response.status_code == 429:
        # The limit is one a minute, and no Retry-After is sent.
        return TransientError(NAME, describe(response), retry_after_s=retry_after_s(response) or 60)
    return None
