"""Dagster partitions as SQL conditions: which rows of a table belong to which keys.

``partition_expr`` names the column that tells it, or is an SQL expression; for several dimensions it is a mapping with
one for each. It stands in the asset's metadata or in the table's ``info``.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import sqlalchemy as sa

from gans_pipeline.storage.reader import Condition
from gans_pipeline.storage.types import UTCDateTime, exact_text

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def require_expressions(
    owner: str, partitions: "dg.PartitionsDefinition[Any]", expr: Any, table: sa.Table | None
) -> dict[str, str]:
    """Return the expression of each partition dimension (the only one is called ''), or raise an error that names it.

    Raises ``dagster.DagsterInvalidDefinitionError`` for a dimension without an expression, one that the asset has not,
    and a name that is no column of the table.
    """
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        needed = [dimension.name for dimension in partitions.partitions_defs]
        given = dict(expr) if isinstance(expr, Mapping) else {}
    else:
        needed, given = [""], {"": expr} if isinstance(expr, str) else {}
    if set(needed) != set(given) or not all(isinstance(value, str) and value for value in given.values()):
        example = dict.fromkeys(needed, "column") if needed != [""] else "column"
        raise dg.DagsterInvalidDefinitionError(
            f"{owner} is partitioned, but its partition_expr is {expr!r}: name the column of each dimension, "
            f'metadata={{"partition_expr": {example!r}}}'
        )
    for value in given.values():
        if table is not None and value.isidentifier() and value not in table.columns:
            raise dg.DagsterInvalidDefinitionError(
                f"{owner} is partitioned by {value}, which is no column of table {table.name}: "
                f"{', '.join(table.columns.keys())}"
            )
    return given


def condition(
    partitions: "dg.PartitionsDefinition[Any]", keys: Sequence[str], expressions: Mapping[str, str], table: sa.Table
) -> Condition:
    """Return the condition for the rows of these partitions; ``keys`` may leave holes, in any dimension."""
    if not isinstance(partitions, dg.MultiPartitionsDefinition):
        return _dimension(partitions, keys, expressions[""], table)
    dimensions = {d.name: d.partitions_def for d in partitions.partitions_defs}
    names = list(dimensions)
    tuples = []
    for key in keys:
        parts = partitions.get_partition_key_from_str(str(key)).keys_by_dimension
        tuples.append(tuple(parts[name] for name in names))
    alternatives: list[Condition] = []
    for box in _boxes(tuples):
        sides = [
            _dimension(dimensions[name], side, expressions[name], table) for name, side in zip(names, box, strict=True)
        ]
        alternatives.append(_combined(sa.and_, sides))
    return _combined(sa.or_, alternatives)


def _combined(operator: Callable[..., Any], conditions: Sequence[Condition]) -> Condition:
    none = sa.true() if operator is sa.and_ else sa.false()
    return lambda source: operator(none, *(made(source) for made in conditions))


def _boxes(tuples: Sequence[tuple[str, ...]]) -> list[list[list[str]]]:
    """Return the tuples as few products of sets: a list of boxes, each a list of keys a dimension."""
    if not tuples or len(tuples[0]) == 1:
        return [[[key for (key,) in tuples]]] if tuples else []
    rests: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in tuples:
        rests.setdefault(first, []).append(tuple(rest))
    alike: dict[frozenset[tuple[str, ...]], list[str]] = {}
    for first, found in rests.items():
        alike.setdefault(frozenset(found), []).append(first)
    return [[firsts, *box] for rest, firsts in alike.items() for box in _boxes(sorted(rest))]


def _dimension(
    partitions: "dg.PartitionsDefinition[Any]", keys: Sequence[str], expression: str, table: sa.Table
) -> Condition:
    column = table.columns.get(expression)
    holds_keys = column is not None and isinstance(column.type, sa.String | sa.Integer)
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition) or holds_keys:
        return _one_of(keys, column, expression)
    windows = _merged(partitions.time_window_for_partition_key(key) for key in keys)
    bounds = [(_bound(start, column, expression), _bound(end, column, expression)) for start, end in windows]

    def in_windows(source: sa.FromClause) -> "sa.ColumnElement[bool]":
        value = _operand(source, expression, column)
        return sa.or_(sa.false(), *(sa.and_(value >= start, value < end) for start, end in bounds))

    return in_windows


def _merged(windows: "Iterable[dg.TimeWindow]") -> list[tuple[dt.datetime, dt.datetime]]:
    """Return adjacent windows as one: a year of days is a range, not 365 conditions."""
    merged: list[tuple[dt.datetime, dt.datetime]] = []
    for window in sorted(windows, key=lambda window: window.start.astimezone(dt.UTC)):
        # In UTC: times of one zone are compared by their clocks, which show an hour twice when summer time ends.
        if merged and window.start.astimezone(dt.UTC) <= merged[-1][1].astimezone(dt.UTC):
            merged[-1] = (merged[-1][0], max(window.end, merged[-1][1], key=lambda end: end.astimezone(dt.UTC)))
        else:
            merged.append((window.start, window.end))
    return merged


def _bound(moment: dt.datetime, column: "sa.Column[Any] | None", expression: str) -> Any:
    """Return an edge of a window as the column holds it.

    Times in UTC are compared with the moment; dates, times without a zone and expressions with what a clock in the
    partitions' time zone shows. As text it is as short as it can be, so that it also compares with dates and with ISO
    text: SQLite has nothing else.
    """
    if column is not None and isinstance(column.type, UTCDateTime):
        return moment
    clock = moment.replace(tzinfo=None)
    at_midnight = clock.time() == dt.time()
    if column is None:
        shown = clock.date().isoformat() if at_midnight else clock.isoformat(" ", "auto")
        return sa.literal(shown, sa.String)
    if not isinstance(column.type, sa.Date):
        return clock
    if not at_midnight:
        raise dg.DagsterInvalidDefinitionError(
            f"column {expression} holds dates, which do not tell apart partitions that begin at {clock.time()}"
        )
    return clock.date()


def _one_of(keys: Sequence[str], column: "sa.Column[Any] | None", expression: str) -> Condition:
    if column is not None and not isinstance(column.type, sa.String):
        values = [_value(key, column) for key in keys]
        return lambda source: _operand(source, expression, column).in_(values)
    texts = [str(key) for key in keys]

    def in_keys(source: sa.FromClause) -> "sa.ColumnElement[bool]":
        value = _operand(source, expression, column)
        # A column's collation may take 'red' for 'Red', and a number compares equal to any text that does not begin
        # with one. The first condition is for the index.
        exactly = exact_text(value).in_(texts)
        return exactly if column is None else sa.and_(value.in_(texts), exactly)

    return in_keys


def _value(key: str, column: "sa.Column[Any]") -> Any:
    """Return a partition key as a value of the column."""
    try:
        if isinstance(column.type, sa.Date):
            return dt.date.fromisoformat(key)
        if isinstance(column.type, sa.Boolean):
            return BOOLEANS[key.lower()]
        return column.type.python_type(key)
    except (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError):
        raise dg.DagsterInvalidDefinitionError(
            f"partition key {key!r} is no value of column {column.name} ({column.type})"
        ) from None


def _operand(source: sa.FromClause, expression: str, column: "sa.Column[Any] | None") -> "sa.ColumnElement[Any]":
    if expression in source.c:
        return source.c[expression]
    if column is not None and column.computed is not None:  # which rows that wait to be inserted do not have yet
        return sa.literal_column(f"({column.computed.sqltext})", column.type)
    return sa.literal_column(f"({expression})")
