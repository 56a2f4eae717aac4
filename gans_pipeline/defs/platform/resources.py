"""The resources of all assets.

They read the settings when a run begins, so that no secret becomes part of a definition.
"""

from typing import Any

import dagster as dg
from sqlalchemy.engine import Engine

from gans_pipeline.collect.sources import Sources
from gans_pipeline.settings import Settings
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.io_manager import MySQLIOManager
from gans_pipeline.tables.queries import refuse_to_mix


class SourcesResource(dg.ConfigurableResource[Sources]):
    """The clients of the providers, with addresses, keys and limits from the ``GANS_…`` variables."""

    def create_resource(self, context: dg.InitResourceContext) -> Sources:
        """Return the clients for one run."""
        return Sources.configured(Settings())


class Database(MySQLIOManager):
    """The database of ``GANS_DATABASE_URL``; refuses to write invented data beside real data, and the reverse."""

    url: str = "GANS_DATABASE_URL"
    tables: str = "gans_pipeline.tables:metadata"
    upgrade_command: str = "gans db upgrade"

    def connect(self) -> Engine:
        """Return a new engine for the database that the settings name."""
        return connect(Settings())

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the frame, unless the database holds data of the other kind."""
        try:
            refuse_to_mix(self.engine, sandbox=Settings().sandbox_url is not None)
        except ValueError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        super().handle_output(context, obj)


def connect(settings: Settings) -> Engine:
    """Return a new engine for the database that the settings name."""
    return create_engine(settings.database_url.get_secret_value(), tls_ca=settings.database_tls_ca)
