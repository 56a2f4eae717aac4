"""Wikidata's statements of cities: which of many is taken, and what is refused."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings

from gans_pipeline.sources.http import Access, MalformedError, PermanentError, TransientError
from gans_pipeline.sources.wikidata import Item, Wikidata, parse_items
from gans_pipeline_tests.sources.local_provider import USER_AGENT, Answer, LocalProvider, as_json, local_provider
from gans_pipeline_tests.sources.mutations import mutated


def statement(value: Any, at: str | None = None, rank: str = "normal", kind: str = "value") -> dict[str, Any]:
    snak: dict[str, Any] = {"snaktype": kind, "property": "P0", "datatype": "quantity"}
    if kind == "value":
        snak["datavalue"] = {"value": value, "type": "quantity"}
    made: dict[str, Any] = {"mainsnak": snak, "type": "statement", "rank": rank, "id": "Q64$1"}
    if at is not None:
        time = {"time": at, "timezone": 0, "before": 0, "after": 0, "precision": 11, "calendarmodel": "Q1985727"}
        made["qualifiers"] = {"P585": [{"snaktype": "value", "datavalue": {"value": time, "type": "time"}}]}
    return made


def people(amount: str, at: str | None = None, rank: str = "normal") -> dict[str, Any]:
    return statement({"amount": amount, "unit": "1"}, at, rank)


def payload(*populations: dict[str, Any], positions: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    position = {"latitude": 52.516666, "longitude": 13, "altitude": None, "precision": 0.01, "globe": "Q2"}
    claims = {
        "P625": [statement(position)] if positions is None else positions,
        "P1082": list(populations),
        "P17": [statement({"id": "Q183", "numeric-id": 183, "entity-type": "item"}), statement(None, kind="novalue")],
    }
    return {"entities": {"Q64": {"type": "item", "id": "Q64", "claims": claims}}, "success": 1}


def test_position_and_population_are_read() -> None:
    assert parse_items(payload(people("+3677472", "+2022-12-31T00:00:00Z"))) == {64: Item(52.516666, 13.0, 3_677_472)}


@pytest.mark.parametrize(
    ("populations", "taken"),
    [
        ([people("+1", "+2010-00-00T00:00:00Z"), people("+2", "+2022-12-31T00:00:00Z")], 2),
        ([people("+2", "+2022-12-31T00:00:00Z"), people("+1", "+2010-00-00T00:00:00Z")], 2),
        ([people("+1", "+2022-00-00T00:00:00Z"), people("+2", "+2022-06-30T00:00:00Z")], 2),
        ([people("+1", "-0200-00-00T00:00:00Z"), people("+2", "+0095-00-00T00:00:00Z")], 2),
        ([people("+1", "+00000002010-01-01T00:00:00Z"), people("+2", "+2011-01-01T00:00:00Z")], 2),
        ([people("+1"), people("+2", "+1900-00-00T00:00:00Z")], 2),
        ([people("+1", "+2024-01-01T00:00:00Z"), people("+2", "+2010-01-01T00:00:00Z", "preferred")], 2),
        (
            [
                people("+1", "+2010-01-01T00:00:00Z", "preferred"),
                people("+2", "+2012-01-01T00:00:00Z", "preferred"),
            ],
            2,
        ),
        ([people("+1", "+2024-01-01T00:00:00Z", "deprecated"), people("+2", "+2010-01-01T00:00:00Z")], 2),
        ([statement(None, rank="preferred", kind="somevalue"), people("+2")], 2),
        ([statement(None, kind="novalue"), people("+2")], 2),
        ([people("+1", "+2024-01-01T00:00:00Z", "deprecated")], None),
        ([statement(None, kind="somevalue")], None),
        ([people("+0")], None),
        ([people("+2.0")], 2),
        ([], None),
    ],
)
def test_the_preferred_statement_is_taken_else_the_newest(populations: list[dict[str, Any]], taken: int | None) -> None:
    assert parse_items(payload(*populations))[64].people == taken


def test_an_item_without_a_position_has_none() -> None:
    for positions in ([], [statement(None, kind="somevalue")]):
        item = parse_items(payload(people("+5"), positions=positions))[64]
        assert (item.latitude, item.longitude, item.people) == (None, None, 5)


def test_items_that_do_not_exist_are_left_out() -> None:
    answer = payload(people("+5"))
    answer["entities"]["Q404"] = {"id": "Q404", "missing": ""}
    assert parse_items(answer).keys() == {64}


def test_empty_objects_may_come_as_lists() -> None:
    assert parse_items({"entities": {"Q64": {"id": "Q64", "claims": []}}}) == {64: Item(None, None, None)}
    figure = people("+5")
    figure["qualifiers"] = []
    assert parse_items(payload(figure))[64].people == 5


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (None, "payload"),
        ([], "payload"),
        ({}, "entities: Field required"),
        ({"entities": {"Berlin": {}}}, "entities.Berlin: not the id of an item"),
        (payload(people("many")), "amount"),
        (payload(statement({"amount": 5, "unit": "1"})), "amount"),
        (payload(statement("5")), "payload"),
        (payload(people("+5"), positions=[statement({"latitude": 200, "longitude": 13})]), "latitude"),
        (payload({"rank": "normal"}), "entities.Q64.claims.P1082[0].mainsnak: Field required"),
        (payload(people("+5"), people("+6", "soon", "deprecated"), statement({"amount": "+1"}, at="soon")), None),
    ],
)
def test_what_does_not_fit_is_named(answer: Any, place: str | None) -> None:
    if place is None:  # a time that cannot be read is an unknown one
        assert parse_items(answer)[64].people == 5
        return
    with pytest.raises(MalformedError) as raised:
        parse_items(answer)
    assert raised.value.detail.startswith(place)


@settings(deadline=None)  # a busy machine is not a fault of the parser
@given(mutated(payload(people("+5", "+2022-12-31T00:00:00Z"), people("+6", rank="preferred"))))
def test_a_damaged_answer_gives_items_or_is_refused(damaged: Any) -> None:
    with suppress(MalformedError):
        assert set(parse_items(damaged)) <= {64}


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


def client(provider: LocalProvider, waits: list[float]) -> Wikidata:
    return Wikidata(provider.settings(), Access(USER_AGENT, sleep=waits.append))


def test_fifty_items_are_asked_for_at_a_time(provider: LocalProvider) -> None:
    provider.answers = [as_json(payload(people("+5")))]
    assert client(provider, []).items(range(1, 121))[64].people == 5
    assert [len(asked.query["ids"].split("|")) for asked in provider.asked] == [50, 50, 20]
    first = provider.asked[0]
    assert (first.path, first.query["action"], first.query["props"]) == ("/w/api.php", "wbgetentities", "claims")
    assert first.query["ids"].startswith("Q1|Q2|")
    assert first.query["maxlag"] == "5"
    assert first.headers["User-Agent"] == USER_AGENT
    assert client(provider, []).items([]) == {}


def test_lag_inside_a_200_is_waited_for(provider: LocalProvider) -> None:
    lagged = as_json({"error": {"code": "maxlag", "info": "Waiting for a replica: 6 seconds lagged."}}, Retry_After="5")
    provider.answers = [lagged, as_json(payload(people("+5")))]
    waits: list[float] = []
    assert client(provider, waits).items([64])[64].people == 5
    assert len(waits) == 1
    assert waits[0] >= 5
    provider.answers = [lagged]
    with pytest.raises(TransientError, match="wikidata: Q64: maxlag"):
        client(provider, waits).items([64])


def test_an_id_that_cannot_be_is_permanent(provider: LocalProvider) -> None:
    provider.answers = [as_json({"error": {"code": "no-such-entity", "info": "Could not find an entity"}})]
    with pytest.raises(PermanentError, match="no-such-entity"):
        client(provider, []).items([64])


def test_a_refused_client_is_told_to_set_its_contact(provider: LocalProvider) -> None:
    provider.answers = [Answer(403, b"Please respect our robot policy")]
    with pytest.raises(PermanentError, match="GANS_CONTACT"):
        client(provider, []).items([64])
