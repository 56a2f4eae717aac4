import html
import json
import os
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gans_pipeline.sources.http import MalformedError, PermanentError, SourceError, TransientError
from gans_pipeline.sources.wikipedia_article import Article, parse_article, to_json
from gans_pipeline.sources.wikipedia_list import parse_largest_cities
from gans_pipeline_tests.sources.mutations import damaged_text

# Pages of our own, in the markup of both generations of the template


def heading(text: str, *, row: str = "mergedtoprow") -> str:
    return f'<tr class="{row}"><th colspan="2" class="infobox-header">{text}</th></tr>'


def row(label: str, value: str, *, row: str = "mergedrow") -> str:
    cells = f'<th scope="row" class="infobox-label">{label}</th><td class="infobox-data">{value}</td>'
    return f'<tr class="{row}">{cells}</tr>'


def bullet(label: str, value: str, *, marked: str = "mergedrow") -> str:
    return row(f"&#160;•&#160;{label}", value, row=marked)


def wide(content: str, *, row: str = "mergedtoprow") -> str:
    return f'<tr class="{row}"><td colspan="2" class="infobox-full-data">{content}</td></tr>'


def geo(text: str) -> str:
    return (
        '<span class="geo-inline"><a class="external text" href="https://geohack.toolforge.org/geohack.php?params=x">'
        f'<span style="display:none">&#xfeff; / <span class="geo">{text}</span></span></a></span>'
    )


NOTE = '<div class="ib-settlement-fn">{}<sup class="reference" id="cite_ref-1"><a href="#n">[1]</a></sup></div>'
COUNTRY = row("Country", '<a href="/wiki/Chad">Chad</a>', row="mergedtoprow")
COORDINATES = wide("Coordinates: " + geo("10.00000; 20.00000"))


def infobox(*rows: str, name: str = "Oldtown", classes: str = "infobox ib-settlement vcard") -> str:
    above = f'<tr><th colspan="2" class="infobox-above"><div class="fn org">{name}</div></th></tr>'
    return f'<table class="{classes}"><tbody>{above}{"".join(rows)}</tbody></table>'


def skin(body: str, *, title: str = "Oldtown", revision: int = 77, item: str = "Q42") -> str:
    page_name = json.dumps(title.replace(" ", "_"))
    return (
        f"<!DOCTYPE html><html><head><title>{title} - Wikipedia</title><script>RLCONF={{"
        f'"wgBreakFrames":!1,"wgPageName":{page_name},"wgRevisionId":{revision},"wgWikibaseItemId":"{item}"}};'
        f'</script></head><body><h1 id="firstHeading">{title}</h1>'
        f'<div class="mw-parser-output">{body}</div></body></html>'
    )


def api(text: Any, **parse: Any) -> dict[str, Any]:
    return {"parse": {"title": "Oldtown", "pageid": 1, "revid": 77, "text": text, **parse}}


def figures(article: Article) -> list[tuple[str, str | None, int | None, str, str]]:
    return [(each.label, each.note, each.people, each.as_of, each.kind) for each in article.populations]


CITY = infobox(
    wide(f"Coordinates: {geo('10.00000; 20.00000')}"),
    COUNTRY,
    heading("Area"),
    bullet("Total", "88.02&#160;km<sup>2</sup> (33.98&#160;sq&#160;mi)"),
    heading("Population" + NOTE.format(" (2010 census)")),
    bullet("Total", "123,456<sup class='reference'>[2]</sup>"),
    bullet("Rank", "1st in Chad<br>3rd in Africa"),
    bullet("Density", "2,600/km<sup>2</sup> (6,800/sq&#160;mi)"),
    bullet('<a href="/wiki/Urban_area">Urban area</a>', "200,000 (2nd)"),
    bullet("Metro&#160;" + NOTE.format("(Dec 2018)"), "300,000"),
    row('<a href="/wiki/Demonym">Demonym</a>(s)', "Oldtowner", row="mergedtoprow"),
    heading("GDP"),
    bullet("Total", "12,000,000"),
)


# What a page tells


