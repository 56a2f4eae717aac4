"""How answers come: whole and in time, archived on their way, or from the archive instead of the network.

These are adapters of requests, so that no client can forget any of it. What an answer means, and when to ask again,
belongs into ``http``.
"""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from gans_pipeline.sources.archive import Answer, Archive, note_answer, request_hash

CHUNK_BYTES = 65536


class WholeAnswers(HTTPAdapter):
    """Sends requests; raises ``requests.ReadTimeout`` for an answer that is not whole ``within_s`` seconds.

    The time-out of requests is for each read: a server that sends a byte every 20 seconds would never meet it.
    """

    def __init__(self, *, within_s: float, connections: int) -> None:
        # By default a pool keeps ten connections; more requests at once would each open and drop one of their own.
        super().__init__(pool_maxsize=connections)
        self._within_s = within_s

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Return the answer of the server with its body."""
        response = super().send(request, *args, **{**kwargs, "stream": True})
        began = time.monotonic()
        body = bytearray()
        with response:
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
                body += chunk
                if time.monotonic() - began > self._within_s:
                    late = f"the body is not whole after {self._within_s:g} seconds, {len(body)} bytes came"
                    raise requests.ReadTimeout(late)
        response._content = bytes(body)  # where requests itself keeps it
        return response


class Recording(WholeAnswers):
    """Sends requests, and archives each answer before anybody parses it.

    ``asked`` names a request and ``hide`` takes secrets out of a text. With ``revalidates`` the newest answer can be
    found by :meth:`Archive.latest`, and a server that gave it an ETag or a date is asked whether it has changed. Good
    answers that came after ``reuse_since`` are there to be :meth:`reused`.
    """

    def __init__(
        self,
        archive: Archive,
        source: str,
        *,
        asked: Callable[[requests.PreparedRequest], str],
        hide: Callable[[str], str],
        revalidates: bool,
        reuse_since: dt.datetime | None,
        within_s: float,
        connections: int,
    ) -> None:
        super().__init__(within_s=within_s, connections=connections)
        self._archive = archive
        self._source = source
        self._asked = asked
        self._hide = hide
        self._revalidates = revalidates
        self._reusable = archive.reusable(source, reuse_since) if reuse_since else {}

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Return the answer of the server, or the archived one where that has not changed."""
        asked = self._asked(request)
        known = self._known(asked, request)
        response = super().send(request, *args, **kwargs)
        if known and response.status_code == requests.codes.not_modified:
            self._archive.confirm(known[0])
            return _complete(known[1], request)
        body = response.content
        if not response.ok:  # errors like to repeat the key that they refuse
            body = self._hide(response.text).encode()
        headers = {name: self._hide(value) for name, value in response.headers.items()}
        answer = self._archive.keep(self._source, asked, response.status_code, headers, body)
        if self._revalidates and response.status_code == requests.codes.ok:
            self._archive.set_latest(answer)
        return response

    def reused(self, request: requests.PreparedRequest) -> requests.Response | None:
        """Return the newest answer to the request that may be reused, or None."""
        had = self._archive.last_good(self._reusable.get(request_hash(self._asked(request)), []))
        if had is None:
            return None
        self._archive.confirm(had[0])
        return _complete(had[1], request)

    def _known(self, asked: str, request: requests.PreparedRequest) -> tuple[Answer, requests.Response] | None:
        known = self._archive.latest(self._source, asked) if self._revalidates else None
        if known:
            for header, condition in (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since")):
                if header in known[1].headers:
                    request.headers[condition] = known[1].headers[header]
        return known


class NotArchivedError(requests.RequestException, ValueError):
    """A replay asks for something that was not answered at the time."""


class Replaying(BaseAdapter):
    """Answers requests from the archive, with what the provider answered within a time."""

    def __init__(
        self,
        archive: Archive,
        source: str,
        *,
        asked: Callable[[requests.PreparedRequest], str],
        since: dt.datetime,
        until: dt.datetime,
    ) -> None:
        super().__init__()
        self._archive = archive
        self._asked = asked
        self._keys = archive.keys(source, since, until)

    def send(self, request: requests.PreparedRequest, *_args: Any, **_kwargs: Any) -> requests.Response:
        """Return the last good answer to the request, else the last one; raises :class:`NotArchivedError` for none."""
        asked = self._asked(request)
        answers = [self._archive.answer(key) for key in reversed(self._keys.get(request_hash(asked), []))]
        if not answers:
            raise NotArchivedError(f"the archive has no answer to {asked} from that refresh")
        answer = next((each for each in answers if each.status < requests.codes.bad_request), answers[0])
        note_answer(answer)
        return _complete(self._archive.response(answer), request)

    def close(self) -> None:
        """There is nothing to close."""


def _complete(response: requests.Response, request: requests.PreparedRequest) -> requests.Response:
    response.request, response.url = request, request.url or ""
    return response
