"""Create weather_observations"""

import sqlalchemy as sa
from alembic import op

from gans_pipeline.storage.types import UTCDateTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "weather_observations",
        sa.Column(
            "city_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Wikidata item number of the city: 64 is Q64, Berlin",
        ),
        sa.Column(
            "observed_at",
            UTCDateTime(),
            nullable=False,
            comment="Full hour, UTC; amounts are sums and gusts the greatest over the hour before it",
        ),
        sa.Column(
            "product",
            sa.String(length=10),
            nullable=False,
            comment="analysis: from the newest runs of weather models; reanalysis: ERA5, made later from more measurements",
        ),
        sa.Column("temperature_c", sa.Double(), nullable=False, comment="Air temperature at 2 m, degrees Celsius"),
        sa.Column("feels_like_c", sa.Double(), nullable=True, comment="Apparent temperature, degrees Celsius"),
        sa.Column("humidity_pct", sa.Double(), nullable=True, comment="Relative humidity, percent"),
        sa.Column(
            "precipitation_mm",
            sa.Double(),
            nullable=True,
            comment="Rain and melted snow in the hour, millimetres of water",
        ),
        sa.Column("snow_mm", sa.Double(), nullable=True, comment="Snow in the hour, millimetres of water"),
        sa.Column("wind_speed_ms", sa.Double(), nullable=True, comment="Wind speed at 10 m, metres a second"),
        sa.Column("wind_gust_ms", sa.Double(), nullable=True, comment="Gusts at 10 m, metres a second"),
        sa.Column("cloud_pct", sa.Double(), nullable=True, comment="Cloud cover, percent"),
        sa.Column("visibility_m", sa.Double(), nullable=True, comment="Visibility, metres; ERA5 has none"),
        sa.Column(
            "conditions",
            sa.String(length=32),
            nullable=True,
            comment="Weather in a word, the same words as for forecasts",
        ),
        sa.Column(
            "condition_code",
            sa.Integer(),
            nullable=True,
            comment="WMO 4677, derived by Open-Meteo from cloud and precipitation",
        ),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column("retrieved_at", UTCDateTime(), nullable=False, comment="When these values were first retrieved, UTC"),
        sa.CheckConstraint("product IN ('analysis', 'reanalysis')", name=op.f("ck_weather_observations_product")),
        sa.CheckConstraint("cloud_pct BETWEEN 0 AND 100", name=op.f("ck_weather_observations_cloud_pct")),
        sa.CheckConstraint("feels_like_c BETWEEN -120 AND 90", name=op.f("ck_weather_observations_feels_like_c")),
        sa.CheckConstraint("humidity_pct BETWEEN 0 AND 100", name=op.f("ck_weather_observations_humidity_pct")),
        sa.CheckConstraint("precipitation_mm >= 0", name=op.f("ck_weather_observations_precipitation_mm")),
        sa.CheckConstraint("snow_mm >= 0", name=op.f("ck_weather_observations_snow_mm")),
        sa.CheckConstraint("temperature_c BETWEEN -95 AND 65", name=op.f("ck_weather_observations_temperature_c")),
        sa.CheckConstraint("visibility_m >= 0", name=op.f("ck_weather_observations_visibility_m")),
        sa.CheckConstraint("wind_gust_ms >= 0", name=op.f("ck_weather_observations_wind_gust_ms")),
        sa.CheckConstraint("wind_speed_ms >= 0", name=op.f("ck_weather_observations_wind_speed_ms")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.city_id"], name=op.f("fk_weather_observations_cities")),
        sa.PrimaryKeyConstraint("city_id", "observed_at"),
        comment="Weather of the past, hour by hour (Open-Meteo, CC BY 4.0)",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_weather_observations_observed_at"), "weather_observations", ["observed_at"], unique=False)
