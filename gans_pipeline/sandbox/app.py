"""The sandbox as an ASGI application: the providers under their paths, the control under ``/_/``.

Here belongs what holds for every provider: latency, planned faults, limits, the journal. Control, for tests:

- ``GET /_/health``: what this is; ``GET /_/requests``: what was asked; ``DELETE /_/requests``: forget it
- ``PUT /_/now`` ``{"now": "2026-10-25T00:30:00+02:00"}``: the clock stands there; null is the real time
- ``PUT /_/limits`` ``{"aerodatabox": "own", "open-meteo": {"per_day": 10}}``: enforce; providers left out are lifted
- ``PUT /_/faults`` ``[{"provider": "open-meteo", "kind": "500", "match": "52.52,13.41", "rate": 0.5, "times": 2}]``:
  what goes wrong; ``{"provider": "wikipedia", "kind": "answer", "status": 418, "body": "…", "headers": {}}`` is free
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from types import ModuleType
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gans_pipeline.sandbox import (
    aerodatabox,
    faults,
    openmeteo,
    openmeteo_archive,
    openweathermap,
    ourairports,
    wikidata,
    wikipedia,
)
from gans_pipeline.sandbox.faults import Fault
from gans_pipeline.sandbox.geography import World, build_world
from gans_pipeline.sandbox.state import OWN_LIMITS, PROVIDERS, Limits, State

_MODULES: Mapping[str, ModuleType] = {
    "wikipedia": wikipedia,
    "wikidata": wikidata,
    "openweathermap": openweathermap,
    "open-meteo": openmeteo,
    "open-meteo-archive": openmeteo_archive,
    "ourairports": ourairports,
    "aerodatabox": aerodatabox,
}

KINDS: Mapping[str, Mapping[str, faults.Kind]] = {
    name: {**faults.KINDS, **faults.kinds_of_limits(module.refusal("per_minute", 60)), **module.FAULTS}
    for name, module in _MODULES.items()
}
"""The kinds of fault that each provider knows."""

Body = TypeVar("Body")


class _Now(BaseModel, extra="forbid"):
    now: datetime | None


_LIMITS = TypeAdapter(dict[str, Limits | Literal["own"]])
_FAULTS = TypeAdapter(list[Fault])
_NOW = TypeAdapter(_Now)


def create_app(
    *,
    cities: int = 30,
    seed: int = 0,
    now: datetime | None = None,
    latency_ms: float = 0,
    fault: Sequence[str] = (),
) -> Starlette:
    """Return the sandbox with the ``cities`` largest cities in its list.

    ``now`` stops the clock there (a naive time is UTC); None is the real time. Answers take ``latency_ms`` at least.
    ``fault`` are texts ``PROVIDER=KIND[:RATE]`` as of the command line.
    """
    state = State(now, seed=seed)
    state.set_faults(faults.read(fault, KINDS))
    world = build_world(cities, seed)
    mounts = [
        Mount(path, _Provider(name, Router(_MODULES[name].routes(world, state)), state, latency_ms))
        for name, path in PROVIDERS.items()
    ]
    return Starlette(routes=[Mount("/_", routes=_control(world, state)), *mounts])


class _Provider:
    """What every provider does around its answers; a pure ASGI application, which costs 20 µs a request."""

    def __init__(self, name: str, answer: ASGIApp, state: State, latency_ms: float) -> None:
        self._name = name
        self._answer = answer
        self._state = state
        self._latency_s = latency_ms / 1000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state, name = self._state, self._name
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        query = scope["query_string"].decode("latin-1")

        request = state.record(name, scope["method"], path, query)
        due = time.monotonic() + self._latency_s

        async def send_and_look(message: Message) -> None:
            if message["type"] == "http.response.start":
                request["status"] = message["status"]
                # Made at once and held back: one that waits first takes the latency and the time to make it, and is
                # made when those of other clients are, with 16 of them in 135 ms instead of 100.
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await send(message)

        state.active[name] += 1
        try:
            fault = state.fault_for(name, path, query)
            if fault is not None:
                await faults.play(_kind(fault), self._answer, scope, receive, send_and_look)
            else:
                await (self._refused(query) or self._answer)(scope, receive, send_and_look)
        finally:
            state.active[name] -= 1

    def _refused(self, query: str) -> Response | None:
        weigh = getattr(_MODULES[self._name], "weight", None)
        weight = weigh(QueryParams(query)) if weigh else 1.0
        broken = self._state.exceeded(self._name, weight)
        if broken is None:
            return None
        refused: Response = _MODULES[self._name].refusal(*broken)
        return refused


def _kind(fault: Fault) -> faults.Kind:
    if fault.status is None:
        return KINDS[fault.provider][fault.kind]
    media_type = "application/json" if fault.body.lstrip()[:1] in ("{", "[") else "text/html; charset=utf-8"
    return faults.says(Response(fault.body, fault.status, fault.headers, media_type=media_type))


def _control(world: World, state: State) -> list[Route]:
    async def health(_request: Request) -> Response:
        return JSONResponse(
            {
                "sandbox": "gans",
                "cities": len(world.cities),
                "seed": world.seed,
                "now": state.now().isoformat(),
            }
        )

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            state.forget()
            return Response(status_code=204)
        return JSONResponse(state.journal())

    def set_now(body: _Now) -> None:
        state.set_now(body.now)

    def set_limits(body: dict[str, Limits | Literal["own"]]) -> None:
        _must_exist(body)
        state.set_limits({name: OWN_LIMITS[name] if limits == "own" else limits for name, limits in body.items()})

    def set_faults(body: list[Fault]) -> None:
        faults.check(body, KINDS)
        state.set_faults(body)

    return [
        Route("/health", health),
        Route("/requests", requests, methods=["GET", "DELETE"]),
        Route("/now", _setter(_NOW, set_now), methods=["PUT"]),
        Route("/limits", _setter(_LIMITS, set_limits), methods=["PUT"]),
        Route("/faults", _setter(_FAULTS, set_faults), methods=["PUT"]),
    ]


def _must_exist(providers: Any) -> None:
    unknown = sorted(set(providers) - set(PROVIDERS))
    if unknown:
        raise ValueError(f"no such provider: {', '.join(unknown)}; there are {', '.join(PROVIDERS)}")


def _setter(adapter: TypeAdapter[Body], apply: Callable[[Body], None]) -> Callable[[Request], Awaitable[Response]]:
    """Return the handler of a PUT: 204 when it holds from now on, 422 with the reason when the body is not allowed."""

    async def put(request: Request) -> Response:
        try:
            apply(adapter.validate_json(await request.body()))
        except ValidationError as error:
            return Response(error.json(include_url=False), 422, media_type="application/json")
        except ValueError as error:
            return JSONResponse({"message": str(error)}, 422)
        return Response(status_code=204)

    return put
