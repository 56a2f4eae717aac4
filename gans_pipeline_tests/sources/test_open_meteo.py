"""Open-Meteo's hours: forecasts folded to 3-hour steps, the past as it is, whatever units and way to tell the time."""

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

from gans_pipeline.sources.http import Access, MalformedError, PermanentError, QuotaError, SourceError, TransientError
from gans_pipeline.sources.open_meteo import OpenMeteo, OpenMeteoArchive, parse_forecast, parse_observations
from gans_pipeline.sources.openweathermap import parse_forecast as parse_openweathermap
from gans_pipeline_tests.sources.local_provider import USER_AGENT, Answer, LocalProvider, as_json, local_provider
from gans_pipeline_tests.sources.mutations import mutated
from gans_pipeline_tests.sources.recorded import recorded

MIDNIGHT = dt.datetime(2026, 3, 28, tzinfo=dt.UTC)


def payload(hours: int = 7, first: dt.datetime = MIDNIGHT, **changes: Any) -> dict[str, Any]:
    """An answer to our own question, from 00:00 UTC: hour h has h °C and 0.h mm of precipitation."""
    start = int(first.timestamp())
    answer: dict[str, Any] = {
        "latitude": 52.52,
        "longitude": 13.419998,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "hourly_units": {
            "time": "unixtime",
            "temperature_2m": "°C",
            "apparent_temperature": "°C",
            "relative_humidity_2m": "%",
            "precipitation": "mm",
            "precipitation_probability": "%",
            "snowfall": "cm",
            "wind_speed_10m": "m/s",
            "wind_gusts_10m": "m/s",
            "cloud_cover": "%",
            "visibility": "m",
            "weather_code": "wmo code",
        },
        "hourly": {
            "time": [start + 3600 * hour for hour in range(hours)],
            "temperature_2m": [float(hour % 24) for hour in range(hours)],
            "apparent_temperature": [float(hour % 24) - 2 for hour in range(hours)],
            "relative_humidity_2m": [70 + hour % 24 for hour in range(hours)],
            "precipitation": [round(0.1 * (hour % 24), 1) for hour in range(hours)],
            "precipitation_probability": [[20, 90, 40][hour % 3] for hour in range(hours)],
            "snowfall": [0.7] * hours,
            "wind_speed_10m": [5.0] * hours,
            "wind_gusts_10m": [[8.0, 12.5, 9.0][hour % 3] for hour in range(hours)],
            "cloud_cover": [100] * hours,
            "visibility": [24140.0] * hours,
            "weather_code": [73] * hours,
        },
    }
    for name, change in changes.items():
        answer["hourly"][name] = change
    return answer


def test_hours_are_folded_to_the_step_they_end_at() -> None:
    frame = parse_forecast(payload())
    assert list(frame["valid_at"]) == [pd.Timestamp(MIDNIGHT) + pd.Timedelta(hours=hour) for hour in (3, 6)]
    assert frame.iloc[0].drop("valid_at").to_dict() == {
        "temperature_c": 3.0,
        "feels_like_c": 1.0,
        "humidity_pct": 73.0,
        "precipitation_mm": 0.6,  # hours 1, 2 and 3; the value at 0 belongs to the step before
        "precipitation_probability": 0.9,
        "snow_mm": 3.0,  # 0.7 cm of snow are 1 mm of water
        "wind_speed_ms": 5.0,
        "wind_gust_ms": 12.5,
        "cloud_pct": 100.0,
        "visibility_m": 24140.0,
        "conditions": "snow",
        "condition_code": 73,
    }


def test_it_is_the_same_frame_as_the_other_provider_gives() -> None:
    step = {"dt": 10_800, "main": {"temp": 1, "humidity": 2}, "weather": [{"id": 800}], "clouds": {"all": 0}}
    other = parse_openweathermap({"list": [{**step, "wind": {"speed": 1}}]})
    assert parse_forecast(payload()).dtypes.equals(other.dtypes)


def test_an_array_of_one_place_is_that_place() -> None:
    pd.testing.assert_frame_equal(parse_forecast([payload()]), parse_forecast(payload()))


@pytest.mark.parametrize("first_hour", [0, 1, 2, 22])
def test_a_step_that_lacks_an_hour_is_left_out(first_hour: int) -> None:
    frame = parse_forecast(payload(8, MIDNIGHT + dt.timedelta(hours=first_hour)))
    start = pd.Timestamp(MIDNIGHT) + pd.Timedelta(hours=first_hour)
    assert (frame["valid_at"] >= start + pd.Timedelta(hours=2)).all()
    assert (frame["valid_at"] <= start + pd.Timedelta(hours=7)).all()
    assert len(frame) == 2


