"""What happens when something is seen rather than when it is time."""

import datetime as dt
import hashlib
from collections.abc import Iterable

import dagster as dg
import sqlalchemy as sa

from gans_pipeline import tables
from gans_pipeline.defs.platform.refresh import CitiesConfig
from gans_pipeline.defs.platform.resources import Database
from gans_pipeline.tables.queries import cities_without, is_empty


@dg.sensor(
    target=["weather_forecasts", "airports", "city_airports"],
    minimum_interval_seconds=60,
    description="Sees a city without forecasts or airports and materializes what it lacks, at most once a day.",
)
def cities_that_lack_something(
    context: dg.SensorEvaluationContext, io_manager: dg.ResourceParam[Database]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for the forecasts of the cities that have none, and for the airports of those that have none."""
    try:
        without_forecasts = cities_without(io_manager.engine, tables.weather_forecasts)
        without_airports = cities_without(io_manager.engine, tables.city_airports)
        no_airports_at_all = is_empty(io_manager.engine, tables.airports)
    except sa.exc.DBAPIError as error:
        return dg.SkipReason(f"The database cannot be asked ({type(error.orig).__name__}): see `gans db check`.")
    requests = []
    if without_forecasts:
        requests.append(
            dg.RunRequest(
                run_key=_once_a_day("forecasts", without_forecasts),
                asset_selection=[dg.AssetKey("weather_forecasts")],
                run_config=dg.RunConfig(
                    ops={"weather_forecasts": CitiesConfig(cities=[str(city_id) for city_id in without_forecasts])}
                ),
            )
        )
    if without_airports:
        lacking = ["airports", "city_airports"] if no_airports_at_all else ["city_airports"]
        requests.append(
            dg.RunRequest(
                run_key=_once_a_day("airports", without_airports),
                asset_selection=[dg.AssetKey(name) for name in lacking],
            )
        )
    if not requests:
        return dg.SkipReason("Every city has forecasts and airports.")
    for what, cities in (("forecasts", without_forecasts), ("airports", without_airports)):
        if cities:
            context.log.info(f"without {what}: {', '.join(cities.values())}")
    return dg.SensorResult(run_requests=requests)


def _once_a_day(what: str, city_ids: Iterable[int]) -> str:
    """Return a run key: Dagster launches one run for it, so that a city that keeps failing is tried once a day."""
    listed = ",".join(map(str, sorted(city_ids)))
    return f"{what} {dt.datetime.now(dt.UTC).date()} {hashlib.sha256(listed.encode()).hexdigest()[:16]}"
