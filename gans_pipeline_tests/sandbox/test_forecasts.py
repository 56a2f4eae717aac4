"""Both weather services of the sandbox: their formats and errors, and the weather itself."""

from datetime import datetime, timedelta
from statistics import mean
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gans_pipeline.sandbox import weather
from gans_pipeline.sandbox.geography import World
from gans_pipeline_tests.sandbox.conftest import NOW, Sandbox

BAD_KEY = {
    "cod": 401,
    "message": "Invalid API key. Please see https://openweathermap.org/faq#error401 for more info.",
}
NO_PLACE = {"cod": "400", "message": "Nothing to geocode"}


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ({"appid": ""}, 401, BAD_KEY),
        ({"appid": None}, 401, BAD_KEY),
        ({"appid": "invalid"}, 401, BAD_KEY),
        ({"lat": None}, 400, NO_PLACE),
        ({"lon": ""}, 400, NO_PLACE),
        ({"lat": 91}, 400, {"cod": "400", "message": "wrong latitude"}),
        ({"lat": "nan"}, 400, {"cod": "400", "message": "wrong latitude"}),
        ({"lon": "east"}, 400, {"cod": "400", "message": "wrong longitude"}),
        ({"q": "Nowhere"}, 404, {"cod": "404", "message": "city not found"}),
    ],
)
def test_openweathermap_errors_have_its_types(sandbox: Sandbox, query: Any, status: int, body: Any) -> None:
    answer = sandbox.forecast(**query)
    assert (answer.status_code, answer.json()) == (status, body)


def test_openweathermap_does_not_say_when_to_come_back(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"openweathermap": {"per_minute": 0}})
    answer = sandbox.forecast()
    assert answer.status_code == 429
    assert answer.json()["cod"] == 429
    assert answer.json()["message"].startswith("Your account is temporary blocked due to exceeding of requests")
    assert "Retry-After" not in answer.headers


def test_openweathermap_has_40_steps_from_the_next_three_hours_on(sandbox: Sandbox) -> None:
    body = sandbox.forecast().json()
    assert (body["cod"], body["cnt"], len(body["list"])) == ("200", 40, 40)
    assert body["list"][0]["dt_txt"] == "2026-11-23 12:00:00"
    assert {late["dt"] - early["dt"] for early, late in zip(body["list"], body["list"][1:], strict=False)} == {10800}
    assert len(sandbox.forecast(cnt=3).json()["list"]) == 3


def test_openweathermap_names_a_place_that_is_not_the_city(sandbox: Sandbox, world: World) -> None:
    for city in world.cities[:10]:
        place = sandbox.forecast(lat=city.latitude, lon=city.longitude).json()["city"]
        assert place["name"] != city.name
        offset = NOW.astimezone(ZoneInfo(city.timezone)).utcoffset()
        assert offset is not None
        assert place["timezone"] == offset.total_seconds()


def test_openweathermap_leaves_rain_and_snow_out_when_dry(sandbox: Sandbox, world: World) -> None:
    steps = [
        step
        for city in world.cities
        for step in sandbox.forecast(lat=city.latitude, lon=city.longitude, units="metric").json()["list"]
    ]
    wet = [step for step in steps if "rain" in step or "snow" in step]
    assert 0.05 < len(wet) / len(steps) < 0.4
    assert all(amount["3h"] > 0 for step in steps for key in ("rain", "snow") if (amount := step.get(key)))
    assert all(step["weather"][0]["main"] in ("Rain", "Snow") for step in wet)
    assert {type(step["pop"]) for step in steps} == {int, float}
    assert all(0 <= step["pop"] <= 1 for step in steps)
    assert all(step["main"]["temp"] > 0 for step in steps if "rain" in step and "snow" not in step)


