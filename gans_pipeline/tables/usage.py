"""What was spent at the providers."""

import sqlalchemy as sa

from gans_pipeline.storage.writer import Upsert
from gans_pipeline.tables.base import not_negative, table

api_usage = table(
    "api_usage",
    sa.Column("provider", sa.String(32), primary_key=True, comment="Who was asked; 'sandbox-…' for the sandbox"),
    sa.Column(
        "period", sa.String(10), primary_key=True, comment="Month or day (UTC) of the limit: 2026-11, 2026-11-25"
    ),
    sa.Column("units", sa.Double(), nullable=False, comment="Units spent or set aside, in the provider's own measure"),
    sa.Column("unit_limit", sa.Double(), comment="Units that may be spent in the period; NULL is without a limit"),
    not_negative("units"),
    comment="Units of the providers' plans, counted before each call",
    newest=None,
    write=Upsert(),
)
