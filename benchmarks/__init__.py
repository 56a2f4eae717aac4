"""Measurements of speed and memory, as ratios within one run. What must hold in every run is a test and not here."""
