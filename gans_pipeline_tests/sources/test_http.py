"""The polite session against a real server: retries, limits, redirects, and keys that stay secret."""

import contextlib
import datetime as dt
import gzip
import logging
import random
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from itertools import pairwise

import pytest
import requests
from pydantic import SecretStr

from gans_pipeline.settings import ProviderSettings, Settings
from gans_pipeline.sources.http import (
    ATTEMPTS,
    LONGEST_WAIT_S,
    Access,
    BudgetError,
    Http,
    MalformedError,
    PermanentError,
    QuotaError,
    SourceError,
    TransientError,
    _rates,
)
from gans_pipeline.sources.transport import CHUNK_BYTES
from gans_pipeline_tests.sources.local_provider import USER_AGENT, Answer, LocalProvider, as_json, local_provider

KEY = "s3cret/key+with ümlaut"


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with local_provider() as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    return []


def client(provider: LocalProvider, waits: list[float], **settings: object) -> Http:
    return Http("test", provider.settings(**settings), Access(USER_AGENT, sleep=waits.append))


def failure(http: Http, path: str = "/data") -> SourceError:
    with pytest.raises(SourceError) as raised:
        http.get_json(path, {"lat": 52.5})
    return raised.value


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(500, b"oops"),
        Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}),
        Answer(503, b""),
        Answer(429, b"slow down"),
        Answer(408, b""),
        Answer(drop=True),
        Answer(body=b'{"list": [1, 2', headers={}),
        Answer(body=b'{"list": [1, 2]}', cut=9),
        Answer(body=b"<html>maintenance</html>", headers={"Content-Type": "text/html"}),
        Answer(body=b"", headers={}),
        Answer(body=b"9" * 5000),
        Answer(body=b"[" * 100_000),
    ],
    ids=lambda answer: "dropped" if answer.drop else f"{answer.status}-{answer.body[:12]!r}",
)
def test_a_passing_trouble_is_asked_again(provider: LocalProvider, waits: list[float], trouble: Answer) -> None:
    provider.answers = [trouble, as_json({"fine": True})]
    assert client(provider, waits).get_json("/data") == {"fine": True}
    assert len(provider.asked) == 2
    assert len(waits) == 1


def test_it_gives_up_after_four_attempts_with_growing_waits(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(500, b"out of order")]
    error = failure(client(provider, waits))
    assert isinstance(error, TransientError)
    assert "HTTP 500 for /data: out of order" in str(error)
    assert len(provider.asked) == ATTEMPTS
    assert len(waits) == ATTEMPTS - 1
    assert all(low <= wait <= low + 1 for low, wait in zip((1.2, 2.4, 4.8), waits, strict=True))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 451])
def test_a_refusal_is_not_asked_again(provider: LocalProvider, waits: list[float], status: int) -> None:
    provider.answers = [as_json({"message": "no"}, status)]
    error = failure(client(provider, waits))
    assert isinstance(error, PermanentError)
    assert f"HTTP {status}" in str(error)
    assert len(provider.asked) == 1
    assert waits == []


def test_retry_after_in_seconds_is_waited_for(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(429, headers={"Retry-After": "55"}), as_json({})]
    client(provider, waits).get_json("/data")
    assert waits == [55]


def test_retry_after_as_a_date_is_waited_for(provider: LocalProvider, waits: list[float]) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=40)
    provider.answers = [Answer(503, headers={"Retry-After": format_datetime(later, usegmt=True)}), as_json({})]
    client(provider, waits).get_json("/data")
    assert waits == [pytest.approx(40, abs=3)]


@pytest.mark.parametrize("value", ["soon", "-3", "1.5", "²", "Mon, 99 Foo 2026"])
def test_an_unreadable_retry_after_is_none(provider: LocalProvider, waits: list[float], value: str) -> None:
    provider.answers = [Answer(503, headers={"Retry-After": value}), as_json({})]
    client(provider, waits).get_json("/data")
    assert 1.2 <= waits[0] <= 2.2


def test_a_wait_beyond_measure_is_left_to_the_next_refresh(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(429, headers={"Retry-After": str(int(LONGEST_WAIT_S) + 1)})]
    error = failure(client(provider, waits))
    assert isinstance(error, TransientError)
    assert error.retry_after_s == LONGEST_WAIT_S + 1
    assert len(provider.asked) == 1
    assert waits == []


