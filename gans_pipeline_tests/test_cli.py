"""The ``gans`` command as a person uses it: real arguments, exit statuses, what it prints."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import requests
import sqlalchemy as sa

from gans_pipeline import cli, tables
from gans_pipeline.sandbox import running
from gans_pipeline.sources.http import MalformedError
from gans_pipeline.storage.engine import create_engine
from gans_pipeline.storage.reader import read
from gans_pipeline.storage.writer import write
from gans_pipeline.tables import schema

TABLES = {"cities", "populations", "airports", "city_airports", "weather_forecasts", "weather_observations", "arrivals"}


@dataclass
class Done:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str


Gans = Callable[..., Done]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    """A sandbox of thirty cities with a fixed clock."""
    import datetime as dt

    with running(cities=30, now=dt.datetime.now(dt.UTC).replace(minute=5)) as url:
        yield url


@pytest.fixture
def gans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Gans:
    """Run ``gans`` with these arguments in an empty folder with a Dagster home."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["gans", *arguments])
        capsys.readouterr()
        status: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code
        printed = capsys.readouterr()
        return Done(int(str(status or 0)), printed.out, printed.err)

    return run


def stored(url: str) -> dict[str, int]:
    """Return the number of rows of each table."""
    engine = create_engine(url)
    return {name: len(read(engine, table)) for name, table in tables.metadata.tables.items()}


