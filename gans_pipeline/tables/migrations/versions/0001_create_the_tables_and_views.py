"""Create the tables and views"""

import sqlalchemy as sa
from alembic import op

from gans_pipeline.storage.types import UTCDateTime

revision = "0001"
down_revision = None


VIEWS = {
    "current_populations": """
    SELECT p.city_id, p.people, p.definition, p.as_of, p.note, p.revision, p.provider, p.retrieved_at
    FROM populations p
    WHERE p.chosen = 1
      AND p.revision = (SELECT MAX(q.revision) FROM populations q WHERE q.city_id = p.city_id)
    """,
    "latest_weather_forecasts": """
    SELECT f.*
    FROM weather_forecasts f
    JOIN (
        SELECT city_id, valid_at, MAX(issued_at) AS issued_at FROM weather_forecasts GROUP BY city_id, valid_at
    ) newest ON newest.city_id = f.city_id AND newest.valid_at = f.valid_at AND newest.issued_at = f.issued_at
    """,
    "physical_arrivals": """
    SELECT a.*
    FROM arrivals a
    WHERE a.codeshare_status <> 'IsCodeshared'
       OR NOT EXISTS (
            SELECT 1
            FROM arrivals o
            WHERE o.airport_icao = a.airport_icao
              AND o.scheduled_at = a.scheduled_at
              AND COALESCE(o.origin_icao, o.origin_iata, o.origin_name, '')
                  = COALESCE(a.origin_icao, a.origin_iata, a.origin_name, '')
              AND (o.codeshare_status <> 'IsCodeshared' OR o.flight_number < a.flight_number)
          )
    """,
}