def test_a_used_up_quota_is_not_asked_again(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(429)]
    http = Http("test", provider.settings(), Access(USER_AGENT), explain=lambda _: QuotaError("test", "used up"))
    assert isinstance(failure(http), QuotaError)
    assert len(provider.asked) == 1


def test_a_silent_server_is_a_transient_failure(provider: LocalProvider, waits: list[float]) -> None:
    released = threading.Event()
    provider.answers = [Answer(before=lambda: released.wait(10))]
    try:
        error = failure(client(provider, waits, timeout_s=0.05))
    finally:
        released.set()
    assert isinstance(error, TransientError)
    assert "ReadTimeout" in str(error)
    assert len(provider.asked) == ATTEMPTS


def test_a_body_that_trickles_is_a_transient_failure(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(body=b'{"a": "' + b"x" * 600 + b'"}', trickle_s=0.01)]
    error = failure(client(provider, waits, timeout_s=0.1))
    assert isinstance(error, TransientError)
    assert "ReadTimeout: the body is not whole after 0.1 seconds" in str(error)
    assert len(provider.asked) == ATTEMPTS


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 1])
@pytest.mark.parametrize("coding", ["identity", "gzip", "chunked"])
def test_a_body_is_read_whole_however_it_is_sent(
    provider: LocalProvider, waits: list[float], length: int, coding: str
) -> None:
    text = "".join(random.Random(length).choices("abcdefgh", k=length))
    body = text.encode()
    headers = {}
    if coding == "gzip":
        body, headers = gzip.compress(body), {"Content-Encoding": "gzip"}
    if coding == "chunked":
        pieces = [body[start : start + 5000] for start in range(0, length, 5000)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        headers = {"Transfer-Encoding": "chunked"}
    provider.answers = [Answer(body=body, headers=headers)]
    http = client(provider, waits)
    assert http.get_text("/data") == text
    assert http.get_text("/data") == text
    assert len({asked.client for asked in provider.asked}) == 1  # the connection was given back


def test_a_server_that_takes_no_connection_is_a_transient_failure(
    waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gans_pipeline.sources.http.CONNECT_TIMEOUT_S", 0.05)
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # a backlog that is full: further connections are neither taken nor refused
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        settings = ProviderSettings(url=f"http://127.0.0.1:{listener.getsockname()[1]}", per_second=1000)
        error = failure(Http("test", settings, Access(USER_AGENT, sleep=waits.append)))
    assert isinstance(error, TransientError)
    assert "ConnectTimeout" in str(error)
    assert len(waits) == ATTEMPTS - 1


def test_nobody_listening_is_a_transient_failure(waits: list[float]) -> None:
    with local_provider() as gone:
        settings = gone.settings()
    assert isinstance(failure(Http("test", settings, Access(USER_AGENT, sleep=waits.append))), TransientError)
    assert len(waits) == ATTEMPTS - 1


def test_no_content_is_none(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(204, b"", {})]
    assert client(provider, waits).get_json("/data") is None


def test_text_is_read_as_utf8_whatever_the_header_says(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(body="Málaga".encode(), headers={"Content-Type": "text/csv"})]
    assert client(provider, waits).get_text("/airports.csv") == "Málaga"


def test_text_that_is_not_utf8_is_refused_at_its_byte(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(body="Málaga".encode("latin-1"))]
    with pytest.raises(MalformedError, match=r"/airports\.csv: not UTF-8 at byte 1"):
        client(provider, waits).get_text("/airports.csv")
    assert len(provider.asked) == 1


def test_it_says_who_asks(provider: LocalProvider, waits: list[float]) -> None:
    client(provider, waits).get_json("/data", {"lat": 52.5})
    assert provider.asked[0].headers["User-Agent"] == USER_AGENT
    assert provider.asked[0].query == {"lat": "52.5"}


def test_no_more_requests_are_under_way_than_allowed(provider: LocalProvider, waits: list[float]) -> None:
    lock, pair = threading.Lock(), threading.Barrier(2)
    under_way, most = 0, 0

    def meet() -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        pair.wait(10)  # so that two are under way at least once, and a third would be seen
        with lock:
            under_way -= 1

    provider.answers = [Answer(before=meet)]
    clients = [client(provider, waits, concurrency=2) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: clients[index % 2].get_json("/data"), range(12)))
    assert most == 2


def test_the_rate_holds_over_threads_and_clients(provider: LocalProvider, waits: list[float]) -> None:
    clients = [client(provider, waits, per_second=10) for _ in range(2)]
    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: clients[index % 2].get_json("/data"), range(21)))
    # ten at once, ten after a second, the last after two: a slow machine can only take longer
    assert time.monotonic() - began > 1.99
    assert len(provider.asked) == 21