def test_a_city_is_read_from_its_infobox() -> None:
    article = parse_article(skin(CITY, title="Oldtown, Chad"))
    assert (article.title, article.name, article.revision, article.wikidata_id) == ("Oldtown, Chad", "Oldtown", 77, 42)
    assert (article.country, article.latitude, article.longitude) == ("Chad", 10.0, 20.0)
    assert (article.population, article.population_label, article.population_as_of) == (123456, "Total", "2010 census")
    assert figures(article) == [
        ("Total", "2010 census", 123456, "2010", "administrative"),
        ("Urban area", "2010 census", 200000, "2010", "urban"),
        ("Metro", "Dec 2018", 300000, "2018-12", "metropolitan"),
    ]
    assert [figure.definition for figure in article.populations] == ["total", "urban area", "metro"]
    assert [figure.chosen for figure in article.populations] == [True, False, False]


def test_json_carries_what_the_article_does() -> None:
    content = to_json(parse_article(skin(CITY)))
    assert json.loads(json.dumps(content)) == content
    assert {key: content[key] for key in ("title", "country", "lat", "lon", "population")} == {
        "title": "Oldtown",
        "country": "Chad",
        "lat": 10.0,
        "lon": 20.0,
        "population": 123456,
    }
    assert len(content["populations"]) == 3


@pytest.mark.parametrize(
    "payload",
    [
        skin(CITY),
        f'<div class="mw-parser-output">{CITY}</div>',
        CITY,
        CITY.replace("</tr>", "</tr>\n"),
        f'<html about="https://en.wikipedia.org/wiki/Special:Redirect/revision/77"><body>{CITY}</body></html>',
        api(CITY),
        api({"*": CITY}),
    ],
    ids=["skin", "fragment", "infobox", "with line breaks", "parsoid", "formatversion 2", "formatversion 1"],
)
def test_every_wrapping_of_a_page_gives_the_same_figures(payload: object) -> None:
    article = parse_article(payload)
    assert (article.title, article.population, article.latitude) == ("Oldtown", 123456, 10.0)


def test_parsoid_tells_revision_and_title() -> None:
    page = (
        '<html about="https://en.wikipedia.org/wiki/Special:Redirect/revision/77"><head>'
        f'<link rel="dc:isVersionOf" href="//en.wikipedia.org/wiki/Old_T%C3%B6wn"/></head><body>{CITY}</body></html>'
    )
    article = parse_article(page)
    assert (article.title, article.revision) == ("Old Töwn", 77)


@pytest.mark.parametrize(
    "properties",
    [
        {"wikibase_item": "Q42", "defaultsort": "Oldtown"},
        [{"name": "defaultsort", "*": "x"}, {"name": "wikibase_item", "*": "Q42"}],
        [{"name": "wikibase_item", "value": "Q42"}],
    ],
)
def test_the_wikidata_item_is_found_in_every_shape_of_the_properties(properties: Any) -> None:
    assert parse_article(api(CITY, properties=properties)).wikidata_id == 42


@pytest.mark.parametrize("properties", [None, [], {}, {"wikibase_item": "L1"}, [{"name": "wikibase_item"}], "Q42", [1]])
def test_a_page_without_an_item_has_none(properties: Any) -> None:
    assert parse_article(api(CITY, properties=properties)).wikidata_id is None


def test_the_item_is_found_in_the_links_of_the_skin() -> None:
    link = '<li id="t-wikibase"><a href="https://www.wikidata.org/wiki/Special:EntityPage/Q64">Wikidata item</a></li>'
    assert parse_article(f"<body>{CITY}{link}</body>").wikidata_id == 64


@pytest.mark.parametrize(
    "name",
    [
        'Delhi</div><div class="nickname ib-settlement-native">Dillī',
        'Delhi <span lang="hi">दिल्ली</span>',
        'Delhi (<span lang="hi">दिल्ली</span>)',
        "Delhi<br>National Capital Territory",
        '<span style="position:relative">Delhi</span><sup class="reference">[1]</sup>',
    ],
)
def test_a_name_goes_without_native_names_and_nicknames(name: str) -> None:
    assert parse_article(infobox(COUNTRY, name=name)).name == "Delhi"


