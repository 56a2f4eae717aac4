"""Arrivals by the airports' own days."""

import datetime as dt
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline import tables
from gans_pipeline.collect.flights import AirportDay, airport_days, collect_arrivals, tomorrow, tomorrows
from gans_pipeline.collect.outcome import NothingCollectedError
from gans_pipeline.collect.sources import Sources
from gans_pipeline.sources.http import QuotaError
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.frames import problems
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.writer import ScopedFrame, WriteResult, write
from gans_pipeline.tables import schema
from gans_pipeline_tests.collect.conftest import NOW, Sandbox

AIRPORTS = pd.DataFrame(
    {"icao": ["KJFK", "EGLL", "RJTT"], "timezone": ["America/New_York", "Europe/London", "Asia/Tokyo"]}
)
NEW_YORKS_TOMORROW, LONDONS_TOMORROW = dt.date(2026, 11, 24), dt.date(2026, 11, 25)


def test_a_city_in_new_york_gets_new_yorks_tomorrow() -> None:
    assert tomorrow("America/New_York", NOW) == NEW_YORKS_TOMORROW
    assert tomorrow("Europe/London", NOW) == LONDONS_TOMORROW
    first, last = tomorrows(NOW)
    dates = [first + dt.timedelta(days=day) for day in range((last - first).days + 1)]
    assert airport_days(AIRPORTS, dates, tomorrow_only=True, now=NOW) == [
        AirportDay("KJFK", NEW_YORKS_TOMORROW),
        AirportDay("EGLL", LONDONS_TOMORROW),
        AirportDay("RJTT", LONDONS_TOMORROW),
    ]


@pytest.mark.parametrize("hour", range(24))
def test_every_place_on_earth_has_its_tomorrow_among_the_tomorrows(hour: int) -> None:
    moment = NOW.replace(hour=hour)
    first, last = tomorrows(moment)
    assert (last - first).days <= 2
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kolkata", "America/St_Johns", "Pacific/Chatham"):
        assert first <= tomorrow(zone, moment) <= last


@pytest.mark.parametrize("kind", ["204", "empty"])
def test_airports_without_one_flight_among_them_are_an_outage(sources: Sources, sandbox: Sandbox, kind: str) -> None:
    sandbox.control("faults", [{"provider": "aerodatabox", "kind": kind}])
    days = [AirportDay(icao, LONDONS_TOMORROW) for icao in ("EGLL", "EGKK")]
    with pytest.raises(NothingCollectedError, match="no flight, and none at the other airports either") as raised:
        collect_arrivals(sources, days, now=NOW)
    assert [failure.item for failure in raised.value.failures] == ["EGLL 2026-11-25", "EGKK 2026-11-25"]
    alone = collect_arrivals(sources, days[:1], now=NOW)
    assert alone.frame.empty
    assert isinstance(alone.data, ScopedFrame)
    assert len(alone.data.scope) == 1


def test_arrivals_of_a_day_are_scheduled_or_expected_on_that_day_at_the_airport(sources: Sources) -> None:
    collected = collect_arrivals(sources, [AirportDay("KJFK", NEW_YORKS_TOMORROW)], now=NOW)
    frame = collected.frame
    assert problems(frame, tables.arrivals) == []
    assert len(frame) > 100
    assert set(frame["local_date"]) == {NEW_YORKS_TOMORROW}
    best_known = frame["revised_at"].fillna(frame["scheduled_at"]).dt.tz_convert("America/New_York")
    assert set(best_known.dt.date) == {NEW_YORKS_TOMORROW}
    assert (frame["codeshare_status"] == "IsCodeshared").any()


