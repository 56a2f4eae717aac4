"""Flights that land at the cities' airports."""

import sqlalchemy as sa

from gans_pipeline.storage.types import UTCDateTime
from gans_pipeline.storage.writer import Replace
from gans_pipeline.tables.base import View, one_of, provenance, table

FLIGHT_STATUSES = (
    "Unknown",
    "Expected",
    "EnRoute",
    "CheckIn",
    "Boarding",
    "GateClosed",
    "Departed",
    "Delayed",
    "Approaching",
    "Arrived",
    "Canceled",
    "Diverted",
    "CanceledUncertain",
)
CODESHARE_STATUSES = ("Unknown", "IsOperator", "IsCodeshared")

arrivals = table(
    "arrivals",
    sa.Column("airport_icao", sa.ForeignKey("airports.icao"), primary_key=True, comment="ICAO code of the airport"),
    sa.Column("flight_number", sa.String(16), primary_key=True, comment="Flight number as listed, 'KL 1825'"),
    sa.Column("scheduled_at", UTCDateTime(), primary_key=True, comment="Scheduled arrival, UTC"),
    sa.Column(
        "local_date",
        sa.Date(),
        nullable=False,
        comment="Day at the airport under which the flight is listed: that of its best-known arrival time",
    ),
    sa.Column("revised_at", UTCDateTime(), comment="Estimated or actual arrival at the gate, UTC"),
    sa.Column("runway_at", UTCDateTime(), comment="Touchdown, UTC"),
    sa.Column("status", sa.String(17), nullable=False, comment="Status by AeroDataBox; Unknown where there is no feed"),
    sa.Column(
        "codeshare_status", sa.String(12), nullable=False, comment="IsCodeshared marks a second number of one aircraft"
    ),
    sa.Column("is_cargo", sa.Boolean(), nullable=False, comment="Carries freight only"),
    sa.Column("origin_icao", sa.String(4), comment="ICAO code of the airport of origin; about 2 % are unknown"),
    sa.Column("origin_iata", sa.String(3), comment="IATA code of the airport of origin"),
    sa.Column("origin_name", sa.String(200), comment="Name of the airport of origin"),
    sa.Column("departed_at", UTCDateTime(), comment="Best-known departure at the origin, UTC"),
    sa.Column("airline_name", sa.String(200), comment="Airline; 'Unknown/Private owner' for private flights"),
    sa.Column("airline_iata", sa.String(3), comment="IATA code of the airline"),
    sa.Column("airline_icao", sa.String(4), comment="ICAO code of the airline"),
    sa.Column("call_sign", sa.String(16), comment="Call sign"),
    sa.Column("aircraft_model", sa.String(100), comment="Aircraft type as listed, 'Boeing 737'"),
    sa.Column("aircraft_registration", sa.String(16), comment="Registration of the aircraft"),
    sa.Column("terminal", sa.String(16), comment="Terminal, a text: 1, 2E, Main"),
    *provenance(),
    one_of("status", FLIGHT_STATUSES),
    one_of("codeshare_status", CODESHARE_STATUSES),
    sa.Index(None, "local_date"),
    comment="Flights that will land, codeshares included",
    newest="scheduled_at",
    write=Replace(by=("airport_icao", "local_date")),
    partition_expr="local_date",
)

physical_arrivals = View(
    "physical_arrivals",
    "One row for each aircraft that arrives: codeshares folded into the operating flight",
    """
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
)