def upgrade() -> None:
    op.create_table(
        "airports",
        sa.Column("icao", sa.String(length=4), nullable=False, comment="ICAO code"),
        sa.Column("iata", sa.String(length=3), nullable=False, comment="IATA code"),
        sa.Column("name", sa.String(length=200), nullable=False, comment="Name"),
        sa.Column(
            "municipality", sa.String(length=200), nullable=True, comment="Town that the airport names as its own"
        ),
        sa.Column("country_code", sa.String(length=2), nullable=False, comment="ISO 3166-1 alpha-2 (XK for Kosovo)"),
        sa.Column("latitude", sa.Double(), nullable=False, comment="Degrees north, WGS 84"),
        sa.Column("longitude", sa.Double(), nullable=False, comment="Degrees east, WGS 84"),
        sa.Column("elevation_m", sa.Double(), nullable=True, comment="Metres above mean sea level"),
        sa.Column("timezone", sa.String(length=64), nullable=False, comment="IANA time zone at the airport's position"),
        sa.Column(
            "size", sa.String(length=8), nullable=False, comment="Size class by OurAirports; unknown by AeroDataBox"
        ),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column("retrieved_at", UTCDateTime(), nullable=False, comment="When these values were first retrieved, UTC"),
        sa.CheckConstraint("size IN ('large', 'medium', 'small', 'unknown')", name=op.f("ck_airports_size")),
        sa.CheckConstraint(
            "LENGTH(country_code) = 2 AND country_code = UPPER(country_code)", name=op.f("ck_airports_country_code")
        ),
        sa.CheckConstraint("LENGTH(iata) = 3 AND iata = UPPER(iata)", name=op.f("ck_airports_iata")),
        sa.CheckConstraint("LENGTH(icao) = 4 AND icao = UPPER(icao)", name=op.f("ck_airports_icao")),
        sa.CheckConstraint("elevation_m BETWEEN -500 AND 6000", name=op.f("ck_airports_elevation_m")),
        sa.CheckConstraint("latitude BETWEEN -90 AND 90", name=op.f("ck_airports_latitude")),
        sa.CheckConstraint("longitude BETWEEN -180 AND 180", name=op.f("ck_airports_longitude")),
        sa.PrimaryKeyConstraint("icao"),
        comment="Airports with scheduled passenger service",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "cities",
        sa.Column(
            "city_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Wikidata item number of the city: 64 is Q64, Berlin",
        ),
        sa.Column("name", sa.String(length=200), nullable=False, comment="Name as the article's infobox gives it"),
        sa.Column("country_code", sa.String(length=2), nullable=False, comment="ISO 3166-1 alpha-2"),
        sa.Column("latitude", sa.Double(), nullable=False, comment="Degrees north, WGS 84"),
        sa.Column("longitude", sa.Double(), nullable=False, comment="Degrees east, WGS 84"),
        sa.Column("timezone", sa.String(length=64), nullable=False, comment="IANA time zone at the city's position"),
        sa.Column(
            "article_title", sa.String(length=255), nullable=False, comment="Title of the English Wikipedia article"
        ),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Revision id of the article that was read"),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column("retrieved_at", UTCDateTime(), nullable=False, comment="When these values were first retrieved, UTC"),
        sa.CheckConstraint(
            "LENGTH(country_code) = 2 AND country_code = UPPER(country_code)", name=op.f("ck_cities_country_code")
        ),
        sa.CheckConstraint("city_id >= 0", name=op.f("ck_cities_city_id")),
        sa.CheckConstraint("latitude BETWEEN -90 AND 90", name=op.f("ck_cities_latitude")),
        sa.CheckConstraint("longitude BETWEEN -180 AND 180", name=op.f("ck_cities_longitude")),
        sa.PrimaryKeyConstraint("city_id"),
        comment="Cities (Wikipedia, CC BY-SA 4.0)",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "arrivals",
        sa.Column("airport_icao", sa.String(length=4), nullable=False, comment="ICAO code of the airport"),
        sa.Column("flight_number", sa.String(length=16), nullable=False, comment="Flight number as listed, 'KL 1825'"),
        sa.Column("scheduled_at", UTCDateTime(), nullable=False, comment="Scheduled arrival, UTC"),
        sa.Column(
            "local_date",
            sa.Date(),
            nullable=False,
            comment="Day at the airport under which the flight is listed: that of its best-known arrival time",
        ),
        sa.Column("revised_at", UTCDateTime(), nullable=True, comment="Estimated or actual arrival at the gate, UTC"),
        sa.Column("runway_at", UTCDateTime(), nullable=True, comment="Touchdown, UTC"),
        sa.Column(
            "status",
            sa.String(length=17),
            nullable=False,
            comment="Status by AeroDataBox; Unknown where there is no feed",
        ),
        sa.Column(
            "codeshare_status",
            sa.String(length=12),
            nullable=False,
            comment="IsCodeshared marks a second number of one aircraft",
        ),
        sa.Column("is_cargo", sa.Boolean(), nullable=False, comment="Carries freight only"),
        sa.Column(
            "origin_icao",
            sa.String(length=4),
            nullable=True,
            comment="ICAO code of the airport of origin; about 2 % are unknown",
        ),
        sa.Column("origin_iata", sa.String(length=3), nullable=True, comment="IATA code of the airport of origin"),
        sa.Column("origin_name", sa.String(length=200), nullable=True, comment="Name of the airport of origin"),
        sa.Column("departed_at", UTCDateTime(), nullable=True, comment="Best-known departure at the origin, UTC"),
        sa.Column(
            "airline_name",
            sa.String(length=200),
            nullable=True,
            comment="Airline; 'Unknown/Private owner' for private flights",
        ),
        sa.Column("airline_iata", sa.String(length=3), nullable=True, comment="IATA code of the airline"),
        sa.Column("airline_icao", sa.String(length=4), nullable=True, comment="ICAO code of the airline"),
        sa.Column("call_sign", sa.String(length=16), nullable=True, comment="Call sign"),
        sa.Column(
            "aircraft_model", sa.String(length=100), nullable=True, comment="Aircraft type as listed, 'Boeing 737'"
        ),
        sa.Column("aircraft_registration", sa.String(length=16), nullable=True, comment="Registration of the aircraft"),
        sa.Column("terminal", sa.String(length=16), nullable=True, comment="Terminal, a text: 1, 2E, Main"),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column("retrieved_at", UTCDateTime(), nullable=False, comment="When these values were first retrieved, UTC"),
        sa.CheckConstraint(
            "codeshare_status IN ('Unknown', 'IsOperator', 'IsCodeshared')", name=op.f("ck_arrivals_codeshare_status")
        ),
        sa.CheckConstraint(
            "status IN ('Unknown', 'Expected', 'EnRoute', 'CheckIn', 'Boarding', 'GateClosed', 'Departed', 'Delayed', 'Approaching', 'Arrived', 'Canceled', 'Diverted', 'CanceledUncertain')",
            name=op.f("ck_arrivals_status"),
        ),
        sa.ForeignKeyConstraint(["airport_icao"], ["airports.icao"], name=op.f("fk_arrivals_airports")),
        sa.PrimaryKeyConstraint("airport_icao", "flight_number", "scheduled_at"),
        comment="Flights that will land, codeshares included",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_arrivals_local_date"), "arrivals", ["local_date"], unique=False)
    op.create_table(
        "city_airports",
        sa.Column(
            "city_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Wikidata item number of the city: 64 is Q64, Berlin",
        ),
        sa.Column("icao", sa.String(length=4), nullable=False, comment="ICAO code of the airport"),
        sa.Column(
            "distance_km", sa.Double(), nullable=False, comment="Great-circle distance city to airport, kilometres"
        ),
        sa.CheckConstraint("distance_km >= 0", name=op.f("ck_city_airports_distance_km")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.city_id"], name=op.f("fk_city_airports_cities")),
        sa.ForeignKeyConstraint(["icao"], ["airports.icao"], name=op.f("fk_city_airports_airports")),
        sa.PrimaryKeyConstraint("city_id", "icao"),
        comment="Airports within reach of each city",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "populations",
        sa.Column(
            "city_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Wikidata item number of the city: 64 is Q64, Berlin",
        ),
        sa.Column(
            "as_of",
            sa.String(length=10),
            nullable=False,
            comment="Date that the figure is for, as precise as printed: 2023-12-31, 2023-12, 2023, or empty if none is",
        ),
        sa.Column(
            "definition",
            sa.String(length=200),
            nullable=False,
            comment="What was counted: the printed label in lower case",
        ),
        sa.Column("people", sa.BigInteger(), nullable=False, comment="Inhabitants"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="Class of the definition"),
        sa.Column("label", sa.String(length=200), nullable=False, comment="Row label as printed"),
        sa.Column("note", sa.String(length=200), nullable=True, comment="As-of note as printed, such as '2022 census'"),
        sa.Column(
            "chosen", sa.Boolean(), nullable=False, comment="The figure to use for the city, of those in a revision"
        ),
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="Revision id of the article that was read"),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column("retrieved_at", UTCDateTime(), nullable=False, comment="When these values were first retrieved, UTC"),
        sa.CheckConstraint(
            "kind IN ('administrative', 'estimate', 'urban', 'metropolitan', 'part', 'other')",
            name=op.f("ck_populations_kind"),
        ),
        sa.CheckConstraint("people >= 0", name=op.f("ck_populations_people")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.city_id"], name=op.f("fk_populations_cities")),
        sa.PrimaryKeyConstraint("city_id", "as_of", "definition"),
        comment="Population figures (Wikipedia, CC BY-SA 4.0)",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "weather_forecasts",
        sa.Column(
            "city_id",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Wikidata item number of the city: 64 is Q64, Berlin",
        ),
        sa.Column(
            "valid_at",
            UTCDateTime(),
            nullable=False,
            comment="End of the 3-hour step, UTC; amounts are sums over the 3 hours before it",
        ),
        sa.Column(
            "issued_at",
            UTCDateTime(),
            nullable=False,
            comment="Full hour, UTC, in which the forecast was fetched (the providers publish no time of issue)",
        ),
        sa.Column("temperature_c", sa.Double(), nullable=True, comment="Air temperature at 2 m, degrees Celsius"),
        sa.Column("feels_like_c", sa.Double(), nullable=True, comment="Apparent temperature, degrees Celsius"),
        sa.Column("humidity_pct", sa.Double(), nullable=True, comment="Relative humidity, percent"),
        sa.Column(
            "precipitation_mm",
            sa.Double(),
            nullable=True,
            comment="Rain and melted snow in 3 hours, millimetres of water",
        ),
        sa.Column(
            "precipitation_probability", sa.Double(), nullable=True, comment="Probability of precipitation, 0 to 1"
        ),
        sa.Column("snow_mm", sa.Double(), nullable=True, comment="Snow in 3 hours, millimetres of water"),
        sa.Column("wind_speed_ms", sa.Double(), nullable=True, comment="Wind speed at 10 m, metres a second"),
        sa.Column("wind_gust_ms", sa.Double(), nullable=True, comment="Gusts at 10 m, metres a second"),
        sa.Column("cloud_pct", sa.Double(), nullable=True, comment="Cloud cover, percent"),
        sa.Column(
            "visibility_m", sa.Double(), nullable=True, comment="Visibility, metres; OpenWeatherMap stops at 10,000"
        ),
        sa.Column(
            "conditions",
            sa.String(length=32),
            nullable=True,
            comment="Weather in a word, the same words for every provider",
        ),
        sa.Column(
            "condition_code",
            sa.Integer(),
            nullable=True,
            comment="The provider's own code: OpenWeatherMap's id or WMO 4677",
        ),
        sa.Column(
            "provider",
            sa.String(length=32),
            nullable=False,
            comment="Who said so; a name that starts with 'sandbox' marks invented data",
        ),
        sa.Column("retrieved_at", UTCDateTime(), nullable=False, comment="When these values were first retrieved, UTC"),
        sa.CheckConstraint("cloud_pct BETWEEN 0 AND 100", name=op.f("ck_weather_forecasts_cloud_pct")),
        sa.CheckConstraint("feels_like_c BETWEEN -120 AND 90", name=op.f("ck_weather_forecasts_feels_like_c")),
        sa.CheckConstraint("humidity_pct BETWEEN 0 AND 100", name=op.f("ck_weather_forecasts_humidity_pct")),
        sa.CheckConstraint("precipitation_mm >= 0", name=op.f("ck_weather_forecasts_precipitation_mm")),
        sa.CheckConstraint(
            "precipitation_probability BETWEEN 0 AND 1", name=op.f("ck_weather_forecasts_precipitation_probability")
        ),
        sa.CheckConstraint("snow_mm >= 0", name=op.f("ck_weather_forecasts_snow_mm")),
        sa.CheckConstraint("temperature_c BETWEEN -95 AND 65", name=op.f("ck_weather_forecasts_temperature_c")),
        sa.CheckConstraint("visibility_m >= 0", name=op.f("ck_weather_forecasts_visibility_m")),
        sa.CheckConstraint("wind_gust_ms >= 0", name=op.f("ck_weather_forecasts_wind_gust_ms")),
        sa.CheckConstraint("wind_speed_ms >= 0", name=op.f("ck_weather_forecasts_wind_speed_ms")),
        sa.ForeignKeyConstraint(["city_id"], ["cities.city_id"], name=op.f("fk_weather_forecasts_cities")),
        sa.PrimaryKeyConstraint("city_id", "valid_at", "issued_at"),
        comment="Weather forecasts with all their issues",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_weather_forecasts_issued_at"), "weather_forecasts", ["issued_at"], unique=False)
    for name, select in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {select}")
