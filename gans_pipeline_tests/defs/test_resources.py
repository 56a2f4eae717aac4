"""The database as the assets see it."""

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from gans_pipeline import tables
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.reader import read
from gans_pipeline.tables import schema


def city(city_id: int, provider: str) -> pd.DataFrame:
    """Return one row of cities."""
    return pd.DataFrame(
        {
            "city_id": [city_id],
            "name": ["Berlin"],
            "country_code": ["DE"],
            "latitude": [52.52],
            "longitude": [13.405],
            "timezone": ["Europe/Berlin"],
            "article_title": ["Berlin"],
            "revision": [1],
            "provider": [provider],
            "retrieved_at": [pd.Timestamp("2026-11-23T12:00Z")],
        }
    )


@pytest.mark.parametrize(("first", "then"), [("wikipedia", "sandbox-wikipedia"), ("sandbox-wikipedia", "wikipedia")])
def test_a_run_from_the_page_does_not_mix_invented_and_real_data_either(
    first: str, then: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'gans.db'}"
    monkeypatch.setenv("GANS_DATABASE_URL", url)
    schema.upgrade(create_engine(url))
    succeeded = []
    for city_id, provider in enumerate((first, first, then)):

        @dg.asset
        def cities(city_id: dg.ResourceParam[int], provider: dg.ResourceParam[str]) -> pd.DataFrame:
            return city(city_id, provider)

        if provider.startswith("sandbox"):
            monkeypatch.setenv("GANS_SANDBOX_URL", "http://127.0.0.1:1")
        else:
            monkeypatch.delenv("GANS_SANDBOX_URL", raising=False)
        resources = {"io_manager": Database(), "city_id": city_id, "provider": provider}
        succeeded.append(dg.materialize([cities], resources=resources, raise_on_error=False).success)
    assert succeeded == [True, True, False]
    assert read(create_engine(url), tables.cities)["provider"].tolist() == [first, first]
