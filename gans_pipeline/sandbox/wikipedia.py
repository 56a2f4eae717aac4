"""English Wikipedia: the article *List of largest cities*, an article for each city and country, and the API's errors.

Figures are GeoNames' and invented ones around them; the HTML follows the layouts that real articles had from 2020 to
2025. Limits by address, not by user agent: whoever has an acceptable user agent is one client.
"""

import re
from collections.abc import Mapping
from html import escape
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gans_pipeline.sandbox.chance import dice, share
from gans_pipeline.sandbox.faults import rewrites, says
from gans_pipeline.sandbox.geography import City, World
from gans_pipeline.sandbox.mediawiki import NO_CONTACT, api_error, lag, lagged, refusal, refused_agent
from gans_pipeline.sandbox.state import State

__all__ = ["FAULTS", "refusal", "routes"]

LIST_TITLE = "List of largest cities"
LIST_YEAR = 2025
LIST_HEADER = "UN 2025 population estimates"
FIRST_REVISION = 1_300_000_000
TOUCHED = "2026-01-01T00:00:00Z"
"""When every page was last rendered anew: they do not change."""

TITLES_PER_CALL = 50

NOTICE = "The figures in this article were invented by the Gans sandbox."

_BRITISH_COUNTRIES = {"ENG": "England", "SCT": "Scotland", "WLS": "Wales", "NIR": "Northern Ireland"}


def routes(world: World, state: State) -> list[Route]:
    """Return the routes of the encyclopedia."""
    encyclopedia = Encyclopedia(world)

    async def api(request: Request) -> Response:
        return refused_agent(request) or _answer(encyclopedia, state, request.query_params)

    async def page(request: Request) -> Response:
        refused = refused_agent(request)
        if refused:
            return refused
        title, _ = encyclopedia.resolve(request.path_params["title"])
        html = encyclopedia.html(title)
        if html is None:
            return HTMLResponse(
                _skin(title, 0, 0, "<p>Wikipedia does not have an article with this exact name.</p>"), 404
            )
        return HTMLResponse(_skin(title, encyclopedia.page_id(title), encyclopedia.revision(title), html))

    return [Route("/w/api.php", api), Route("/wiki/{title:path}", page)]


def _answer(encyclopedia: "Encyclopedia", state: State, query: Mapping[str, str]) -> Response:
    version = 2 if query.get("formatversion") in ("2", "latest") else 1
    lagging = lag(query, state.limits["wikipedia"].lag_s)
    if lagging:
        return lagging
    if query.get("action") == "query" and query.get("prop") == "info":
        return _page_info(encyclopedia, query)
    if query.get("action") != "parse":
        return api_error("badvalue", f'Unrecognized value for parameter "action": {query.get("action", "")}.')
    if not query.get("page"):
        return api_error("missingparam", 'The "page", "pageid", "oldid", "text" parameters are required.')
    title, redirected_from = encyclopedia.resolve(query["page"])
    follow = "redirects" in query
    if redirected_from and not follow:
        html: str | None = f'<div class="redirectMsg"><p>Redirect to:</p>{_link(title)}</div>'
        title, redirected_from = redirected_from, None
    else:
        html = encyclopedia.html(title, lead_only=query.get("section") == "0")
    if html is None:
        return _missing()
    parsed: dict[str, Any] = {"title": title, "pageid": encyclopedia.page_id(title)}
    properties = query.get("prop", "text|revid|properties").split("|")
    if "revid" in properties:
        parsed["revid"] = encyclopedia.revision(title)
    if follow:
        parsed["redirects"] = [{"from": redirected_from, "to": title}] if redirected_from else []
    if "text" in properties:
        wrapped = f'<div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr">{html}</div>'
        parsed["text"] = wrapped if version == 2 else {"*": wrapped}
    if "properties" in properties:
        item = encyclopedia.wikidata_item(title)
        items = {"wikibase_item": item} if item else {}
        parsed["properties"] = items if version == 2 else [{"name": key, "*": value} for key, value in items.items()]
    return JSONResponse({"parse": parsed})