def test_less_than_one_a_second_does_not_come_in_a_burst(provider: LocalProvider, waits: list[float]) -> None:
    http = client(provider, waits, per_second=0.9)
    for _ in range(2):
        http.get_json("/data")
    first, second = (asked.at for asked in provider.asked)
    assert second - first > 1.09


@pytest.mark.parametrize(
    ("per_second", "per_minute", "expected"),
    [
        (1, 200, [(1, 1000)]),
        (10, 60, [(10, 1000), (60, 60_000)]),
        (0.9, None, [(1, 1112)]),
        (2.5, None, [(2, 800)]),
        (5, 3, [(3, 60_000)]),
        (1, 0.5, [(1, 120_000)]),
    ],
)
def test_limits_become_windows_that_keep_them(
    per_second: float, per_minute: float | None, expected: list[tuple[int, int]]
) -> None:
    assert [(rate.limit, rate.interval) for rate in _rates(per_second, per_minute)] == expected


@pytest.mark.parametrize("name", ["wikipedia", "openweathermap", "open_meteo", "ourairports", "aerodatabox"])
def test_the_limits_of_every_provider_are_accepted(name: str) -> None:
    settings: ProviderSettings = getattr(Settings(), name)
    for before, after in pairwise(_rates(settings.per_second, settings.per_minute)):
        assert before.limit < after.limit
    Http(name, settings, Access(USER_AGENT)).close()


def test_a_limit_that_is_not_reached_costs_nearly_nothing(provider: LocalProvider, waits: list[float]) -> None:
    http = client(provider, waits)
    http.get_json("/data")
    start = time.monotonic()
    for _ in range(50):
        http.get_json("/data")
    assert time.monotonic() - start < 1.5  # 2 ms each is usual; one wait of the limiter is 50 ms


SECRET_PLACES = ["query", "header"]


def secretive(provider: LocalProvider, place: str) -> Http:
    secret = {"secrets" if place == "query" else "secret_headers": {"appid": SecretStr(KEY)}}
    return Http("test", provider.settings(), Access(USER_AGENT, sleep=lambda _: None), **secret)  # type: ignore[arg-type]


def everything_told(error: BaseException) -> str:
    told = "".join(traceback.format_exception(error, chain=True))
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is not None:
            told += f"{current!s} {current!r} {vars(current)}"
            todo += [current.__cause__, current.__context__]
    return told


def assert_secret(told: str) -> None:
    for spelling in (KEY, "s3cret", "%C3%BCmlaut", "\\xfcmlaut"):
        assert spelling not in told


