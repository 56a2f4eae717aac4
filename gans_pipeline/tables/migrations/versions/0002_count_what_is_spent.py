"""Count what is spent at the providers"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "api_usage",
        sa.Column(
            "provider", sa.String(length=32), nullable=False, comment="Who was asked; 'sandbox-…' for the sandbox"
        ),
        sa.Column(
            "period",
            sa.String(length=10),
            nullable=False,
            comment="Month or day (UTC) of the limit: 2026-11, 2026-11-25",
        ),
        sa.Column(
            "units", sa.Double(), nullable=False, comment="Units spent or set aside, in the provider's own measure"
        ),
        sa.Column(
            "unit_limit",
            sa.Double(),
            nullable=True,
            comment="Units that may be spent in the period; NULL is without a limit",
        ),
        sa.CheckConstraint("units >= 0", name=op.f("ck_api_usage_units")),
        sa.PrimaryKeyConstraint("provider", "period"),
        comment="Units of the providers' plans, counted before each call",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
