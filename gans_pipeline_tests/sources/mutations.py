"""Damage to payloads: to the values of decoded JSON, to the tags of a page, or anywhere in a text."""

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

from bs4 import BeautifulSoup
from hypothesis import strategies as st

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 10**30, 10**400, 1e308, float("nan"), float("inf"), -1e-9, "", " ", "NA", "\ud800", "\0"]),
    st.sampled_from(["0001-01-01T00:00+14:00", "9999-12-31 23:59-12:00", "2023-10-05", "x" * 300]),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)

Path = tuple[str | int, ...]


def _paths(value: Any, here: Path = ()) -> Iterator[Path]:
    yield here
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(part, (*here, key))


@st.composite
def mutated(draw: st.DrawFn, payload: Any) -> Any:
    """Return the payload with one to three damages."""
    damaged = copy.deepcopy(payload)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(_paths(damaged), key=repr)))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(ODD)
            continue
        parent: Any = damaged
        for key in path[:-1]:
            parent = parent[key]
        value = parent[path[-1]]
        how = draw(st.sampled_from(["exchange", "exchange", "remove", "double"]))
        if how == "exchange":
            parent[path[-1]] = draw(ODD)
        elif how == "remove":
            del parent[path[-1]]
        elif isinstance(parent, list):
            parent.append(copy.deepcopy(value))
    return damaged


_PIECES = ["", "<", "\x00", "&#0;", "</table>", "<table>", "<tr><th>", "9" * 40, "°", "(", ",", '"', "\r"]


def damaged_text(text: str, chance: Random, damages: int) -> str:
    """Return the text with so many places cut out, doubled or overwritten.

    Chance comes with a seed that is drawn, and not as drawn texts: hypothesis shrinks those to the bare minimum.
    """
    for _ in range(damages):
        start = chance.randrange(len(text) + 1)
        end = min(len(text), start + chance.randrange(60))
        text = text[:start] + chance.choice([*_PIECES, text[start:end] * 2]) + text[end:]
    return text


_ATTRIBUTES = {
    "class": ["", "infobox", "fn", "geo", "latitude", "infobox-data", "mergedtoprow", "reference", "country-name"],
    "colspan": ["0", "-1", "2", "999999999999999999999", "²", "x"],
    "rowspan": ["0", "3", "999999999999999999999"],
    "href": ["", "//", "http://[", "/wiki/", "/wiki/%FF", "?title=", "/w/index.php?title=X&redlink=1", "mailto:x"],
    "style": ["display:none", "display:inline"],
}
_TEXTS = [
    "",
    " ",
    "\u2028",
    "(",
    ")",
    "9" * 400,
    "12,3,4",
    "1e9 million",
    "−5",
    "91°60′60″N",
    "200; 400",
    "nan; inf",
    "٣",
]


def damaged_html(page: str, chance: Random, damages: int) -> str:
    """Return the page with so many of its tags taken out, emptied, doubled, moved or given other attributes."""
    html = BeautifulSoup(page, "lxml")
    for _ in range(damages):
        tags = html.find_all(True)
        if len(tags) < 3:
            break
        tag, other = chance.choice(tags[1:]), chance.choice(tags[1:])
        how = chance.choice(["remove", "unwrap", "double", "move", "text", "attribute", "attribute", "rename"])
        if how == "remove":
            tag.decompose()
        elif how == "unwrap":
            tag.unwrap()
        elif how == "double":
            tag.insert_after(copy.copy(tag))
        elif how == "move" and other not in tag.descendants and other is not tag:
            other.append(tag.extract())
        elif how == "text":
            tag.string = chance.choice(_TEXTS)
        elif how == "attribute":
            name = chance.choice(list(_ATTRIBUTES))
            tag[name] = chance.choice(_ATTRIBUTES[name])
        elif how == "rename":
            tag.name = chance.choice(["td", "th", "tr", "table", "div", "script", "p"])
    return str(html)
