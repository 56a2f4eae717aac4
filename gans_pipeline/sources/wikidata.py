"""Wikidata's position and population of cities, to compare with what is read elsewhere: https://www.wikidata.org.

An item is asked for by its number (64 is Q64, Berlin) with ``action=wbgetentities``. Its statements are ranked and may
be many: Wikidata keeps old figures beside the newest one. Data is CC0.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import Field

from gans_pipeline.settings import ProviderSettings
from gans_pipeline.sources.http import Access, Http, MalformedError
from gans_pipeline.sources.mediawiki import API, ITEMS_PER_CALL, MAXLAG_S, explains
from gans_pipeline.sources.payloads import Payload, validate

NAME = "wikidata"
POSITION, POPULATION, POINT_IN_TIME = "P625", "P1082", "P585"


class Item(NamedTuple):
    """What Wikidata says of a city: degrees north and east (WGS 84), inhabitants; None where it says nothing."""

    latitude: float | None
    longitude: float | None
    people: int | None


class _Value(Payload):
    value: Any


class _Snak(Payload):
    snaktype: str
    datavalue: _Value | None = None


class _Statement(Payload):
    mainsnak: _Snak
    rank: str
    qualifiers: dict[str, list[_Snak]] = Field(default={})


class _Statements(Payload):
    positions: list[_Statement] = Field(default=[], alias=POSITION)
    populations: list[_Statement] = Field(default=[], alias=POPULATION)


class _Entity(Payload):
    claims: _Statements | None = None


class _Answer(Payload):
    entities: dict[str, _Entity]


class _Position(Payload):
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class _Quantity(Payload):
    amount: str = Field(pattern=r"^[+-]\d{1,15}(\.\d{1,15})?$")


class _Time(Payload):
    time: str


def parse_items(payload: Any) -> dict[int, Item]:
    """Return the items of an answer by their numbers, without those that Wikidata does not have.

    Of a property the statement of rank 'preferred' is taken, else one of rank 'normal'; among equals the one that is
    for the newest point in time. One without a value (unknown, or none) is passed over. Raises
    :class:`MalformedError` that names the place.
    """
    answer = validate(_Answer, _without_empty_lists(payload), NAME)
    found = {}
    for name, entity in answer.entities.items():
        number = re.fullmatch(r"Q([1-9]\d{0,17})", name)
        if number is None:
            raise MalformedError(NAME, f"entities.{name[:20]}: not the id of an item")
        if entity.claims is not None:
            found[int(number[1])] = _item(entity.claims)
    return found


def _without_empty_lists(payload: Any) -> Any:
    """Return the payload with objects where PHP writes an object without members as ``[]``, in formatversion 1."""
    if isinstance(payload, Mapping):
        empty_object = ("entities", "claims", "qualifiers")
        return {
            key: {} if key in empty_object and value == [] else _without_empty_lists(value)
            for key, value in payload.items()
        }
    return [_without_empty_lists(value) for value in payload] if isinstance(payload, list) else payload


def _item(statements: _Statements) -> Item:
    at, people = _best(statements.positions), _best(statements.populations)
    position = None if at is None else validate(_Position, at, NAME)
    amount = None if people is None else int(Decimal(validate(_Quantity, people, NAME).amount))
    return Item(
        latitude=position.latitude if position else None,
        longitude=position.longitude if position else None,
        people=amount if amount and amount > 0 else None,
    )


def _best(statements: Sequence[_Statement]) -> Any:
    """Return the value of the statement to be taken, None if there is none."""
    known = [statement for statement in statements if statement.rank != "deprecated" and _is_known(statement.mainsnak)]
    preferred = [statement for statement in known if statement.rank == "preferred"]
    newest = max(preferred or known, key=_point_in_time, default=None)
    return newest.mainsnak.datavalue.value if newest and newest.mainsnak.datavalue else None


def _is_known(snak: _Snak) -> bool:
    return snak.snaktype == "value" and snak.datavalue is not None


def _point_in_time(statement: _Statement) -> str:
    """Return a text that is greater for a later time: '2022-12-31', or '2022-00-00' for a year alone."""
    times = [
        validate(_Time, snak.datavalue.value, NAME).time
        for snak in statement.qualifiers.get(POINT_IN_TIME, [])
        if snak.snaktype == "value" and snak.datavalue is not None
    ]
    found = [re.match(r"\+0*(\d{4}-\d\d-\d\d)T", time) for time in times]
    return max((match[1] for match in found if match), default="")


class Wikidata:
    """The client; like Wikipedia it answers 403 to clients that name no contact."""

    name = NAME

    def __init__(self, settings: ProviderSettings, access: Access) -> None:
        self._http = Http(NAME, settings, access, explain=explains(NAME, asked_by="ids"))

    def items(self, numbers: Sequence[int]) -> dict[int, Item]:
        """Return what Wikidata says of the items with these numbers, asking for 50 at a time.

        Those that it does not have are left out. Raises :class:`SourceError`.
        """
        found: dict[int, Item] = {}
        for start in range(0, len(numbers), ITEMS_PER_CALL):
            params = {
                "action": "wbgetentities",
                "ids": "|".join(f"Q{number}" for number in numbers[start : start + ITEMS_PER_CALL]),
                "props": "claims",
                "format": "json",
                "formatversion": 2,
                "maxlag": MAXLAG_S,
            }
            found |= parse_items(self._http.get_json(API, params))
        return found

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
