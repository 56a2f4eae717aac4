"""Questions to the database that more than one part of the platform asks."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gans_pipeline.storage.engine import display_url
from gans_pipeline.tables import airports, api_usage, cities, metadata


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
