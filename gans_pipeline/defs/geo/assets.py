"""Where the cities are, how many people live in them, and which airports serve them."""

import dagster as dg
import pandas as pd
from pydantic import Field

from gans_pipeline.collect.geo import (
    collect_airports,
    collect_airports_near,
    collect_cities,
    collect_populations,
    join_city_airports,
)
from gans_pipeline.collect.sources import Sources
from gans_pipeline.defs.platform.refresh import CitiesConfig, now, refreshed, table_asset
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.settings import Settings
from gans_pipeline.tables.queries import people_by_city


class SelectionConfig(dg.Config):
    """Which cities to collect."""

    cities: str = Field(
        default="",
        description="How many of the most populous, titles of articles, or both, with commas; default: GANS_CITIES",
    )


@table_asset("cities", group="geo", kinds={"wikipedia"}, pool="wikipedia", is_compared=True)
def cities(config: SelectionConfig, sources: dg.ResourceParam[Sources]) -> dg.MaterializeResult:
    """Read from each city's Wikipedia article. A city once collected stays until it is deleted from the table.

    A position more than 25 km from Wikidata's is a doubt, which the check `plausible` names.
    """
    return refreshed(collect_cities, sources, config.cities or sources.settings.cities, now=now())


@table_asset("populations", group="geo", kinds={"wikipedia"}, pool="wikipedia", is_compared=True)
def populations(
    config: CitiesConfig,
    sources: dg.ResourceParam[Sources],
    io_manager: dg.ResourceParam[Database],
    cities: pd.DataFrame,
) -> dg.MaterializeResult:
    """Every figure of the infobox's population section; the view `current_populations` shows the one to use.

    One more than 10 % from Wikidata's, or 30 % from the stored one, is a doubt, which the check `plausible` names.
    """
    stored = people_by_city(io_manager.engine)
    return refreshed(collect_populations, sources, config.select(cities), stored=stored, now=now())


@table_asset("airports", group="geo", kinds={"csv"}, pool="ourairports")
def airports_of_the_world(sources: dg.ResourceParam[Sources]) -> dg.MaterializeResult:
    """All of them, from OurAirports (public domain)."""
    return refreshed(collect_airports, sources, now=now())


@table_asset("airports", group="geo", kinds={"rest"}, pool="aerodatabox")
def airports_near_cities(sources: dg.ResourceParam[Sources], cities: pd.DataFrame) -> dg.MaterializeResult:
    """Those around the cities, from AeroDataBox."""
    return refreshed(collect_airports_near, sources, cities, now=now())


airports = airports_near_cities if Settings().airports_provider == "aerodatabox" else airports_of_the_world


@table_asset("city_airports", group="geo", kinds={"pandas"}, pool="city_airports")
def city_airports(
    sources: dg.ResourceParam[Sources], cities: pd.DataFrame, airports: pd.DataFrame
) -> dg.MaterializeResult:
    """Those within GANS_AIRPORT_RADIUS_KM, by distance and never by name: East London's is not one of London's."""
    return refreshed(join_city_airports, sources, cities, airports)
