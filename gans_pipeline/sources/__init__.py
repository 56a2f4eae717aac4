"""One module a provider: its HTTP client and the pure parser of its payloads, and nothing about databases or Dagster."""
