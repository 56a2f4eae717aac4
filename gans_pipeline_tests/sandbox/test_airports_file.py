"""OurAirports' file: its columns, its traps, and conditional requests."""

import csv
import io
from collections import Counter

import pytest

from gans_pipeline.sandbox.geography import World
from gans_pipeline_tests.sandbox.conftest import Sandbox

CURRENT = (
    "id,ident,type,name,latitude_deg,longitude_deg,elevation_ft,continent,iso_country,iso_region,municipality,"
    "scheduled_service,icao_code,iata_code,gps_code,local_code,home_link,wikipedia_link,keywords"
)


@pytest.fixture(scope="module")
def rows(_sandbox: Sandbox) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(_sandbox.get("ourairports", "/airports.csv").text)))


def test_the_file_has_the_columns_of_its_two_generations(sandbox: Sandbox, rows: list[dict[str, str]]) -> None:
    older = list(csv.DictReader(io.StringIO(sandbox.get("ourairports", "/airports.csv", columns=18).text)))
    assert ",".join(rows[0]) == CURRENT
    assert ",".join(older[0]) == CURRENT.replace("icao_code,", "")
    assert [row["iata_code"] for row in older] == [row["iata_code"] for row in rows]


def test_the_file_has_its_traps(rows: list[dict[str, str]]) -> None:
    kinds = Counter(row["type"] for row in rows)
    assert set(kinds) >= {"large_airport", "medium_airport", "small_airport", "closed", "heliport", "seaplane_base"}
    assert 3000 < sum(row["scheduled_service"] == "yes" for row in rows) < 5000
    assert sum(row["continent"] == "NA" for row in rows) > 1000
    assert sum(row["iso_country"] == "NA" for row in rows) > 5
    assert any('"' in row["keywords"] for row in rows)
    tegel = next(row for row in rows if row["ident"] == "EDDT")
    assert (tegel["type"], tegel["scheduled_service"]) == ("closed", "no")


def test_the_largest_cities_have_a_large_airport(rows: list[dict[str, str]], world: World) -> None:
    large = {row["ident"] for row in rows if row["type"] == "large_airport" and row["scheduled_service"] == "yes"}
    for city in world.cities:
        near = world.airport_atlas.within(city.latitude, city.longitude, 60)
        assert large & {airport.icao for _, airport in near}, city.title


def test_what_is_known_is_not_sent_again(sandbox: Sandbox) -> None:
    first = sandbox.get("ourairports", "/airports.csv")
    assert first.headers["Content-Type"].startswith("text/csv")
    for header, value in (
        ("If-None-Match", first.headers["ETag"]),
        ("If-None-Match", f'"other", W/{first.headers["ETag"]}'),
        ("If-Modified-Since", first.headers["Last-Modified"]),
    ):
        again = sandbox.get("ourairports", "/airports.csv", {header: value})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    changed = sandbox.get("ourairports", "/airports.csv", {"If-None-Match": '"other"'})
    assert changed.content == first.content
    unread = sandbox.get("ourairports", "/airports.csv", {"If-Modified-Since": "last week"})
    assert unread.status_code == 200