def test_a_name_that_is_foreign_stays() -> None:
    assert parse_article(infobox(COUNTRY, name='<span lang="pt">São Paulo</span>')).name == "São Paulo"


# The population section


def population_of(*rows: str, **options: Any) -> Article:
    return parse_article(infobox(COUNTRY, *rows, **options))


def test_the_next_top_row_ends_the_section() -> None:
    article = population_of(
        heading("Population (2020)"),
        bullet("City", "5,000"),
        row("Area code", "312", row="mergedtoprow"),
        bullet("Total", "9"),
    )
    assert figures(article) == [("City", "2020", 5000, "2020", "administrative")]


def test_a_section_without_row_classes_ends_where_its_bullets_end() -> None:
    article = population_of(
        "<tr><th colspan='2'>Population (2020)</th></tr>",
        bullet("Total", "5,000", marked=""),
        bullet("Metro", "7,000", marked=""),
        row("Time zone", "UTC+1", row=""),
        bullet("Summer (DST)", "UTC+2", marked=""),
    )
    assert [figure.people for figure in article.populations] == [5000, 7000]


def test_a_section_without_classes_and_bullets_is_read_by_its_words() -> None:
    article = population_of(
        "<tr><th colspan='2'>Population (2020)</th></tr>",
        row("Total", "5,000", row=""),
        row("Metro area", "7,000", row=""),
        row("Website", "1000 pages", row=""),
        row("City", "44", row=""),
    )
    assert [figure.people for figure in article.populations] == [5000, 7000]


def test_a_demonym_inside_the_section_is_no_population_and_does_not_end_it() -> None:
    article = population_of(
        heading("Population (2020)"),
        bullet("Territorial", "5,000"),
        row("Demonym", "Oldtowner 1"),
        bullet("Urban", "6,000"),
    )
    assert [figure.label for figure in article.populations] == ["Territorial", "Urban"]


def test_label_and_value_in_one_row_are_followed_by_rows_of_the_same_section() -> None:
    article = population_of(
        row("Population" + NOTE.format("&#160;(2023)"), "2,103,778", row="mergedtoprow"),
        bullet("Rank", "9th in Europe"),
        bullet("Urban (Jan 2021)", "10,890,751"),
        bullet("Metro", "13,171,056"),
    )
    assert figures(article) == [
        ("Population", "2023", 2103778, "2023", "administrative"),
        ("Urban", "Jan 2021", 10890751, "2021-01", "urban"),
        ("Metro", "2023", 13171056, "2023", "metropolitan"),
    ]


def test_an_infobox_with_no_class_of_a_settlement_is_a_city_by_its_population() -> None:
    article = population_of(
        row('<a href="/wiki/Population">Population</a>', "5,450,496 (2023)", row=""),
        row("Established", "26 January 1788", row=""),
        row("Postcode(s)", "2000", row=""),
        classes="infobox",
    )
    assert (article.population, article.population_label, article.population_as_of) == (5450496, "Population", "2023")


def test_the_word_population_elsewhere_is_no_figure() -> None:
    article = population_of(
        heading("Population (2017)"),
        bullet("Municipality", "21,707,000"),
        bullet("Ranks in China", "Population: 27th; Density: 4th"),
        heading("National rank"),
        bullet("Population", "27th"),
        row("Population density", "4,000", row="mergedtoprow"),
        row("Population rank", "3", row="mergedtoprow"),
    )
    assert [figure.people for figure in article.populations] == [21707000]


def test_a_part_of_the_section_that_folds_is_read_and_other_tables_are_not() -> None:
    folded = f'<table class="mw-collapsible mw-collapsed"><tbody>{bullet("Urban", "6,000")}</tbody></table>'
    history = f"<table><tbody>{heading('Historical population')}{bullet('1990', '3,000')}</tbody></table>"
    article = population_of(
        heading("Population (2020)"),
        bullet("City", "5,000"),
        wide(folded, row="mergedrow"),
        wide(history, row="mergedrow"),
        bullet("Metro", "7,000"),
    )
    assert [figure.people for figure in article.populations] == [5000, 6000, 7000]


