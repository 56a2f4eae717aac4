"""Collectors are tested against the sandbox over real HTTP, with its clock where a test wants it."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from gans_pipeline.collect.sources import Sources
from gans_pipeline.sandbox import running
from gans_pipeline.settings import Settings

NOW = dt.datetime(2026, 11, 24, 2, 30, tzinfo=dt.UTC)
"""Half past two in London, and still the evening of the 23rd in New York."""


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[str]:
    with running(cities=30, now=NOW) as url:
        yield url


class Sandbox:
    """The sandbox as a test sees it: its address and its control routes."""

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, route: str, body: Any) -> None:
        """Set the clock (``now``), the faults or the limits."""
        requests.put(f"{self.url}/_/{route}", json=body, timeout=5).raise_for_status()

    def asked(self, provider: str) -> list[str]:
        """Return the paths that a provider was asked for, in order."""
        found = requests.get(f"{self.url}/_/requests", timeout=5).json()["requests"]
        return [f"{request['path']}?{request['query']}" for request in found if request["provider"] == provider]


@pytest.fixture
def sandbox(_sandbox: str) -> Iterator[Sandbox]:
    """A sandbox of thirty cities at NOW, with nothing failing and nothing asked yet."""
    running_sandbox = Sandbox(_sandbox)
    requests.delete(f"{_sandbox}/_/requests", timeout=5)
    yield running_sandbox
    running_sandbox.control("faults", [])
    running_sandbox.control("now", {"now": NOW.isoformat()})


@pytest.fixture
def sources(sandbox: Sandbox) -> Sources:
    """Clients of all providers, answered by the sandbox."""
    return Sources(Settings(sandbox_url=sandbox.url))


@pytest.fixture
def sources_with(sandbox: Sandbox) -> Callable[..., Sources]:
    """Make clients with other settings."""
    return lambda **settings: Sources(Settings(sandbox_url=sandbox.url, **settings))