def test_openweathermap_converts_units(sandbox: Sandbox) -> None:
    kelvin, metric, imperial = (
        sandbox.forecast(**query).json()["list"][0] for query in ({}, {"units": "metric"}, {"units": "imperial"})
    )
    celsius = metric["main"]["temp"]
    assert kelvin["main"]["temp"] == pytest.approx(celsius + 273.15, abs=0.01)
    assert imperial["main"]["temp"] == pytest.approx(celsius * 1.8 + 32, abs=0.01)
    assert imperial["wind"]["speed"] == pytest.approx(metric["wind"]["speed"] * 2.237, abs=0.01)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"latitude": 123}, "Latitude must be in range of -90 to 90°. Given: 123.0."),
        ({"longitude": -181}, "Longitude must be in range of -180 to 180°. Given: -181.0."),
        ({"forecast_days": 20}, "Forecast days is invalid. Allowed range 0 to 16. Given 20."),
        ({"forecast_days": "9" * 5000}, f"Forecast days is invalid. Allowed range 0 to 16. Given {'9' * 5000}."),
        ({"past_days": 99}, "Past days is invalid. Allowed range 0 to 92. Given 99."),
        ({"timezone": "Mars/Olympus"}, "Invalid timezone"),
        ({"latitude": "1,2"}, "Parameter 'latitude' and 'longitude' must have the same number of elements"),
        ({"hourly": "tempeture_2m"}, "from invalid String value tempeture_2m."),
        ({"wind_speed_unit": "knots"}, "from invalid String value knots."),
        ({"daily": "sunrise"}, "Given: daily."),
        ({"start_date": "2026-11-01"}, "Both 'start_date' and 'end_date' must be set in the url"),
        (
            {"start_date": "2026-11-01", "end_date": "2026-11-02", "past_days": 1},
            "Parameter 'past_days' is mutually exclusive with 'start_date' and 'end_date'",
        ),
        (
            {"start_date": "2026-08-22", "end_date": "2026-11-02"},
            "Parameter 'start_date' is out of allowed range from 2026-08-23 to 2026-12-09",
        ),
        (
            {"start_date": "2026-11-02", "end_date": "2026-12-10"},
            "Parameter 'end_date' is out of allowed range from 2026-08-23 to 2026-12-09",
        ),
        ({"start_date": "2026-11-02", "end_date": "2026-11-01"}, "End-date must be larger or equals than start-date"),
        ({"start_date": "yesterday", "end_date": "2026-11-01"}, "Make sure to use 'YYYY-MM-DD'"),
    ],
)
def test_open_meteo_names_what_is_wrong(sandbox: Sandbox, query: Any, reason: str) -> None:
    answer = sandbox.open_meteo(**query)
    assert answer.status_code == 400
    assert answer.json()["error"] is True
    assert answer.json()["reason"].endswith(reason)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ("per_minute", "Minutely API request limit exceeded. Please try again in one minute."),
        ("per_hour", "Hourly API request limit exceeded. Please try again in the next hour."),
        ("per_day", "Daily API request limit exceeded. Please try again tomorrow."),
        ("concurrency", "Too many concurrent requests"),
    ],
)
def test_open_meteo_names_the_limit_without_retry_after(sandbox: Sandbox, limit: str, reason: str) -> None:
    sandbox.put("limits", {"open-meteo": {limit: 0}})
    answer = sandbox.open_meteo()
    assert (answer.status_code, answer.json()) == (429, {"error": True, "reason": reason})
    assert "Retry-After" not in answer.headers


def test_open_meteo_counts_places_and_variables(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"open-meteo": {"per_day": 5}})
    many = ",".join(["rain"] * 14)
    assert sandbox.open_meteo(latitude="1,2,3", longitude="1,2,3", hourly="rain").status_code == 200  # 3
    assert sandbox.open_meteo(hourly=many, forecast_days=14).status_code == 200  # 1.4
    assert sandbox.open_meteo(hourly="rain").status_code == 429  # 0.6 is left
    sandbox.put("limits", {"open-meteo": {"per_day": 5}})
    assert sandbox.open_meteo(hourly="rain").status_code == 200


def test_open_meteo_answers_one_place_as_an_object_and_more_as_a_list(sandbox: Sandbox) -> None:
    one = sandbox.open_meteo().json()
    two = sandbox.open_meteo(latitude="52.52,-33.87", longitude="13.405,151.21").json()
    assert {name: value for name, value in two[0].items() if name != "generationtime_ms"} == {
        name: value for name, value in one.items() if name != "generationtime_ms"
    }
    assert "location_id" not in two[0]
    assert two[1]["location_id"] == 1


def test_open_meteo_answers_for_its_grid_and_only_what_was_asked(sandbox: Sandbox) -> None:
    body = sandbox.open_meteo(hourly="rain,temperature_20m").json()
    assert (body["latitude"], body["longitude"]) != (52.52, 13.405)
    assert abs(body["latitude"] - 52.52) < 0.04
    assert body["hourly"].keys() == {"time", "rain", "temperature_20m"}
    assert body["hourly_units"] == {"time": "iso8601", "rain": "mm", "temperature_20m": "undefined"}
    assert set(body["hourly"]["temperature_20m"]) == {None}
    assert len(body["hourly"]["rain"]) == len(body["hourly"]["time"]) == 7 * 24
    assert "hourly" not in sandbox.open_meteo(hourly="").json()


