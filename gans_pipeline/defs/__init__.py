"""The Dagster side, by domain. Only this package, ``storage.io_manager`` and ``refreshing`` import Dagster."""

import warnings

import dagster as dg

# Back-fills in a single run are marked beta, and Dagster would say so on each start of every process.
warnings.filterwarnings("ignore", category=dg.BetaWarning, message="Parameter `backfill_policy`")
