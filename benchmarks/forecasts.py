"""Invented forecast rows of 12 columns, and their table."""

from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from gans_pipeline.storage.schema import MYSQL
from gans_pipeline.storage.types import UTCDateTime

STEPS = 40
"""Steps of three hours in a forecast of five days."""

FIRST_ISSUE = pd.Timestamp("2026-01-01T00:00Z")
CONDITIONS = ("clear sky", "light rain", "broken clouds", "overcast clouds", "moderate rain", "snow")

forecasts = sa.Table(
    "forecasts",
    sa.MetaData(),
    sa.Column("city_id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("valid_at", UTCDateTime(), primary_key=True),
    sa.Column("issued_at", UTCDateTime(), primary_key=True),
    sa.Column("temperature_c", sa.Double(), nullable=False),
    sa.Column("precipitation_mm", sa.Double(), nullable=False),
    sa.Column("precipitation_probability", sa.Double()),
    sa.Column("wind_speed_ms", sa.Double(), nullable=False),
    sa.Column("wind_gust_ms", sa.Double()),
    sa.Column("cloud_pct", sa.Double()),
    sa.Column("conditions", sa.String(100)),
    sa.Column("provider", sa.String(32), nullable=False),
    sa.Column("retrieved_at", UTCDateTime(), nullable=False, info={"compare": False}),
    sa.CheckConstraint("precipitation_mm >= 0", name="ck_forecasts_precipitation_mm"),
    sa.CheckConstraint("cloud_pct BETWEEN 0 AND 100", name="ck_forecasts_cloud_pct"),
    **MYSQL,
)


def forecast_rows(rows: int, *, issue: int = 0, cities: int | None = None) -> pd.DataFrame:
    """Return rows as a refresh collects them: city after city, 40 steps each, the cities in no order of their ids.

    Without ``cities`` all rows are of one issue; with it there are as many issues as it takes, the first being
    ``issue`` times three hours after the beginning of 2026.
    """
    random = np.random.default_rng(rows + issue)
    cities = cities or -(-rows // STEPS)
    ids = random.permutation(np.arange(1, cities + 1) * 7)
    number = np.arange(rows)
    issued_at = FIRST_ISSUE + pd.to_timedelta((issue + number // (cities * STEPS)) * 3, unit="h")
    values: dict[str, Any] = {
        "city_id": ids[number // STEPS % cities],
        "valid_at": issued_at + pd.to_timedelta(number % STEPS * 3, unit="h"),
        "issued_at": issued_at,
        "temperature_c": random.normal(15, 8, rows).round(2),
        "precipitation_mm": np.where(random.random(rows) < 0.8, 0.0, (random.random(rows) * 5).round(1)),
        "precipitation_probability": random.random(rows).round(2),
        "wind_speed_ms": (random.random(rows) * 12).round(1),
        "wind_gust_ms": np.where(random.random(rows) < 0.1, np.nan, (random.random(rows) * 20).round(1)),
        "cloud_pct": random.integers(0, 101, rows).astype("float64"),
        "conditions": random.choice(CONDITIONS, rows),
        "provider": "benchmark",
        "retrieved_at": FIRST_ISSUE + pd.Timedelta(hours=3 * issue, seconds=17),
    }
    return pd.DataFrame(values)
