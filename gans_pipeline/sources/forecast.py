"""What the weather providers share: the words for the weather, the 3-hour step, and the frame of a forecast."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pandas as pd

from gans_pipeline.sources.payloads import rows_to_frame
from gans_pipeline.tables import weather_forecasts

STEP_S = 3 * 3600
"""Forecasts are kept for the ends of 3-hour steps, at 00, 03, …, 21 UTC: OpenWeatherMap has no finer ones."""

STEPS = 40
"""Five days."""

Conditions = Literal[
    "clear",
    "clouds",
    "mist",  # fog too
    "haze",  # what is dry: smoke, dust, sand, ash
    "squall",
    "tornado",
    "drizzle",
    "rain",
    "freezing rain",  # drizzle too
    "sleet",
    "snow",
    "thunderstorm",
]

ADDED_BY_COLLECT = ("city_id", "issued_at", "provider", "retrieved_at")


def forecast_frame(rows: Iterable[Mapping[str, Any]], provider: str) -> pd.DataFrame:
    """Return a forecast as a frame in the order of time, with the columns of the table that a provider knows."""
    ordered = sorted(rows, key=lambda row: row["valid_at"])
    return rows_to_frame(ordered, weather_forecasts, ADDED_BY_COLLECT, provider)
