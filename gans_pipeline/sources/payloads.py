"""What the parsers of JSON payloads share: validation that names the place, codes and texts that fit their columns.

What a provider's payload looks like belongs into its module.
"""

import functools
import re
import sys
from collections.abc import Container, Iterable, Mapping
from typing import Any, TypeVar

import pandas as pd
import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError

from gans_pipeline.sources.http import MalformedError
from gans_pipeline.storage.frames import to_frame


class Payload(BaseModel):
    """A part of a provider's answer: fields that we do not know are ignored, types are not guessed.

    NaN and infinities are refused: Python reads them from JSON, and no provider means them.
    """

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], payload: Any, provider: str) -> Model:
    """Return ``payload`` as ``model``; raises :class:`MalformedError` with the path of what is wrong first."""
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    got = "" if found[0]["type"] == "missing" else f", got {shortened(found[0]['input'])}"
    raise MalformedError(provider, f"{path(found[0]['loc'])}: {found[0]['msg']}{got}{more}")


def path(location: Iterable[str | int]) -> str:
    """Return the place in a payload as one writes it in JavaScript: ``list[3].main.temp``."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return steps.removeprefix(".") or "payload"


def shortened(value: Any) -> str:
    """Return a value as one may show it in a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def rows_to_frame(
    rows: Iterable[Mapping[str, Any]], table: sa.Table, without: Container[str], provider: str
) -> pd.DataFrame:
    """Return rows as a frame with the columns of ``table`` save ``without``, its dtypes the same when there are none.

    Raises :class:`MalformedError` for a number outside the bounds of the table's CHECKs: found here it costs the one
    answer, found by the database the whole write.
    """
    columns = [column for column in table.columns if column.name not in without]
    rows = list(rows)
    # Value by value: pandas takes 1.7 ms for the ten columns of a forecast's 40 rows, this 0.05 ms, and there is one
    # answer a city.
    for name, (low, high) in _bounds(table).items():
        if name in without:
            continue
        for number, row in enumerate(rows):
            value = row[name]
            if value is not None and not low <= value <= high:
                found = f"{name} of row {number} is {value:g}, outside {low:g} to {high:g}"
                raise MalformedError(provider, f"{found} ({table.c[name].comment})")
    return to_frame([tuple(row[column.name] for column in columns) for row in rows], columns)


@functools.cache
def _bounds(table: sa.Table) -> dict[str, tuple[float, float]]:
    """Return the intervals that the table's CHECKs allow, by column."""
    bounds = {}
    for constraint in table.constraints:
        if isinstance(constraint, sa.CheckConstraint):
            sql = str(constraint.sqltext)
            if found := re.fullmatch(r"(\w+) BETWEEN (\S+) AND (\S+)", sql):
                bounds[found[1]] = (float(found[2]), float(found[3]))
            elif found := re.fullmatch(r"(\w+) >= 0", sql):
                bounds[found[1]] = (0.0, sys.float_info.max)
    return bounds


@functools.lru_cache(10_000)  # a day of flights names the same airlines, models and origins again and again
def fitting_text(value: str | None, column: "sa.Column[Any]") -> str | None:
    """Return the text without outer and repeated blanks, or None if it is empty or too long for its column.

    One that is too long is not cut: half a registration is another registration.
    """
    storable = (value or "").replace("\0", " ").encode("utf-8", "ignore").decode()  # JSON may hold half a character
    text = " ".join(storable.split())
    length = getattr(column.type, "length", None)
    return text if text and (length is None or len(text) <= length) else None


@functools.lru_cache(10_000)
def code(value: str | None, pattern: str) -> str | None:
    """Return a code in upper case, or None if it is not one by ``pattern``, as a local code in the ICAO field."""
    upper = (value or "").strip().upper()
    return upper if re.fullmatch(pattern, upper, re.ASCII) else None


ICAO = r"[A-Z]{4}"
"""Location indicators of airports are four letters; US fields without one fill the gap with local codes (``K1G4``)."""

IATA = r"[A-Z]{3}"
COUNTRY = r"[A-Z]{2}"