def test_open_meteo_has_nulls_where_its_model_ends(sandbox: Sandbox) -> None:
    places = [(latitude, 10 + latitude) for latitude in range(60)]
    query = {"latitude": ",".join(str(p[0]) for p in places), "longitude": ",".join(str(p[1]) for p in places)}
    answers = sandbox.open_meteo(**query, hourly="visibility,temperature_2m").json()
    short = [place for place in answers if None in place["hourly"]["visibility"]]
    assert 1 <= len(short) <= 15
    assert all(None not in place["hourly"]["visibility"][:72] for place in short)
    assert all(None not in place["hourly"]["temperature_2m"] for place in answers)


def test_open_meteo_converts_units_and_times(sandbox: Sandbox) -> None:
    variables = "temperature_2m,wind_speed_10m"
    plain = sandbox.open_meteo(hourly=variables).json()
    other = sandbox.open_meteo(
        hourly=variables, temperature_unit="fahrenheit", wind_speed_unit="ms", timeformat="unixtime"
    ).json()
    assert plain["hourly_units"] == {"time": "iso8601", "temperature_2m": "°C", "wind_speed_10m": "km/h"}
    assert other["hourly_units"] == {"time": "unixtime", "temperature_2m": "°F", "wind_speed_10m": "m/s"}
    assert plain["hourly"]["time"][0] == "2026-11-23T00:00"
    assert other["hourly"]["time"][0] == datetime.fromisoformat("2026-11-23T00:00Z").timestamp()
    assert other["hourly"]["temperature_2m"][0] == pytest.approx(
        plain["hourly"]["temperature_2m"][0] * 1.8 + 32, abs=0.15
    )
    assert plain["hourly"]["wind_speed_10m"][0] == pytest.approx(other["hourly"]["wind_speed_10m"][0] * 3.6, abs=0.3)


@pytest.mark.parametrize(
    ("now", "hours", "two_o_clock"), [("2026-10-25T09:00Z", 25, 2), ("2026-03-29T09:00Z", 23, 0), (None, 24, 1)]
)
def test_open_meteo_days_have_the_hours_of_the_local_clock(
    sandbox: Sandbox, now: str | None, hours: int, two_o_clock: int
) -> None:
    if now:
        sandbox.put("now", {"now": now})
    times = sandbox.open_meteo(timezone="auto", forecast_days=1).json()["hourly"]["time"]
    assert len(times) == hours
    assert sum(time.endswith("T02:00") for time in times) == two_o_clock


def test_open_meteo_current_is_the_quarter_of_an_hour(sandbox: Sandbox) -> None:
    body = sandbox.open_meteo(hourly="", current="weather_code", timeformat="unixtime").json()
    assert body["current_units"] == {"time": "unixtime", "interval": "seconds", "weather_code": "wmo code"}
    assert body["current"]["time"] == datetime.fromisoformat("2026-11-23T11:15Z").timestamp()
    assert isinstance(body["current"]["weather_code"], int)


@pytest.mark.parametrize(
    "days", [{"past_days": 2, "forecast_days": 1}, {"start_date": "2026-11-21", "end_date": "2026-11-23"}]
)
def test_open_meteo_has_past_days_by_number_or_by_date(sandbox: Sandbox, days: Any) -> None:
    times = sandbox.open_meteo(**days).json()["hourly"]["time"]
    assert (times[0], times[-1], len(times)) == ("2026-11-21T00:00", "2026-11-23T23:00", 72)


def test_what_was_is_the_same_whenever_it_is_asked_for_and_forecasts_drift_towards_it(sandbox: Sandbox) -> None:
    day = {"start_date": "2026-11-24", "end_date": "2026-11-24", "hourly": "temperature_2m"}

    def seen(at: str) -> list[float]:
        sandbox.put("now", {"now": at})
        hours: list[float] = sandbox.open_meteo(**day).json()["hourly"]["temperature_2m"]
        return hours

    early, late, after, long_after = map(
        seen, ("2026-11-17T12:00Z", "2026-11-23T23:00Z", "2026-11-25T00:00Z", "2026-12-24T00:00Z")
    )
    assert after == long_after
    errors = [mean(abs(a - b) for a, b in zip(forecast, after, strict=True)) for forecast in (early, late)]
    assert 0 < errors[1] < errors[0]


def test_the_archive_has_the_same_sky_on_its_own_grid(sandbox: Sandbox) -> None:
    query = {"latitude": 52.38, "start_date": "2026-11-01", "end_date": "2026-11-07"}
    analysis, reanalysis = sandbox.open_meteo(**query).json(), sandbox.open_meteo_archive(**query, models="era5").json()
    assert analysis["latitude"] != reanalysis["latitude"]
    assert analysis["hourly"]["time"] == reanalysis["hourly"]["time"]
    pairs = zip(analysis["hourly"]["temperature_2m"], reanalysis["hourly"]["temperature_2m"], strict=True)
    differences = [abs(one - other) for one, other in pairs]
    assert 0 < max(differences) < 1.5