def test_lines_do_not_fuse() -> None:
    article = population_of(
        heading("Population"),
        bullet("City<br>proper", "8,804,190<br>2020 census"),
        bullet("Metro", "<ul><li>9,000,000</li><li>1st</li></ul>"),
    )
    assert [(each.label, each.people, each.note) for each in article.populations] == [
        ("City proper", 8804190, "2020 census"),
        ("Metro", 9000000, None),
    ]


def test_hidden_sort_keys_are_no_digits() -> None:
    article = population_of(heading("Population"), bullet("City", '<span style="display:none">7006</span>8,804,190'))
    assert article.population == 8804190


def test_the_rows_own_note_comes_before_the_headings() -> None:
    article = population_of(
        heading("Population (2006 census)"),
        bullet("Metropolis", "8,048,430"),
        bullet("Estimate (2018 by LASG)", "16,437,435"),
        bullet("Metro", "21,000,000 (estimated)"),
    )
    assert [(each.note, each.as_of) for each in article.populations] == [
        ("2006 census", "2006"),
        ("2018 by LASG", "2018"),
        ("estimated", ""),
    ]


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([("Estimate (2023)", "1,100"), ("Total", "1,000"), ("Metro", "3,000")], 1000),
        ([("Urban", "2,000"), ("Megacity/Metropolitan municipality", "1,000")], 1000),
        ([("Total", "—"), ("City", "900")], 900),
        ([("Total", "—"), ("Estimate", "1,100"), ("Urban", "2,000")], 1100),
        ([("Metro", "3,000"), ("Urban", "2,000")], 2000),
        ([("23 Wards", "500"), ("Metro", "3,000")], 3000),
    ],
)
def test_the_first_administrative_figure_is_chosen_before_derived_ones(
    rows: list[tuple[str, str]], chosen: int
) -> None:
    article = population_of(heading("Population"), *(bullet(label, value) for label, value in rows))
    assert article.population == chosen
    assert sum(figure.chosen for figure in article.populations) == 1


def test_a_missing_figure_still_says_what_is_missing() -> None:
    article = population_of(heading("Population (2020)"), bullet("City", "1,200,000–1,500,000"))
    assert (article.population, article.population_label, article.population_as_of) == (None, "City", "2020")


def test_a_city_without_population_country_and_position_is_read() -> None:
    article = parse_article(infobox(row("Mayor", "—", row="mergedtoprow")))
    assert (article.population, article.population_label, article.country) == (None, None, None)
    assert (article.latitude, article.longitude, article.populations) == (None, None, ())


def test_two_figures_of_one_definition_are_both_kept() -> None:
    article = population_of(
        heading("Population (2020)"),
        bullet("Metro", "5"),
        bullet("metro", "6"),
        bullet("Metro", "7"),
        bullet("Metro (2)", "8"),
    )
    keys = [(figure.definition, figure.as_of) for figure in article.populations]
    assert [figure.people for figure in article.populations] == [5, 6, 7, 8]
    assert len(set(keys)) == 4
    assert keys[0] == ("metro", "2020")


def test_long_labels_fit_their_columns_and_stay_distinct() -> None:
    article = population_of(heading("Population"), bullet("City " + "x" * 300, "5"), bullet("City " + "x" * 300, "6"))
    assert all(len(each.label) <= 200 and len(each.definition) <= 200 for each in article.populations)
    assert len({each.definition for each in article.populations}) == 2


# Where it is


