"""One sandbox in a child process for all tests of this folder, set back before each."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from gans_pipeline.sandbox import running
from gans_pipeline.sandbox.geography import World, build_world
from gans_pipeline.sandbox.state import PROVIDERS

NOW = datetime(2026, 11, 23, 11, 20, tzinfo=UTC)
CITIES = 40


class Sandbox:
    """A person with a browser and the providers' documentation: plain HTTP, an acceptable user agent and a key."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "sandbox-tests/1.0 (https://example.org/contact) requests/2"

    def get(self, provider: str, path: str, headers: dict[str, Any] | None = None, **query: Any) -> requests.Response:
        return self._session.get(self.url + PROVIDERS[provider] + path, params=query, headers=headers, timeout=20)

    def put(self, name: str, body: Any) -> requests.Response:
        return self._session.put(f"{self.url}/_/{name}", json=body, timeout=20)

    def journal(self) -> dict[str, Any]:
        journal: dict[str, Any] = self._session.get(f"{self.url}/_/requests", timeout=20).json()
        return journal

    def set_back(self) -> None:
        for name, body in (("now", {"now": NOW.isoformat()}), ("limits", {}), ("faults", [])):
            assert self.put(name, body).status_code == 204
        assert self._session.delete(f"{self.url}/_/requests", timeout=20).status_code == 204

    def article(self, title: str, **query: Any) -> requests.Response:
        parameters: Any = {"action": "parse", "page": title, "prop": "text|revid|properties", "formatversion": 2}
        return self.get("wikipedia", "/w/api.php", format="json", **(parameters | query))

    def wikidata(self, *items: str, **query: Any) -> requests.Response:
        parameters: Any = {"action": "wbgetentities", "ids": "|".join(items), "props": "claims", "formatversion": 2}
        return self.get("wikidata", "/w/api.php", format="json", **(parameters | query))

    def forecast(self, **query: Any) -> requests.Response:
        parameters: Any = {"lat": 52.52, "lon": 13.405, "appid": "k"}
        return self.get("openweathermap", "/data/2.5/forecast", **(parameters | query))

    def open_meteo(self, **query: Any) -> requests.Response:
        parameters: Any = {"latitude": 52.52, "longitude": 13.405, "hourly": "temperature_2m"}
        return self.get("open-meteo", "/v1/forecast", **(parameters | query))

    def open_meteo_archive(self, **query: Any) -> requests.Response:
        parameters: Any = {"latitude": 52.52, "longitude": 13.405, "hourly": "temperature_2m"}
        days = {"start_date": "2026-08-01", "end_date": "2026-08-02"}
        return self.get("open-meteo-archive", "/v1/archive", **(parameters | days | query))

    def aerodatabox(self, path: str, *, key: str = "k", **query: Any) -> requests.Response:
        headers = {"X-RapidAPI-Key": key, "X-RapidAPI-Host": "aerodatabox.p.rapidapi.com"}
        return self.get("aerodatabox", path, headers, **query)

    def board(self, icao: str, day: str, half: int = 0, **query: Any) -> requests.Response:
        start, end = (("00:00", "11:59"), ("12:00", "23:59"))[half]
        path = f"/flights/airports/icao/{icao}/{day}T{start}/{day}T{end}"
        return self.aerodatabox(path, **({"direction": "Arrival", "withLeg": "true"} | query))


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with running(cities=CITIES, seed=0, now=NOW) as url:
        yield Sandbox(url)


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Sandbox:
    _sandbox.set_back()
    return _sandbox


@pytest.fixture(scope="session")
def world() -> World:
    """The world that the sandbox has; it is the same in every process."""
    return build_world(CITIES, 0)
