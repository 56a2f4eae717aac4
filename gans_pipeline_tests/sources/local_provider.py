"""A provider on localhost that answers what a test scripts, over real HTTP.

It stands for the transport of all providers, not for one of them: what they answer is in the tests, and the sandbox
imitates them as a whole.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gans_pipeline.settings import ProviderSettings

USER_AGENT = "gans-pipeline/0 (https://example.org/contact) requests/2"


@dataclass
class Answer:
    """One answer; ``drop`` closes the connection instead, ``cut`` after so many bytes of the announced body.

    ``trickle_s`` is waited before each byte of the body.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    drop: bool = False
    cut: int | None = None
    trickle_s: float = 0
    before: Callable[[], Any] = lambda: None


def as_json(body: Any, status: int = 200, **headers: str) -> Answer:
    """Return an answer with a JSON body; underscores in header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **named})


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    at: float
    client: Any


class LocalProvider:
    """Answers in the order of ``answers``, then the last one again; ``asked`` holds the requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[Answer] = [Answer()]
        self.asked: list[Asked] = []
        self._lock = threading.Lock()

    def settings(self, **changes: Any) -> ProviderSettings:
        """Return settings that lead here; without limits that a test would have to wait for."""
        return ProviderSettings(**{"url": self.url, "per_second": 1000, "concurrency": 8, **changes})

    def _next(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def local_provider() -> Iterator[LocalProvider]:
    """Serve on a free port until the end of the block."""
    provider = LocalProvider("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer waits 40 ms for a delayed acknowledgement

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            answer = provider._next(
                Asked(url.path, query, dict(self.headers.items()), time.monotonic(), self.client_address)
            )
            answer.before()
            if answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status != 204 and "Transfer-Encoding" not in answer.headers:
                self.send_header("Content-Length", str(len(answer.body)))
            self.close_connection = answer.cut is not None
            with suppress(ConnectionError):  # a client that has timed out is gone
                self.end_headers()
                if answer.trickle_s:
                    for byte in answer.body:
                        time.sleep(answer.trickle_s)
                        self.wfile.write(bytes((byte,)))
                elif answer.status != 204:
                    self.wfile.write(answer.body[: answer.cut])

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