@pytest.mark.parametrize(
    ("rows", "country"),
    [
        (row("Sovereign state", "United Kingdom") + row("Country", "England"), "United Kingdom"),
        (row("Country", "England") + row("Sovereign state", "United Kingdom"), "United Kingdom"),
        (row("Sovereign state", "France") + row("Countries of the French Republic", "Corsica"), "France"),
        (row('<a href="/wiki/List_of_sovereign_states">Country</a>', "Japan"), "Japan"),
        (row("Country", '<span class="flagicon"><img alt="Flag"/>&#160;</span><a>Spain</a>[1]'), "Spain"),
        (row("Country", "Serbia (claimed)"), "Serbia"),
        (row("Country", "France / Spain"), "France"),
        (row("Countries", "France<br>Spain"), "France"),
        (row("Country", "Trinidad and Tobago"), "Trinidad and Tobago"),
        (wide('<div class="category">State of Germany</div>'), "Germany"),
        (wide('<div class="category">City in Georgia</div>'), None),
        (row("State", "New South Wales"), "Australia"),
        (row("Calling code", "+33"), None),
    ],
)  # fmt: skip
def test_the_country_is_the_sovereign_one(rows: str, country: str | None) -> None:
    assert parse_article(infobox(rows)).country == country


def test_the_region_of_the_coordinates_tells_a_country_that_no_row_names() -> None:
    link = '<a href="https://geohack.toolforge.org/geohack.php?params=33_52_S_151_12_E_region:AU-NSW_type:city">x</a>'
    article = parse_article(infobox(wide(link)))
    assert (article.country, article.latitude, article.longitude) == ("Australia", -33.866667, 151.2)


@pytest.mark.parametrize(
    "coordinates",
    [
        geo("52.52; 13.405"),
        geo("52.52, 13.405"),
        '<span class="latitude">52°31′12″N</span> <span class="longitude">13°24′18″E</span>',
        '<span class="latitude">52.52</span> <span class="longitude">13.405</span>',
        '<span class="geo-dec">52.520°N 13.405°E</span>',
        "52°31′12″N 13°24′18″E",
        '<a href="//geohack.toolforge.org/geohack.php?params=52_31_12_N_13_24_18_E_type:city">map</a>',
        '<a class="mw-kartographer-map" data-lat="52.52" data-lon="13.405">map</a>',
    ],
)
def test_a_position_is_found_in_every_form(coordinates: str) -> None:
    article = parse_article(infobox(wide(f"Coordinates: {coordinates}")))
    assert (article.latitude, article.longitude) == (52.52, 13.405)


def test_the_infobox_is_believed_before_the_page_and_the_page_before_a_map() -> None:
    indicator = f'<span id="coordinates">{geo("1.0; 2.0")}</span>'
    chart = wide('<a data-lat="3.0" data-lon="4.0">map</a>')
    assert parse_article(indicator + infobox(COORDINATES, chart)).latitude == 10.0
    assert parse_article(indicator + infobox(COUNTRY, chart)).latitude == 1.0


def test_the_position_of_a_sight_is_not_that_of_the_city() -> None:
    assert parse_article(infobox(COUNTRY) + f"<p>The tower {geo('1.0; 2.0')}</p>").latitude is None


@pytest.mark.parametrize(
    "position", [geo("91.0; 20.0"), geo("10.0; 181.0"), '<span class="geo-dms">52°75′N 13°24′E</span>']
)
def test_a_position_off_the_globe_is_malformed(position: str) -> None:
    with pytest.raises(MalformedError, match="Oldtown: "):
        parse_article(skin(infobox(wide(position))))


# What is not a city


PLAIN = "infobox vcard"
NOT_CITIES = {
    "is a disambiguation page": '<p>Georgia may mean:</p><div id="disambigbox"></div>',
    "has no infobox": "<p>Georgia is a name.</p>",
    "is a redirect": '<div class="redirectMsg"><p>Redirect to:</p><ul class="redirectText"><li>X</li></ul></div>',
    "is a country": infobox(
        row("Capital", "Paris"), row("Currency", "Euro"),
        heading("Population"), bullet("2024 estimate", "68,000,000 (20th)"),
        name='<span class="country-name">France</span>', classes="infobox ib-country vcard",
    ),
    "is a country, not": infobox(
        row("Currency", "Euro"), row("Internet TLD", ".fr"), heading("Population"), bullet("Total", "68,000,000"),
        classes="infobox geography vcard",
    ),
    "is a company": infobox(row("Industry", "Scooters"), row("Headquarters", geo("52.5; 13.4")), classes=PLAIN),
    "is a person": infobox(row("Born", "1 May 1900"), classes="infobox biography vcard"),
    "is a film": infobox(row("Directed by", "N. N."), row("Running time", "90 minutes"), classes="infobox vevent"),
    "is a river": infobox(COUNTRY, row("Source", "Hill"), row("Mouth", "Sea"), COORDINATES, classes=PLAIN),
    "is a continent": infobox(
        row("Countries", "54"), row("Dependencies", "3"), row("Population", "1.4 billion"), classes="infobox"
    ),
    "not that of a city": infobox(row("Opened", "1900"), COORDINATES, classes=PLAIN),
}  # fmt: skip