def _page_info(encyclopedia: "Encyclopedia", query: Mapping[str, str]) -> Response:
    """Return the revisions of up to 50 pages, in the shape of formatversion 2."""
    asked = query.get("titles", "").split("|")
    if not query.get("titles") or len(asked) > TITLES_PER_CALL:
        code = "toomanyvalues" if len(asked) > TITLES_PER_CALL else "missingparam"
        return api_error(code, "1 to 50 titles are needed.")
    redirects, pages = [], {}
    for title in asked:
        resolved, redirected_from = encyclopedia.resolve(title)
        if redirected_from:
            redirects.append({"from": redirected_from, "to": resolved})
        if encyclopedia.html(resolved, lead_only=True) is None:
            pages[resolved] = {"ns": 0, "title": resolved, "missing": True}
        else:
            number, revision = encyclopedia.page_id(resolved), encyclopedia.revision(resolved)
            pages[resolved] = {"pageid": number, "ns": 0, "title": resolved, "touched": TOUCHED, "lastrevid": revision}
    return JSONResponse({"batchcomplete": True, "query": {"redirects": redirects, "pages": list(pages.values())}})


def _missing() -> Response:
    return api_error("missingtitle", "The page you specified doesn't exist.")


_TEXT = r'"text":"(?:[^"\\]|\\.)*"'
_DISAMBIGUATION = '"text":"<p>It may refer to:</p><div id=\\"disambigbox\\"></div>"'


def _grown(figure: re.Match[str]) -> str:
    return f"{round(int(figure[0].replace(',', '')) * 1.3):,}"


FAULTS = {
    "403": says(PlainTextResponse(NO_CONTACT, 403)),
    "maxlag": says(lagged(9)),
    "empty": rewrites(_TEXT, '"text":""'),
    "missing-field": rewrites(r'"properties":\{[^}]*\}', '"properties":{}'),
    "renamed-field": rewrites('"text":', '"html":'),
    "retyped-field": rewrites(r'"revid":(\d+)', r'"revid":"r\1"'),
    "unknown-fields": rewrites(r'"parse":\{', '"parse":{"langlinks":[{"lang":null}],'),
    "redirect-to-nowhere": says(_missing()),
    "disambiguation": rewrites(_TEXT, lambda _: _DISAMBIGUATION),
    "implausible": rewrites(r'(class=\\"geo\\">)[^;]+', r"\g<1>200"),
    "population-jump": rewrites(r"(?<=>)\d{1,3}(?:,\d{3}){2,}\b", _grown),
}
"""The faults that are this provider's own; with redirects followed, one that leads nowhere is a missing page."""


class Encyclopedia:
    """The articles, made when they are read."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._list: str | None = None
        self._countries = {name: code for code, name in world.countries.items() if name not in world.by_title}

    def resolve(self, asked: str) -> tuple[str, str | None]:
        """Return the title that is meant, and the title of the redirect that leads to it, if one does.

        Every city that has its name alone can also be asked for as 'Name, Country'.
        """
        title = " ".join(asked.replace("_", " ").split())
        title = title[:1].upper() + title[1:]
        if title in self.world.by_title or title == LIST_TITLE:
            return title, None
        name, comma, country = title.rpartition(", ")
        city = self.world.by_title.get(name)
        if comma and city and city.country == country:
            return name, title
        return title, None

    def page_id(self, title: str) -> int:
        """Return the page's number; real articles' are below 100 million and so are these."""
        city = self.world.by_title.get(title)
        return city.geonames_id if city else 50_000_000 + int(share("page", title) * 40_000_000)

    def revision(self, title: str) -> int:
        """Return the page's revision, another one for every seed, since its text is another one too."""
        return FIRST_REVISION + self.page_id(title) + int(share(self.world.seed, "revision") * 100_000_000)

    def wikidata_item(self, title: str) -> str | None:
        """Return the item that the page is about."""
        city = self.world.by_title.get(title)
        return city.wikidata_item if city else f"Q{1_900_000_000 + self.page_id(title)}"

    def html(self, title: str, *, lead_only: bool = False) -> str | None:
        """Return the page's content, or None if there is no such page."""
        if title == LIST_TITLE:
            lead = f"<p>The <b>{LIST_TITLE}</b> of the world. {NOTICE}</p>"
            return lead if lead_only else lead + self._cities_table()
        if city := self.world.by_title.get(title):
            later = "" if lead_only else '<h2 id="History">History</h2><p>Scooters have not been here for long.</p>'
            return _city_article(self.world.seed, city) + later
        if title.endswith(" (disambiguation)"):
            return self._disambiguation(title.removesuffix(" (disambiguation)"))
        if code := self._countries.get(title):
            return _country_article(title, code)
        return None

    def _disambiguation(self, name: str) -> str | None:
        meant = [city for city in self.world.by_title.values() if city.name == name]
        if len(meant) < 2:
            return None
        entries = "".join(f"<li>{_link(city.title)}, a city in {_link(city.country)}</li>" for city in meant)
        return f'<p><b>{escape(name)}</b> may refer to:</p><ul>{entries}</ul><div id="disambigbox">{NOTICE}</div>'

    def _cities_table(self) -> str:
        if self._list is None:  # 10,000 rows are 6 MB and take 0.2 s
            rows = "\n".join(_list_row(self.world.seed, city) for city in self.world.cities)
            self._list = f"{_LIST_HEAD}\n{rows}\n</tbody></table>"
        return self._list


