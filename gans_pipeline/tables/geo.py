"""Cities, how many people live in them, and the airports that serve them."""

import sqlalchemy as sa

from gans_pipeline.storage.writer import Replace, Upsert
from gans_pipeline.tables.base import (
    CITY_ID,
    View,
    between,
    not_negative,
    one_of,
    position,
    provenance,
    table,
    upper_case,
)

POPULATION_KINDS = ("administrative", "estimate", "urban", "metropolitan", "part", "other")
AIRPORT_SIZES = ("large", "medium", "small", "unknown")

cities = table(
    "cities",
    sa.Column("city_id", sa.Integer(), primary_key=True, autoincrement=False, comment=CITY_ID),
    sa.Column("name", sa.String(200), nullable=False, comment="Name as the article's infobox gives it"),
    sa.Column("country_code", sa.String(2), nullable=False, comment="ISO 3166-1 alpha-2"),
    *position(),
    sa.Column("timezone", sa.String(64), nullable=False, comment="IANA time zone at the city's position"),
    sa.Column("article_title", sa.String(255), nullable=False, comment="Title of the English Wikipedia article"),
    sa.Column("revision", sa.BigInteger(), nullable=False, comment="Revision id of the article that was read"),
    *provenance(),
    not_negative("city_id"),
    upper_case("country_code", 2),
    comment="Cities (Wikipedia, CC BY-SA 4.0)",
    newest="retrieved_at",
    write=Upsert(),
)

populations = table(
    "populations",
    sa.Column("city_id", sa.ForeignKey("cities.city_id"), primary_key=True, autoincrement=False, comment=CITY_ID),
    sa.Column(
        "as_of",
        sa.String(10),
        primary_key=True,
        comment="Date that the figure is for, as precise as printed: 2023-12-31, 2023-12, 2023, or empty if none is",
    ),
    sa.Column(
        "definition", sa.String(200), primary_key=True, comment="What was counted: the printed label in lower case"
    ),
    sa.Column("people", sa.BigInteger(), nullable=False, comment="Inhabitants"),
    sa.Column("kind", sa.String(16), nullable=False, comment="Class of the definition"),
    sa.Column("label", sa.String(200), nullable=False, comment="Row label as printed"),
    sa.Column("note", sa.String(200), comment="As-of note as printed, such as '2022 census'"),
    sa.Column("chosen", sa.Boolean(), nullable=False, comment="The figure to use for the city, of those in a revision"),
    sa.Column("revision", sa.BigInteger(), nullable=False, comment="Revision id of the article that was read"),
    *provenance(),
    not_negative("people"),
    one_of("kind", POPULATION_KINDS),
    comment="Population figures (Wikipedia, CC BY-SA 4.0)",
    newest="retrieved_at",
    write=Upsert(),
)

current_populations = View(
    "current_populations",
    "The chosen population figure of the newest revision of each city",
    """
    SELECT p.city_id, p.people, p.definition, p.as_of, p.note, p.revision, p.provider, p.retrieved_at
    FROM populations p
    WHERE p.chosen = 1
      AND p.revision = (SELECT MAX(q.revision) FROM populations q WHERE q.city_id = p.city_id)
    """,
)

airports = table(
    "airports",
    sa.Column("icao", sa.String(4), primary_key=True, comment="ICAO code"),
    sa.Column("iata", sa.String(3), nullable=False, comment="IATA code"),
    sa.Column("name", sa.String(200), nullable=False, comment="Name"),
    sa.Column("municipality", sa.String(200), comment="Town that the airport names as its own"),
    sa.Column("country_code", sa.String(2), nullable=False, comment="ISO 3166-1 alpha-2 (XK for Kosovo)"),
    *position(),
    sa.Column("elevation_m", sa.Double(), comment="Metres above mean sea level"),
    sa.Column("timezone", sa.String(64), nullable=False, comment="IANA time zone at the airport's position"),
    sa.Column("size", sa.String(8), nullable=False, comment="Size class by OurAirports; unknown by AeroDataBox"),
    *provenance(),
    upper_case("icao", 4),
    upper_case("iata", 3),
    upper_case("country_code", 2),
    between("elevation_m", -500, 6000),
    one_of("size", AIRPORT_SIZES),
    comment="Airports with scheduled passenger service",
    newest="retrieved_at",
    write=Upsert(),
)

city_airports = table(
    "city_airports",
    sa.Column("city_id", sa.ForeignKey("cities.city_id"), primary_key=True, autoincrement=False, comment=CITY_ID),
    sa.Column("icao", sa.ForeignKey("airports.icao"), primary_key=True, comment="ICAO code of the airport"),
    sa.Column("distance_km", sa.Double(), nullable=False, comment="Great-circle distance city to airport, kilometres"),
    not_negative("distance_km"),
    comment="Airports within reach of each city",
    newest=None,
    write=Replace(by=("city_id",)),
)