@pytest.mark.parametrize("reason", NOT_CITIES)
def test_what_is_not_a_city_is_refused_with_the_page_and_the_reason(reason: str) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        parse_article(skin(NOT_CITIES[reason], title="Georgia"))
    assert "Georgia" in str(caught.value)


def settlement(category: str, *rows: str, name: str) -> str:
    kind = f'<tr><td colspan="2"><div class="category">{category}</div></td></tr>'
    return infobox(kind, COORDINATES, COUNTRY, *rows, heading("Population"), bullet("Total", "1,000,000"), name=name)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (
            settlement("State of Germany", row("Capital", "Munich"), name="Bavaria"),
            "is a state with the capital Munich",
        ),
        (settlement("U.S. state", row("Capital", "Sacramento"), name="California"), "is a state with the capital"),
        (settlement("Province", row("Capital", "Guangzhou"), name="Guangdong"), "is a province with the capital"),
        (settlement("County", row("County seat", "Chicago"), name="Cook County"), "is a county with the capital"),
        (settlement("Neighborhood of Manhattan", name="SoHo"), "is a neighborhood of manhattan"),
    ],
    ids=["Bavaria", "California", "Guangdong", "Cook County", "SoHo"],
)
def test_a_state_or_a_part_of_a_city_is_refused_by_its_infobox(page: str, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_article(page)


@pytest.mark.parametrize(
    ("category", "name", "seat"),
    [
        ("State of Germany", "Berlin", ()),
        ("Metropolis", "Tokyo", (row("Capital", "Shinjuku"),)),
        ("Union territory", "Delhi", (row("Capital", "New Delhi"),)),
        ("Canton of Switzerland", "Geneva", (row("Capital", "Geneva"),)),
    ],
    ids=["Berlin", "Tokyo", "Delhi", "Geneva"],
)
def test_a_city_that_is_a_state_too_is_a_city(category: str, name: str, seat: tuple[str, ...]) -> None:
    assert parse_article(settlement(category, *seat, name=name)).population == 1_000_000


def test_a_list_is_refused_even_with_an_infobox() -> None:
    with pytest.raises(MalformedError, match="is a list"):
        parse_article(skin(CITY, title="List of towns"))


def test_a_disambiguation_page_is_known_by_its_properties() -> None:
    with pytest.raises(MalformedError, match="is a disambiguation page"):
        parse_article(api(CITY, properties={"disambiguation": ""}))


def test_a_city_state_is_a_city_in_a_countrys_infobox() -> None:
    page = infobox(
        row("Capital", f"Singapore (city-state) {geo('1.28333; 103.83333')}"),
        row("Currency", "Singapore dollar"),
        heading("Population"),
        bullet("2024 estimate", "6,036,900 (113th)"),
        bullet("2020 census", "5,685,807"),
        bullet("Density", "7,804/km<sup>2</sup> (2nd)"),
        name='<span class="country-name">Singapore</span>',
        classes="infobox ib-country vcard",
    )
    article = parse_article(page)
    assert (article.country, article.population, article.population_as_of) == ("Singapore", 5685807, "2020 census")
    assert [figure.as_of for figure in article.populations] == ["2024", "2020"]


def test_a_city_with_a_currency_is_a_city() -> None:
    article = parse_article(
        infobox(COUNTRY, row("Currency", "Dollar"), row("Internet TLD", ".hk"), row("Calling code", "852"))
    )
    assert article.country == "Chad"


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"parse": None},
        {"parse": {"title": "X"}},
        {"parse": {"title": "X", "text": 5}},
        None,
        5,
        [],
        b"<p>",
        "",
        "   ",
    ],
)
def test_a_payload_that_is_no_page_is_malformed(payload: object) -> None:
    for parse in (parse_article, parse_largest_cities):
        with pytest.raises(MalformedError):
            parse(payload)


