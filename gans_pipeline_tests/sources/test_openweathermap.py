"""OpenWeatherMap's forecast: what is dry, what is unknown, what is refused, and what its errors mean."""

import copy
import datetime as dt
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from pydantic import SecretStr

from gans_pipeline.sources.http import Access, MalformedError, PermanentError, TransientError
from gans_pipeline.sources.openweathermap import OpenWeatherMap, parse_forecast
from gans_pipeline.tables import weather_forecasts
from gans_pipeline_tests.sources.local_provider import USER_AGENT, LocalProvider, as_json, local_provider
from gans_pipeline_tests.sources.mutations import mutated
from gans_pipeline_tests.sources.recorded import recorded

STEP: dict[str, Any] = {
    "dt": 1_699_984_800 + 10_800,
    "main": {"temp": 7.5, "feels_like": 4, "temp_min": 7, "humidity": 81, "pressure": 1002},
    "weather": [{"id": 601, "main": "Snow", "description": "snow"}],
    "clouds": {"all": 90},
    "wind": {"speed": 6.2, "deg": 250, "gust": 11.9},
    "visibility": 4000,
    "pop": 0.8,
    "rain": {"3h": 0.6},
    "snow": {"3h": 1.25},
}


def forecast(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"cod": "200", "message": 0, "cnt": len(steps), "list": list(steps), "city": {"name": "Elsewhere"}}


def step(**changes: Any) -> dict[str, Any]:
    changed = {**copy.deepcopy(STEP), **changes}
    return {name: value for name, value in changed.items() if value is not ...}


def only_row(**changes: Any) -> "pd.Series[Any]":
    return parse_forecast(forecast(step(**changes))).iloc[0]


def test_a_step_becomes_a_row_in_our_units() -> None:
    row = only_row()
    assert row["valid_at"] == pd.Timestamp(STEP["dt"], unit="s", tz="UTC")
    assert row.drop("valid_at").to_dict() == {
        "temperature_c": 7.5,
        "feels_like_c": 4.0,
        "humidity_pct": 81.0,
        "precipitation_mm": 1.85,
        "precipitation_probability": 0.8,
        "snow_mm": 1.25,
        "wind_speed_ms": 6.2,
        "wind_gust_ms": 11.9,
        "cloud_pct": 90.0,
        "visibility_m": 4000.0,
        "conditions": "snow",
        "condition_code": 601,
    }


def test_the_columns_are_those_of_the_table_in_its_order() -> None:
    given_elsewhere = {"city_id", "issued_at", "provider", "retrieved_at"}
    expected = [column.name for column in weather_forecasts.columns if column.name not in given_elsewhere]
    assert list(parse_forecast(forecast(step()))) == expected


@pytest.mark.parametrize("dry", [..., {}])
def test_what_is_absent_when_dry_is_zero(dry: Any) -> None:
    row = only_row(rain=dry, snow=dry)
    assert (row["precipitation_mm"], row["snow_mm"]) == (0, 0)


@pytest.mark.parametrize("unknown", [None, {"3h": None}, {"1h": 0.4}])
def test_an_amount_that_is_not_told_is_null(unknown: Any) -> None:
    row = only_row(rain=unknown)
    assert pd.isna(row["precipitation_mm"])
    assert row["snow_mm"] == 1.25


def test_a_file_of_2017_has_null_where_it_knows_nothing() -> None:
    old = step(rain={}, snow=..., pop=..., visibility=..., wind={"speed": 3.1}, main={"temp": 1, "humidity": 60})
    frame = parse_forecast({**forecast(old), "message": 0.0045})
    row = frame.iloc[0]
    unknown = ["feels_like_c", "precipitation_probability", "visibility_m", "wind_gust_ms"]
    assert row[unknown].isna().all()
    assert row.drop(unknown).notna().all()
    assert frame.dtypes.equals(parse_forecast(forecast(step())).dtypes)


@pytest.mark.parametrize(
    ("condition_id", "word"),
    [
        (211, "thunderstorm"),
        (301, "drizzle"),
        (500, "rain"),
        (511, "freezing rain"),
        (612, "sleet"),
        (622, "snow"),
        (741, "mist"),
        (761, "haze"),
        (781, "tornado"),
        (800, "clear"),
        (801, "clouds"),
        (999, None),
    ],
)
def test_conditions_have_one_word(condition_id: int, word: str | None) -> None:
    row = only_row(weather=[{"id": condition_id}])
    assert row["condition_code"] == condition_id
    assert row["conditions"] == word if word else pd.isna(row["conditions"])


