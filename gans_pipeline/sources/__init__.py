"""One module a provider: its HTTP client and the pure parser of its payloads. Databases and Dagster are elsewhere."""