def test_an_api_error_is_typed() -> None:
    with pytest.raises(PermanentError, match="missingtitle"):
        parse_article({"error": {"code": "missingtitle", "info": "The page you specified doesn't exist."}})
    with pytest.raises(TransientError, match="maxlag"):
        parse_article({"error": {"code": "maxlag", "info": "Waiting for a replica: 6 seconds lagged."}})


# The list of the largest cities

MODERN = """
<table class="wikitable"><tr><th>City</th><th>Mayor</th></tr><tr><td><a href="/wiki/X">X</a></td><td>Y</td></tr></table>
<table class="sortable wikitable"><caption>Largest</caption><tbody>
<tr><th rowspan="2">City<sup class="reference">[a]</sup></th><th rowspan="2">Country</th>
    <th rowspan="2">UN 2025 population estimates<sup class="reference">[12]</sup></th>
    <th colspan="2">City proper</th></tr>
<tr><th>Definition</th><th>Population</th></tr>
<tr><th scope="row"><a href="/wiki/File:F.svg"><img alt="x"></a> <a href="/wiki/S%C3%A3o_Paulo">Sao P</a>[1]</th>
    <td rowspan="2"><span class="flagicon"><img alt="Flag"/>&#160;</span><a href="/wiki/Brazil">Brazil</a></td>
    <td>21,650,000<sup class="reference">[3]</sup></td><td>Municipality</td><td>12,252,023</td></tr>
<tr><td><a href="./Rio_de_Janeiro#History">Rio</a></td><td>—</td><td>Municipality</td><td>6,000,000</td></tr>
<tr><td><a href="New_Delhi.html">New Delhi</a></td><td>India</td><td>30.2 million</td><td>x</td><td>1</td></tr>
<tr><td><a href="/w/index.php?title=Nowhere&amp;action=edit&amp;redlink=1" class="new">Nowhere</a></td>
    <td>Chad</td><td>9</td><td>x</td><td>1</td></tr>
<tr><td>Unlinked</td><td>Chad</td><td>9</td><td>x</td><td>1</td></tr>
<tr><td><a href="https://en.wikipedia.org/wiki/New_Delhi">again</a></td><td>India</td><td>8</td><td>x</td><td>1</td></tr>
<tr><th>City</th><th>Country</th><th>UN 2025 population estimates</th><th>Definition</th><th>Population</th></tr>
</tbody></table>
"""

TO_2018 = """
<table class="wikitable"><tr><th rowspan="2">Rank</th><th rowspan="2">City</th><th rowspan="2">Nation</th>
<th rowspan="2">Image</th><th colspan="3">Population</th></tr>
<tr><th>City proper</th><th>Metropolitan area</th><th>Urban area</th></tr>
<tr><td>1</td><td><a href="/wiki/Chongqing">Chongqing</a></td><td><a href="/wiki/China">China</a></td>
<td><a href="/wiki/File:C.jpg"><img></a></td><td>30,751,600</td><td>—</td><td>8,189,800</td></tr></table>
"""


def test_the_list_is_keyed_by_the_targets_of_its_links() -> None:
    cities = parse_largest_cities(skin(MODERN, title="List of largest cities"))
    assert cities["title"].tolist() == ["São Paulo", "Rio de Janeiro", "New Delhi"]
    assert cities["name"].tolist() == ["Sao P", "Rio", "New Delhi"]
    assert cities["country"].tolist() == ["Brazil", "Brazil", "India"]
    assert cities["people"].isna().tolist() == [False, True, False]
    assert cities["people"].dropna().tolist() == [21_650_000, 30_200_000]
    assert cities["year"].tolist() == [2025, 2025, 2025]
    assert str(cities["people"].dtype) == str(cities["year"].dtype) == "Int64"


