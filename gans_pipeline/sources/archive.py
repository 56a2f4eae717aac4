"""The archive of raw answers: kept before they are parsed, read again when a parser was mended or nothing has changed.

Layout below the archive's address, which is a folder or ``s3://bucket/prefix``; a day is the UTC date of retrieval::

    <source>/<day>/bodies/<sha256 of the body>.gz        what was answered, once a day however often it came
    <source>/<day>/responses/<request>-<time>.json       one answer: the request without keys, status, headers, body
    <source>/<day>/collections/<time>-<table>.json       one refresh of a table: its clock, and what it asked for
    <source>/unparsed/<day>-<request>-<time>.json        answers that could not be parsed, and why
    <source>/latest/<request>.json                       the newest answer, for providers asked whether it has changed

A source is a provider; what the sandbox invented lies under ``sandbox-<provider>``. Retention removes whole days, so
that nothing is counted and no answer loses the body that it shares with an older one. An answer that has not changed
is recorded on each day on which that was learnt; its body stays where it is. What a provider's answers mean belongs
into its module.
"""

import datetime as dt
import gzip
import hashlib
import io
import logging
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar

import fsspec
import requests
from fsspec.implementations.local import LocalFileSystem
from pydantic import BaseModel
from requests.structures import CaseInsensitiveDict

_log = logging.getLogger(__name__)