@pytest.mark.parametrize(
    ("now", "first"), [("10:45", "12:00"), ("11:45", "12:00"), ("12:00", "15:00"), ("23:45", "00:00")]
)
def test_steps_that_are_past_by_the_providers_clock_are_left_out(now: str, first: str) -> None:
    answer = payload(6 * 24)
    at = dt.datetime.combine(MIDNIGHT.date(), dt.time.fromisoformat(now), dt.UTC)
    answer["current"] = {"time": int(at.timestamp()), "interval": 900}
    frame = parse_forecast(answer)
    assert f"{frame['valid_at'].iloc[0]:%H:%M}" == first
    assert len(frame) >= 40


@pytest.mark.parametrize(
    ("name", "unit", "value", "column", "expected"),
    [
        ("temperature_2m", "°F", 50, "temperature_c", 10),
        ("apparent_temperature", "°F", -40, "feels_like_c", -40),
        ("wind_speed_10m", "km/h", 36, "wind_speed_ms", 10),
        ("wind_speed_10m", "mp/h", 10, "wind_speed_ms", 4.4704),
        ("wind_gusts_10m", "kn", 10, "wind_gust_ms", 5.1444),
        ("precipitation", "inch", 0.1, "precipitation_mm", 7.62),
        ("snowfall", "inch", 0.1, "snow_mm", 1.0886),
        ("snowfall", "cm", 7, "snow_mm", 30),
        ("visibility", "ft", 10_000, "visibility_m", 3048),
    ],
)
def test_the_declared_unit_is_the_one_that_counts(
    name: str, unit: str, value: float, column: str, expected: float
) -> None:
    answer = payload(4, MIDNIGHT, **{name: [value] * 4})
    answer["hourly_units"][name] = unit
    assert parse_forecast(answer)[column].iloc[0] == pytest.approx(expected, abs=1e-4)


def test_a_unit_that_is_not_known_is_refused() -> None:
    answer = payload()
    answer["hourly_units"]["wind_speed_10m"] = "Bft"
    with pytest.raises(MalformedError, match=r"hourly_units\.wind_speed_10m: 'Bft' is none of the units m/s"):
        parse_forecast(answer)


def test_a_variable_that_the_model_does_not_have_is_null() -> None:
    answer = payload(visibility=[None] * 7)
    answer["hourly_units"]["visibility"] = "undefined"
    assert parse_forecast(answer)["visibility_m"].isna().all()


def test_what_is_null_in_one_hour_is_null_in_its_step_only() -> None:
    hours = [0.0, None, 0.2, 0.3, 0.4, 0.5, 0.6]
    frame = parse_forecast(payload(precipitation=hours, wind_gusts_10m=hours, temperature_2m=[None, *range(6)]))
    assert list(frame["precipitation_mm"].isna()) == [True, False]
    assert list(frame["wind_gust_ms"].isna()) == [True, False]
    assert frame["temperature_c"].notna().all()


def test_a_variable_that_was_not_asked_for_is_null() -> None:
    answer = payload()
    del answer["hourly"]["wind_gusts_10m"], answer["hourly"]["weather_code"]
    frame = parse_forecast(answer)
    assert frame[["wind_gust_ms", "conditions", "condition_code"]].isna().all(axis=None)
    assert frame.dtypes.equals(parse_forecast(payload()).dtypes)


def iso(hours: int, local: str, offset_s: int) -> dict[str, Any]:
    start = dt.datetime.fromisoformat(local)
    answer = payload(hours, time=[f"{start + dt.timedelta(hours=hour):%Y-%m-%dT%H:%M}" for hour in range(hours)])
    answer["utc_offset_seconds"] = offset_s
    answer["hourly_units"]["time"] = "iso8601"
    return answer


@pytest.mark.parametrize("offset_h", [0, 1, 2, -4, 9, -9, 14])
def test_local_times_become_utc_by_the_one_offset_of_the_answer(offset_h: int) -> None:
    frame = parse_forecast(iso(24, "2026-10-05T00:00", offset_h * 3600))
    start = pd.Timestamp("2026-10-05", tz="UTC") - pd.Timedelta(hours=offset_h)
    assert set(frame["valid_at"].dt.hour % 3) == {0}
    assert start + pd.Timedelta(hours=2) <= frame["valid_at"].iloc[0] < start + pd.Timedelta(hours=5)
    hour = int((frame["valid_at"].iloc[0] - start) / pd.Timedelta(hours=1))
    assert frame["temperature_c"].iloc[0] == hour


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_the_offset_holds_beyond_the_change_of_the_clocks(day: str) -> None:
    frame = parse_forecast(iso(48, f"{day}T00:00", 3600))
    assert set(frame["valid_at"].diff().dropna()) == {pd.Timedelta(hours=3)}
    assert len(frame) == 15  # the first whole one ends at 03:00 UTC