def _link(title: str, text: str | None = None) -> str:
    address = quote(title.replace(" ", "_"), safe="/,():")
    return f'<a href="/wiki/{address}" title="{escape(title)}">{escape(text or title)}</a>'


def _reference(number: int | str) -> str:
    bracket = '<span class="cite-bracket">&#{};</span>'
    return (
        f'<sup id="cite_ref-{number}" class="reference"><a href="#cite_note-{number}">'
        f"{bracket.format(91)}{number}{bracket.format(93)}</a></sup>"
    )


def _skin(title: str, page_id: int, revision: int, html: str) -> str:
    shown = escape(title)
    return (
        f'<!DOCTYPE html>\n<html class="client-nojs" lang="en" dir="ltr"><head><meta charset="UTF-8">'
        f"<title>{shown} - Wikipedia</title>"
        f'<script>RLCONF={{"wgRevisionId":{revision},"wgArticleId":{page_id}}};</script></head>'
        f'<body class="mediawiki ltr ns-0 ns-subject"><h1 id="firstHeading" class="firstHeading mw-first-heading">'
        f'<span class="mw-page-title-main">{shown}</span></h1><div id="mw-content-text" class="mw-body-content">'
        f'<div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr">{html}</div></div></body></html>'
    )


_DENSITY_HEADS = "<th>Population</th><th>Area<br />(km<sup>2</sup>)</th><th>Density<br />(/km<sup>2</sup>)</th>"
_LIST_HEAD = (
    '<table class="wikitable"><tbody><tr><th>Rank</th><th>Definition</th></tr>'
    "<tr><td>1</td><td>City proper</td></tr></tbody></table>"
    '<table class="static-row-numbers plainrowheaders vertical-align-top sticky-header sortable wikitable" border="1">'
    "<caption>Largest cities</caption><tbody>"
    f'<tr><th scope="col" rowspan="2">City{_reference("a")}</th><th scope="col" rowspan="2">Country</th>'
    f'<th scope="col" rowspan="2">{LIST_HEADER}{_reference(12)}</th><th scope="col" colspan="4">City proper</th>'
    f'<th scope="col" colspan="3">Urban area{_reference(13)}</th>'
    f'<th scope="col" colspan="3">Metropolitan area{_reference("c")}</th></tr>'
    f"<tr><th>Definition</th>{_DENSITY_HEADS * 3}</tr>"
)
_FLAG = (
    '<span class="flagicon"><span typeof="mw:File"><img alt="" src="//upload.wikimedia.org/flag.svg.png" /></span>'
    "&#160;</span>"
)


def _list_row(seed: int, city: City) -> str:
    """Return a row of 13 columns. One city in 40 is linked through a redirect, one in 5 has no metropolitan area."""
    chance = dice(seed, "list", city.geonames_id)
    urban = _thousands(city.population * chance.uniform(1.0, 1.7))
    metro = _thousands(urban * chance.uniform(1.0, 1.4))
    target = city.title
    if chance.random() < 0.025 and city.title == city.name:
        target = f"{city.title}, {city.country}"
    cells = [
        f"<td>{_thousands(city.population * chance.uniform(1.0, 1.6)):,}</td>",
        f"<td>{chance.choice(('Municipality', 'City', 'Metropolis', 'Capital city', 'Municipal corporation'))}</td>",
        f"<td>{city.population:,}</td>",
        *_area_cells(city.population, chance.uniform(2000, 15000), chance.random()),
        f"<td>{urban:,}{_reference(14)}</td>",
        *_area_cells(urban, chance.uniform(2000, 9000), chance.random()),
    ]
    if chance.random() < 0.2:
        cells += ["<td>—</td>"] * 3
    else:
        cells += [f"<td>{metro:,}</td>", *_area_cells(metro, chance.uniform(500, 4000), chance.random())]
    return (
        f'<tr><th scope="row">{_link(target, city.name)}</th><td>{_FLAG}{_link(city.country)}</td>{"".join(cells)}</tr>'
    )


