"""Weather as it was forecast, and as it was."""

import sqlalchemy as sa

from gans_pipeline.storage.types import UTCDateTime
from gans_pipeline.storage.writer import Upsert
from gans_pipeline.tables.base import CITY_ID, View, between, not_negative, one_of, provenance, table

WEATHER_PRODUCTS = ("analysis", "reanalysis")

weather_forecasts = table(
    "weather_forecasts",
    sa.Column("city_id", sa.ForeignKey("cities.city_id"), primary_key=True, autoincrement=False, comment=CITY_ID),
    sa.Column(
        "valid_at",
        UTCDateTime(),
        primary_key=True,
        comment="End of the 3-hour step, UTC; amounts are sums over the 3 hours before it",
    ),
    sa.Column(
        "issued_at",
        UTCDateTime(),
        primary_key=True,
        comment="Full hour, UTC, in which the forecast was fetched (the providers publish no time of issue)",
    ),
    sa.Column("temperature_c", sa.Double(), comment="Air temperature at 2 m, degrees Celsius"),
    sa.Column("feels_like_c", sa.Double(), comment="Apparent temperature, degrees Celsius"),
    sa.Column("humidity_pct", sa.Double(), comment="Relative humidity, percent"),
    sa.Column("precipitation_mm", sa.Double(), comment="Rain and melted snow in 3 hours, millimetres of water"),
    sa.Column("precipitation_probability", sa.Double(), comment="Probability of precipitation, 0 to 1"),
    sa.Column("snow_mm", sa.Double(), comment="Snow in 3 hours, millimetres of water"),
    sa.Column("wind_speed_ms", sa.Double(), comment="Wind speed at 10 m, metres a second"),
    sa.Column("wind_gust_ms", sa.Double(), comment="Gusts at 10 m, metres a second"),
    sa.Column("cloud_pct", sa.Double(), comment="Cloud cover, percent"),
    sa.Column("visibility_m", sa.Double(), comment="Visibility, metres; OpenWeatherMap stops at 10,000"),
    sa.Column("conditions", sa.String(32), comment="Weather in a word, the same words for every provider"),
    sa.Column("condition_code", sa.Integer(), comment="The provider's own code: OpenWeatherMap's id or WMO 4677"),
    *provenance(),
    between("temperature_c", -95, 65),
    between("feels_like_c", -120, 90),
    between("humidity_pct", 0, 100),
    not_negative("precipitation_mm"),
    between("precipitation_probability", 0, 1),
    not_negative("snow_mm"),
    not_negative("wind_speed_ms"),
    not_negative("wind_gust_ms"),
    between("cloud_pct", 0, 100),
    not_negative("visibility_m"),
    sa.Index(None, "issued_at"),
    comment="Weather forecasts with all their issues",
    newest="issued_at",
    write=Upsert(),
)

latest_weather_forecasts = View(
    "latest_weather_forecasts",
    "For each city and hour the newest forecast",
    """
    SELECT f.*
    FROM weather_forecasts f
    JOIN (
        SELECT city_id, valid_at, MAX(issued_at) AS issued_at FROM weather_forecasts GROUP BY city_id, valid_at
    ) newest ON newest.city_id = f.city_id AND newest.valid_at = f.valid_at AND newest.issued_at = f.issued_at
    """,
)

weather_observations = table(
    "weather_observations",
    sa.Column("city_id", sa.ForeignKey("cities.city_id"), primary_key=True, autoincrement=False, comment=CITY_ID),
    sa.Column(
        "observed_at",
        UTCDateTime(),
        primary_key=True,
        comment="Full hour, UTC; amounts are sums and gusts the greatest over the hour before it",
    ),
    sa.Column(
        "product",
        sa.String(10),
        nullable=False,
        comment="analysis: from the newest runs of weather models; reanalysis: ERA5, made later from more measurements",
    ),
    sa.Column("temperature_c", sa.Double(), nullable=False, comment="Air temperature at 2 m, degrees Celsius"),
    sa.Column("feels_like_c", sa.Double(), comment="Apparent temperature, degrees Celsius"),
    sa.Column("humidity_pct", sa.Double(), comment="Relative humidity, percent"),
    sa.Column("precipitation_mm", sa.Double(), comment="Rain and melted snow in the hour, millimetres of water"),
    sa.Column("snow_mm", sa.Double(), comment="Snow in the hour, millimetres of water"),
    sa.Column("wind_speed_ms", sa.Double(), comment="Wind speed at 10 m, metres a second"),
    sa.Column("wind_gust_ms", sa.Double(), comment="Gusts at 10 m, metres a second"),
    sa.Column("cloud_pct", sa.Double(), comment="Cloud cover, percent"),
    sa.Column("visibility_m", sa.Double(), comment="Visibility, metres; ERA5 has none"),
    sa.Column("conditions", sa.String(32), comment="Weather in a word, the same words as for forecasts"),
    sa.Column("condition_code", sa.Integer(), comment="WMO 4677, derived by Open-Meteo from cloud and precipitation"),
    *provenance(),
    one_of("product", WEATHER_PRODUCTS),
    between("temperature_c", -95, 65),
    between("feels_like_c", -120, 90),
    between("humidity_pct", 0, 100),
    not_negative("precipitation_mm"),
    not_negative("snow_mm"),
    not_negative("wind_speed_ms"),
    not_negative("wind_gust_ms"),
    between("cloud_pct", 0, 100),
    not_negative("visibility_m"),
    sa.Index(None, "observed_at"),
    comment="Weather of the past, hour by hour (Open-Meteo, CC BY 4.0)",
    newest="observed_at",
    write=Upsert(),
    partition_expr="observed_at",
)