@pytest.mark.parametrize("change", ["twice", "skipped"])
def test_an_hour_that_is_told_twice_or_skipped_is_refused(change: str) -> None:
    answer = iso(24, "2026-10-25T00:00", 7200)
    times = answer["hourly"]["time"]
    times[3:] = [times[2], *times[3:-1]] if change == "twice" else [*times[4:], "2026-10-26T00:00"]
    with pytest.raises(MalformedError, match=r"hourly\.time\[3\]: not one hour after"):
        parse_forecast(answer)


def test_half_hours_of_utc_are_refused_and_not_interpolated() -> None:
    with pytest.raises(MalformedError, match="not a full hour in UTC; ask for timezone=GMT"):
        parse_forecast(iso(24, "2026-10-05T00:00", 19_800))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"temperature_2m": [1.0] * 6}, "hourly.temperature_2m: 6 values for 7 times"),
        ({"temperature_2m": [1.0] * 6 + ["x"]}, "hourly.temperature_2m[6]"),
        ({"temperature_2m": None}, "hourly.temperature_2m"),
        ({"time": []}, "hourly.time"),
        ({"time": ["soon"] * 7}, "hourly.time[0]: not a time: 'soon'"),
        ({"time": [True] * 7}, "hourly.time[0]"),
        ({"time": [1e9] * 7}, "hourly.time[0]"),
        ({"weather_code": [3.5] * 7}, "hourly.weather_code[3]"),
        ({"temperature_2m": [300.0] * 7}, "temperature_c of row 0"),
        ({"precipitation": [-0.1] * 7}, "precipitation_mm of row 0"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(change: dict[str, Any], place: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_forecast(payload(**change))
    assert raised.value.detail.startswith(place)


@pytest.mark.parametrize("refused", [None, [], {}, "text", [payload(), payload()], payload(2)])
def test_what_is_no_forecast_of_one_place_is_refused(refused: Any) -> None:
    with pytest.raises(MalformedError):
        parse_forecast(refused)


def test_a_saved_error_is_refused_with_its_reason() -> None:
    with pytest.raises(MalformedError, match="an error and no weather: Invalid timezone"):
        parse_forecast({"error": True, "reason": "Invalid timezone"})


def test_past_hours_are_kept_one_by_one() -> None:
    frame = parse_observations(payload(), "analysis")
    assert list(frame["observed_at"]) == [pd.Timestamp(MIDNIGHT) + pd.Timedelta(hours=hour) for hour in range(7)]
    assert frame.iloc[1].drop("observed_at").to_dict() == {
        "product": "analysis",
        "temperature_c": 1.0,
        "feels_like_c": -1.0,
        "humidity_pct": 71.0,
        "precipitation_mm": 0.1,  # of the hour alone
        "snow_mm": 1.0,
        "wind_speed_ms": 5.0,
        "wind_gust_ms": 12.5,
        "cloud_pct": 100.0,
        "visibility_m": 24140.0,
        "conditions": "snow",
        "condition_code": 73,
    }


def test_hours_that_are_not_there_yet_are_left_out() -> None:
    answer = payload(temperature_2m=[1.0, 2.0, None, None, 5.0, None, None])
    assert list(parse_observations(answer, "reanalysis")["observed_at"].dt.hour) == [0, 1, 4]
    answer = payload(temperature_2m=[None] * 7)
    answer["hourly_units"] = dict.fromkeys(answer["hourly_units"], "undefined")
    for name in answer["hourly"].keys() - {"time"}:
        answer["hourly"][name] = [None] * 7
    empty = parse_observations(answer, "reanalysis")
    assert empty.empty
    assert empty.dtypes.equals(parse_observations(payload(), "reanalysis").dtypes)


@pytest.mark.parametrize(("now", "last"), [("04:45", 3), ("05:00", 4), ("00:15", None)])
def test_an_hour_that_is_forecast_does_not_pass_for_a_past_one(now: str, last: int | None) -> None:
    answer = payload()
    at = dt.datetime.combine(MIDNIGHT.date(), dt.time.fromisoformat(now), dt.UTC)
    answer["current"] = {"time": int(at.timestamp()), "interval": 900}
    assert list(parse_observations(answer, "analysis")["observed_at"].dt.hour) == list(range((last or -1) + 1))


def test_a_null_that_is_not_the_temperature_is_null_in_its_hour() -> None:
    answer = payload(precipitation=[0.0, None, 0.2, 0.3, 0.4, 0.5, 0.6])
    del answer["hourly"]["visibility"]  # as the archive, which has none
    frame = parse_observations(answer, "reanalysis")
    assert list(frame["precipitation_mm"].isna()) == [False, True, False, False, False, False, False]
    assert frame["visibility_m"].isna().all()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"temperature_2m": [1.0] * 6}, "hourly.temperature_2m: 6 values for 7 times"),
        ({"weather_code": [3.5] * 7}, "hourly.weather_code[0]"),
        ({"temperature_2m": [300.0] * 7}, "temperature_c of row 0"),
    ],
)
def test_past_hours_that_do_not_fit_are_named_by_their_path(change: dict[str, Any], place: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_observations(payload(**change), "analysis")
    assert raised.value.detail.startswith(place)


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(mutated(payload()))
def test_damaged_past_hours_give_a_frame_or_are_refused(damaged: Any) -> None:
    with suppress(MalformedError):
        assert set(parse_observations(damaged, "analysis")["product"]) <= {"analysis"}


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(mutated(payload()))
def test_a_damaged_forecast_gives_a_frame_or_is_refused(damaged: Any) -> None:
    with suppress(MalformedError):
        assert len(parse_forecast(damaged))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("forecast_current_RECORDED_2026-10-03_trimmed.json", "hourly: Field required"),
        ("forecast_minimal_RECORDED.json", "hourly: Field required"),
        ("forecast_precip_probabilities_RECORDED_2026-10-05.json", "hourly.temperature_2m: Field required"),
        ("forecast_hourly_CONSTRUCTED_multi_location.json", "payload: 2 places where one was expected"),
    ],
)
def test_recorded_answers_to_other_questions_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_forecast(json.loads(recorded(f"open-meteo/{name}").read_text("utf-8")))
    assert raised.value.detail.startswith(reason)


