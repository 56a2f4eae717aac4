"""OurAirports' file: which airports are kept, by which code, and what is refused."""

import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans_pipeline.sources.http import Access, MalformedError
from gans_pipeline.sources.ourairports import OurAirports, parse_airports
from gans_pipeline.tables import airports
from gans_pipeline_tests.sources.local_provider import USER_AGENT, Answer, LocalProvider, local_provider
from gans_pipeline_tests.sources.recorded import recorded

COLUMNS = [
    "id",
    "ident",
    "type",
    "name",
    "latitude_deg",
    "longitude_deg",
    "elevation_ft",
    "continent",
    "iso_country",
    "iso_region",
    "municipality",
    "scheduled_service",
    "icao_code",
    "iata_code",
    "gps_code",
    "local_code",
    "home_link",
    "wikipedia_link",
    "keywords",
]

WINDHOEK = {
    "id": "2933",
    "ident": "FYWH",
    "type": "large_airport",
    "name": "Hosea Kutako International Airport",
    "latitude_deg": "-22.4799",
    "longitude_deg": "17.4709",
    "elevation_ft": "5640",
    "continent": "AF",
    "iso_country": "NA",
    "iso_region": "NA-KH",
    "municipality": "Windhoek",
    "scheduled_service": "yes",
    "icao_code": "FYWH",
    "iata_code": "WDH",
    "gps_code": "FYWH",
}


def file(*rows: dict[str, str], columns: list[str] = COLUMNS, newline: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator=newline)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def airport(**changes: str) -> dict[str, str]:
    return {**WINDHOEK, **changes}


def test_an_airport_becomes_a_row_in_our_units() -> None:
    assert parse_airports(file(airport())).to_dict("records") == [
        {
            "icao": "FYWH",
            "iata": "WDH",
            "name": "Hosea Kutako International Airport",
            "municipality": "Windhoek",
            "country_code": "NA",
            "latitude": -22.4799,
            "longitude": 17.4709,
            "elevation_m": 1719.1,
            "size": "large",
        }
    ]


def test_the_columns_and_types_are_the_same_when_nothing_is_kept() -> None:
    empty, full = parse_airports(file(airport(scheduled_service="no"))), parse_airports(file(airport()))
    assert empty.empty
    assert empty.dtypes.equals(full.dtypes)
    given_elsewhere = {"timezone", "provider", "retrieved_at"}
    assert list(full) == [column.name for column in airports.columns if column.name not in given_elsewhere]


@pytest.mark.parametrize(
    "change",
    [
        {"scheduled_service": "no"},
        {"type": "closed"},
        {"type": "heliport"},
        {"type": "small_airport"},
        {"type": "seaplane_base"},
        {"iata_code": ""},
        {"iata_code": "-"},
        {"name": " "},
        {"icao_code": "", "gps_code": "", "ident": "NA-0007"},
    ],
)
def test_what_does_not_serve_a_city_is_left_out(change: dict[str, str]) -> None:
    kept = parse_airports(file(airport(), airport(id="1", ident="FYXX", icao_code="FYXX", iata_code="XXX") | change))
    assert list(kept["icao"]) == ["FYWH"]


@pytest.mark.parametrize(
    ("codes", "icao"),
    [
        ({"icao_code": "AAAA", "gps_code": "BBBB", "ident": "CCCC"}, "AAAA"),
        ({"icao_code": "", "gps_code": "BBBB", "ident": "CCCC"}, "BBBB"),
        ({"icao_code": "", "gps_code": "", "ident": "CCCC"}, "CCCC"),
        ({"icao_code": "", "gps_code": "K1G4", "ident": "KXYZ"}, "KXYZ"),
    ],
)
def test_the_icao_code_is_the_first_that_is_one(codes: dict[str, str], icao: str) -> None:
    assert list(parse_airports(file(airport(**codes)))["icao"]) == [icao]


def test_the_older_file_of_18_columns_is_read_by_name() -> None:
    older = [name for name in COLUMNS if name != "icao_code"]
    pd.testing.assert_frame_equal(parse_airports(file(airport(), columns=older)), parse_airports(file(airport())))


def test_columns_may_come_in_another_order() -> None:
    assert parse_airports(file(airport(), columns=COLUMNS[::-1]))["iata"].tolist() == ["WDH"]


def test_byte_order_mark_line_ends_and_quotes_do_not_matter() -> None:
    text = file(
        airport(keywords='once "Strijdom", and "J.G."\nsecond line'), airport(id="2", type="closed"), newline="\r\n"
    )
    pd.testing.assert_frame_equal(parse_airports("\ufeff" + text), parse_airports(file(airport())))


def test_an_unknown_elevation_is_null() -> None:
    assert parse_airports(file(airport(elevation_ft="")))["elevation_m"].isna().all()


@pytest.mark.parametrize("column", ["latitude_deg", "type", "iata_code", "scheduled_service", "gps_code"])
def test_a_column_that_is_missing_is_named(column: str) -> None:
    with pytest.raises(MalformedError, match=f"not the airports file, no column {column};"):
        parse_airports(file(airport(), columns=[name for name in COLUMNS if name != column]))


