"""Writes pandas frames to SQL tables, atomically and idempotently.

Knows SQLAlchemy, pandas and (in ``io_manager``) Dagster, and nothing of the rest of this package.
"""
