"""Cities, populations and airports as Dagster assets, with their jobs and schedules."""
