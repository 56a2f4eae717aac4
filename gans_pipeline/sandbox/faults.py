"""Faults that the sandbox plays: what each kind makes of an answer, and how the answer goes over the wire.

Here belong the kinds that every provider knows. What a provider alone can say or get wrong is in its own module, in
``FAULTS``. ``docs/reliability.md`` says what the platform makes of each.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError, model_validator
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANSWER = "answer"
"""The kind that has no meaning of its own: the fault itself says what is answered."""

BYTES_PER_S = 20
CENTURY_S = 36525 * 86400


class Fault(BaseModel, extra="forbid"):
    """A kind of fault, and the requests to ``provider`` that it hits.

    ``match`` is looked for in ``path?query`` (decoded), in ``latitude,longitude`` and in the article's title. Of the
    requests that match, the share ``rate`` is hit, drawn for each by its number among its equals; no more than
    ``times``. The last three belong to the kind 'answer'.
    """

    provider: str
    kind: str
    match: str = ""
    rate: float = Field(default=1, ge=0, le=1)
    times: int | None = Field(default=None, ge=1)
    status: int | None = Field(default=None, ge=200, le=599)
    body: str = ""
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _only_an_answer_has_a_status(self) -> "Fault":
        if (self.kind == ANSWER) != (self.status is not None):
            raise ValueError(f"a status belongs to the kind {ANSWER!r}, and to no other")
        return self


class Reply(NamedTuple):
    """An answer before it is sent. ``delivery``: 'half' and 'none' of the body, then the connection is closed."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    delivery: Literal["whole", "slowly", "half", "none", "never"] = "whole"


Kind = Reply | Callable[[Reply], Reply]
"""What is answered instead, or what is made of the provider's true answer."""


def says(response: Response) -> Reply:
    """Return the kind of fault that this is answered instead."""
    return Reply(response.status_code, dict(response.headers), bytes(response.body))


def rewrites(pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> Kind:
    """Return the kind of fault that a true answer's text is changed wherever ``pattern`` is; its dots match all."""

    def change(reply: Reply) -> Reply:
        text = re.sub(pattern, replacement, reply.body.decode(), flags=re.DOTALL)
        return reply._replace(body=text.encode()) if reply.status == 200 else reply

    return change


def _a_century_later(found: re.Match[str]) -> str:
    return str(int(found[0]) + CENTURY_S)


UNIX_TIMES_A_CENTURY_LATER = rewrites(r"\b[12]\d{9}\b", _a_century_later)

_BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_PORTAL = (
    "<!DOCTYPE html><html><head><title>Welcome to the guest network</title></head>"
    '<body><form action="/login">Please accept the terms of use to go online.</form></body></html>'
)
_HTML = "text/html; charset=utf-8"

KINDS: Mapping[str, Kind] = {
    "hang": Reply(0, {}, b"", "never"),
    "slow-body": lambda reply: reply._replace(delivery="slowly"),
    "drop": Reply(0, {}, b"", "none"),
    "cut-body": lambda reply: reply._replace(delivery="half"),
    "500": says(Response("Internal Server Error", 500, media_type="text/plain")),
    "502-html": says(Response(_BAD_GATEWAY, 502, media_type=_HTML)),
    "captive-portal": says(Response(_PORTAL, media_type=_HTML)),
    "truncated": lambda reply: reply._replace(body=reply.body[: len(reply.body) // 2]),
    "204": says(Response(status_code=204)),
}
"""The kinds that need no provider's words."""


def kinds_of_limits(refusal: Response) -> Mapping[str, Kind]:
    """Return the kinds that a provider's answer to one request too many makes: without and with ``Retry-After``."""
    reply = says(refusal)
    headers = {name: value for name, value in reply.headers.items() if name.lower() != "retry-after"}
    return {
        "429": reply._replace(headers=headers),
        "429-retry-after": reply._replace(headers={**headers, "retry-after": "2"}),
        "429-retry-in-an-hour": reply._replace(headers={**headers, "retry-after": "3600"}),
    }


def check(faults: Iterable[Fault], known: Mapping[str, Collection[str]]) -> None:
    """Raise ValueError that lists what there is if a provider or kind is not ``known`` (kinds by provider)."""
    for fault in faults:
        if fault.provider not in known:
            raise ValueError(f"no such provider: {fault.provider}; there are {', '.join(known)}")
        if fault.kind != ANSWER and fault.kind not in known[fault.provider]:
            there = ", ".join(sorted(known[fault.provider]))
            raise ValueError(f"no such fault of {fault.provider}: {fault.kind}; there are {there}")


def read(texts: Iterable[str], known: Mapping[str, Collection[str]]) -> list[Fault]:
    """Return the faults that ``PROVIDER=KIND[:RATE]`` mean; the provider 'all' is every one that knows the kind.

    Raises ValueError that names the text and lists what there is.
    """
    faults: list[Fault] = []
    for text in texts:
        provider, _, wanted = text.partition("=")
        kind, colon, rate = wanted.partition(":")
        providers = [name for name in known if kind in known[name]] if provider == "all" else [provider]
        if not providers:
            there = ", ".join(sorted(set().union(*known.values())))
            raise ValueError(f"--fault {text}: no provider knows {kind or 'a fault without a kind'}; there are {there}")
        try:
            if kind == ANSWER:
                raise ValueError("what is answered can be said to the control endpoint only")
            planned = [Fault(provider=name, kind=kind, rate=float(rate) if colon else 1.0) for name in providers]
            check(planned, known)
        except ValidationError as error:
            raise ValueError(f"--fault {text}: {error.errors()[0]['msg']}: {rate}") from None
        except ValueError as error:
            raise ValueError(f"--fault {text}: {error}") from None
        faults += planned
    return faults


async def play(kind: Kind, answer: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with a fault; ``answer`` is asked for the true answer if the fault is made of it."""
    reply = kind if isinstance(kind, Reply) else kind(await _true_reply(answer, scope, receive))
    await _deliver(reply, scope, receive, send)


async def _true_reply(answer: ASGIApp, scope: Scope, receive: Receive) -> Reply:
    start: Message = {}
    body = b""

    async def keep(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
        else:
            body += message.get("body", b"")

    await answer(scope, receive, keep)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Reply(start["status"], headers, body)


async def _deliver(reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
    if reply.delivery == "never":
        await _has_left(receive)
        return
    if reply.delivery == "none":
        await _hang_up(scope, receive)
        return
    headers = {name: value for name, value in reply.headers.items() if name.lower() != "content-length"}
    if reply.status not in (204, 304):
        headers["content-length"] = str(len(reply.body))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    if reply.delivery == "half":
        await send({"type": "http.response.body", "body": reply.body[: len(reply.body) // 2], "more_body": True})
        await _hang_up(scope, receive)
        return
    if reply.delivery == "slowly":
        for byte in reply.body:
            await send({"type": "http.response.body", "body": bytes((byte,)), "more_body": True})
            if await _has_left(receive, within_s=1 / BYTES_PER_S):
                return
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.body", "body": reply.body})


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection after what was sent; ASGI has no message for it, so that the server lends a hand."""
    scope["app"].state.hang_up(scope["client"])
    await _has_left(receive)


async def _has_left(receive: Receive, within_s: float | None = None) -> bool:
    """Wait until the client has closed the connection, or for some seconds; return whether it has."""
    try:
        async with asyncio.timeout(within_s):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