def test_the_recorded_hours_make_steps_once_a_temperature_is_with_them() -> None:
    answer = json.loads(
        recorded("open-meteo/forecast_precip_probabilities_RECORDED_2026-10-05.json").read_text("utf-8")
    )
    answer["hourly"]["temperature_2m"] = list(range(24))
    answer["hourly_units"]["temperature_2m"] = "°C"
    frame = parse_forecast(answer)  # New York, four hours behind UTC: from 04:00 UTC to 03:00 of the next day
    assert list(frame["valid_at"].dt.hour) == [6, 9, 12, 15, 18, 21, 0, 3]
    assert list(frame["temperature_c"]) == [2, 5, 8, 11, 14, 17, 20, 23]


def test_the_parts_of_a_recorded_array_are_read_one_by_one() -> None:
    for place in json.loads(recorded("open-meteo/forecast_hourly_CONSTRUCTED_multi_location.json").read_text("utf-8")):
        with pytest.raises(MalformedError, match="not one whole 3-hour step to come in 2 hours"):
            parse_forecast(place)


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


def client(provider: LocalProvider, waits: list[float], **settings: Any) -> OpenMeteo:
    made = OpenMeteo(provider.settings(**settings), Access(USER_AGENT))
    made._http._retrying.sleep = waits.append
    return made


def test_the_client_asks_for_unix_times_and_our_units_and_takes_five_days(provider: LocalProvider) -> None:
    late = payload(6 * 24)
    late["current"] = {"time": late["hourly"]["time"][9] + 900}
    provider.answers = [as_json(late)]
    frame = client(provider, []).forecast(52.5, 13.25)
    assert len(frame) == 40
    assert frame["valid_at"].iloc[0] == pd.Timestamp(MIDNIGHT) + pd.Timedelta(hours=12)
    query = provider.asked[0].query
    assert provider.asked[0].path == "/v1/forecast"
    assert (query["latitude"], query["longitude"]) == ("52.5", "13.25")
    assert (query["timeformat"], query["wind_speed_unit"], query["timezone"]) == ("unixtime", "ms", "GMT")
    assert set(query["hourly"].split(",")) == set(payload()["hourly_units"]) - {"time"}
    assert "apikey" not in query


def test_at_the_last_minute_of_the_day_there_are_still_forty_steps(provider: LocalProvider) -> None:
    late = payload(6 * 24)
    late["current"] = {"time": late["hourly"]["time"][23] + 2700}
    provider.answers = [as_json(late)]
    assert len(client(provider, []).forecast(52.5, 13.25)) == 40