COMPRESSION = 6
"""Of a forecast of 18 kB it leaves 13.4 % in 0.07 ms; level 9 leaves 12.8 % in 0.25 ms, level 1 17.6 % in 0.03 ms."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME = "%H%M%S.%f"
_DAY_TIME = f"%Y-%m-%d {_TIME}"
_HALF = ".part"
_OF_THE_WIRE = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})
"""Headers that are not true of the archived body, or concern nobody else."""


class Answer(BaseModel, frozen=True):
    """One archived answer. ``key`` is its place in the archive, ``body`` that of its body; times are UTC."""

    key: str
    source: str
    asked: str
    fetched_at: dt.datetime
    status: int
    headers: dict[str, str]
    body: str


class Collection(BaseModel, frozen=True):
    """One refresh of a table from one source: what is needed to do it again from the archive.

    ``items`` are what the collector was to ask for, ``now`` the clock that it was given. Its answers came between
    ``started`` and ``ended``, which is None while it is under way and for one that was killed.
    """

    key: str
    table: str
    source: str
    now: dt.datetime
    items: list[Any]
    started: dt.datetime
    ended: dt.datetime | None = None


class Unparsed(BaseModel, frozen=True):
    """Answers that could not be parsed: their keys, the item of the table for which they were asked, what is wrong."""

    keys: list[str]
    table: str
    item: str
    error: str


Record = TypeVar("Record", bound=BaseModel)

_answered: ContextVar[list[str] | None] = ContextVar("_answered", default=None)


def note_answer(answer: Answer) -> None:
    """Add the key of an answer that has just come to the list of :func:`noting_answers`, if it is a good one."""
    keys = _answered.get()
    if keys is not None and answer.status < requests.codes.bad_request:
        keys.append(answer.key)


@contextmanager
def noting_answers() -> Iterator[list[str]]:
    """Yield a list to which the keys of the good answers (2xx) are added that come in this thread within the block."""
    keys: list[str] = []
    token = _answered.set(keys)
    try:
        yield keys
    finally:
        _answered.reset(token)


class Archive:
    """Raw answers in a folder or a bucket.

    Whatever a refresh does with it never raises: what cannot be written is not kept, what cannot be read is as if it
    were not there, and ``problem`` says why, for the table must not lose the answer too. What is read for a replay or
    for people raises ``FileNotFoundError`` for what is not there (any more), else what fsspec's file system raises.
    """

    def __init__(self, url: str) -> None:
        # without its cache of listings: other processes write to the same archive
        self._files, root = fsspec.url_to_fs(url, use_listings_cache=False)
        self._root = root.rstrip("/")
        self._is_local = isinstance(self._files, LocalFileSystem)
        self.problem: str | None = None

    # Answers

    def keep(self, source: str, asked: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Keep an answer; nothing of it may hold a secret any more."""
        at = dt.datetime.now(dt.UTC)
        answer = Answer(
            key=_key(source, asked, at),
            source=source,
            asked=asked,
            fetched_at=at,
            status=status,
            headers={name: value for name, value in headers.items() if name.lower() not in _OF_THE_WIRE},
            body=f"{source}/{at:%Y-%m-%d}/bodies/{hashlib.sha256(body).hexdigest()}.gz",
        )
        if self._write(answer.body, gzip.compress(body, COMPRESSION, mtime=0)):
            self._record(answer)
        return answer

    def confirm(self, answer: Answer) -> None:
        """Record that an answer still holds, so that a replay of what is collected now finds it."""
        at = dt.datetime.now(dt.UTC)
        key = _key(answer.source, answer.asked, at)
        self._record(answer.model_copy(update={"key": key, "fetched_at": at}))

    def _record(self, answer: Answer) -> None:
        if self._write(answer.key, answer.model_dump_json().encode()):
            note_answer(answer)

    def set_latest(self, answer: Answer) -> None:
        """Make an answer the one that :meth:`latest` returns."""
        self._write(f"{answer.source}/latest/{request_hash(answer.asked)}.json", answer.model_dump_json().encode())

    def latest(self, source: str, asked: str) -> tuple[Answer, requests.Response] | None:
        """Return the newest answer to a request that was set as such, or None if it cannot be read as a whole."""
        with self._going_on(f"the answer to {asked} could not be read"):
            answer = self._read(Answer, f"{source}/latest/{request_hash(asked)}.json")
            return answer, self.response(answer)
        return None

    def reusable(self, source: str, since: dt.datetime) -> dict[str, list[str]]:
        """Return the keys of the answers that came since a time as :meth:`keys` does, as far as they can be read."""
        with self._going_on(f"the answers of {source} could not be read"):
            return self.keys(source, since, dt.datetime.now(dt.UTC))
        return {}

    def last_good(self, keys: Sequence[str]) -> tuple[Answer, requests.Response] | None:
        """Return the last of these answers that is no error, or None if there is none that can be read as a whole."""
        for key in reversed(keys):
            with self._going_on(f"{key} could not be read"):
                answer = self.answer(key)
                if answer.status < requests.codes.bad_request:
                    return answer, self.response(answer)
        return None

    def keys(self, source: str, since: dt.datetime, until: dt.datetime) -> dict[str, list[str]]:
        """Return the keys of the answers that came in a time, by the hash of their request, the oldest first."""
        first, last = f"{since:{_DAY_TIME}}", f"{until:{_DAY_TIME}}"
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for day in self._days(source, since.date(), until.date()):
            for name in self._names(f"{source}/{day}/responses"):
                request, _, time = name.removesuffix(".json").partition("-")
                # as texts: reading 48,000 times of a day takes half a second
                if first <= (at := f"{day} {time}") <= last:
                    found[request].append((at, f"{source}/{day}/responses/{name}"))
        return {request: [key for _, key in sorted(keys)] for request, keys in found.items()}

    def answer(self, key: str) -> Answer:
        """Return what is recorded of an answer."""
        return self._read(Answer, key)

    def response(self, answer: Answer) -> requests.Response:
        """Return an answer as if it had just come; ``OSError`` if its body is not what was archived."""
        body = gzip.decompress(self._files.cat_file(self._path(answer.body)))
        if hashlib.sha256(body).hexdigest() not in answer.body:
            raise OSError(f"{answer.body} is damaged: its content does not have the hash that it is named by")
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = io.BytesIO(body)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        return response

    # Collections

    def begin(self, table: str, source: str, now: dt.datetime, items: Sequence[Any]) -> Collection:
        """Record that a refresh of a table begins, and return it for :meth:`end`."""
        at = dt.datetime.now(dt.UTC)
        key = f"{source}/{at:%Y-%m-%d}/collections/{at:{_TIME}}-{table}.json"
        collection = Collection(key=key, table=table, source=source, now=now, items=list(items), started=at)
        self._write(key, collection.model_dump_json().encode())
        return collection

    def end(self, collection: Collection) -> None:
        """Record that a refresh has ended, whatever came of it."""
        ended = collection.model_copy(update={"ended": dt.datetime.now(dt.UTC)})
        self._write(collection.key, ended.model_dump_json().encode())

    def collections(self, sources: Sequence[str], since: dt.datetime) -> list[Collection]:
        """Return the refreshes that began at a time or later, in their order."""
        today = dt.datetime.now(dt.UTC).date()
        found = [
            self._read(Collection, f"{source}/{day}/collections/{name}")
            for source in sources
            for day in self._days(source, since.date(), today)
            for name in self._names(f"{source}/{day}/collections")
        ]
        return sorted((each for each in found if each.started >= since), key=lambda each: each.started)

    # What could not be parsed

    def mark_unparsed(self, unparsed: Unparsed) -> None:
        """List answers among those that could not be parsed; they are not what the provider is asked a change of."""
        for key in unparsed.keys:
            source, _, _, name = key.split("/")
            with self._going_on(f"{key} is still taken for the latest answer"):
                self._files.rm_file(self._path(f"{source}/latest/{name.partition('-')[0]}.json"))
        self._write(_marker(unparsed.keys[-1]), unparsed.model_dump_json().encode())

    def unmark(self, key: str) -> None:
        """Take an answer that could be parsed after all off that list, if it is there."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(_marker(key)))

    def unparsed(self, source: str) -> list[Unparsed]:
        """Return what could not be parsed, the oldest first."""
        return [self._read(Unparsed, f"{source}/unparsed/{name}") for name in self._names(f"{source}/unparsed")]

    # The whole

    def sources(self) -> list[str]:
        """Return the sources of which anything is archived."""
        return self._names("")

    def expire(self, source: str, before: dt.date) -> list[str]:
        """Delete all days of a source before a day, and return them."""
        expired = [str(day) for day in self._days(source, dt.date.min, before - dt.timedelta(days=1))]
        for name in self._names(f"{source}/unparsed"):
            if name[:10] < str(before):
                self._files.rm_file(self._path(f"{source}/unparsed/{name}"))
        for day in expired:
            self._files.rm(self._path(f"{source}/{day}"), recursive=True)
        return expired

    def _days(self, source: str, first: dt.date, last: dt.date) -> list[str]:
        return [name for name in self._names(source) if _DAY.fullmatch(name) and str(first) <= name <= str(last)]

    def _names(self, folder: str) -> list[str]:
        try:
            paths = self._files.ls(self._path(folder), detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rpartition("/")[2] for path in paths if not path.endswith(_HALF))

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}".rstrip("/")

    def _read(self, record: type[Record], key: str) -> Record:
        return record.model_validate_json(self._files.cat_file(self._path(key)))

    def _write(self, key: str, content: bytes) -> bool:
        """Write a file as a whole; tell whether that was possible."""
        path = self._path(key)
        with self._going_on(f"{key} could not be archived"):
            if not self._is_local:
                self._files.pipe_file(path, content)
                return True
            # Renamed into place: a process that is killed, or a disk that is full, must not leave half a file.
            self._files.makedirs(self._files._parent(path), exist_ok=True)
            half = f"{path}.{threading.get_ident()}{_HALF}"
            self._files.pipe_file(half, content)
            os.replace(half, path)
            return True
        return False

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """Let a refresh go on whatever fails within the block; what is not there is no failure."""
        try:
            yield
        except FileNotFoundError:
            return
        except Exception as error:  # noqa: BLE001 – each of fsspec's file systems has errors of its own
            if self.problem is None:  # the first of thousands
                self.problem = f"{what}: {type(error).__name__}: {error}"
                _log.warning("%s; the refresh goes on as if nothing were archived", self.problem)


def _key(source: str, asked: str, at: dt.datetime) -> str:
    return f"{source}/{at:%Y-%m-%d}/responses/{request_hash(asked)}-{at:{_TIME}}.json"


def request_hash(asked: str) -> str:
    """Return how a request is called in names of files."""
    return hashlib.sha256(asked.encode()).hexdigest()[:16]


def _marker(key: str) -> str:
    source, day, _, name = key.split("/")
    return f"{source}/unparsed/{day}-{name}"
