"""Wikipedia's part of the sandbox: articles, redirects, and errors that come with status 200."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from bs4 import BeautifulSoup

from gans_pipeline.sandbox import running
from gans_pipeline.sandbox.geography import build_world
from gans_pipeline.sandbox.wikipedia import Encyclopedia
from gans_pipeline_tests.sandbox.conftest import CITIES, Sandbox

POLICY = "https://w.wiki/4wJS"


@pytest.mark.parametrize("agent", ["", "python-requests/2.32", "Mozilla/5.0 (X11; Linux x86_64) https://example.org"])
@pytest.mark.parametrize("path", ["/w/api.php", "/wiki/London"])
def test_a_generic_user_agent_is_refused(sandbox: Sandbox, agent: str, path: str) -> None:
    answer = sandbox.get("wikipedia", path, {"User-Agent": agent})
    assert answer.status_code == 403
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.text == (
        f"Please set a user-agent and respect our robot policy {POLICY}."
        " See also https://phabricator.wikimedia.org/T400119.\n"
    )


def test_a_user_agent_without_contact_is_refused(sandbox: Sandbox) -> None:
    answer = sandbox.get("wikipedia", "/w/api.php", {"User-Agent": "scooters/1.0 requests/2.32"})
    assert answer.status_code == 403
    assert POLICY in answer.text


def test_one_request_too_many_is_told_when_to_come_back(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"wikipedia": {"per_minute": 0}})
    answer = sandbox.article("London")
    assert (answer.status_code, answer.text) == (
        429,
        f"Please respect our robot policy {POLICY} when crawling us.",
    )
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "x-cache" in answer.headers


def test_lag_is_an_error_with_status_200(sandbox: Sandbox) -> None:
    sandbox.put("limits", {"wikipedia": {"lag_s": 6.5}})
    answer = sandbox.article("London", maxlag=5)
    assert answer.status_code == 200
    assert (answer.headers["Retry-After"], answer.headers["X-Database-Lag"]) == ("5", "6")
    assert answer.headers["MediaWiki-API-Error"] == "maxlag"
    error = answer.json()["error"]
    assert (error["code"], error["lag"], error["type"]) == ("maxlag", 6.5, "db")
    assert re.fullmatch(r"Waiting for [\d.]+: 6.5 seconds lagged.", error["info"])
    assert "parse" in sandbox.article("London", maxlag=7).json()


def test_a_missing_page_is_an_error_with_status_200(sandbox: Sandbox) -> None:
    answer = sandbox.article("Nowhere at all")
    assert (answer.status_code, answer.headers["MediaWiki-API-Error"]) == (200, "missingtitle")
    assert answer.json()["error"]["code"] == "missingtitle"
    assert answer.json()["error"]["info"] == "The page you specified doesn't exist."


@pytest.mark.parametrize(("query", "code"), [({"action": "steal"}, "badvalue"), ({"page": ""}, "missingparam")])
def test_a_wrong_parameter_is_an_error_of_the_api(sandbox: Sandbox, query: Any, code: str) -> None:
    answer = sandbox.get("wikipedia", "/w/api.php", **({"action": "parse", "page": "London"} | query))
    assert (answer.status_code, answer.json()["error"]["code"]) == (200, code)


def test_the_two_format_versions_differ_as_they_do(sandbox: Sandbox) -> None:
    two, one = sandbox.article("London").json()["parse"], sandbox.article("London", formatversion=1).json()["parse"]
    assert one["text"] == {"*": two["text"]}
    assert two["properties"] == {"wikibase_item": "Q2002643743"}
    assert one["properties"] == [{"name": "wikibase_item", "*": "Q2002643743"}]
    assert (one["revid"], one["pageid"]) == (two["revid"], two["pageid"])


def test_only_what_was_asked_for_is_there(sandbox: Sandbox) -> None:
    assert sandbox.article("London", prop="revid").json()["parse"].keys() == {"title", "pageid", "revid"}


def test_a_redirect_is_followed_only_on_request_and_then_reported(sandbox: Sandbox) -> None:
    followed = sandbox.article("London, United_Kingdom", redirects=1).json()["parse"]
    assert followed["title"] == "London"
    assert followed["redirects"] == [{"from": "London, United Kingdom", "to": "London"}]
    assert "infobox" in followed["text"]
    left = sandbox.article("London, United_Kingdom").json()["parse"]
    assert left["title"] == "London, United Kingdom"
    assert "infobox" not in left["text"]


def test_the_lead_section_holds_the_infobox_but_not_the_list(sandbox: Sandbox) -> None:
    assert "infobox" in sandbox.article("London", section=0).json()["parse"]["text"]
    assert "wikitable" not in sandbox.article("List of largest cities", section=0).json()["parse"]["text"]
    assert "wikitable" in sandbox.article("List of largest cities").json()["parse"]["text"]


def test_every_city_of_the_list_has_an_article(sandbox: Sandbox) -> None:
    table = BeautifulSoup(sandbox.article("List of largest cities").json()["parse"]["text"], "lxml")
    rows = table.select("table.static-row-numbers tr")[2:]
    assert len(rows) == CITIES
    for row in rows:
        link = row.select_one("th a[href]")
        assert link is not None
        title = str(link["href"]).removeprefix("/wiki/")
        page = sandbox.get("wikipedia", f"/wiki/{title}")
        assert page.status_code == 200
        assert BeautifulSoup(page.text, "lxml").select_one("table.infobox .fn") is not None


def test_a_page_that_does_not_exist_is_404_in_the_skin(sandbox: Sandbox) -> None:
    assert sandbox.get("wikipedia", "/wiki/Nowhere_at_all").status_code == 404


def test_a_country_is_a_page_that_is_not_a_city(sandbox: Sandbox) -> None:
    country = sandbox.article("Japan").json()["parse"]
    assert "ib-country" in country["text"]
    assert "Population" in country["text"]


def test_homonyms_have_titles_of_their_own_and_a_disambiguation_page() -> None:
    world = build_world(3000, 0)
    assert {city.country_code for title, city in world.by_title.items() if title == "London, Ontario"} == {"CA"}
    page = Encyclopedia(world).html("London (disambiguation)")
    assert page is not None
    assert "London,_Ontario" in page
    assert "infobox" not in page


@pytest.fixture(scope="module")
def boxes() -> dict[str, BeautifulSoup]:
    """The infoboxes of 600 cities."""
    encyclopedia = Encyclopedia(build_world(600, 0))
    pages = {city.title: encyclopedia.html(city.title) or "" for city in encyclopedia.world.cities}
    return {title: BeautifulSoup(page, "lxml") for title, page in pages.items()}


def _sections(box: BeautifulSoup) -> Iterator[str]:
    yield from (header.get_text(" ") for header in box.select("table.infobox th[colspan='2']"))


def _labels(box: BeautifulSoup) -> list[str]:
    return [label.get_text() for label in box.select("table.infobox th[scope=row]")]


def test_the_layouts_that_real_articles_have_all_occur(boxes: dict[str, BeautifulSoup]) -> None:
    headers = [header for box in boxes.values() for header in _sections(box) if header.startswith("Population")]
    labels = {label.strip("\xa0• ") for box in boxes.values() for label in _labels(box)}
    assert {"Total", "City", "Municipality", "Metropolis", "Megacity", "Rank", "Density", "Demonym"} <= labels
    assert any(label.startswith("Estimate") for label in labels)
    assert any(label.startswith("Urban") for label in labels)
    assert any(label.startswith("Metro\xa0") for label in labels)
    assert any("(" not in header for header in headers)
    assert any("(2020 census)" in header for header in headers)
    single = sum(any(label.startswith("Population") for label in _labels(box)) for box in boxes.values())
    legacy = sum(box.select_one("table.infobox.geography") is not None for box in boxes.values())
    assert 20 < single < 90
    assert 30 < legacy < 100
    assert len(headers) + single == len(boxes)


def test_every_infobox_has_a_decimal_position_and_a_country(boxes: dict[str, BeautifulSoup]) -> None:
    for title, box in boxes.items():
        geo = box.select_one("table.infobox span.geo")
        assert geo is not None, title
        latitude, longitude = map(float, geo.get_text().split(";"))
        assert abs(latitude) <= 90
        assert abs(longitude) <= 180
        first = next(label for label in _labels(box))
        assert first in ("Country", "Sovereign state"), title


def test_a_british_city_names_the_sovereign_state_first(sandbox: Sandbox) -> None:
    box = BeautifulSoup(sandbox.article("London").json()["parse"]["text"], "lxml")
    assert _labels(box)[:2] == ["Sovereign state", "Country"]
    rows = [cell.get_text() for cell in box.select("table.infobox tr:has(th[scope=row]) td")]
    assert rows[:2] == ["United Kingdom", "England"]


def test_invented_figures_are_labelled_where_a_reader_sees_them(sandbox: Sandbox) -> None:
    text = BeautifulSoup(sandbox.article("London").json()["parse"]["text"], "lxml").get_text()
    assert "invented by the Gans sandbox" in text


def test_ten_thousand_cities_are_listed() -> None:
    with running(cities=10_000) as url:
        html = Sandbox(url).article("List of largest cities").json()["parse"]["text"]
    links = re.findall(r'<tr><th scope="row"><a href="/wiki/([^"]+)"', html)
    assert len(links) == len(set(links)) == 10_000
