"""Real payloads, which are not part of the project: tests that need one skip where it is not there."""

import os
from pathlib import Path

import pytest


def recorded(name: str) -> Path:
    """Return a file below ``GANS_RECORDED_DIR``, or skip the test with the reason."""
    folder = os.environ.get("GANS_RECORDED_DIR")
    if not folder:
        pytest.skip("GANS_RECORDED_DIR names no directory of recorded payloads")
    return Path(folder, name)