def test_steps_come_in_the_order_of_time() -> None:
    later = step(dt=STEP["dt"] + 10_800)
    assert parse_forecast(forecast(later, step()))["valid_at"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"main": {"humidity": 3}}, "list[1].main.temp: Field required"),
        ({"main": {"temp": "8.5", "humidity": 3}}, "list[1].main.temp: Input should be a valid number, got '8.5'"),
        ({"main": {"temp": None, "humidity": 3}}, "list[1].main.temp"),
        ({"main": {"temp": float("nan"), "humidity": 3}}, "list[1].main.temp"),
        ({"main": {"temp": True, "humidity": 3}}, "list[1].main.temp"),
        ({"dt": ...}, "list[1].dt: Field required"),
        ({"dt": "2023-10-05"}, "list[1].dt"),
        ({"dt": STEP["dt"] + 3600}, "list[1].dt"),
        ({"dt": STEP["dt"]}, "list[1].dt: 1699995600 is also the time of list[0]"),
        ({"weather": []}, "list[1].weather"),
        ({"wind": ...}, "list[1].wind"),
        ({"rain": {"3h": "much"}}, "list[1].rain.3h"),
        ({"rain": [0.5]}, "list[1].rain"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(change: dict[str, Any], place: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_forecast(forecast(step(), step(**{"dt": STEP["dt"] + 10_800, **change})))
    assert raised.value.detail.startswith(place)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"main": {"temp": 280.6, "humidity": 3}}, "temperature_c"),
        ({"main": {"temp": 8, "humidity": 300}}, "humidity_pct"),
        ({"pop": 80}, "precipitation_probability"),
        ({"wind": {"speed": -1}}, "wind_speed_ms"),
        ({"snow": {"3h": -0.1}}, "snow_mm"),
    ],
)
def test_a_number_that_the_table_refuses_costs_one_answer_and_not_the_write(
    change: dict[str, Any], column: str
) -> None:
    with pytest.raises(MalformedError, match=f"{column} of row 0"):
        parse_forecast(forecast(step(**change)))


@pytest.mark.parametrize("payload", [None, [], {}, {"list": []}, "text", {"list": None}, {"list": {}}])
def test_what_is_no_forecast_is_refused(payload: Any) -> None:
    with pytest.raises(MalformedError):
        parse_forecast(payload)


@pytest.mark.parametrize("cod", [401, "404"])
def test_a_saved_error_is_refused_with_its_message(cod: Any) -> None:
    with pytest.raises(MalformedError, match=r"an error and no forecast: cod .*city not found"):
        parse_forecast({"cod": cod, "message": "city not found"})


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(mutated(forecast(step(), step(dt=STEP["dt"] + 10_800))))
def test_a_damaged_forecast_gives_a_frame_or_is_refused(payload: Any) -> None:
    with suppress(MalformedError):
        assert len(parse_forecast(payload))


def test_the_recorded_forecast_of_berlin() -> None:
    payload = json.loads(recorded("openweathermap/forecast_berlin_2023-10-05.json").read_text("utf-8"))
    frame = parse_forecast(payload)
    assert len(frame) == 40
    assert set(frame["valid_at"].diff().dropna()) == {pd.Timedelta(hours=3)}
    first, last = frame.iloc[0], frame.iloc[-1]
    assert first["valid_at"] == pd.Timestamp("2023-10-05 12:00", tz="UTC")
    assert (first["temperature_c"], first["feels_like_c"], first["precipitation_mm"]) == (15.86, 15.43, 0.38)
    assert (first["precipitation_probability"], first["wind_gust_ms"], first["visibility_m"]) == (0.27, 10.37, 10_000)
    assert (first["conditions"], first["condition_code"]) == ("rain", 500)
    assert last["valid_at"] == pd.Timestamp("2023-10-10 09:00", tz="UTC")
    assert (last["temperature_c"], last["precipitation_mm"]) == (14.02, 1.01)
    assert int((frame["precipitation_mm"] > 0).sum()) == sum("rain" in step for step in payload["list"])
    assert (frame["snow_mm"] == 0).all()
    assert frame.notna().all(axis=None)


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


def client(provider: LocalProvider) -> OpenWeatherMap:
    return OpenWeatherMap(provider.settings(key=SecretStr("0123456789abcdef")), Access(USER_AGENT))


def test_the_client_asks_for_metric_units_at_the_place(provider: LocalProvider) -> None:
    provider.answers = [as_json(forecast(step()))]
    assert len(client(provider).forecast(-23.55, -46.63)) == 1
    assert provider.asked[0].path == "/data/2.5/forecast"
    assert provider.asked[0].query == {
        "lat": "-23.55",
        "lon": "-46.63",
        "units": "metric",
        "cnt": "40",
        "appid": "0123456789abcdef",
    }


def test_without_a_key_it_says_which_variable_to_set(provider: LocalProvider) -> None:
    with pytest.raises(PermanentError, match=r"GANS_OPENWEATHERMAP_KEY .*https://"):
        OpenWeatherMap(provider.settings(), Access(USER_AGENT))


def test_a_refused_key_says_what_to_check(provider: LocalProvider) -> None:
    provider.answers = [as_json({"cod": 401, "message": "Invalid API key."}, 401)]
    with pytest.raises(
        PermanentError, match=r"Invalid API key.*GANS_OPENWEATHERMAP_KEY; a new one needs up to 2 hours"
    ):
        client(provider).forecast(52.5, 13.4)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(("status", "cod"), [(404, "404"), (400, "400"), (400, 400)])
def test_a_refused_place_is_permanent(provider: LocalProvider, status: int, cod: Any) -> None:
    provider.answers = [as_json({"cod": cod, "message": "wrong latitude"}, status)]
    with pytest.raises(PermanentError, match="wrong latitude"):
        client(provider).forecast(152.5, 13.4)


def test_too_many_requests_wait_for_the_minute_to_pass(provider: LocalProvider) -> None:
    provider.answers = [as_json({"cod": 429, "message": "temporary blocked"}, 429)]
    waits: list[float] = []
    limited = client(provider)
    limited._http._retrying.sleep = waits.append
    with pytest.raises(TransientError, match="temporary blocked") as raised:
        limited.forecast(52.5, 13.4)
    assert raised.value.retry_after_s == 60
    assert waits == [60, 60, 60]


def test_the_time_of_a_step_is_utc() -> None:
    assert only_row()["valid_at"].to_pydatetime() == dt.datetime(2023, 11, 14, 21, tzinfo=dt.UTC)
