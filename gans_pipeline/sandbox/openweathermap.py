"""OpenWeatherMap's forecast for 5 days in steps of 3 hours, with its types: ``cod`` is a text or a number by status."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gans_pipeline.sandbox import weather
from gans_pipeline.sandbox.faults import UNIX_TIMES_A_CENTURY_LATER, rewrites, says
from gans_pipeline.sandbox.geography import City, World, zone_of
from gans_pipeline.sandbox.state import State

STEP_S = 3 * weather.HOUR_S
STEPS = 40
FARTHEST_VISIBILITY_M = 10_000
REJECTED_KEY = "invalid"

_BLOCKED = (
    "Your account is temporary blocked due to exceeding of requests limitation of your subscription type."
    " Please choose the proper subscription https://openweathermap.org/price"
)
_BAD_KEY = "Invalid API key. Please see https://openweathermap.org/faq#error401 for more info."

FAULTS = {
    "401": says(JSONResponse({"cod": 401, "message": _BAD_KEY}, 401)),
    "empty": rewrites(r'"list":\[.*\],"city"', '"list":[],"city"'),
    "missing-field": rewrites(r'"temp":[^,]+,', ""),
    "renamed-field": rewrites('"temp":', '"temperature":'),
    "retyped-field": rewrites(r'"humidity":(\d+)', r'"humidity":"\1 %"'),
    "unknown-fields": rewrites('"dt":', '"uvi":[1,{"risk":null}],"dt":'),
    "implausible": rewrites(r'"temp":[^,]+', '"temp":200'),
    "wrong-century": UNIX_TIMES_A_CENTURY_LATER,
}
"""The faults that are this provider's own."""


def refusal(_limit: str, _renewed_in_s: int) -> Response:
    """Return the answer to one request too many; it does not say when to come back."""
    return JSONResponse({"cod": 429, "message": _BLOCKED}, 429)


def routes(world: World, state: State) -> list[Route]:
    """Return the route of the forecast."""

    async def forecast(request: Request) -> Response:
        return _answer(world, state.now(), request.query_params)

    return [Route("/data/2.5/forecast", forecast)]


