"""What every collected asset does around its collector."""

import os
import signal
import weakref

import dagster as dg
import pytest
from dagster._utils.interrupts import raise_interrupts_as

from gans_pipeline.collect.outcome import Collected, on_progress
from gans_pipeline.defs.platform.refresh import InterruptedRefreshError, refreshed


class Thing:
    """Something that the garbage collector takes."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_python_drops_ends_the_refresh_at_the_next_item(number: signal.Signals) -> None:
    collected = []

    def collect() -> Collected:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), number))
        del thing  # the callback runs, and what a signal raises in it is lost
        assert reference() is None
        for item in range(5):
            collected.append(item)
            on_progress.get()("cities", item, 5)
        raise AssertionError("the refresh went on to its end")

    with raise_interrupts_as(dg.DagsterExecutionInterruptedError), pytest.raises(InterruptedRefreshError):
        refreshed(collect)
    assert len(collected) <= 1
