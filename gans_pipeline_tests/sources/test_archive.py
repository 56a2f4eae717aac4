"""The archive of raw answers, in a folder and in a bucket of a real S3 server (moto's)."""

import datetime as dt
import gzip
import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from gans_pipeline.sources.archive import Archive, Unparsed, noting_answers
from gans_pipeline.sources.http import Access, Http, PermanentError, SourceError, TransientError
from gans_pipeline_tests.sources.local_provider import USER_AGENT, Answer, LocalProvider, as_json, local_provider

KEY = "s3cret/key+with ümlaut"
LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
LATER = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


@pytest.fixture(scope="session")
def _s3() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty archive."""
    if request.param == "folder":
        return str(tmp_path / "archive")
    for name, value in (
        ("AWS_ENDPOINT_URL", request.getfixturevalue("_s3")),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
    ):
        monkeypatch.setenv(name, value)
    bucket = f"raw-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return f"s3://{bucket}/gans"


@pytest.fixture
def archive(url: str) -> Archive:
    return Archive(url)


def client(provider: LocalProvider, archive: Archive, **changes: Any) -> Http:
    return Http("test", provider.settings(), Access(USER_AGENT, archive=archive, sleep=lambda _: None), **changes)


def replaying(archive: Archive, since: dt.datetime = LONG_AGO, until: dt.datetime = LATER) -> Http:
    """Return a client that nobody answers but the archive."""
    with local_provider() as gone:
        settings = gone.settings()
    return Http("test", settings, Access(USER_AGENT, archive=archive, replayed=(since, until)))


def content_of(archive: Archive) -> dict[str, bytes]:
    """Return everything that is stored, by its place."""
    found = archive._files.find(archive._root)
    return {path.removeprefix(f"{archive._root}/"): archive._files.cat_file(path) for path in found}


def test_an_answer_comes_back_byte_by_byte_with_status_headers_and_time(
    provider: LocalProvider, archive: Archive
) -> None:
    body = '{"name": "Málaga",  "rows": [1.50]}'.encode()
    provider.answers = [Answer(200, body, {"Content-Type": "application/json", "X-Left": "17"})]
    before = dt.datetime.now(dt.UTC)
    with noting_answers() as keys:
        client(provider, archive).get_json("/data", {"lat": 52.5, "q": "São Paulo"})
    answer = archive.answer(keys[0])
    assert (answer.source, answer.status, answer.headers["X-Left"]) == ("test", 200, "17")
    assert answer.asked == "GET /data?lat=52.5&q=S%C3%A3o+Paulo"
    assert before <= answer.fetched_at <= dt.datetime.now(dt.UTC)
    assert archive.response(answer).content == body


def test_an_answer_is_archived_although_it_cannot_be_decoded(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [Answer(body=b'{"list": [1, 2'), Answer(500, b"<html>oops</html>"), as_json({"fine": True})]
    client(provider, archive).get_json("/data")
    (keys,) = archive.keys("test", LONG_AGO, LATER).values()
    answers = [archive.answer(key) for key in keys]
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert [archive.response(answer).content for answer in answers[:2]] == [b'{"list": [1, 2', b"<html>oops</html>"]


def test_the_body_lies_compressed_under_its_own_hash_once_a_day(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [as_json({"same": "x" * 5000})]
    http = client(provider, archive)
    http.get_json("/data", {"page": 1})
    http.get_json("/data", {"page": 2})
    bodies = {path: content for path, content in content_of(archive).items() if "/bodies/" in path}
    ((path, content),) = bodies.items()
    assert hashlib.sha256(gzip.decompress(content)).hexdigest() in path
    assert len(content) < 200


def test_no_key_reaches_the_archive(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [as_json({}), as_json({"message": f"{KEY} is no key"}, 401, X_Echo="t0ken")]
    keyed = client(provider, archive, secrets={"appid": SecretStr(KEY)}, secret_headers={"X-Key": SecretStr("t0ken")})
    keyed.get_json("/data", {"lat": 1})
    with pytest.raises(PermanentError):
        keyed.get_json("/data", {"lat": 2})
    stored = content_of(archive)
    assert len(stored) == 4
    for path, content in stored.items():
        text = (gzip.decompress(content) if path.endswith(".gz") else content).decode()
        for secret in ("s3cret", "ümlaut", "%C3%BC", "t0ken"):
            assert secret not in path + text
    assert any(b"appid=***" in content for content in stored.values())


def test_an_archive_that_cannot_be_written_does_not_cost_the_answer(
    provider: LocalProvider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "archive").write_text("a file where a folder should be")
    archive = Archive(str(tmp_path / "archive"))
    provider.answers = [as_json({"fine": True})]
    assert client(provider, archive).get_json("/data") == {"fine": True}
    assert archive.problem
    assert "could not be archived" in archive.problem
    assert archive.problem in caplog.text


@pytest.mark.parametrize("of_a_retry", [False, True])
def test_an_archive_that_cannot_be_read_does_not_cost_the_answer_either(
    provider: LocalProvider, archive: Archive, monkeypatch: pytest.MonkeyPatch, of_a_retry: bool
) -> None:
    provider.answers = [as_json({"n": 1}), as_json({"n": 2})]
    client(provider, archive, revalidates=True).get_json("/data")

    def refuse(*_args: Any, **_kwargs: Any) -> None:
        raise PermissionError("denied")

    for read in ("cat_file", "ls", "rm_file"):
        monkeypatch.setattr(archive._files, read, refuse)
    access = Access(USER_AGENT, archive=archive, reuse_since=LONG_AGO if of_a_retry else None)
    http = Http("test", provider.settings(), access, revalidates=True)
    assert http.archived_json("/data", {}, lambda *_: True) is None
    with noting_answers() as keys:
        assert http.get_json("/data") == {"n": 2}
    archive.mark_unparsed(Unparsed(keys=keys, table="cities", item="Lagos", error="?"))
    assert archive.problem
    assert "PermissionError: denied" in archive.problem


def test_a_write_that_breaks_off_leaves_no_half_file_under_a_name_that_counts(
    provider: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(str(tmp_path / "archive"))

    def full_disk(path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(archive._files, "pipe_file", full_disk)
        client(provider, archive).get_json("/data")
    assert archive.keys("test", LONG_AGO, LATER) == {}
    client(provider, archive).get_json("/data")
    assert replaying(archive).get_json("/data") == {}


# Asking whether something has changed


def test_an_unchanged_file_is_not_fetched_again(provider: LocalProvider, archive: Archive) -> None:
    csv = {"Content-Type": "text/csv", "ETag": '"v1"', "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT"}
    provider.answers = [Answer(200, b"id\n1\n", csv), Answer(304, b"", {"ETag": '"v1"'})]
    http = client(provider, archive, revalidates=True)
    assert http.get_text("/airports.csv") == http.get_text("/airports.csv") == "id\n1\n"
    assert "If-None-Match" not in provider.asked[0].headers
    assert provider.asked[1].headers["If-None-Match"] == '"v1"'
    assert provider.asked[1].headers["If-Modified-Since"] == "Wed, 25 Nov 2026 00:00:00 GMT"


def test_a_changed_file_replaces_the_one_that_is_asked_about(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [
        Answer(200, b"id\n1\n", {"ETag": '"v1"'}),
        Answer(200, b"id\n2\n", {"ETag": '"v2"'}),
        Answer(304, b"", {}),
    ]
    http = client(provider, archive, revalidates=True)
    assert [http.get_text("/airports.csv") for _ in range(3)] == ["id\n1\n", "id\n2\n", "id\n2\n"]
    assert provider.asked[2].headers["If-None-Match"] == '"v2"'


def test_a_damaged_or_deleted_body_is_fetched_anew(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [Answer(200, b"id\n1\n", {"ETag": '"v1"'})]
    http = client(provider, archive, revalidates=True)
    http.get_text("/airports.csv")
    for damage in (
        lambda path: archive._files.pipe_file(path, gzip.compress(b"something else")),
        lambda path: archive._files.pipe_file(path, gzip.compress(b"cut off")[:9]),
        archive._files.rm_file,
    ):
        (body,) = (path for path in archive._files.find(archive._root) if "/bodies/" in path)
        damage(body)
        assert http.get_text("/airports.csv") == "id\n1\n"
        assert "If-None-Match" not in provider.asked[-1].headers


def test_an_error_is_not_what_a_provider_is_asked_a_change_of(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [Answer(404, b"gone", {"ETag": '"e"'}), Answer(200, b"id\n1\n", {})]
    http = client(provider, archive, revalidates=True)
    with pytest.raises(PermanentError):
        http.get_text("/airports.csv")
    assert http.get_text("/airports.csv") == "id\n1\n"
    assert "If-None-Match" not in provider.asked[-1].headers


# Replay


def test_a_replay_answers_what_was_answered_at_the_time(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [as_json({"n": 1}), as_json({"n": 2})]
    http = client(provider, archive)
    http.get_json("/data")
    between = dt.datetime.now(dt.UTC)
    http.get_json("/data")
    assert replaying(archive, until=between).get_json("/data") == {"n": 1}
    assert replaying(archive, since=between).get_json("/data") == {"n": 2}


def test_a_replay_takes_the_answer_that_came_after_the_retries(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [Answer(500, b""), as_json({"n": 1}), Answer(503, b"")]
    http = client(provider, archive)
    http.get_json("/data")
    with pytest.raises(TransientError):
        http.get_json("/data")
    assert replaying(archive).get_json("/data") == {"n": 1}


def test_a_replay_fails_as_the_live_call_did_and_waits_for_nothing(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [Answer(503, b"overloaded")]
    with pytest.raises(TransientError):
        client(provider, archive).get_json("/data")
    with pytest.raises(TransientError, match="HTTP 503 for /data: overloaded"):
        replaying(archive).get_json("/data")


def test_what_was_not_asked_at_the_time_is_named(provider: LocalProvider, archive: Archive) -> None:
    client(provider, archive).get_json("/data", {"lat": 1})
    with pytest.raises(PermanentError, match=r"no answer to GET /data\?lat=2"):
        replaying(archive).get_json("/data", {"lat": 2})


def test_a_replay_finds_the_unchanged_file_on_the_day_that_confirmed_it(
    provider: LocalProvider, archive: Archive
) -> None:
    provider.answers = [Answer(200, b"id\n1\n", {"ETag": '"v1"'}), Answer(304, b"", {})]
    http = client(provider, archive, revalidates=True)
    http.get_text("/airports.csv")
    between = dt.datetime.now(dt.UTC)
    http.get_text("/airports.csv")
    assert replaying(archive, since=between).get_text("/airports.csv") == "id\n1\n"


# Unparsed answers and retention


def test_an_unparsed_answer_is_listed_until_it_is_taken_off(provider: LocalProvider, archive: Archive) -> None:
    with noting_answers() as keys:
        client(provider, archive).get_json("/data")
    unparsed = Unparsed(keys=keys, table="cities", item="Lagos", error="no coordinates")
    archive.mark_unparsed(unparsed)
    assert archive.unparsed("test") == [unparsed]
    archive.unmark(keys[0])
    archive.unmark(keys[0])
    assert archive.unparsed("test") == []


def test_an_unparsed_answer_is_asked_for_again_in_full(provider: LocalProvider, archive: Archive) -> None:
    provider.answers = [Answer(200, b"id\n1\n", {"ETag": '"v1"'})]
    http = client(provider, archive, revalidates=True)
    with noting_answers() as keys:
        http.get_text("/airports.csv")
    archive.mark_unparsed(Unparsed(keys=keys, table="airports", item="airports.csv", error="?"))
    http.get_text("/airports.csv")
    assert "If-None-Match" not in provider.asked[-1].headers


def test_days_that_are_past_their_time_are_deleted_whole_and_no_others(
    provider: LocalProvider, archive: Archive, at: Callable[[str], None]
) -> None:
    provider.answers = [as_json({"same": True})]
    http = client(provider, archive)
    for day in ("2026-11-16", "2026-11-17", "2026-11-18"):
        at(f"{day}T12:00Z")
        with noting_answers() as keys:
            http.get_json("/data")
        archive.mark_unparsed(Unparsed(keys=keys, table="arrivals", item=day, error="?"))
    assert archive.expire("test", dt.date(2026, 11, 18)) == ["2026-11-16", "2026-11-17"]
    assert [unparsed.item for unparsed in archive.unparsed("test")] == ["2026-11-18"]
    assert {path.split("/")[1] for path in content_of(archive)} == {"2026-11-18", "unparsed"}
    assert replaying(archive).get_json("/data") == {"same": True}


def test_an_empty_archive_has_nothing(archive: Archive) -> None:
    assert archive.sources() == []
    assert archive.collections(["test"], LONG_AGO) == []
    assert archive.unparsed("test") == []
    with pytest.raises(SourceError):
        replaying(archive).get_json("/data")


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the archive's clock."""

    class Clock(dt.datetime):
        moment: dt.datetime

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return cls.moment

    def set_clock(time: str) -> None:
        Clock.moment = dt.datetime.fromisoformat(time)

    monkeypatch.setattr("gans_pipeline.sources.archive.dt.datetime", Clock)
    return set_clock
