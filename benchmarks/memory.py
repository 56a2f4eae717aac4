"""The peak of this process's memory, on Linux."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

MEGABYTE = 1e6
STATUS = Path("/proc/self/status")


def peak_above_mb(work: Callable[[], object]) -> float | None:
    """Do the work and return by how many MB the process grew at its peak; None where the system does not tell."""
    if not STATUS.exists():
        return None
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier work has freed would hide what this work takes
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is in use
    before = _peak_mb()
    work()
    return _peak_mb() - before


def _peak_mb() -> float:
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / MEGABYTE
