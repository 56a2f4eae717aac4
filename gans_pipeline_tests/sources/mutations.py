"""Damage to payloads: a value is exchanged, removed, doubled, or the whole is something else."""

import copy
from collections.abc import Iterator
from typing import Any

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