def test_the_list_before_2019_has_cities_without_the_estimate() -> None:
    cities = parse_largest_cities(TO_2018)
    assert cities[["title", "country"]].to_numpy().tolist() == [["Chongqing", "China"]]
    assert cities[["people", "year"]].isna().all().all()


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("<p>no table</p>", "no table with the columns"),
        (CITY, "no table with the columns"),
        (MODERN.replace("<a ", "<b "), "has a link"),
        ("<table><tr><th>City</th><th>Country</th><th>UN 2025 population estimates</th></tr>"
         "<tr><td><a href='/wiki/X'>X</a></td><td>Y</td><td>n/a</td></tr></table>", "no population can be read"),
    ],
)  # fmt: skip
def test_a_list_in_which_nothing_can_be_read_is_malformed(page: str, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_largest_cities(page)


# Whatever comes


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_a_damaged_page_is_read_or_refused(seed: int, damages: int) -> None:
    chance = random.Random(seed)
    page = damaged_text(chance.choice([skin(CITY), CITY, skin(MODERN), *NOT_CITIES.values()]), chance, damages)
    for parse in (parse_article, parse_largest_cities):
        outcome: object
        try:
            outcome = parse(page)
        except SourceError as refused:
            outcome = refused.detail
        assert isinstance(outcome, Article | pd.DataFrame | str)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_in_a_row_is_read_or_refused(label: str, value: str) -> None:
    page = infobox(COUNTRY, heading("Population " + html.escape(label)), bullet(html.escape(label), html.escape(value)))
    for figure in parse_article(page).populations:
        assert figure.people is None or figure.people >= 0
        assert len(figure.definition) <= 200


# Real pages, where they are at hand


def directory(variable: str) -> Path:
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} names no directory")
    return Path(path)


def test_every_layout_of_the_contract_is_read_as_expected() -> None:
    layouts = directory("GANS_CONTRACTS_DIR") / "wikipedia_layouts"
    expected = json.loads((layouts / "expected.json").read_text(encoding="utf-8"))
    keys = ("title", "country", "lat", "lon", "population", "population_label", "population_as_of")
    for layout, fields in expected.items():
        page = (layouts / f"{layout}.html").read_text(encoding="utf-8")
        if layout == "disambiguation_no_infobox":
            with pytest.raises(MalformedError, match="disambiguation"):
                parse_article(page)
            continue
        content = to_json(parse_article(page))
        assert (layout, {key: content[key] for key in keys}) == (layout, {key: fields[key] for key in keys})
        people = {figure["people"] for figure in content["populations"]}
        assert people.issuperset(alternative for _, alternative in fields.get("alt", []))


def test_the_contracts_answer_and_list_are_read() -> None:
    layouts = directory("GANS_CONTRACTS_DIR") / "wikipedia_layouts"
    answer = json.loads((layouts / "api_parse_response.json").read_text(encoding="utf-8"))
    article = parse_article(answer)
    assert (article.title, article.revision, article.population) == ("Berlin", answer["parse"]["revid"], 3596999)
    cities = parse_largest_cities((layouts / "list_of_largest_cities_2019_2025.html").read_text(encoding="utf-8"))
    assert cities["title"].tolist() == ["Tokyo", "Delhi", "Shanghai", "São Paulo", "Mexico City"]
    assert cities["people"].tolist() == [37_468_000, 28_514_000, 25_582_000, 21_650_000, 21_581_000]


@pytest.mark.parametrize(
    ("city", "people", "label", "note", "country"),
    [
        ("tokyo", 13929280, "Total", "2019", "Japan"),
        ("granada", 232208, "Total", "2018", "Spain"),
        ("nagoya", 2327557, "Designated city", "October 1, 2019", "Japan"),
    ],
)
def test_a_recorded_infobox_is_read(city: str, people: int, label: str, note: str, country: str) -> None:
    page = (directory("GANS_RECORDED_DIR") / "wikipedia" / f"{city}_infobox.html").read_text(encoding="utf-8")
    article = parse_article(page)
    assert (article.population, article.population_label, article.population_as_of) == (people, label, note)
    assert (article.title.lower(), article.country) == (city, country)
    assert article.latitude is not None