@pytest.mark.parametrize(
    ("date", "hours"),
    [(dt.date(2026, 3, 29), 23), (dt.date(2026, 10, 25), 25), (dt.date(2026, 11, 24), 24)],
    ids=["clocks go forward", "clocks go back", "an ordinary day"],
)
def test_a_day_is_collected_whole_when_the_clocks_change(sources: Sources, date: dt.date, hours: int) -> None:
    frame = collect_arrivals(sources, [AirportDay("EGLL", date)], now=NOW).frame
    start = dt.datetime.combine(date, dt.time(), ZoneInfo("Europe/London")).astimezone(dt.UTC)
    best_known = frame["revised_at"].fillna(frame["scheduled_at"])
    assert best_known.min() >= pd.Timestamp(start)
    assert best_known.max() < pd.Timestamp(start + dt.timedelta(hours=hours))
    assert best_known.max() - best_known.min() > pd.Timedelta(hours=hours - 3)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-24T23:30+01:00", "2026-10-25"),
        ("2026-10-25T00:30+01:00", "2026-10-26"),
        ("2026-10-25T23:30+00:00", "2026-10-26"),
        ("2026-03-28T23:30+00:00", "2026-03-29"),
        ("2026-03-29T23:30+01:00", "2026-03-30"),
    ],
)
def test_tomorrow_is_the_next_date_also_where_the_clocks_change(now: str, expected: str) -> None:
    assert tomorrow("Europe/London", dt.datetime.fromisoformat(now)) == dt.date.fromisoformat(expected)


def test_an_airport_is_asked_for_two_windows_a_day(sources: Sources, sandbox: Sandbox) -> None:
    collect_arrivals(sources, [AirportDay("KJFK", NEW_YORKS_TOMORROW)], now=NOW)
    windows = [path.partition("?")[0].rpartition("KJFK/")[2] for path in sandbox.asked("aerodatabox")]
    assert windows == ["2026-11-24T00:00/2026-11-24T11:59", "2026-11-24T12:00/2026-11-24T23:59"]


def test_a_day_of_which_one_window_fails_is_not_replaced(sources: Sources, sandbox: Sandbox) -> None:
    sandbox.control(
        "faults", [{"provider": "aerodatabox", "kind": "answer", "match": "KJFK/2026-11-24T12:00", "status": 404}]
    )
    days = [AirportDay("KJFK", NEW_YORKS_TOMORROW), AirportDay("EGLL", LONDONS_TOMORROW)]
    collected = collect_arrivals(sources, days, now=NOW)
    assert isinstance(collected.data, ScopedFrame)
    assert collected.data.scope.to_numpy().tolist() == [["EGLL", LONDONS_TOMORROW]]
    assert set(collected.frame["airport_icao"]) == {"EGLL"}
    assert [failure.item for failure in collected.failures] == ["KJFK 2026-11-24"]


def test_an_airport_without_flights_is_an_empty_day_and_no_failure(sources: Sources, sandbox: Sandbox) -> None:
    sandbox.control("faults", [{"provider": "aerodatabox", "kind": "answer", "match": "KJFK", "status": 204}])
    collected = collect_arrivals(sources, [AirportDay("KJFK", NEW_YORKS_TOMORROW)], now=NOW)
    assert collected.frame.empty
    assert collected.failures == ()
    assert isinstance(collected.data, ScopedFrame)
    assert len(collected.data.scope) == 1


