"""Flight arrivals as a Dagster asset, with its job and schedule."""
