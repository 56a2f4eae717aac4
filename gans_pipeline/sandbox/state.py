"""What the sandbox remembers between requests: its clock, limits, planned faults, and what it was asked.

Answers do not depend on any of it but the clock. What a provider says when a limit is reached belongs into its module.
"""

import math
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from pydantic import BaseModel, Field

from gans_pipeline.sandbox.chance import share
from gans_pipeline.sandbox.faults import Fault
from gans_pipeline.settings import SANDBOX_PER_SECOND, SANDBOX_ROUTES

PROVIDERS = {name.replace("_", "-"): route for name, route in SANDBOX_ROUTES.items()}
"""Path of each provider, by its name."""

SECRET_PARAMETERS = frozenset({"appid", "apikey", "api_key", "key", "token"})
REMEMBERED_REQUESTS = 100_000
WINDOWS_S = {"per_second": 1, "per_minute": 60, "per_hour": 3600, "per_day": 86400}


class Limits(BaseModel, extra="forbid"):
    """How much a provider allows; None is without limit. Open-Meteo counts weights, the others requests."""

    per_second: float | None = Field(default=None, ge=0)
    per_minute: float | None = Field(default=None, ge=0)
    per_hour: float | None = Field(default=None, ge=0)
    per_day: float | None = Field(default=None, ge=0)
    concurrency: int | None = Field(default=None, ge=0)
    units_per_month: int = Field(default=10_000_000, ge=0)
    lag_s: float = Field(default=0, ge=0, description="Wikipedia, Wikidata: seconds that the replicas are behind")


LIFTED = Limits(per_second=SANDBOX_PER_SECOND)
OWN_LIMITS = {
    "wikipedia": Limits(per_minute=200, concurrency=3),
    "wikidata": Limits(per_minute=200, concurrency=3),
    "openweathermap": Limits(per_minute=60),
    "open-meteo": Limits(per_minute=600, per_hour=5000, per_day=10_000, concurrency=5),
    "open-meteo-archive": Limits(per_minute=600, per_hour=5000, per_day=10_000, concurrency=5),
    "ourairports": Limits(),
    "aerodatabox": Limits(per_second=1, per_hour=1000, units_per_month=400),
}
"""What the providers allowed in the autumn of 2026: without a key or on the free plan."""


class State:
    """One sandbox's clock, limits, faults and journal."""

    def __init__(self, now: datetime | None = None, *, seed: int = 0) -> None:
        self._now = _aware(now)
        self._seed = seed
        self.limits = dict.fromkeys(PROVIDERS, LIFTED)
        self.set_faults([])
        self.active: Counter[str] = Counter()
        self._used: defaultdict[tuple[str, str, int], float] = defaultdict(float)
        self.forget()

    def now(self) -> datetime:
        """Return the time in UTC: the one that was set, or the real one."""
        return self._now or datetime.now(UTC)

    def set_now(self, now: datetime | None) -> None:
        """Set the clock to a time, where it stands still, or to the real time with None."""
        self._now = _aware(now)

    def set_limits(self, limits: Mapping[str, Limits]) -> None:
        """Enforce these limits, lift those of every other provider, and count from zero."""
        self.limits = dict.fromkeys(PROVIDERS, LIFTED) | dict(limits)
        self._used.clear()

    def exceeded(self, provider: str, weight: float) -> tuple[str, int] | None:
        """Count a request; return the limit that it breaks and the seconds until that is renewed, or None.

        Rates run on the real clock even where the sandbox's stands still: a client that waits must get on.
        """
        limits = self.limits[provider]
        if limits.concurrency is not None and self.active[provider] > limits.concurrency:
            return "concurrency", 1
        now = time.time()
        for window, length_s in WINDOWS_S.items():
            allowed = getattr(limits, window)
            if allowed is None:
                continue
            number = int(now // length_s)
            key = (provider, window, number)
            if self._used[key] + weight > allowed:
                return window, math.ceil((number + 1) * length_s - now)
            self._used.pop((provider, window, number - 1), None)
            self._used[key] += weight
        return None

    def charge(self, provider: str, units: int) -> tuple[int, int] | None:
        """Charge units of the month's plan; return (allowed, remaining), or None if the plan is used up."""
        now = self.now()
        key = (provider, "units_per_month", now.year * 12 + now.month)
        allowed = self.limits[provider].units_per_month
        if self._used[key] + units > allowed:
            return None
        self._used[key] += units
        return allowed, int(allowed - self._used[key])

    def set_faults(self, faults: Sequence[Fault]) -> None:
        """Play these faults instead of those that were set before, and count from zero."""
        self._faults = tuple(faults)
        self._met: Counter[tuple[int, str]] = Counter()
        self._hit: Counter[int] = Counter()

    def fault_for(self, provider: str, path: str, query: str) -> Fault | None:
        """Return the first planned fault that hits this request; which of equal requests are hit repeats exactly."""
        if not self._faults:
            return None
        parameters = dict(_without_secrets(query))
        latitude = parameters.get("lat", parameters.get("latitude", ""))
        longitude = parameters.get("lon", parameters.get("longitude", ""))
        shown = "&".join(f"{name}={value}" for name, value in parameters.items())
        asked = f"{unquote(path)}?{shown} {latitude},{longitude} {parameters.get('page', '').replace('_', ' ')}"
        for index, fault in enumerate(self._faults):
            if fault.provider != provider or fault.match not in asked or self._hit[index] == fault.times:
                continue
            self._met[index, asked] += 1
            drawn = share(self._seed, provider, fault.kind, fault.match, asked, self._met[index, asked])
            if drawn < fault.rate:
                self._hit[index] += 1
                return fault
        return None

    def record(self, provider: str, method: str, path: str, query: str) -> dict[str, Any]:
        """Remember a request, without its keys; return what is remembered, for the status that it will have."""
        shown = urlencode(_without_secrets(query))
        request = {"provider": provider, "method": method, "path": path, "query": shown, "status": None}
        self._requests.append(request)
        self._totals[provider] += 1
        return request

    def forget(self) -> None:
        """Forget what was asked."""
        self._requests: deque[dict[str, Any]] = deque(maxlen=REMEMBERED_REQUESTS)
        self._totals: Counter[str] = Counter()

    def journal(self) -> dict[str, Any]:
        """Return the requests (the newest 100,000) and how many there were in all, by provider.

        The status of a request that has no answer (yet) is null.
        """
        return {"totals": {name: self._totals[name] for name in PROVIDERS}, "requests": list(self._requests)}


def _without_secrets(query: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in parse_qsl(query) if name.lower() not in SECRET_PARAMETERS]


def _aware(now: datetime | None) -> datetime | None:
    if now is None:
        return None
    return now.replace(tzinfo=UTC) if now.tzinfo is None else now.astimezone(UTC)
