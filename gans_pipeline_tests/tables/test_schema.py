"""The migrations make exactly the tables that are declared, on every database, and say where a database stands."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from gans_pipeline.storage.engine import create_engine
from gans_pipeline.tables import VIEWS, metadata, schema


def definitions(engine: sa.Engine) -> dict[str, list[str]]:
    """Return each table's and view's definition as the database tells it, a sorted list of its lines."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.exec_driver_sql("SELECT tbl_name, sql FROM sqlite_master WHERE sql <> ''").all()
            found: dict[str, list[str]] = {}
            for name, sql in rows:
                found.setdefault(name, []).extend(re.split(r",?\s*\n\s*|, (?=CONSTRAINT|CHECK|FOREIGN|PRIMARY)", sql))
        else:
            found = {}
            for name in [*metadata.tables, *(view.name for view in VIEWS)]:
                row = connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()
                found[name] = re.split(r",?\s*\n\s*", re.sub(r"`[\w]+`\.(?=`\w+`)", "", row[1]))
    return {
        name: sorted(" ".join(line.split()) for line in lines)
        for name, lines in found.items()
        if name != "alembic_version"
    }


def test_migrations_make_the_declared_tables_and_views(database_url: str) -> None:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    migrated = definitions(engine)
    with engine.begin() as connection:
        for view in VIEWS:
            connection.exec_driver_sql(f"DROP VIEW {view.name}")
        metadata.drop_all(connection)
        metadata.create_all(connection)
        for view in VIEWS:
            connection.exec_driver_sql(f"CREATE VIEW {view.name} AS {view.select}")
    assert set(migrated) >= {"cities", "arrivals", "physical_arrivals"}
    assert migrated == definitions(engine)


def test_a_database_goes_from_empty_to_current_and_stays(database_url: str) -> None:
    engine = create_engine(database_url)
    assert schema.state(engine) is schema.State.EMPTY
    schema.upgrade(engine)
    assert schema.state(engine) is schema.State.CURRENT
    schema.upgrade(engine)
    assert schema.state(engine) is schema.State.CURRENT


def test_processes_that_upgrade_a_new_database_at_once_take_turns(database_url: str) -> None:
    start = threading.Barrier(3)

    def upgrade(_: int) -> schema.State:
        engine = create_engine(database_url)
        start.wait()
        if schema.state(engine) is schema.State.EMPTY:
            schema.upgrade(engine)
        found = schema.state(engine)
        engine.dispose()
        return found

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(upgrade, range(3))) == [schema.State.CURRENT] * 3


def test_a_revision_from_the_future_is_foreign(database_url: str) -> None:
    engine = create_engine(database_url)
    schema.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'zzzz'")
    assert schema.state(engine) is schema.State.FOREIGN


def test_our_tables_without_a_revision_are_foreign(database_url: str) -> None:
    engine = create_engine(database_url)
    metadata.create_all(engine)
    assert schema.state(engine) is schema.State.FOREIGN


@pytest.mark.parametrize("column", [c for t in metadata.sorted_tables for c in t.columns], ids=str)
def test_every_column_says_what_it_means(column: "sa.Column[object]") -> None:
    assert column.comment
    quantity = isinstance(column.type, sa.Double) and column.name != "precipitation_probability"
    if quantity and column.name not in ("latitude", "longitude", "units", "unit_limit"):
        assert re.search(r"_(c|mm|ms|pct|m|km)$", column.name), f"{column} is a quantity without a unit in its name"


def test_the_diagram_shows_every_table_and_relation() -> None:
    page = schema.erd()
    for table in metadata.sorted_tables:
        assert f"    {table.name} {{" in page
    assert 'cities ||--o{ populations : "city_id"' in page
    assert 'airports ||--o{ arrivals : "airport_icao"' in page