def test_a_used_up_quota_stops_the_asking_and_names_what_is_missing(sources: Sources, sandbox: Sandbox) -> None:
    spent = '{"message":"You have exceeded the MONTHLY quota for Requests on your current plan, BASIC."}'
    sandbox.control(
        "faults", [{"provider": "aerodatabox", "kind": "answer", "match": "icao/E", "status": 429, "body": spent}]
    )
    days = [AirportDay("KJFK", NEW_YORKS_TOMORROW)]
    days += [AirportDay(f"E{letter}LL", LONDONS_TOMORROW) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    collected = collect_arrivals(sources, days, now=NOW)
    assert len(collected.failures) == 26
    assert all(isinstance(failure.error, QuotaError) for failure in collected.failures)
    refused = [path for path in sandbox.asked("aerodatabox") if "KJFK" not in path]
    assert len(refused) <= sources.settings.aerodatabox.concurrency
    assert "not asked" in str(collected.failures[-1])


def test_a_flight_that_vanished_from_a_day_goes_and_other_days_stay(
    database_url: str, sources: Sources, sandbox: Sandbox
) -> None:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    _store_airports(engine)
    days = [AirportDay("KJFK", NEW_YORKS_TOMORROW), AirportDay("KJFK", NEW_YORKS_TOMORROW + dt.timedelta(days=1))]
    first = collect_arrivals(sources, days, now=NOW)
    total = write(engine, tables.arrivals, first.data).inserted
    assert write(engine, tables.arrivals, first.data) == WriteResult(0, 0, total, 0)
    of_tomorrow = int((first.frame["local_date"] == NEW_YORKS_TOMORROW).sum())
    sandbox.control(
        "faults", [{"provider": "aerodatabox", "kind": "answer", "match": "KJFK/2026-11-24", "status": 204}]
    )
    gone = write(engine, tables.arrivals, collect_arrivals(sources, days[:1], now=NOW).data)
    assert gone == WriteResult(0, 0, 0, of_tomorrow)
    assert len(read(engine, tables.arrivals)) == total - of_tomorrow


def test_a_past_day_collected_again_has_what_became_of_its_flights_and_keeps_those_that_were_canceled(
    database_url: str, sources: Sources, sandbox: Sandbox
) -> None:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    _store_airports(engine)
    day, next_day = (AirportDay("KJFK", NEW_YORKS_TOMORROW + dt.timedelta(days=days)) for days in (0, 1))
    write(engine, tables.arrivals, collect_arrivals(sources, [day], now=NOW).data)
    key = ["airport_icao", "flight_number", "scheduled_at"]
    before = read(engine, tables.arrivals).set_index(key)
    assert not {"Arrived", "Canceled"} & set(before["status"])
    later = NOW + dt.timedelta(days=2)
    sandbox.control("now", {"now": later.isoformat()})
    again = collect_arrivals(sources, [day, next_day], now=later)
    write(engine, tables.arrivals, again.data)
    after = read(engine, tables.arrivals).set_index(key)
    assert set(before.index) <= set(after.index)  # one that was late past midnight is on the next day's list
    became = after.loc[before.index]
    assert (became["status"] == "Arrived").mean() > 0.9
    assert became.loc[became["status"] == "Arrived", "runway_at"].notna().any()
    canceled = became[became["status"] == "Canceled"]
    assert len(canceled) > 0
    assert set(canceled["local_date"]) == {NEW_YORKS_TOMORROW}
    assert canceled["runway_at"].isna().all()
    unchanged = write(engine, tables.arrivals, collect_arrivals(sources, [day, next_day], now=later).data)
    assert (unchanged.inserted, unchanged.updated, unchanged.deleted) == (0, 0, 0)


def test_codeshares_fold_into_one_physical_arrival(database_url: str, sources: Sources) -> None:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    _store_airports(engine)
    arrivals = collect_arrivals(sources, [AirportDay("KJFK", NEW_YORKS_TOMORROW)], now=NOW)
    write(engine, tables.arrivals, arrivals.data)
    with engine.connect() as connection:
        physical = pd.read_sql(sa.text("SELECT * FROM physical_arrivals"), connection)
    operated = arrivals.frame[arrivals.frame["codeshare_status"] != "IsCodeshared"]
    assert len(operated) <= len(physical) < len(arrivals.frame)
    assert set(operated["flight_number"]) <= set(physical["flight_number"])


def _store_airports(engine: sa.Engine) -> None:
    write(
        engine,
        tables.airports,
        pd.DataFrame(
            {
                "icao": ["KJFK"],
                "iata": ["JFK"],
                "name": ["John F Kennedy International Airport"],
                "municipality": ["New York"],
                "country_code": ["US"],
                "latitude": [40.639447],
                "longitude": [-73.779317],
                "elevation_m": [3.7],
                "timezone": ["America/New_York"],
                "size": ["large"],
                "provider": ["sandbox-ourairports"],
                "retrieved_at": [pd.Timestamp(NOW)],
            }
        ),
    )


def test_a_flight_on_the_lists_of_two_days_belongs_to_the_later_and_costs_neither_day(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = [AirportDay("EGLL", LONDONS_TOMORROW - dt.timedelta(days=1)), AirportDay("EGLL", LONDONS_TOMORROW)]
    listed = sources.aerodatabox.arrivals(*days[0])
    monkeypatch.setattr(
        sources.aerodatabox, "arrivals", lambda icao, date: listed.assign(airport_icao=icao, local_date=date)
    )
    collected = collect_arrivals(sources, days, now=NOW)
    assert collected.failures == ()
    assert isinstance(collected.data, ScopedFrame)
    assert len(collected.data.scope) == 2
    assert problems(collected.frame, tables.arrivals) == []
    assert len(collected.frame) == len(listed) > 100
    assert set(collected.frame["local_date"]) == {LONDONS_TOMORROW}
