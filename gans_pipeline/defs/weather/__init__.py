"""Weather forecasts as a Dagster asset, with its job, schedule and sensor."""
