"""Open-Meteo's archive: the same sky as the forecast's, on the coarser grid of ERA5, complete up to five days ago.

Later hours are null. ERA5 has no visibility; ``models`` other than ``era5``, which the platform does not ask for, are
refused by name.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gans_pipeline.sandbox.geography import World
from gans_pipeline.sandbox.openmeteo import FAULTS, Days, Refused, answer, answered, dates, refusal, weight
from gans_pipeline.sandbox.state import State

__all__ = ["FAULTS", "refusal", "routes", "weight"]

GRID_DEGREES = 0.25
EARLIEST = date(1940, 1, 1)
DELAY = timedelta(days=5)
NOT_IN_ERA5 = frozenset({"visibility", "precipitation_probability"})


def routes(world: World, state: State) -> list[Route]:
    """Return the route of the archive."""

    async def archive(request: Request) -> Response:
        query, now = request.query_params, state.now()
        known_until = (now - DELAY).timestamp()
        return answered(
            lambda: answer(world, now, query, GRID_DEGREES, _chosen_days(query, now.date()), known_until, NOT_IN_ERA5)
        )

    return [Route("/v1/archive", archive)]


def _chosen_days(query: Mapping[str, str], today: date) -> Days:
    if query.get("models", "era5") != "era5":
        raise Refused(f"The sandbox serves models=era5 only. Given: {query['models']}.")
    span = dates(query, EARLIEST, today)
    return lambda _: span
