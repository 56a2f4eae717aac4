"""A small model of its own: storage is to be usable without the platform's tables."""

import datetime as dt
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.types import UTCDateTime
from gans_pipeline.storage.writer import Replace, Upsert

MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
metadata = sa.MetaData()

places = sa.Table(
    "places",
    metadata,
    sa.Column("name", sa.String(20), primary_key=True, comment="Name"),
    sa.Column("people", sa.BigInteger(), comment="Inhabitants"),
    sa.Column("height_m", sa.Double(), comment="Metres"),
    sa.Column("open", sa.Boolean(), nullable=False, comment="Whether it is"),
    sa.Column("seen_at", UTCDateTime(), nullable=False, comment="When", info={"compare": False}),
    sa.CheckConstraint("height_m < 9000", name="ck_places_height_m"),
    comment="Places",
    info={"write": Upsert()},
    **MYSQL,
)
visits = sa.Table(
    "visits",
    metadata,
    sa.Column("place", sa.ForeignKey("places.name"), primary_key=True),
    sa.Column("day", sa.Date(), primary_key=True),
    sa.Column("visitor", sa.String(20), primary_key=True),
    sa.Column("note", sa.String(200)),
    info={"write": Replace(by=("place", "day")), "partition_expr": "day"},
    **MYSQL,
)

NOON = pd.Timestamp("2026-11-23T12:00Z")
MONDAY, TUESDAY = dt.date(2026, 11, 23), dt.date(2026, 11, 24)


def place(name: str, **values: Any) -> dict[str, Any]:
    """Return a row of places."""
    return {"name": name, "people": 1, "height_m": 2.5, "open": True, "seen_at": NOON, **values}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return rows as a frame."""
    return pd.DataFrame(list(rows))


def visit(place: str, day: dt.date, visitor: str, note: str | None = None) -> dict[str, Any]:
    """Return a row of visits."""
    return {"place": place, "day": day, "visitor": visitor, "note": note}


@pytest.fixture
def engine(database_url: str) -> sa.Engine:
    """An engine on a database with the tables of this module, empty."""
    engine = create_engine(database_url)
    metadata.create_all(engine)
    return engine