def _thousands(people: float) -> int:
    return round(people / 1000) * 1000


def _area_cells(people: int, density: float, noted: float) -> tuple[str, str]:
    area = max(1, round(people / density))
    reference = _reference(15) if noted < 0.2 else ""
    return f"<td>{area:,}</td>", f"<td>{round(people / area):,}{reference}</td>"


_LABELS = {
    "Total": 30,
    "City": 34,
    "Municipality": 12,
    "Metropolis": 5,
    "Megacity": 3,
    "City/State": 3,
    "Designated city": 2,
    "Commune": 3,
    "Union territory": 1,
    "Capital and megacity": 1,
    "Megacity/Metropolitan municipality": 1,
}
_NOTES = {
    "2020 census": 20,
    "2022": 18,
    "2021": 12,
    "": 12,
    "31 December 2023": 8,
    "2023-12-31": 7,
    "October 1, 2019": 5,
    "2011 census": 6,
    "30 September 2016": 4,
    "2024 est.": 8,
}


def _drawn(weights: Mapping[str, int], chance: Any) -> str:
    drawn: str = chance.choices(list(weights), weights=list(weights.values()))[0]
    return drawn


def _city_article(seed: int, city: City) -> str:
    """Return lead and infobox. The layout belongs to the city and the seed, the variants' shares are invented.

    One in 12 has population in a single row (as Paris and Sydney), one in 10 has the markup from before 2021.
    """
    chance = dice(seed, "infobox", city.geonames_id)
    legacy = chance.random() < 0.1
    box = _Infobox(legacy)
    shown = escape(city.name)
    native = f'<div class="nickname ib-settlement-native">{shown}</div>' if chance.random() < 0.3 else ""
    box.full(f'<th colspan="2" class="infobox-above"><div class="fn org">{shown}</div>{native}</th>', top=False)
    box.full(
        '<td colspan="2" class="infobox-subheader"><div class="category">'
        f"{_link('City')} and {_link('Municipality')}</div></td>",
        top=False,
    )
    box.full(f'<td colspan="2" class="infobox-full-data">Coordinates: {_coordinates(city)}</td>')
    if city.country_code == "GB":
        box.row("Sovereign state", _link(city.country), top=True)
        box.row(
            _link("Countries of the United Kingdom", "Country"), _link(_BRITISH_COUNTRIES.get(city.admin1, "England"))
        )
    else:
        flag = _FLAG if chance.random() < 0.4 else ""
        box.row("Country", flag + _link(city.country), top=True)
    area = max(3, round(city.population / chance.uniform(1500, 12000)))
    box.header(f"Area{_reference(1)}")
    box.row("&#160;•&#160;Total", f"{area:,}.4&#160;km<sup>2</sup> ({round(area / 2.59):,}&#160;sq&#160;mi)")
    _population(box, chance, city, area)
    box.row(_link("Time zone"), "UTC±00:00 (local)", top=True)
    box.row("&#160;•&#160;Summer (DST)", "UTC+01:00 (local)")
    return (
        '<div role="note" class="hatnote navigation-not-searchable">For other uses, see '
        f"{_link(f'{city.name} (disambiguation)')}.</div>{box.html()}"
        f"<p><b>{shown}</b> is a city in {_link(city.country)}. {NOTICE}</p>"
    )


