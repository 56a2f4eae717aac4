"""Writes a frame to a table."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Upsert:
    """Insert new keys, update the rows of known keys that differ, delete nothing."""


@dataclass(frozen=True)
class Replace:
    """As :class:`Upsert`, and delete the rows of each group (equal values of ``by``) that the frame does not hold.

    The groups are those that the frame contains and those that a :class:`ScopedFrame` names.
    """

    by: tuple[str, ...]
