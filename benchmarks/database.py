"""A database for one measurement."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from gans_pipeline.storage.engine import create_database, create_engine


@contextmanager
def temporary_database(url: sa.URL) -> Iterator[sa.Engine]:
    """Create the database that the URL names, yield an engine for it, and drop it in the end.

    Tools that keep what they stage in a second database, as dlt does, name it ``…_staging``: that is dropped too.
    """
    create_database(url)
    engine = create_engine(url, statement_timeout_s=3600)
    try:
        yield engine
    finally:
        with engine.connect() as connection:
            for name in (url.database, f"{url.database}_staging"):
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {name}")
        engine.dispose()