def _population(box: "_Infobox", chance: Any, city: City, area: int) -> None:
    note = _drawn(_NOTES, chance)
    figure = f"{city.population:,}"
    if box.legacy and chance.random() < 0.4:
        figure = figure.replace(",", "&#160;")
    if chance.random() < 0.08:
        box.row(f"Population{box.note(note)}", figure + _reference(2), top=True)
        return
    if chance.random() < 0.12:
        figure += f" ({_ordinal(chance.randint(1, 40))})"
    elif chance.random() < 0.4:
        figure += _reference(3)
    box.header(f"Population{box.note(note)}")
    box.row(f"&#160;•&#160;{_drawn(_LABELS, chance)}", figure)
    if chance.random() < 0.2:
        estimate = round(city.population * chance.uniform(1.0, 1.08))
        box.row(f"&#160;•&#160;Estimate&#160;{box.note('July 2024')}", f"{estimate:,}")
    if chance.random() < 0.25:
        box.row(
            "&#160;•&#160;Rank", f"{_ordinal(chance.randint(1, 40))} in {_link(city.country)}<br />3rd in its region"
        )
    if chance.random() < 0.8:
        density = round(city.population / area)
        box.row("&#160;•&#160;Density", f"{density:,}/km<sup>2</sup> ({round(density * 2.59):,}/sq&#160;mi)")
    urban = _thousands(city.population * chance.uniform(1.0, 1.7))
    if chance.random() < 0.4:
        box.row(f"&#160;•&#160;{_link('Urban area', 'Urban')}&#160;{box.note('2023')}", f"{urban:,}")
    if chance.random() < 0.4:
        metro = _thousands(urban * chance.uniform(1.0, 1.4))
        shown = f"{metro / 1e6:.1f} million" if metro > 5_000_000 and chance.random() < 0.2 else f"{metro:,}"
        box.row(f"&#160;•&#160;{_link('Metropolitan area', 'Metro')}&#160;{box.note('2024')}", shown)
    box.row("Demonym", f"{escape(city.name)} people", top=True)


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _coordinates(city: City) -> str:
    degrees, shown = (_dms(city.latitude, "NS"), _dms(city.longitude, "EW")), escape(city.title)
    return (
        '<span class="geo-inline"><span class="plainlinks nourlexpansion"><a class="external text" '
        f'href="https://geohack.toolforge.org/geohack.php?pagename={quote(shown)}&amp;params=x">'
        f'<span class="geo-default"><span class="geo-dms"><span class="latitude">{degrees[0]}</span> '
        f'<span class="longitude">{degrees[1]}</span></span></span>'
        '<span class="geo-multi-punct">&#xfeff; / &#xfeff;</span><span class="geo-nondefault">'
        f'<span class="geo-dec">{abs(city.latitude):.3f}°{"NS"[city.latitude < 0]} '
        f"{abs(city.longitude):.3f}°{'EW'[city.longitude < 0]}</span>"
        f'<span style="display:none">&#xfeff; / <span class="geo">{city.latitude:.5f}; {city.longitude:.5f}</span>'
        "</span></span></a></span></span>"
    )


def _dms(degrees: float, hemispheres: str) -> str:
    seconds = round(abs(degrees) * 3600)
    return f"{seconds // 3600}°{seconds // 60 % 60:02}′{seconds % 60:02}″{hemispheres[degrees < 0]}"


class _Infobox:
    """Rows of *Template:Infobox settlement*, in the markup since 2021 or in the one before (``legacy``)."""

    def __init__(self, legacy: bool) -> None:
        self.legacy = legacy
        self._rows: list[str] = []

    def full(self, cell: str, *, top: bool = True) -> None:
        self._rows.append(f'<tr class="mergedtoprow">{cell}</tr>' if top else f"<tr>{cell}</tr>")

    def header(self, html: str) -> None:
        self.full(f'<th colspan="2" class="infobox-header">{html}</th>')

    def row(self, label: str, value: str, *, top: bool = False) -> None:
        self._rows.append(
            f'<tr class="merged{"top" if top else ""}row"><th scope="row" class="infobox-label">{label}</th>'
            f'<td class="infobox-data">{value}</td></tr>'
        )

    def note(self, text: str) -> str:
        """Return the bracketed note beside a label or a header; nothing where there is none."""
        if not text:
            return ""
        css = 'style="font-weight:normal;display:inline;"' if self.legacy else 'class="ib-settlement-fn"'
        return f"<div {css}>&#160;({text}){_reference(4)}</div>"

    def html(self) -> str:
        rows = "".join(self._rows)
        if self.legacy:
            rows = re.sub(r' class="infobox-[\w-]+"', "", rows)
            return f'<table class="infobox geography vcard"><tbody>{rows}</tbody></table>'
        return f'<table class="infobox ib-settlement vcard"><tbody>{rows}</tbody></table>'


def _country_article(name: str, code: str) -> str:
    people = 100_000 + int(share("country", code) * 90_000_000)
    return (
        '<table class="infobox ib-country vcard"><tbody>'
        f'<tr><th colspan="2" class="infobox-above adr"><div class="fn org country-name">{escape(name)}</div></th></tr>'
        '<tr class="mergedtoprow"><th colspan="2" class="infobox-header">Population</th></tr>'
        '<tr class="mergedrow"><th scope="row" class="infobox-label">•&#160;2024 estimate'
        f'</th><td class="infobox-data">{people:,}</td></tr></tbody></table>'
        f"<p><b>{escape(name)}</b> is a country. {NOTICE}</p>"
    )