def test_a_refresh_fills_all_tables_and_a_second_one_adds_no_row(
    gans: Gans, sandbox: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANS_DATABASE_URL", database_url)
    monkeypatch.setenv("GANS_SANDBOX_URL", sandbox)
    first = gans("refresh", "--cities", "3")
    assert first.status == 0, first.out + first.err
    assert "INVENTED DATA" in first.out
    rows = stored(database_url)
    assert set(rows) == TABLES | {"api_usage"}
    assert all(rows.values())
    second = gans("refresh", "--cities", "3")
    assert second.status == 0
    assert stored(database_url) == rows
    printed = [line.split() for line in second.out.splitlines()]
    inserted = {words[0]: words[1] for words in printed if len(words) > 6 and words[0] in TABLES}
    assert inserted == dict.fromkeys(TABLES, "0")
    answered = json.loads(gans("status", "--json").out)
    assert {name: content["rows"] for name, content in answered.items()} == rows
    assert answered["weather_forecasts"]["newest"].endswith(":00:00+00:00")


@pytest.fixture
def small(gans: Gans, sandbox: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gans]:
    """``gans`` on an embedded database, with the sandbox set and nothing failing."""
    monkeypatch.setenv("GANS_DATABASE_URL", f"sqlite:///{tmp_path / 'gans.db'}")
    monkeypatch.setenv("GANS_SANDBOX_URL", sandbox)
    yield gans
    requests.put(f"{sandbox}/_/faults", json=[], timeout=5)


def fail(sandbox: str, **answer: Any) -> None:
    """Make the sandbox answer some requests with an error."""
    requests.put(f"{sandbox}/_/faults", json=[{"kind": "answer", **answer}], timeout=5).raise_for_status()


def test_a_failing_city_is_named_the_others_are_stored_and_the_status_is_2(
    small: Gans, sandbox: str, tmp_path: Path
) -> None:
    fail(sandbox, provider="wikipedia", match="Istanbul", status=404)
    done = small("refresh", "cities", "weather_forecasts", "--cities", "Lagos,Istanbul")
    assert done.status == 1  # forecasts were asked for a city that is not in the table
    assert "Istanbul" in done.out
    done = small("refresh", "cities", "--cities", "Lagos,Istanbul")
    assert done.status == 2
    assert re.search(r"cities lacks Istanbul: wikipedia: .*404", done.out)
    assert read(create_engine(f"sqlite:///{tmp_path / 'gans.db'}"), tables.cities)["name"].tolist() == ["Lagos"]


def test_what_is_doubtful_is_named_and_the_status_is_0(small: Gans, sandbox: str, tmp_path: Path) -> None:
    done = small("refresh", "cities", "populations", "--cities", "Lagos,Delhi,Nanjing")
    assert done.status == 0
    assert re.search(r"cities doubts Nanjing: position \d+ km from Wikidata's", done.out)
    assert re.search(r"populations doubts Delhi: population [\d,]+ here, [\d,]+ at Wikidata", done.out)
    with create_engine(f"sqlite:///{tmp_path / 'gans.db'}").begin() as connection:
        connection.exec_driver_sql("UPDATE populations SET people = people / 2")
    done = small("refresh", "populations")
    assert done.status == 0
    assert re.search(r"populations doubts Lagos: population [\d,]+ here, [\d,]+ stored before \(100.0 %", done.out)
    fail(sandbox, provider="wikidata", match="", status=403)
    done = small("refresh", "cities", "--cities", "Lagos")
    assert done.status == 0
    assert "cities doubts all cities: not compared with Wikidata: wikidata: this client is refused" in done.out


def test_an_outage_fails_the_asset_and_those_that_need_it_and_nothing_else(small: Gans, sandbox: str) -> None:
    fail(sandbox, provider="wikipedia", match="", status=403)
    done = small("refresh", "cities", "airports", "city_airports", "--cities", "2")
    assert done.status == 1
    assert "cities failed: wikipedia" in done.out
    assert "city_airports failed: not run, since something that it needs failed" in done.out
    assert "Traceback" not in done.out + done.err
    answered = json.loads(small("status", "--json").out)
    assert answered["cities"]["rows"] == 0
    assert answered["airports"]["rows"] > 1000


def test_tables_can_be_refreshed_one_by_one(small: Gans) -> None:
    assert small("refresh", "cities", "--cities", "New York City").status == 0
    assert small("refresh", "airports", "city_airports").status == 0
    done = small("refresh", "arrivals", "--date", "2026-11-24")
    assert done.status == 0, done.out
    arrivals = read(create_engine(f"sqlite:///{Path.cwd() / 'gans.db'}"), tables.arrivals)
    assert {str(day) for day in arrivals["local_date"]} == {"2026-11-24"}
    assert {"KJFK", "KLGA", "KEWR"} <= set(arrivals["airport_icao"])


def test_what_is_missing_of_the_last_days_weather_is_collected_city_by_city(small: Gans, sandbox: str) -> None:
    assert small("refresh", "cities", "weather_observations", "--cities", "Lagos").status == 0
    assert small("refresh", "cities", "--cities", "Istanbul").status == 0
    requests.delete(f"{sandbox}/_/requests", timeout=5)
    assert small("refresh", "weather_observations").status == 0
    (asked,) = [request for request in asked_of(sandbox) if request["provider"] == "open-meteo"]
    cities = read(create_engine(f"sqlite:///{Path.cwd() / 'gans.db'}"), tables.cities).set_index("name")
    assert f"latitude={float(cities['latitude']['Istanbul'])}" in asked["query"]
    observations = read(create_engine(f"sqlite:///{Path.cwd() / 'gans.db'}"), tables.weather_observations)
    assert observations.groupby("city_id").size().tolist() == [7 * 24] * 2


def test_a_day_of_past_weather_can_be_collected_by_its_date(small: Gans) -> None:
    assert small("refresh", "cities", "--cities", "Lagos").status == 0
    assert small("refresh", "weather_observations", "--date", "2026-01-05").status == 0
    observations = read(create_engine(f"sqlite:///{Path.cwd() / 'gans.db'}"), tables.weather_observations)
    assert {str(day) for day in observations["observed_at"].dt.date} == {"2026-01-05"}
    assert set(observations["product"]) == {"reanalysis"}
    assert len(observations) == 24


def test_a_day_that_is_not_over_is_refused_before_anything_is_asked(small: Gans) -> None:
    today = pd.Timestamp.now("UTC").date()
    done = small("refresh", "weather_observations", "--date", str(today))
    assert done.status == 1
    assert done.err.startswith(f"gans: --date {today} is outside of the days that weather_observations can have, 2026")


def test_the_past_weather_is_not_run_where_the_cities_failed(small: Gans, sandbox: str) -> None:
    fail(sandbox, provider="wikipedia", match="", status=403)
    done = small("refresh", "cities", "weather_observations", "--cities", "Lagos")
    assert done.status == 1
    assert "weather_observations failed: not run, since something that it needs failed" in done.out


def test_a_city_that_is_not_in_the_table_fails_at_once_and_is_named(small: Gans) -> None:
    assert small("refresh", "cities", "--cities", "1").status == 0
    done = small("refresh", "weather_forecasts", "--cities", "Nowhere at all")
    assert done.status == 1
    assert "weather_forecasts failed: not among the cities in the database: Nowhere at all" in done.out
    runs = dg.DagsterInstance.get().get_runs(limit=1)
    events = dg.DagsterInstance.get().all_logs(runs[0].run_id)
    assert not [entry for entry in events if entry.dagster_event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY]


def test_a_city_is_added_by_its_title_to_the_most_populous(gans: Gans, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gans("refresh", "cities", "--sandbox", "--cities", "30").status == 0
    monkeypatch.delenv("GANS_SANDBOX_URL")
    monkeypatch.setenv("GANS_CITIES", "30, Málaga")
    done = gans("refresh", "cities", "--sandbox")
    assert done.status == 0, done.out
    cities = read(create_engine("sqlite:///data/gans.db"), tables.cities)
    assert len(cities) == 31
    assert "Málaga" in set(cities["name"])


def test_an_unknown_asset_is_one_line(small: Gans) -> None:
    done = small("refresh", "wheather")
    assert done.status == 1
    assert done.err.strip().startswith("gans: no such asset: wheather; there are cities, populations")
    assert done.err.count("\n") == 1


def test_a_fault_that_the_sandbox_does_not_know_is_one_line_that_lists_what_there_is(gans: Gans) -> None:
    for fault, reason in (
        ("wikipedia=fire", "no such fault of wikipedia: fire; there are 204, 403, 429, "),
        ("wikepedia=500", "no such provider: wikepedia; there are wikipedia, wikidata, openweathermap, "),
    ):
        done = gans("sandbox", "--port", "0", "--fault", "all=500:0.3", "--fault", fault)
        assert done.status == 1
        assert done.err.startswith(f"gans: --fault {fault}: {reason}")
        assert done.err.count("\n") == 1


def test_a_date_that_is_none_is_one_line(small: Gans) -> None:
    done = small("refresh", "arrivals", "--date", "tomorrow")
    assert (done.status, done.err.strip()) == (1, "gans: --date tomorrow is not a date such as 2026-11-24")


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a sandbox that takes its time, with an empty folder to be worked in."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANS_DATABASE_URL", f"sqlite:///{tmp_path / 'gans.db'}")
    with running(cities=100, latency_ms=200) as url:
        monkeypatch.setenv("GANS_SANDBOX_URL", url)
        yield url


REFRESH = [sys.executable, "-m", "gans_pipeline.cli", "refresh", "cities", "airports", "--cities", "100"]


def test_ctrl_c_ends_a_refresh_at_once_without_a_traceback(slow: str, tmp_path: Path) -> None:
    with subprocess.Popen(REFRESH, stderr=subprocess.PIPE, text=True, start_new_session=True) as refresh:
        while not any("action=parse" in asked["query"] for asked in asked_of(slow)):
            assert refresh.poll() is None
        os.killpg(refresh.pid, signal.SIGINT)  # as a terminal does: to all processes
        _, printed = refresh.communicate(timeout=20)
    assert refresh.returncode == 130
    assert "Traceback" not in printed
    assert len(asked_of(slow)) < 50
    assert len(read(create_engine(f"sqlite:///{tmp_path / 'gans.db'}"), tables.cities)) == 0


def asked_of(sandbox: str) -> list[dict[str, Any]]:
    """Return what a sandbox was asked."""
    asked: list[dict[str, Any]] = requests.get(f"{sandbox}/_/requests", timeout=5).json()["requests"]
    return asked


def test_a_terminal_shows_the_progress_while_it_is_made(slow: str) -> None:
    try:
        ours, terminal = pty.openpty()
    except OSError as error:
        pytest.skip(f"no terminal can be made here: {error}")
    with subprocess.Popen(REFRESH, stdout=subprocess.DEVNULL, stderr=terminal) as refresh:
        os.close(terminal)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
    os.close(ours)
    assert refresh.returncode == 0
    shown = {int(count) for count in re.findall(rb"\b(\d+)/100", printed)}
    assert len(shown) > 3


def _read(terminal: int) -> bytes:
    """Return what was printed, nothing once the other end is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def test_a_day_that_is_not_kept_is_refused_before_anything_is_asked(small: Gans) -> None:
    done = small("refresh", "arrivals", "--date", "1999-01-01")
    assert done.status == 1
    assert done.err.startswith(
        "gans: --date 1999-01-01 is outside of the days that arrivals can have, 2026-01-01 to 20"
    )


def test_brackets_are_printed_as_they_were_typed(small: Gans) -> None:
    assert "no such asset: [/x];" in small("refresh", "[/x]").err
    done = small("refresh", "cities", "--cities", "[/b]Berlin,Lagos")
    assert done.status == 2
    assert "cities lacks [/b]Berlin: wikipedia" in done.out


@pytest.mark.parametrize("selection", ["²", "99999999999"])
def test_numbers_of_cities_that_no_list_has_are_one_line(
    gans: Gans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, selection: str
) -> None:
    monkeypatch.setenv("GANS_DATABASE_URL", f"sqlite:///{tmp_path / 'gans.db'}")
    monkeypatch.setattr(cli, "MOST_SANDBOX_CITIES", 40)
    monkeypatch.setattr(cli, "STANDING_SANDBOX", "http://127.0.0.1:1")
    done = gans("refresh", "cities", "--sandbox", "--cities", selection)
    assert done.status == 1
    assert "cities failed: " in done.out


def test_a_dagster_home_that_is_none_is_one_line(small: Gans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "/there/is/nothing")
    done = small("refresh", "cities")
    assert done.status == 1
    assert done.err.startswith('gans: DAGSTER_HOME: $DAGSTER_HOME "/there/is/nothing" is not a directory')


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("garbage", "not of the form"),
        ("mysql+pymysql://gans:top-secret@127.0.0.1:port/gans", "not of the form"),
        ("postgresql://gans:top-secret@127.0.0.1/gans", "postgresql databases are not supported"),
        ("mysql+pymysql://gans:top-secret@127.0.0.1:1", "names no database"),
        ("mysql+pymysql://gans:top-secret@127.0.0.1:1/", "names no database"),
        ("sqlite:////dev/null/gans.db", "/dev/null"),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("db", "upgrade"), ("refresh", "cities")])
def test_a_database_url_that_cannot_be_used_is_one_line(
    small: Gans, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], url: str, reason: str
) -> None:
    monkeypatch.setenv("GANS_DATABASE_URL", url)
    done = small(*command)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert reason in done.err
    assert "top-secret" not in done.err


def test_a_table_that_comes_first_and_is_empty_is_named(small: Gans) -> None:
    done = small("refresh", "weather_forecasts")
    assert done.status == 1
    assert "weather_forecasts failed: there is nothing to ask for" in done.out


@pytest.mark.parametrize(
    ("environment", "asset", "message"),
    [
        ({}, "cities", "set GANS_CONTACT"),
        ({"GANS_WEATHER_PROVIDER": "openweathermap"}, "weather_forecasts", "GANS_OPENWEATHERMAP_KEY"),
        ({}, "arrivals", "GANS_AERODATABOX_KEY"),
        ({"GANS_AIRPORTS_PROVIDER": "aerodatabox"}, "airports", "GANS_AERODATABOX_KEY"),
    ],
)
def test_a_missing_key_is_one_line_that_names_the_variable(
    gans: Gans, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asset: str, message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = gans("refresh", asset)
    assert done.status == 1
    assert message in done.err
    assert done.err.count("\n") == 1


def test_an_invalid_setting_is_one_line_without_its_value(gans: Gans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANS_AERODATABOX_URL", "no-url-but-a-secret")
    done = gans("refresh")
    assert done.status == 1
    assert "GANS_AERODATABOX_URL" in done.err
    assert "secret" not in done.err


def test_invented_data_is_not_mixed_with_real_data(small: Gans, monkeypatch: pytest.MonkeyPatch) -> None:
    assert small("refresh", "cities", "--cities", "1").status == 0
    monkeypatch.delenv("GANS_SANDBOX_URL")
    monkeypatch.setenv("GANS_CONTACT", "ops@example.org")
    done = small("refresh", "cities")
    assert done.status == 1
    assert "holds invented data (cities), which real data must not be mixed with" in done.err


def test_real_data_is_not_overwritten_by_the_sandbox(small: Gans, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'gans.db'}")
    schema.upgrade(engine)
    real = {
        "city_id": [64],
        "name": ["Berlin"],
        "country_code": ["DE"],
        "latitude": [52.52],
        "longitude": [13.405],
        "timezone": ["Europe/Berlin"],
        "article_title": ["Berlin"],
        "revision": [1],
        "provider": ["wikipedia"],
        "retrieved_at": [pd.Timestamp.now("UTC")],
    }
    write(engine, tables.cities, pd.DataFrame(real))
    done = small("refresh")
    assert done.status == 1
    assert "holds real data (cities), which invented data must not be mixed with" in done.err


def test_the_database_is_made_checked_and_named(gans: Gans, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANS_DATABASE_URL", database_url)
    before = gans("db", "check")
    assert (before.status, before.err.strip()) == (1, "gans: the database has no tables yet: run gans db upgrade")
    assert gans("db", "upgrade").status == 0
    assert "has the newest schema" in gans("db", "check").out
    with create_engine(database_url).begin() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")
    assert gans("db", "check").status == 1


def test_a_database_that_the_server_does_not_have_is_made(
    gans: Gans, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sa.make_url(database_url)
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path.cwd() / "new" / "folder" / "gans.db"))
    else:
        url = url.set(database=f"{url.database}_new")
    monkeypatch.setenv("GANS_DATABASE_URL", url.render_as_string(hide_password=False))
    try:
        assert gans("db", "upgrade").status == 0
        assert gans("db", "check").status == 0
    finally:
        if url.get_backend_name() != "sqlite":
            with create_engine(database_url).begin() as connection:
                connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {url.database}")


def test_a_database_that_does_not_answer_is_one_line_without_the_password(
    gans: Gans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANS_DATABASE_URL", "mysql+pymysql://gans:top-secret@127.0.0.1:1/gans")
    done = gans("db", "check")
    assert done.status == 1
    assert "the database does not answer" in done.err
    assert "top-secret" not in done.err + done.out


def test_the_committed_diagram_is_up_to_date(gans: Gans, tmp_path: Path) -> None:
    assert gans("db", "erd", str(tmp_path / "database.md")).status == 0
    committed = Path(cli.__file__).parents[1] / "docs" / "database.md"
    assert (tmp_path / "database.md").read_text() == committed.read_text(), "run: gans db erd"


def test_the_readme_shows_the_relations_of_the_diagram() -> None:
    relations = [line for line in schema.erd().splitlines() if "||--o{" in line]
    readme = (Path(cli.__file__).parents[1] / "README.md").read_text()
    assert relations
    assert all(line in readme for line in relations)


FIDS = {
    "arrivals": [
        {
            "departure": {"airport": {"icao": "EHAM", "iata": "AMS", "name": "Amsterdam"}, "quality": []},
            "arrival": {
                "scheduledTime": {"utc": "2026-11-24 11:45Z", "local": "2026-11-24 12:45+01:00"},
                "quality": [],
            },
            "number": "KL 1825",
            "status": "Expected",
            "codeshareStatus": "IsOperator",
            "isCargo": False,
        }
    ]
}


def test_a_saved_answer_is_parsed(gans: Gans, tmp_path: Path) -> None:
    saved = tmp_path / "fids.json"
    saved.write_text(json.dumps(FIDS))
    done = gans("parse", "aerodatabox", str(saved), "--json")
    (row,) = json.loads(done.out)
    assert (done.status, row["flight_number"], row["origin_icao"]) == (0, "KL 1825", "EHAM")
    assert row["scheduled_at"].startswith("2026-11-24T11:45:00")
    assert "KL 1825" in gans("parse", "aerodatabox", str(saved)).out


def test_an_article_is_parsed_from_html_and_from_the_apis_json(gans: Gans, tmp_path: Path) -> None:
    infobox = (
        '<table class="infobox ib-settlement vcard"><tr><th class="infobox-above"><div class="fn">Ulm</div></th></tr>'
        '<tr class="mergedtoprow"><th scope="row" class="infobox-label">Country</th><td>Germany</td></tr>'
        '<tr class="mergedtoprow"><th colspan="2" class="infobox-header">Population<div> (2023-12-31)</div></th></tr>'
        '<tr class="mergedrow"><th scope="row">• Total</th><td>129,942</td></tr></table>'
    )
    (tmp_path / "ulm.html").write_text(infobox)
    (tmp_path / "ulm.json").write_text(json.dumps({"parse": {"title": "Ulm", "revid": 5, "text": infobox}}))
    for name in ("ulm.html", "ulm.json"):
        found = json.loads(gans("parse", "wikipedia", name, "--json").out)
        assert (found["title"], found["country"], found["population"]) == ("Ulm", "Germany", 129942)
        assert found["population_as_of"] == "2023-12-31"


@pytest.mark.parametrize(
    ("provider", "text"),
    [
        ("wikipedia", "<html><body><p>Georgia most commonly refers to:</p></body></html>"),
        ("openweathermap", '{"cod":"200","list":[{"dt":1,"main":{}}]}'),
        ("open-meteo", "{}"),
        ("ourairports", "<html>Not Found</html>"),
        ("aerodatabox", '{"arrivals":[{"number":"KL 1"}]}'),
        ("aerodatabox", '{"arrivals":[{"numb'),
        ("wikipedia", '{"parse": '),
        ("wikipedia", '{"parse":' * 100_000),
        ("openweathermap", "[" * 100_000),
        ("aerodatabox", "9" * 5_000),
        ("ourairports", "\udcff\udcfe"),
    ],
    ids=lambda value: value[:20],
)
def test_a_refused_answer_is_one_line_with_the_reason_and_status_1(
    gans: Gans, tmp_path: Path, provider: str, text: str
) -> None:
    (tmp_path / "saved").write_bytes(text.encode("utf-8", "surrogateescape"))
    done = gans("parse", provider, "saved", "--json")
    assert done.status == 1
    assert done.out == ""
    assert done.err.startswith(f"gans: saved: refused: {provider}: ")
    assert done.err.count("\n") == 1


def test_an_unknown_provider_is_one_line(gans: Gans, tmp_path: Path) -> None:
    (tmp_path / "saved").write_text("{}")
    assert gans("parse", "skynet", "saved").err.startswith("gans: no such provider: skynet; there are wikipedia,")


def test_help_names_every_command(gans: Gans) -> None:
    printed = gans("--help").out
    assert all(command in printed for command in ("refresh", "status", "parse", "sandbox", "db"))
    assert "Exit status" in gans("refresh", "--help").out


def test_what_could_not_be_parsed_is_listed_with_its_keys_until_a_replay_stores_it(
    small: Gans, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small("refresh", "cities", "--cities", "Istanbul,Lagos").status == 0
    with monkeypatch.context() as broken:
        broken.setattr(
            "gans_pipeline.sources.openweathermap.parse_forecast",
            lambda _: (_ for _ in ()).throw(MalformedError("openweathermap", "list[0].main: [temp] is gone")),
        )
        assert small("refresh", "weather_forecasts").status == 1
    told = small("status").out
    assert "weather_forecasts could not parse Lagos: list[0].main: [temp] is gone" in told
    assert "gans replay" in told
    unparsed = json.loads(small("status", "--json").out)["weather_forecasts"]["unparsed"]
    assert {each["item"] for each in unparsed} == {"Istanbul", "Lagos"}
    assert all(key in told for each in unparsed for key in each["keys"])
    done = small("replay", "--provider", "openweathermap")
    assert done.status == 0, done.err
    assert re.search(r"weather_forecasts\s+80\s+0\s+0\s+0\s+0\s+1", done.out)
    answered = json.loads(small("status", "--json").out)["weather_forecasts"]
    assert answered["rows"] == 80
    assert "unparsed" not in answered


def test_a_replay_that_lacks_something_names_it_with_status_2(small: Gans, sandbox: str) -> None:
    fail(sandbox, provider="wikipedia", match="Istanbul", status=404)
    assert small("refresh", "cities", "--cities", "Istanbul,Lagos").status == 2
    done = small("replay")
    assert done.status == 2
    assert re.search(r"cities lacks \d{4}-\d\d-\d\d \d\d:\d\d Istanbul: wikipedia: HTTP 404", done.out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--since", "yesterday"), "--since yesterday is not a time such as 2026-11-24"),
        (("--provider", "wetter"), "no such provider: wetter; there are wikipedia, "),
        (("--since", "2026-01-01"), "has nothing of sandbox-wikipedia, "),
    ],
)
def test_a_replay_that_cannot_be_is_one_line(small: Gans, arguments: tuple[str, ...], told: str) -> None:
    assert small("db", "upgrade").status == 0
    done = small("replay", *arguments)
    assert done.status == 1
    assert done.err.startswith("gans: ")
    assert told in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_arrivals_beyond_the_budget_are_skipped_by_name_and_the_status_shows_what_is_left(
    small: Gans, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small("refresh", "cities", "airports", "city_airports", "--cities", "London").status == 0
    monkeypatch.setenv("GANS_AERODATABOX_BUDGET", "10")
    done = small("refresh", "arrivals")
    assert done.status == 2
    assert re.search(r"arrivals skipped [A-Z]{4} \d{4}-\d\d-\d\d: aerodatabox: the budget of 10 units for", done.out)
    budgets = json.loads(small("status", "--json").out)["api_usage"]["budgets"]
    (arrivals,) = (each for each in budgets if each["provider"] == "sandbox-aerodatabox")
    assert (arrivals["spent"], arrivals["limit"], arrivals["left"]) == (8, 10, 2)
    assert re.search(r"sandbox-aerodatabox.* 8 .* 10 .* 2 ", small("status").out)
