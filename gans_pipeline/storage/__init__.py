"""Writes pandas frames to SQL tables, atomically and idempotently. Knows SQLAlchemy and Dagster, nothing of this package."""