@pytest.mark.parametrize(
    "answer",
    [
        Answer(drop=True),
        Answer(body=b"{", headers={}),
        Answer(body=b"{}", cut=1),
        Answer(500, f"your key {KEY} broke it".encode(), {"Content-Type": "text/plain; charset=utf-8"}),
        Answer(401, f"no such key: {KEY}".encode(), {"Content-Type": "text/plain; charset=utf-8"}),
        Answer(body=f"<html>{KEY}</html>".encode(), headers={"Content-Type": "text/html; charset=utf-8"}),
    ],
    ids=["dropped", "truncated", "cut", "echoed-500", "echoed-401", "echoed-200"],
)
def test_the_key_is_sent_and_never_told(
    provider: LocalProvider, caplog: pytest.LogCaptureFixture, answer: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    provider.answers = [answer]
    error = failure(secretive(provider, "query"))
    assert provider.asked[0].query["appid"] == KEY
    assert error.__context__ is None
    assert error.__cause__ is None
    assert_secret(everything_told(error))
    assert_secret(caplog.text)


def test_an_unreachable_address_does_not_tell_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with local_provider() as gone:
        http = secretive(gone, "query")
    error = failure(http)
    assert "ConnectionError" in str(error)
    assert_secret(everything_told(error))
    assert_secret(caplog.text)


def test_the_key_does_not_reach_the_log_of_an_answer(provider: LocalProvider, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider.answers = [Answer(headers={"Content-Type": "application/json", "Broken header": "value"}, cut=2)]
    secretive(provider, "query").get_json("/data")
    assert "GET /data?appid=***" in caplog.text
    assert_secret(caplog.text)


def test_a_key_that_no_header_can_hold_is_refused_without_telling_it(provider: LocalProvider) -> None:
    http = Http(
        "test", provider.settings(), Access(USER_AGENT), secret_headers={"X-Key": SecretStr("s3cret…\nand more")}
    )
    error = failure(http)
    assert isinstance(error, PermanentError)
    assert "s3cret" not in everything_told(error)
    assert provider.asked == []


def test_blanks_around_a_key_are_not_sent(provider: LocalProvider) -> None:
    Http("test", provider.settings(), Access(USER_AGENT), secret_headers={"X-Key": SecretStr(" s3cret\n")}).get_json(
        "/data"
    )
    assert provider.asked[0].headers["X-Key"] == "s3cret"


@pytest.mark.parametrize("place", SECRET_PLACES)
def test_a_key_does_not_follow_a_redirect(provider: LocalProvider, place: str) -> None:
    with local_provider() as elsewhere:
        provider.answers = [Answer(302, b"", {"Location": f"{elsewhere.url}/caught"})]
        if place == "header":
            http = Http("test", provider.settings(), Access(USER_AGENT), secret_headers={"X-Key": SecretStr("s3cret")})
        else:
            http = secretive(provider, place)
        error = failure(http)
        assert elsewhere.asked == []
    assert isinstance(error, PermanentError)
    assert f"to {elsewhere.url}/caught" in str(error)


def test_without_a_key_a_redirect_is_followed(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(301, b"", {"Location": "/new"}), as_json({"moved": True})]
    assert client(provider, waits).get_json("/old") == {"moved": True}


def test_an_explanation_may_not_tell_the_key_either(provider: LocalProvider) -> None:
    def explain(response: requests.Response) -> SourceError:
        return PermanentError("test", f"refused: {response.url}")

    http = Http("test", provider.settings(), Access(USER_AGENT), secrets={"appid": SecretStr(KEY)}, explain=explain)
    assert_secret(everything_told(failure(http)))


# A provider that is down


def test_a_provider_that_is_down_is_left_alone_after_three_trials(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(503, b"down")]
    http = client(provider, waits)
    errors = [failure(http) for _ in range(30)]
    assert all(isinstance(error, TransientError) for error in errors)
    assert len(provider.asked) == 13  # ten in a row, and three trials
    assert "not asked: it is down, 13 calls in a row failed; it is asked again in 300 s" in str(errors[-1])
    assert len(waits) < 13  # what was not asked is not retried


def test_what_waits_for_a_provider_that_comes_back_is_had(provider: LocalProvider, waits: list[float]) -> None:
    all_of_them = threading.Barrier(8)
    together = Answer(503, b"down", before=lambda: all_of_them.wait(10))
    provider.answers = [*[together] * 16, Answer(503, b"still down"), as_json({"fine": True})]
    http = client(provider, waits)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.get_json("/data"), range(40)))
    assert answers == [{"fine": True}] * 40
    assert len(provider.asked) == 16 + 1 + 40  # one trial at a time


def test_refusals_and_rate_limits_do_not_count_as_being_down(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [as_json({"message": "no"}, 404)]
    http = client(provider, waits)
    for _ in range(30):
        failure(http)
    assert len(provider.asked) == 30
    provider.answers = [Answer(429, headers={"Retry-After": "0"})]
    for _ in range(10):
        failure(http)
    assert len(provider.asked) == 30 + 10 * ATTEMPTS


def test_one_provider_that_is_down_does_not_close_another(provider: LocalProvider, waits: list[float]) -> None:
    provider.answers = [Answer(503, b"down")]
    for _ in range(5):
        failure(client(provider, waits))
    with local_provider() as other:
        assert client(other, waits).get_json("/data") == {}


def test_a_call_is_counted_before_it_is_made_and_so_is_every_retry(provider: LocalProvider) -> None:
    spent: list[tuple[str, float, int]] = []
    access = Access(
        USER_AGENT,
        spend=lambda name, units: spent.append((name, units, len(provider.asked))),
        sleep=lambda _: None,
    )
    provider.answers = [Answer(500), as_json({})]
    Http("test", provider.settings(), access, cost=lambda params: params["places"]).get_json("/data", {"places": 2})
    assert spent == [("test", 2, 0), ("test", 2, 1)]


def test_what_the_budget_does_not_cover_is_not_asked(provider: LocalProvider) -> None:
    def refuse(name: str, units: float) -> None:
        raise BudgetError(name, "spent")

    with pytest.raises(BudgetError):
        Http("test", provider.settings(), Access(USER_AGENT, spend=refuse)).get_json("/data")
    assert provider.asked == []