def _answer(world: World, now: datetime, query: Mapping[str, str]) -> Response:
    if query.get("appid", "").strip() in ("", REJECTED_KEY):
        return JSONResponse({"cod": 401, "message": _BAD_KEY}, 401)
    if "q" in query:  # the built-in geocoder; deprecated, knows only the sandbox's cities here
        named = world.by_title.get(query["q"])
        if named is None:
            return JSONResponse({"cod": "404", "message": "city not found"}, 404)
        latitude, longitude, place = named.latitude, named.longitude, named
    else:
        if not query.get("lat") or not query.get("lon"):
            return JSONResponse({"cod": "400", "message": "Nothing to geocode"}, 400)
        position = []
        for name, word, limit in (("lat", "latitude", 90), ("lon", "longitude", 180)):
            degrees = _number(query[name])
            if degrees is None or not abs(degrees) <= limit:
                return JSONResponse({"cod": "400", "message": f"wrong {word}"}, 400)
            position.append(degrees)
        latitude, longitude = position
        place = _gazetteer_entry(world, latitude, longitude)
    steps = query.get("cnt", str(STEPS))
    if not steps.isdecimal() or int(steps) < 1:
        return JSONResponse({"cod": "400", "message": "wrong cnt"}, 400)
    units = query.get("units", "standard")
    listed = _steps(world.seed, latitude, longitude, now, min(STEPS, int(steps)), units)
    offset = now.astimezone(zone_of(place.timezone)).utcoffset()
    sunrise, sunset = weather.sun_times(now.timestamp(), latitude, longitude)
    return JSONResponse(
        {
            "cod": "200",
            "message": 0,
            "cnt": len(listed),
            "list": listed,
            "city": {
                "id": place.geonames_id,
                "name": place.name,
                "coord": {"lat": round(latitude, 4), "lon": round(longitude, 4)},
                "country": place.country_code,
                "population": place.population if "q" in query else 0,
                "timezone": int(offset.total_seconds()) if offset else 0,
                "sunrise": sunrise,
                "sunset": sunset,
            },
        }
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _gazetteer_entry(world: World, latitude: float, longitude: float) -> City:
    """Return the nearest place that is not the city asked for: a quarter, as the real gazetteer has it."""
    near = [place for distance, place in world.places.within(latitude, longitude, 60) if distance > 2]
    return near[0] if near else world.places.nearest(latitude, longitude)


def _steps(seed: int, latitude: float, longitude: float, now: datetime, count: int, units: str) -> list[dict[str, Any]]:
    first = int(now.timestamp()) // STEP_S * STEP_S + STEP_S
    hourly = weather.hours(
        seed,
        latitude,
        longitude,
        (first + hour * weather.HOUR_S for hour in range(-2, 3 * count - 2)),
        now,
    )
    return [_step(hourly[3 * step : 3 * step + 3], units, fresh=step < 3) for step in range(count)]


def _step(three: list[weather.Hour], units: str, *, fresh: bool) -> dict[str, Any]:
    """Return one step: the state of its hour, and the rain of the three hours that end then."""
    hour = three[-1]
    at = datetime.fromtimestamp(hour.at, UTC)
    pod = "d" if hour.is_day else "n"
    rain = round(sum(h.rain_mm for h in three), 2)
    snow = round(sum(h.snow_mm for h in three), 2)
    spread = round(0.4 * abs(three[-1].temperature_c - three[0].temperature_c), 2) if fresh else 0
    temperature = _temperature(hour.temperature_c, units)
    speed_factor = 2.236936 if units == "imperial" else 1
    step: dict[str, Any] = {
        "dt": hour.at,
        "main": {
            "temp": temperature,
            "feels_like": _temperature(hour.feels_like_c, units),
            "temp_min": _temperature(hour.temperature_c - spread, units),
            "temp_max": temperature,
            "pressure": round(hour.pressure_hpa),
            "sea_level": round(hour.pressure_hpa),
            "grnd_level": round(hour.pressure_hpa - 5),
            "humidity": hour.humidity,
            "temp_kf": _plain(spread),
        },
        "weather": [_condition(rain, snow, hour.cloud_cover, pod)],
        "clouds": {"all": hour.cloud_cover},
        "wind": {
            "speed": _plain(hour.wind_speed_ms * speed_factor),
            "deg": hour.wind_direction,
            "gust": _plain(hour.wind_gust_ms * speed_factor),
        },
        "visibility": min(FARTHEST_VISIBILITY_M, round(hour.visibility_m)),
        "pop": _plain(max(h.precipitation_probability for h in three) / 100),
    }
    if rain > 0:
        step["rain"] = {"3h": _plain(rain)}
    if snow > 0:
        step["snow"] = {"3h": _plain(snow)}
    step["sys"] = {"pod": pod}
    step["dt_txt"] = f"{at:%Y-%m-%d %H:%M:%S}"
    return step


def _temperature(celsius: float, units: str) -> float:
    match units:
        case "metric":
            return _plain(celsius)
        case "imperial":
            return _plain(celsius * 1.8 + 32)
        case _:
            return _plain(celsius + 273.15)


def _plain(value: float) -> float:
    """Return a number as the provider prints it: two decimals, and 15 rather than 15.0."""
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _condition(rain: float, snow: float, cloud_cover: int, pod: str) -> dict[str, Any]:
    """Return the condition; the ids are those of OpenWeatherMap's table."""
    if snow > 0:
        number, group, text, icon = (600, "Snow", "light snow", "13") if snow < 1.5 else (601, "Snow", "snow", "13")
    elif rain >= 12:
        number, group, text, icon = 502, "Rain", "heavy intensity rain", "10"
    elif rain >= 3:
        number, group, text, icon = 501, "Rain", "moderate rain", "10"
    elif rain > 0:
        number, group, text, icon = 500, "Rain", "light rain", "10"
    elif cloud_cover > 84:
        number, group, text, icon = 804, "Clouds", "overcast clouds", "04"
    elif cloud_cover > 50:
        number, group, text, icon = 803, "Clouds", "broken clouds", "04"
    elif cloud_cover > 25:
        number, group, text, icon = 802, "Clouds", "scattered clouds", "03"
    elif cloud_cover > 10:
        number, group, text, icon = 801, "Clouds", "few clouds", "02"
    else:
        number, group, text, icon = 800, "Clear", "clear sky", "01"
    return {"id": number, "main": group, "description": text, "icon": icon + pod}
