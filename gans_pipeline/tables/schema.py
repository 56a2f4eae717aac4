"""Brings a database to the newest schema, tells how far behind it is, and draws it."""

import enum
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

from gans_pipeline.storage.engine import exclusive
from gans_pipeline.tables import VIEWS, metadata

UPGRADE = "schema upgrade"
MIGRATIONS = Path(__file__).parent / "migrations"


class State(enum.Enum):
    """How a database stands to the newest schema."""

    EMPTY = "empty"
    BEHIND = "behind"
    CURRENT = "current"
    FOREIGN = "foreign"  # holds a revision that this version does not know, or our tables without any


def state(engine: Engine) -> State:
    """Return how the database stands to the newest schema."""
    with engine.connect() as connection:
        found = _state(connection)
    if found is State.FOREIGN:
        # unless another process is just making the tables
        with engine.connect() as connection, exclusive(connection, UPGRADE):
            found = _state(connection)
    return found


def _state(connection: sa.Connection) -> State:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is None:
        ours = set(metadata.tables) & set(sa.inspect(connection).get_table_names())
        return State.FOREIGN if ours else State.EMPTY
    scripts = ScriptDirectory.from_config(_config())
    if current == scripts.get_current_head():
        return State.CURRENT
    return State.BEHIND if current in {script.revision for script in scripts.walk_revisions()} else State.FOREIGN


def advice(state: State) -> str:
    """Return in one line what to do about a database that is not current."""
    return {
        State.EMPTY: "the database has no tables yet: run gans db upgrade",
        State.BEHIND: "the database's schema is behind: run gans db upgrade",
        State.FOREIGN: "the database has tables or a revision that this version does not know: upgrade gans, or name "
        "another database in GANS_DATABASE_URL",
        State.CURRENT: "nothing: the database is current",
    }[state]


def upgrade(engine: Engine) -> None:
    """Bring the database to the newest schema; one that is there already is left alone."""
    config = _config()
    with engine.connect() as connection, exclusive(connection, UPGRADE):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def erd() -> str:
    """Return the tables and views as a Markdown page with an entity-relationship diagram (Mermaid)."""
    lines = ["# The database", "", "Made by `gans db erd` from `gans_pipeline/tables`.", "", "```mermaid", "erDiagram"]
    for table in metadata.sorted_tables:
        for constraint in sorted(table.foreign_key_constraints, key=lambda c: c.referred_table.name):
            columns = ", ".join(column.name for column in constraint.columns)
            lines.append(f'    {constraint.referred_table.name} ||--o{{ {table.name} : "{columns}"')
    for table in metadata.sorted_tables:
        lines.append(f"    {table.name} {{")
        for column in table.columns:
            keys = ["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys)
            parts = [_type_name(column), column.name, ", ".join(keys), f'"{column.comment}"']
            lines.append("        " + " ".join(part for part in parts if part))
        lines.append("    }")
    lines += ["```", ""]
    for table in metadata.sorted_tables:
        lines += [
            f"## {table.name}",
            "",
            f"{table.comment}.",
            "",
            "| column | type | NULL | meaning |",
            "|---|---|---|---|",
        ]
        for column in table.columns:
            name = f"**{column.name}**" if column.primary_key else column.name
            lines.append(f"| {name} | {_type_name(column)} | {'yes' if column.nullable else ''} | {column.comment} |")
        lines.append("")
    lines += ["## Views", "", "| view | what it shows |", "|---|---|"]
    lines += [f"| {view.name} | {view.comment} |" for view in VIEWS]
    return "\n".join(lines) + "\n"


def _type_name(column: "sa.Column[object]") -> str:
    """Return the column's type as MySQL would name it, in a word that Mermaid accepts."""
    kind = column.type
    if isinstance(kind, sa.String):
        return f"varchar({kind.length})"
    return type(kind).__name__.lower().replace("utcdatetime", "datetime")