def test_the_archive_is_null_for_the_last_five_days_and_lacks_visibility(sandbox: Sandbox) -> None:
    body = sandbox.open_meteo_archive(
        start_date="2026-11-17", end_date="2026-11-23", hourly="temperature_2m,visibility"
    ).json()
    known = [time for time, value in zip(*map(body["hourly"].get, ("time", "temperature_2m")), strict=True) if value]
    assert (known[0], known[-1]) == ("2026-11-17T00:00", "2026-11-18T11:00")
    assert body["hourly_units"]["visibility"] == "undefined"
    assert set(body["hourly"]["visibility"]) == {None}
    old = sandbox.open_meteo_archive(start_date="1940-01-01", end_date="1940-01-01").json()["hourly"]["temperature_2m"]
    assert None not in old


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"end_date": ""}, "Both 'start_date' and 'end_date' must be set in the url"),
        (
            {"start_date": "1939-12-31"},
            "Parameter 'start_date' is out of allowed range from 1940-01-01 to 2026-11-23",
        ),
        (
            {"end_date": "2026-11-24"},
            "Parameter 'end_date' is out of allowed range from 1940-01-01 to 2026-11-23",
        ),
        ({"models": "cerra"}, "The sandbox serves models=era5 only. Given: cerra."),
        ({"latitude": 91}, "Latitude must be in range of -90 to 90°. Given: 91.0."),
    ],
)
def test_the_archive_names_what_is_wrong(sandbox: Sandbox, query: Any, reason: str) -> None:
    answer = sandbox.open_meteo_archive(**query)
    assert (answer.status_code, answer.json()) == (400, {"error": True, "reason": reason})


def test_the_archive_counts_days_for_itself(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"open-meteo-archive": {"per_day": 3}})
    many = ",".join(["rain"] * 10)
    assert (
        sandbox.open_meteo_archive(hourly=many, start_date="2026-07-01", end_date="2026-07-28").status_code == 200
    )  # 2
    assert sandbox.open_meteo_archive(hourly=many, start_date="2026-07-01", end_date="2026-07-28").status_code == 429
    assert sandbox.open_meteo().status_code == 200


def _temperatures(seed: int, latitude: float, longitude: float, month: int, hour: int) -> float:
    issued = datetime.fromisoformat(f"2026-{month:02}-15T00:00Z")
    times = [int(issued.timestamp()) + 86400 * day + 3600 * hour for day in range(-10, 10)]
    return mean(h.temperature_c for h in weather.hours(seed, latitude, longitude, times, issued))


def test_weather_follows_latitude_season_and_hour() -> None:
    assert _temperatures(0, 52.5, 13.4, 7, 13) - _temperatures(0, 52.5, 13.4, 1, 13) > 10
    assert _temperatures(0, -33.9, 151.2, 1, 4) - _temperatures(0, -33.9, 151.2, 7, 4) > 6
    assert _temperatures(0, 1.3, 103.8, 6, 6) - _temperatures(0, 64.1, -21.9, 6, 13) > 8
    assert _temperatures(0, 30, 31.2, 6, 13) - _temperatures(0, 30, 31.2, 6, 2) > 3


def test_neighbours_have_the_same_weather_and_far_places_do_not() -> None:
    times = [int(NOW.timestamp()) + 3600 * hour for hour in range(72)]
    here, near, far = (
        weather.hours(0, latitude, longitude, times, NOW)
        for latitude, longitude in ((52.5, 13.4), (52.4, 13.1), (51.5, -30.0))
    )
    assert mean(abs(a.cloud_cover - b.cloud_cover) for a, b in zip(here, near, strict=True)) < 12
    assert mean(abs(a.cloud_cover - b.cloud_cover) for a, b in zip(here, far, strict=True)) > 15


def test_a_forecast_is_stable_within_an_hour_and_refined_between_hours(sandbox: Sandbox) -> None:
    def issued_at(now: datetime) -> dict[int, float]:
        sandbox.put("now", {"now": now.isoformat()})
        return {step["dt"]: step["main"]["temp"] for step in sandbox.forecast(units="metric").json()["list"]}

    first, within, later = (issued_at(now) for now in (NOW, NOW + timedelta(minutes=30), NOW + timedelta(hours=3)))
    assert within == first
    common = sorted(first.keys() & later.keys())
    changes = [abs(first[at] - later[at]) for at in common]
    assert len(common) == 39
    assert 0 < max(changes) < 4
    assert mean(changes[:8]) < mean(changes[-8:])
