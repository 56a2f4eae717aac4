"""Wikidata's items of the sandbox's cities, as ``wbgetentities`` gives them: position, populations, countries.

They agree with the sandbox's Wikipedia but for one city in fifteen, of which the population or the position is another
one. Figures have ranks and points in time; an old country stands beside the present one.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gans_pipeline.sandbox.chance import dice, share
from gans_pipeline.sandbox.faults import rewrites, says
from gans_pipeline.sandbox.geography import City, World
from gans_pipeline.sandbox.mediawiki import NO_CONTACT, api_error, lag, lagged, refusal, refused_agent
from gans_pipeline.sandbox.state import State

__all__ = ["FAULTS", "refusal", "routes"]

IDS_PER_CALL = 50
OTHER_POPULATION, OTHER_POSITION = 1 / 30, 1 / 15
"""Up to the first share a city has another population here, up to the second another position."""

FAULTS = {
    "403": says(PlainTextResponse(NO_CONTACT, 403)),
    "maxlag": says(lagged(9)),
    "empty": rewrites(r'"claims":.*', '"claims":{}}},"success":1}'),
    "missing-field": rewrites(',"rank":"[a-z]+"', ""),
    "renamed-field": rewrites('"mainsnak":', '"mainSnak":'),
    "retyped-field": rewrites(r'"amount":"\+(\d+)"', r'"amount":\1'),
    "unknown-fields": rewrites('"rank":', '"badges":[1,{"text":null}],"rank":'),
    "implausible": rewrites(r'"latitude":[^,]+', '"latitude":200'),
}
"""The faults that are this provider's own."""


def routes(world: World, state: State) -> list[Route]:
    """Return the route of the API."""
    cities = {city.wikidata_item: city for city in world.by_title.values()}

    async def api(request: Request) -> Response:
        query = request.query_params
        refused = refused_agent(request) or lag(query, state.limits["wikidata"].lag_s)
        return refused or _answer(world.seed, cities, query)

    return [Route("/w/api.php", api)]


def _answer(seed: int, cities: Mapping[str, City], query: Mapping[str, str]) -> Response:
    if query.get("action") != "wbgetentities":
        return api_error("badvalue", f'Unrecognized value for parameter "action": {query.get("action", "")}.')
    ids = [name for name in query.get("ids", "").split("|") if name]
    if not ids:
        return api_error("param-missing", 'Either provide the item "ids" or pairs of "sites" and "titles".')
    if len(ids) > IDS_PER_CALL:
        return api_error("toomanyvalues", f'Too many values supplied for parameter "ids". The limit is {IDS_PER_CALL}.')
    entities = {}
    for name in ids:
        if not re.fullmatch(r"Q[1-9]\d{0,17}", name):
            return api_error("no-such-entity", f'Could not find an entity with the ID "{name}".', {"id": name})
        city = cities.get(name)
        missing = True if query.get("formatversion") in ("2", "latest") else ""
        entities[name] = _entity(seed, city, query) if city else {"id": name, "missing": missing}
    return JSONResponse({"entities": entities, "success": 1})


def _entity(seed: int, city: City, query: Mapping[str, str]) -> dict[str, Any]:
    entity: dict[str, Any] = {"type": "item", "id": city.wikidata_item}
    if "claims" in query.get("props", "claims").split("|"):
        entity["claims"] = {
            "P17": list(_countries(city)),
            "P625": [_position(seed, city)],
            "P1082": list(_populations(seed, city)),
        }
    return entity


def _statement(
    kind: str, value: Mapping[str, Any] | None, *, rank: str = "normal", **times: tuple[str, int]
) -> dict[str, Any]:
    """Return a statement; without a value it is one whose value is not known. ``times`` are its qualifiers."""
    snak = {"snaktype": "somevalue"} if value is None else {"snaktype": "value", "datavalue": {"value": value}}
    statement: dict[str, Any] = {"mainsnak": {**snak, "datatype": kind}, "type": "statement", "rank": rank}
    if times:
        statement["qualifiers"] = {
            name: [{"snaktype": "value", "datavalue": {"value": {"time": time, "precision": precision}}}]
            for name, (time, precision) in times.items()
        }
    return statement


def _countries(city: City) -> Iterable[dict[str, Any]]:
    """Yield the country that was, and the one that is: by its end time or by its rank."""
    yield _statement("wikibase-item", {"id": "Q7318"}, P582=("+1945-05-23T00:00:00Z", 11))
    yield _statement("wikibase-item", {"id": f"Q{1_800_000_000 + sum(map(ord, city.country_code))}"}, rank="preferred")


def _position(seed: int, city: City) -> dict[str, Any]:
    latitude, longitude = city.latitude, city.longitude
    if OTHER_POPULATION <= share(seed, "doubtful", city.geonames_id) < OTHER_POSITION:
        latitude += 0.5 if latitude < 0 else -0.5  # 56 km towards the equator
    position = {"latitude": round(latitude, 4), "longitude": round(longitude, 4), "altitude": None, "precision": 0.0001}
    return _statement("globe-coordinate", {**position, "globe": "http://www.wikidata.org/entity/Q2"})


def _populations(seed: int, city: City) -> Iterable[dict[str, Any]]:
    """Yield figures: an old one, the newest, and in some cities a wrong one, one without a value, a preferred one."""
    chance = dice(seed, "wikidata", city.geonames_id)
    people = city.population * chance.uniform(0.97, 1.03)
    if share(seed, "doubtful", city.geonames_id) < OTHER_POPULATION:
        people *= chance.choice((0.6, 0.8, 1.25, 1.6))
    is_preferred = chance.random() < 0.4
    if chance.random() < 0.2:
        yield _figure(city.population * 10, rank="deprecated", P585=("+2024-01-01T00:00:00Z", 11))
    yield _figure(people, rank="preferred" if is_preferred else "normal", P585=("+2022-12-31T00:00:00Z", 11))
    if is_preferred:
        yield _figure(people * 1.3, P585=("+2024-00-00T00:00:00Z", 9))
    if chance.random() < 0.15:
        yield _statement("quantity", None)
    yield _figure(people * 0.8, P585=("+2010-00-00T00:00:00Z", 9))


def _figure(people: float, **more: Any) -> dict[str, Any]:
    return _statement("quantity", {"amount": f"+{round(people)}", "unit": "1"}, **more)
