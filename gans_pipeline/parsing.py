"""What a provider's parser makes of a saved answer, for ``gans parse``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.pretty import Pretty

from gans_pipeline.sources import aerodatabox, open_meteo, openweathermap, ourairports
from gans_pipeline.sources import wikipedia_article as wikipedia
from gans_pipeline.sources.http import MalformedError, SourceError

SHOWN_ROWS = 50


def parse(provider: str, file: Path) -> Any:
    """Return what the parser makes of the file, as JSON values: an article's facts, or a list of rows.

    Raises ValueError with the reason for an unknown provider and for an answer that the parser refuses.
    """
    if provider not in PARSERS:
        raise ValueError(f"no such provider: {provider}; there are {', '.join(PARSERS)}")
    try:
        return PARSERS[provider](file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: refused: {provider}: not UTF-8 at byte {error.start}: {error.reason}") from None
    except SourceError as error:
        raise ValueError(f"{file}: refused: {error}") from error


def show(parsed: Any, console: Console) -> None:
    """Print the parsed answer for people: an article's facts, or rows without the columns that are empty."""
    if isinstance(parsed, dict):
        console.print(Pretty(parsed))
        return
    rows = pd.DataFrame(parsed).dropna(axis="columns", how="all")
    console.print(rows.to_string(index=False, max_rows=SHOWN_ROWS), soft_wrap=True, highlight=False, markup=False)
    console.print(f"{len(rows)} rows")


def _wikipedia(text: str) -> Any:
    payload = _decoded("wikipedia", text) if text.lstrip().startswith("{") else text
    return wikipedia.to_json(wikipedia.parse_article(payload))


def _aerodatabox(payload: Any) -> pd.DataFrame:
    """Read an answer of the airport search, which lists ``items``, or one of an airport's flights."""
    if isinstance(payload, dict) and "items" in payload:
        return aerodatabox.parse_airports(payload)
    return aerodatabox.parse_arrivals(payload)


def _json(name: str, parser: Callable[[Any], pd.DataFrame]) -> Callable[[str], list[dict[str, Any]]]:
    def parse_json(text: str) -> list[dict[str, Any]]:
        return _rows(parser(_decoded(name, text) if text.strip() else None))

    return parse_json


def _decoded(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits, or nested beyond all measure
        raise MalformedError(name, f"no JSON: {error}") from None


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso", date_unit="s"))
    return rows


PARSERS: dict[str, Callable[[str], Any]] = {
    "wikipedia": _wikipedia,
    "openweathermap": _json("openweathermap", openweathermap.parse_forecast),
    "open-meteo": _json("open-meteo", open_meteo.parse_forecast),
    "ourairports": lambda text: _rows(ourairports.parse_airports(text)),
    "aerodatabox": _json("aerodatabox", _aerodatabox),
}
