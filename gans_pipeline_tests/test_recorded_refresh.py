"""The whole job over HTTP on recorded real payloads alone, into every database.

What the providers were recorded to answer is served as it was; the test knows what a person reads in those payloads.
"""

import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from rich.console import Console

from gans_pipeline import refreshing, tables
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.reader import read
from gans_pipeline_tests.sources.recorded import recorded

WIKIDATA_ITEMS = {"Tokyo": 1490, "Nagoya": 11751, "Granada": 8810}
REVISION = 960195766


@pytest.fixture
def provider() -> Iterator[str]:
    """A server that answers for Wikipedia, OpenWeatherMap and OurAirports with what they were recorded to answer."""
    articles = {title: recorded(f"wikipedia/{title.lower()}_infobox.html").read_text() for title in WIKIDATA_ITEMS}
    forecast = recorded("openweathermap/forecast_berlin_2023-10-05.json").read_bytes()
    airports = recorded("ourairports/airports_subset.csv").read_bytes()

    class Recorded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path == "/w/api.php" and "page" in query:
                title = query["page"]
                page = {
                    "title": title,
                    "pageid": 1,
                    "revid": REVISION,
                    "redirects": [],
                    "text": articles[title],
                    "properties": {"wikibase_item": f"Q{WIKIDATA_ITEMS[title]}"},
                }
                self._answer("application/json", json.dumps({"parse": page}).encode())
            elif url.path == "/data/2.5/forecast" and query["appid"] == "a-key" and query["units"] == "metric":
                self._answer("application/json", forecast)
            elif url.path == "/airports.csv":
                self._answer("text/csv", airports)
            else:
                self.send_error(404)

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output to what it asserts."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_recorded_payloads_are_stored_as_a_person_reads_them(
    provider: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    settings = {
        "DAGSTER_HOME": str(tmp_path),
        "GANS_DATABASE_URL": database_url,
        "GANS_CONTACT": "https://example.org/contact",
        "GANS_WIKIPEDIA_URL": provider,
        "GANS_WIKIDATA_URL": provider,  # not recorded: answered 404, which is a doubt and no failure
        "GANS_WIKIPEDIA_PER_SECOND": "1000",
        "GANS_WIKIPEDIA_PER_MINUTE": "60000",
        "GANS_OPENWEATHERMAP_URL": provider,
        "GANS_OPENWEATHERMAP_KEY": "a-key",
        "GANS_OURAIRPORTS_URL": provider,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    fetched_at = dt.datetime(2023, 10, 5, 11, 40, tzinfo=dt.UTC)
    monkeypatch.setattr("gans_pipeline.defs.weather.assets.now", lambda: fetched_at)
    not_recorded = ("arrivals", "weather_observations")  # no whole answer of AeroDataBox, none of Open-Meteo's past
    assets = [name for name in refreshing.LINEAGE if name not in not_recorded]
    for inserted in (True, False):
        outcome = refreshing.refresh(assets, cities=",".join(WIKIDATA_ITEMS), date="", console=Console(quiet=True))
        assert outcome.exit_status == 0, outcome
        assert all((asset.counts["inserted"] > 0) is inserted for asset in outcome.assets.values())

    engine = create_engine(database_url)
    cities = read(engine, tables.cities).set_index("name")
    assert cities["city_id"].to_dict() == WIKIDATA_ITEMS
    assert cities["country_code"].to_dict() == {"Tokyo": "JP", "Nagoya": "JP", "Granada": "ES"}
    assert cities["timezone"].to_dict() == {"Tokyo": "Asia/Tokyo", "Nagoya": "Asia/Tokyo", "Granada": "Europe/Madrid"}
    granada = cities.to_dict("index")["Granada"]
    assert (granada["latitude"], granada["longitude"]) == (37.17806, -3.60083)
    assert set(cities["revision"]) == {REVISION}
    assert set(cities["provider"]) == {"wikipedia"}

    populations = read(engine, tables.populations)
    chosen = populations[populations["chosen"]].set_index("city_id")
    assert chosen["people"].to_dict() == {1490: 13_929_280, 11751: 2_327_557, 8810: 232_208}
    assert chosen["as_of"].to_dict() == {1490: "2019", 11751: "2019-10-01", 8810: "2018"}
    assert chosen["note"].to_dict() == {1490: "2019", 11751: "October 1, 2019", 8810: "2018"}
    nagoya = populations[populations["city_id"] == 11751].set_index("definition")
    assert nagoya.loc["metro", "people"] == 10_240_000

    forecasts = read(engine, tables.weather_forecasts)
    assert len(forecasts) == 3 * 40
    assert set(forecasts["provider"]) == {"openweathermap"}
    tokyo = forecasts[forecasts["city_id"] == 1490].set_index("valid_at")
    assert tokyo.index[0] == pd.Timestamp("2023-10-05T12:00Z")
    first = tokyo.iloc[0]
    assert (first["temperature_c"], first["precipitation_mm"], first["precipitation_probability"]) == (
        15.86,
        0.38,
        0.27,
    )
    assert (first["wind_speed_ms"], first["wind_gust_ms"], first["condition_code"]) == (4.76, 10.37, 500)
    assert (tokyo["precipitation_mm"] == 0).sum() == 26
    assert (tokyo["snow_mm"] == 0).all()

    assert len(read(engine, tables.airports)) == 46
    served = read(engine, tables.city_airports)
    assert served[served["city_id"] == 1490]["icao"].tolist() == ["RJAA", "RJTT"]
    assert set(served["city_id"]) == {1490}