def test_the_key_of_the_paid_host_is_sent(provider: LocalProvider) -> None:
    provider.answers = [as_json(payload())]
    client(provider, [], key=SecretStr("paid-for")).forecast(52.5, 13.25)
    assert provider.asked[0].query["apikey"] == "paid-for"


def test_the_clients_ask_for_whole_days_of_utc(provider: LocalProvider) -> None:
    provider.answers = [as_json(payload())]
    first, last = dt.date(2026, 3, 28), dt.date(2026, 4, 3)
    settings, access = provider.settings(), Access(USER_AGENT)
    analysis = OpenMeteo(settings, access).observations(52.5, 13.25, first, last)
    reanalysis = OpenMeteoArchive(settings, access).observations(52.5, 13.25, first, last)
    assert (set(analysis["product"]), set(reanalysis["product"])) == ({"analysis"}, {"reanalysis"})
    assert [asked.path for asked in provider.asked] == ["/v1/forecast", "/v1/archive"]
    for asked in provider.asked:
        assert (asked.query["start_date"], asked.query["end_date"]) == ("2026-03-28", "2026-04-03")
        assert (asked.query["timeformat"], asked.query["timezone"]) == ("unixtime", "GMT")
        assert not {"past_days", "forecast_days"} & asked.query.keys()  # refused beside the dates
    assert "models" not in provider.asked[0].query
    assert provider.asked[1].query["models"] == "era5"
    assert "visibility" not in provider.asked[1].query["hourly"].split(",")


@pytest.mark.parametrize("days", [1, 14, 100])
def test_a_range_of_days_costs_what_its_call_weighs(provider: LocalProvider, days: int) -> None:
    spent: list[float] = []
    provider.answers = [as_json(payload())]
    first = dt.date(2026, 3, 28)
    last = first + dt.timedelta(days=days - 1)
    made = OpenMeteo(provider.settings(), Access(USER_AGENT, spend=lambda _, units: spent.append(units)))
    made.observations(52.5, 13.25, first, last)
    assert spent == [made.units_per_range(first, last)]
    assert spent[0] == pytest.approx(max(1.1, 1.1 * days / 14))


@pytest.mark.parametrize("limit", ["Hourly", "Daily"])
def test_a_limit_of_hours_or_days_is_a_used_up_quota(provider: LocalProvider, limit: str) -> None:
    provider.answers = [as_json({"error": True, "reason": f"{limit} API request limit exceeded. Try later."}, 429)]
    with pytest.raises(QuotaError, match=f"{limit} API request limit exceeded"):
        client(provider, []).forecast(52.5, 13.25)
    assert len(provider.asked) == 1


def test_the_limit_of_a_minute_is_waited_for(provider: LocalProvider) -> None:
    limited = as_json({"error": True, "reason": "Minutely API request limit exceeded."}, 429)
    provider.answers = [limited, as_json(payload())]
    waits: list[float] = []
    assert len(client(provider, waits).forecast(52.5, 13.25)) == 2
    assert waits == [60]


@pytest.mark.parametrize(
    "trouble",
    [
        as_json({"error": True, "reason": "Too many concurrent requests"}, 429),
        as_json({"error": True, "reason": "The service is overloaded"}, 503),
        Answer(body=b'{"latitude":52.5,"hourly":{"time":[1,2Unexpected error while streaming data: ...'),
    ],
)
def test_a_passing_trouble_is_asked_again(provider: LocalProvider, trouble: Answer) -> None:
    provider.answers = [trouble, as_json(payload())]
    assert len(client(provider, []).forecast(52.5, 13.25)) == 2
    provider.answers = [trouble]
    with pytest.raises(TransientError):
        client(provider, []).forecast(52.5, 13.25)


def test_a_refused_question_is_permanent_and_says_why(provider: LocalProvider) -> None:
    provider.answers = [as_json({"error": True, "reason": "Latitude must be in range of -90 to 90°."}, 400)]
    with pytest.raises(PermanentError, match="Latitude must be in range"):
        client(provider, []).forecast(123, 13.25)
    assert len(provider.asked) == 1


def test_every_recorded_error_has_its_meaning(provider: LocalProvider) -> None:
    for error in json.loads(recorded("open-meteo/errors_FROM_SOURCE.json").read_text("utf-8")):
        body = copy.deepcopy(error.get("body"))
        provider.answers = [as_json(body, error["status"]) if body else Answer(body=error["body_tail"].encode())]
        with pytest.raises(SourceError) as raised:
            client(provider, []).forecast(52.5, 13.25)
        reason = str((body or {}).get("reason", ""))
        quota = reason.startswith(("Hourly", "Daily"))
        expected = "quota" if quota else "permanent" if error["status"] == 400 else "transient"
        assert raised.value.kind == expected
