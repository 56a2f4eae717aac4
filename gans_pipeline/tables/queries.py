"""Questions to the database that more than one part of the platform asks."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gans_pipeline.storage.engine import display_url
from gans_pipeline.tables import airports, api_usage, cities, metadata, weather_observations


def contents(engine: Engine) -> dict[str, dict[str, Any]]:
    """Return for each table its number of rows and its newest point in time (``None`` where it has none)."""
    found = {}
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            newest = table.info["newest"]
            query = sa.select(sa.func.count(), sa.func.max(table.c[newest]) if newest else sa.null())
            rows, latest = connection.execute(query.select_from(table)).one()
            found[table.name] = {"rows": rows, "newest": latest.isoformat() if latest is not None else None}
    return found


def cities_without(engine: Engine, table: sa.Table) -> dict[int, str]:
    """Return id and name of the cities that have no row in ``table``."""
    query = sa.select(cities.c.city_id, cities.c.name).where(
        ~sa.exists().where(table.c.city_id == cities.c.city_id).correlate(cities)
    )
    with engine.connect() as connection:
        return {row.city_id: row.name for row in connection.execute(query.order_by(cities.c.city_id))}


def people_by_city(engine: Engine) -> dict[int, int]:
    """Return the current population of each city that has one."""
    with engine.connect() as connection:
        return {row.city_id: row.people for row in connection.execute(sa.text("SELECT * FROM current_populations"))}


def usage(engine: Engine) -> dict[tuple[str, str], float]:
    """Return the units that were spent or set aside, by provider and period."""
    with engine.connect() as connection:
        return {(row.provider, row.period): row.units for row in connection.execute(sa.select(api_usage))}


def missing_observations(engine: Engine, days: Iterable[dt.date]) -> list[tuple[int, dt.date]]:
    """Return city and day (UTC) wherever not all 24 hours of the weather are stored."""
    days = sorted(days)
    city, at = weather_observations.c.city_id, weather_observations.c.observed_at
    day = sa.func.date(at)
    begin = dt.datetime.combine(days[0], dt.time(), dt.UTC)
    end = dt.datetime.combine(days[-1] + dt.timedelta(days=1), dt.time(), dt.UTC)
    stored = sa.select(city, day).where(at >= begin, at < end).group_by(city, day).having(sa.func.count() == 24)
    with engine.connect() as connection:
        complete = {(city_id, str(shown)) for city_id, shown in connection.execute(stored)}  # SQLite has days as text
        city_ids = connection.execute(sa.select(cities.c.city_id).order_by(cities.c.city_id)).scalars()
        return [(city_id, each) for city_id in city_ids for each in days if (city_id, str(each)) not in complete]


def is_empty(engine: Engine, table: sa.Table) -> bool:
    """Tell whether the table has no row."""
    with engine.connect() as connection:
        return connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is None


def refuse_to_mix(engine: Engine, *, sandbox: bool) -> None:
    """Raise ValueError if the database holds real data and ``sandbox`` data is to be written to it, or the reverse.

    Asked are cities and airports, which every other row refers to.
    """
    found = []
    with engine.connect() as connection:
        for table in (cities, airports):
            invented = table.c.provider.like("sandbox-%")
            query = sa.select(sa.literal(1)).select_from(table).where(~invented if sandbox else invented).limit(1)
            if connection.execute(query).first():
                found.append(table.name)
    if found:
        holds, wanted = ("real", "invented") if sandbox else ("invented", "real")
        raise ValueError(
            f"{display_url(engine.url)} holds {holds} data ({', '.join(found)}), which {wanted} data must not be mixed "
            "with: name another database in GANS_DATABASE_URL"
        )