@pytest.mark.parametrize("text", ["", "\n", "<!DOCTYPE html>\n<html><body>Not found</body></html>", '{"error": 1}'])
def test_another_text_is_refused_with_its_start(text: str) -> None:
    with pytest.raises(MalformedError, match="not the airports file, no column id,"):
        parse_airports(text)


def test_a_file_without_a_row_is_refused() -> None:
    with pytest.raises(MalformedError, match="no airport below the header"):
        parse_airports(file())


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"latitude_deg": "52,5"}, "line 3, latitude_deg: '52,5' is not a number"),
        ({"latitude_deg": ""}, "line 3, latitude_deg"),
        ({"latitude_deg": "91"}, "line 3, latitude_deg"),
        ({"longitude_deg": "nan"}, "line 3, longitude_deg"),
        ({"elevation_ft": "high"}, "line 3, elevation_ft"),
        ({"elevation_ft": "1e9"}, "elevation_m of row"),
        ({"iso_country": ""}, "line 3, iso_country"),
        ({"id": "?"}, "line 3, id"),
    ],
)
def test_a_kept_row_that_cannot_be_used_is_named(change: dict[str, str], place: str) -> None:
    with pytest.raises(MalformedError) as raised:
        parse_airports(file(airport(), airport(ident="FYXX", icao_code="FYXX", iata_code="XXX") | change))
    assert raised.value.detail.startswith(place)


def test_a_number_in_a_row_that_is_left_out_does_no_harm() -> None:
    assert len(parse_airports(file(airport(), airport(type="heliport", latitude_deg="north")))) == 1


def test_a_file_that_was_cut_is_refused_at_its_line() -> None:
    whole = file(airport(), airport(id="2", ident="FYXX"))
    with pytest.raises(MalformedError, match=r"line 3: \d+ cells for 19 columns"):
        parse_airports(whole[: whole.rindex("Windhoek")])


@pytest.mark.parametrize(
    ("stale", "why"),
    [
        ({"type": "medium_airport", "id": "9999"}, "larger"),
        ({"ident": "NA-0001", "id": "9999"}, "its ident is its code"),
        ({"id": "17"}, "entered last"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("code", ["icao", "iata"])
def test_of_two_rows_with_one_code_the_better_is_kept(
    stale: dict[str, str], why: str, reverse: bool, code: str
) -> None:
    other = {"icao_code": "FYXX", "gps_code": "FYXX", "ident": "FYXX"} if code == "iata" else {"iata_code": "XXX"}
    rows = [airport(), airport(name="Stale", **{**other, **stale})]
    assert list(parse_airports(file(*(rows[::-1] if reverse else rows)))["name"]) == [WINDHOEK["name"]], why


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(
    st.lists(
        st.tuples(
            st.sampled_from(COLUMNS), st.one_of(st.text(max_size=8), st.sampled_from(["inf", "1e400", '"', "\0"]))
        ),
        max_size=4,
    ),
    st.integers(0, 400),
    st.text(max_size=3),
)
def test_a_damaged_file_gives_a_frame_or_is_refused(changes: list[tuple[str, str]], at: int, text: str) -> None:
    whole = file(airport(), airport(**dict(changes)))
    for damaged in (whole, whole[:at], whole[:at] + text + whole[at + 1 :]):
        with suppress(MalformedError):
            assert list(parse_airports(damaged)) == list(parse_airports(file(airport())))


def test_the_recorded_airports_are_all_kept() -> None:
    text = recorded("ourairports/airports_subset.csv").read_text("utf-8")
    frame = parse_airports(text).set_index("icao")
    assert len(frame) == 46
    assert frame.loc["EDDB"].to_dict() == {
        "iata": "BER",
        "name": "Berlin Brandenburg Airport",
        "municipality": "Berlin",
        "country_code": "DE",
        "latitude": 52.362247,
        "longitude": 13.500672,
        "elevation_m": 43.9,
        "size": "large",
    }
    assert frame.loc["EGLC", "size"] == "medium"
    assert frame["iata"].is_unique


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


def answer(text: str) -> Answer:
    return Answer(body=text.encode(), headers={"Content-Type": "text/csv"})


def test_the_client_reads_the_file(provider: LocalProvider) -> None:
    provider.answers = [answer(file(airport(municipality="Köln (Cologne)")))]
    frame = OurAirports(provider.settings(), Access(USER_AGENT)).airports()
    assert list(frame["municipality"]) == ["Köln (Cologne)"]
    assert provider.asked[0].path == "/airports.csv"


@pytest.mark.parametrize("change", [{"scheduled_service": "1"}, {"type": "big"}])
def test_a_world_without_airports_is_not_an_answer(provider: LocalProvider, change: dict[str, Any]) -> None:
    provider.answers = [answer(file(airport(**change)))]
    with pytest.raises(MalformedError, match="no airport in the world"):
        OurAirports(provider.settings(), Access(USER_AGENT)).airports()
