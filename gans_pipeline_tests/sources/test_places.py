import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gans_pipeline.sources.places import country_code, country_name, country_of_subdivision, timezone_at


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Germany", "DE"),
        ("Turkey", "TR"),
        ("Türkiye", "TR"),
        ("Russia", "RU"),
        ("DR Congo", "CD"),
        ("Democratic Republic of the Congo", "CD"),
        ("Republic of the Congo", "CG"),
        ("Congo", "CG"),
        ("Ivory Coast", "CI"),
        ("Côte d’Ivoire", "CI"),
        ("Burma", "MM"),
        ("England", "GB"),
        ("Scotland", "GB"),
        ("Wales", "GB"),
        ("Northern Ireland", "GB"),
        ("UAE", "AE"),
        ("Macau", "MO"),
        ("Hong Kong", "HK"),
        ("Taiwan", "TW"),
        ("Republic of China", "TW"),
        ("People's Republic of China", "CN"),
        ("China", "CN"),
        ("Palestine", "PS"),
        ("State of Palestine", "PS"),
        ("Brunei", "BN"),
        ("Kosovo", "XK"),
        ("Republic of Kosovo", "XK"),
        ("Cape Verde", "CV"),
        ("South Korea", "KR"),
        ("Republic of Korea", "KR"),
        ("North Korea", "KP"),
        ("Democratic People's Republic of Korea", "KP"),
        ("Vietnam", "VN"),
        ("Laos", "LA"),
        ("Syria", "SY"),
        ("Iran", "IR"),
        ("Tanzania", "TZ"),
        ("Bolivia", "BO"),
        ("Venezuela", "VE"),
        ("Moldova", "MD"),
        ("Czech Republic", "CZ"),
        ("Eswatini", "SZ"),
        ("Swaziland", "SZ"),
        ("The Gambia", "GM"),
        ("the Bahamas", "BS"),
        ("Kingdom of Spain", "ES"),
        ("U.S.", "US"),
        ("USA", "US"),
        ("Bosnia & Herzegovina", "BA"),
        ("St. Lucia", "LC"),
    ],
)
def test_a_country_has_its_code_under_the_names_in_use(name: str, code: str) -> None:
    assert country_code(name) == code


@pytest.mark.parametrize("name", ["Atlantis", "", "Germani", "State of Georgia", "Unknown or unassigned country"])
def test_an_unknown_country_is_named_and_not_guessed(name: str) -> None:
    with pytest.raises(ValueError, match="unknown country") as caught:
        country_code(name)
    assert repr(name) in str(caught.value)


def test_every_country_of_ourairports_is_known() -> None:
    recorded = os.environ.get("GANS_RECORDED_DIR")
    if not recorded:
        pytest.skip("GANS_RECORDED_DIR names no directory of recorded payloads")
    not_in_iso = {"XP", "ZZ"}  # the disputed Paracel Islands, and no country at all
    with (Path(recorded) / "ourairports" / "countries.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["code"] not in not_in_iso]
    assert len(rows) > 240
    assert {row["name"]: country_code(row["name"]) for row in rows} == {row["name"]: row["code"] for row in rows}


def test_a_code_has_the_common_name_of_its_country() -> None:
    assert [country_name(code) for code in ("TZ", "XK", "ZZ")] == ["Tanzania", "Kosovo", None]


def test_a_state_tells_its_country_only_if_no_other_country_has_one_of_that_name() -> None:
    assert country_of_subdivision("New South Wales") == "Australia"
    assert country_of_subdivision("Amazonas") is None
    assert country_of_subdivision("Atlantis") is None


def test_a_position_has_the_time_zone_of_its_land() -> None:
    assert timezone_at(52.52, 13.405) == "Europe/Berlin"
    assert timezone_at(40.71278, -74.00611) == "America/New_York"
    assert timezone_at(28.61, 77.23) == "Asia/Kolkata"
    assert timezone_at(43.825, 87.6) == "Asia/Shanghai"  # Ürümqi: trains and flights run by Beijing's time


def test_a_position_at_sea_has_the_nautical_zone() -> None:
    assert timezone_at(0, -30) == "Etc/GMT+2"


@pytest.mark.parametrize("position", [(91, 0), (0, 181), (float("nan"), 0)])
def test_a_position_that_is_not_on_the_globe_has_no_time_zone(position: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="no position on the globe"):
        timezone_at(*position)


def test_threads_share_the_finder_and_get_their_own_answers() -> None:
    positions = [(52.52, 13.405), (35.68972, 139.69222), (-23.55, -46.63333), (30.04444, 31.23583)] * 25
    with ThreadPoolExecutor(8) as threads:
        zones = list(threads.map(lambda position: timezone_at(*position), positions))
    assert zones == ["Europe/Berlin", "Asia/Tokyo", "America/Sao_Paulo", "Africa/Cairo"] * 25
