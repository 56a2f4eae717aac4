"""Runs the migrations on the connection that gans_pipeline.tables.schema hands over."""

from alembic import context

from gans_pipeline.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
