"""Temporary tables in which rows wait beside the real one, and the statements that carry over what differs.

A temporary table belongs to its connection and takes its columns' types from the real table, so that both compare
alike. MySQL can name one only once in a statement; hence the tables ``_changes`` and ``_gone`` for what was found.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gans_pipeline.storage import load_data
from gans_pipeline.storage.frames import EXAMPLES, FrameError, unique_keys
from gans_pipeline.storage.reader import Condition
from gans_pipeline.storage.types import exact_text

STAGED, CHANGES, GONE, GROUPS = "_staged", "_changes", "_gone", "_groups"
IS_NEW = "_is_new"
INSERT_ROWS = 5_000
FIRST_KEYS = 100
MORE_THAN_SHOWN = EXAMPLES + 1


class Staging:
    """The temporary tables of one write."""

    def __init__(
        self, connection: Connection, table: sa.Table, columns: Sequence[str], key: Sequence[str], *, deletes: bool
    ) -> None:
        self._connection, self._table, self._key = connection, table, list(key)
        self._columns = [column for column in table.columns if column.name in set(columns)]
        self._is_sqlite = connection.dialect.name == "sqlite"
        self.drop()  # an earlier write on this connection may have failed
        self._staged = self._create(STAGED, self._columns, key=self._key)
        if self._key:
            is_new: sa.Label[int] = sa.literal_column("0", sa.Integer).label(IS_NEW)
            self._changes = self._create(CHANGES, [*self._columns, is_new])
        if self._key and deletes:
            self._gone = self._create(GONE, [table.c[name] for name in self._key])

    def fill(self, frame: pd.DataFrame) -> str:
        """Put the rows into the staging table and return how; raises FrameError for rows that it does not take."""
        obstacle = "SQLite has no LOAD DATA" if self._is_sqlite else load_data.obstacle(self._connection)
        try:
            if obstacle is None:
                load_data.load(self._connection, self._quote(STAGED), frame)
                return "LOAD DATA LOCAL INFILE"
            self._insert_rows(STAGED, frame)
        except load_data.LoadError as error:
            raise FrameError(self._table.name, [str(error)]) from None
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:
            raise FrameError(self._table.name, [f"as the database compares and stores: {error.orig}"]) from None
        return f"multi-row INSERT ({obstacle})"

    def fill_groups(self, groups: pd.DataFrame) -> None:
        """Note which groups are replaced, one a row."""
        columns = [self._table.c[name] for name in groups.columns]
        can_be_key = all(not isinstance(c.type, sa.String) or c.type.length for c in columns)  # MySQL indexes no TEXT
        self._groups = self._create(GROUPS, columns, key=list(groups.columns) if can_be_key else ())
        self._insert_rows(GROUPS, groups)

    def outside(self, where: Condition) -> list[dict[str, Any]]:
        """Return the first staged rows for which the condition does not hold, with the columns that it is about."""
        condition = where(self._staged)
        text = str(condition.compile(self._connection))
        shown = [c for c in self._staged.columns if c.name in text or c.name in self._key]
        holds = sa.func.coalesce(condition, sa.false())
        query = sa.select(*shown).where(sa.not_(holds)).limit(MORE_THAN_SHOWN)
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def insert_all(self) -> None:
        """Insert all staged rows."""
        self._connection.execute(self._insert(sa.select(self._staged)))

    def delete_others(self, where: Condition | None, *, grouped_by: Sequence[str]) -> int:
        """Delete the rows of the scope whose key is not staged (without a key: all of them); return how many."""
        table = self._table
        in_scope = [where(table)] if where is not None else []
        if grouped_by:
            # In a query of its own: a condition that is an expression names columns that the groups have too.
            same_group = (table.c[name] == self._groups.c[name] for name in grouped_by)
            in_scope.append(sa.exists().where(*same_group).correlate(table))
        if not self._key:
            return int(self._connection.execute(sa.delete(table).where(*in_scope)).rowcount)
        is_staged = sa.exists().where(self._matches(table, self._staged)).correlate(table)
        gone = sa.select(*(table.c[name] for name in self._key)).where(*in_scope, ~is_staged)
        self._connection.execute(sa.insert(self._gone).from_select(self._key, gone))
        number = int(self._connection.execute(sa.select(sa.func.count()).select_from(self._gone)).scalar_one())
        if number:
            found = self._matches(table, self._gone)
            if self._is_sqlite:  # it has no DELETE of joined tables, and MariaDB looks at every row without one
                found = sa.exists().where(found).correlate(table)
            self._connection.execute(sa.delete(table).where(found))
        return number

    def begins_with_known_keys(self) -> bool:
        """Tell whether the table has any of the first staged keys: then it pays to compare before anything is written.

        All of them are not looked for: that would read the pages that the insertion reads again, and took more than a
        third of the rows a second into a table of 10 million. If a later key is known, the insertion fails there and
        leaves nothing.
        """
        first = sa.select(*(self._staged.c[name] for name in self._key)).limit(FIRST_KEYS).subquery()
        query: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(first, self._table)
        query = query.where(self._matches(self._table, first)).limit(1)
        # In this order: the server knows little of a temporary table.
        return self._connection.execute(query.prefix_with("STRAIGHT_JOIN", dialect="mysql")).first() is not None

    def apply_differences(self) -> tuple[int, int]:
        """Insert the keys that are new, update the rows that differ; return how many of each."""
        table, staged, changes = self._table, self._staged, self._changes
        names = [column.name for column in self._columns]
        compared = [c.name for c in self._columns if c.name not in self._key and c.info.get("compare", True)]
        is_new = table.c[self._key[0]].is_(None)
        # A collation may take a key for another one, of another partition: what is stored is what was written.
        texts = [name for name in self._key if isinstance(table.c[name].type, sa.String)]
        renamed = [exact_text(table.c[name]) != exact_text(staged.c[name]) for name in texts]
        differs = sa.or_(
            is_new, *renamed, *(_exactly(table.c[n]).is_distinct_from(_exactly(staged.c[n])) for n in compared)
        )
        joined = staged.outerjoin(table, self._matches(table, staged))
        found = sa.select(*staged.columns, sa.case((is_new, 1), else_=0)).select_from(joined).where(differs)
        self._connection.execute(sa.insert(changes).from_select([*names, IS_NEW], found))
        counted = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(changes.c[IS_NEW]), 0))
        number, inserted = map(int, self._connection.execute(counted.select_from(changes)).one())
        if number > inserted:
            values = {name: changes.c[name] for name in names if name not in self._key or name in texts}
            known = self._matches(table, changes)
            self._connection.execute(sa.update(table).values(values).where(known, changes.c[IS_NEW] == 0))
        if inserted:
            self._connection.execute(
                self._insert(sa.select(*(changes.c[name] for name in names)).where(changes.c[IS_NEW] == 1))
            )
        return inserted, number - inserted

    def explain(self, error: sa.exc.DBAPIError) -> None:
        """Raise FrameError with the staged rows that the database refused, if the table's constraints tell which."""
        problems = [*self._orphans(), *self._taken_keys(), *self._violated_checks()]
        if problems:
            raise FrameError(self._table.name, problems) from error

    def drop(self) -> None:
        """Remove the tables."""
        for name in (STAGED, CHANGES, GONE, GROUPS) if self._is_sqlite else ():
            self._connection.exec_driver_sql(f"DROP TABLE IF EXISTS temp.{name}")
        if not self._is_sqlite:
            self._connection.exec_driver_sql(f"DROP TEMPORARY TABLE IF EXISTS {STAGED}, {CHANGES}, {GONE}, {GROUPS}")

    def _create(self, name: str, columns: Sequence[Any], key: Sequence[str] = ()) -> sa.TableClause:
        """Create an empty temporary table with columns of the real one; creating one commits nothing."""
        select = sa.select(*columns).select_from(self._table).where(sa.false())
        sql = str(select.compile(self._connection, compile_kwargs={"literal_binds": True}))
        keyed = f"PRIMARY KEY ({', '.join(map(self._quote, key))})" if key and not self._is_sqlite else ""
        create = f"CREATE TEMPORARY TABLE {name} {f'({keyed})' if keyed else ''} AS {sql}"
        self._connection.exec_driver_sql(create)
        if key and self._is_sqlite:
            listed = ", ".join(map(self._quote, key))
            self._connection.exec_driver_sql(f"CREATE UNIQUE INDEX temp.{name}_key ON {name} ({listed})")
        return sa.table(name, *(sa.column(c.name, c.type) for c in columns))

    def _insert_rows(self, name: str, frame: pd.DataFrame) -> None:
        listed = ", ".join(map(self._quote, frame.columns))
        marks = ", ".join(["?" if self._is_sqlite else "%s"] * len(frame.columns))
        rows = iter(zip(*(_driver_values(frame[column]) for column in frame.columns), strict=True))
        while portion := list(islice(rows, INSERT_ROWS)):
            insert = f"INSERT INTO {name} ({listed}) VALUES ({marks})"  # noqa: S608 (names are quoted)
            self._connection.exec_driver_sql(insert, portion)

    def _insert(self, rows: "sa.Select[Any]") -> sa.Insert:
        return sa.insert(self._table).from_select([column.name for column in self._columns], rows)

    def _matches(self, left: sa.FromClause, right: sa.FromClause) -> "sa.ColumnElement[bool]":
        return sa.and_(*(left.c[name] == right.c[name] for name in self._key))

    def _quote(self, name: str) -> str:
        return self._connection.dialect.identifier_preparer.quote(name)

    def _orphans(self) -> Iterator[str]:
        """Say which staged rows refer to nothing."""
        for constraint in sorted(self._table.foreign_key_constraints, key=lambda c: list(c.column_keys)):
            pairs = [(self._staged.c[e.parent.name], e.column) for e in constraint.elements]
            refers = [child.is_not(None) for child, _ in pairs]
            parent = sa.exists().where(*(column == child for child, column in pairs)).correlate(self._staged)
            children = [child for child, _ in pairs]
            query = sa.select(*children).distinct().where(*refers, ~parent).order_by(*children)
            found = self._connection.execute(query).all()
            if found:
                referred = constraint.referred_table
                listed = ", ".join(repr(row[0] if len(row) == 1 else tuple(row)) for row in found[:EXAMPLES])
                yield (
                    f"{', '.join(c.name for c in children)}: {len(found)} values are not in {referred.name}."
                    f"{', '.join(column.name for _, column in pairs)} ({listed}"
                    f"{' …' if len(found) > EXAMPLES else ''}): refresh {referred.name} first"
                )

    def _taken_keys(self) -> Iterator[str]:
        """Say which staged rows have a unique value that belongs to a row of another key, which keeps it."""
        for names in unique_keys(self._table):
            if set(names) == set(self._key) or not set(names) <= set(self._staged.c.keys()):
                continue
            same = sa.and_(*(self._table.c[name] == self._staged.c[name] for name in names))
            other = sa.not_(self._matches(self._table, self._staged)) if self._key else sa.true()
            holders = [self._table.c[name].label(f"_{name}") for name in self._key]
            query = sa.select(*(self._staged.c[name] for name in [*self._key, *names]), *holders)
            found = self._connection.execute(
                query.select_from(self._staged.join(self._table, same)).where(other).limit(MORE_THAN_SHOWN)
            ).all()
            width = len(self._key)
            for row in found[:EXAMPLES]:
                mine, value, holder = row[:width], row[width : width + len(names)], row[width + len(names) :]
                whose = f"of row {tuple(mine)!r} belongs to row {tuple(holder)!r}" if self._key else "is there already"
                yield f"unique key ({', '.join(names)}): {tuple(value)!r} {whose}"

    def _violated_checks(self) -> Iterator[str]:
        """Say which staged rows a CHECK constraint refuses."""
        checks = [c for c in self._table.constraints if isinstance(c, sa.CheckConstraint)]
        for check in sorted(checks, key=lambda check: str(check.sqltext)):
            condition: sa.ColumnElement[bool] = sa.literal_column(f"({check.sqltext})")
            shown = [c for c in self._staged.columns if c.name in str(check.sqltext) or c.name in self._key]
            query = sa.select(*shown).select_from(self._staged).where(sa.not_(condition)).limit(MORE_THAN_SHOWN)
            rows = [dict(row) for row in self._connection.execute(query).mappings()]
            if rows:
                listed = "; ".join(str(row) for row in rows[:EXAMPLES])
                yield f"not {check.sqltext} ({listed}{' and more' if len(rows) > EXAMPLES else ''})"


def _exactly(column: "sa.ColumnElement[Any]") -> "sa.ColumnElement[Any]":
    """Return the column as it is to be compared: its collation may take 'Red' or 'red ' for 'red'."""
    return exact_text(column) if isinstance(column.type, sa.String) else column


def _driver_values(values: "pd.Series[Any]") -> list[Any]:
    """Return a column as values that both drivers store as the tables hold them: times and dates as text in UTC."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_localize(None)
    if values.dtype.kind == "M":
        times = values.to_numpy("datetime64[us]").astype(object)
        return [None if time is None else time.isoformat(" ", "microseconds") for time in times]
    if isinstance(values.dtype, pd.BooleanDtype) or values.dtype == bool:
        values = values.astype("Int64")
    objects = values.astype(object).where(values.notna(), None)
    kind = pd.api.types.infer_dtype(objects, skipna=True)
    return [None if v is None else str(v) for v in objects] if kind in ("date", "decimal") else objects.tolist()
