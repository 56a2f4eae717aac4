"""What may be spent at the providers: counted in ``api_usage`` before a call is made, by all runs together."""

import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from gans_pipeline.settings import ProviderSettings, Settings
from gans_pipeline.sources.http import BudgetError
from gans_pipeline.tables import api_usage

_allowance: ContextVar[list[float] | None] = ContextVar("_allowance", default=None)

ROUNDING = 1e-6
"""Sums of weights such as 1.2 may exceed a limit by less than this."""


class Budget:
    """Units of the providers' plans, set aside in the database before they are spent.

    They are set aside in blocks of a hundredth of the limit, so that 3,000 calls do not each wait for the database; a
    process that is killed leaves at most one block a provider counted and unspent. :meth:`settle` gives back the rest.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()
        self._set_aside: defaultdict[tuple[str, str], float] = defaultdict(float)

    @contextmanager
    def allowance(self, provider: str, units: float) -> Iterator[None]:
        """Set aside what one item costs, for the calls in this thread; the rest stays for others.

        Raises :class:`BudgetError` before anything is asked if it is not there: half of an item is of no use.
        """
        self._take(provider, units)
        left = [units]
        token = _allowance.set(left)
        try:
            yield
        finally:
            _allowance.reset(token)
            with self._lock:
                self._set_aside[provider, self._period(provider)] += left[0]

    def spend(self, provider: str, units: float) -> None:
        """Count a call; raises :class:`BudgetError` if it is one more than the budget covers, as a retry may be."""
        left = _allowance.get()
        if left and left[0] >= units - ROUNDING:
            left[0] -= units
        else:
            self._take(provider, units)

    def settle(self) -> None:
        """Give back what was set aside and is not spent."""
        with self._lock:
            for (provider, period), units in self._set_aside.items():
                if units:
                    self._add(provider, period, -units, limit=self._settings.provider(provider).budget)
            self._set_aside.clear()

    def _take(self, provider: str, units: float) -> None:
        period, limit = self._period(provider), self._settings.provider(provider).budget
        with self._lock:
            lacking = units - self._set_aside[provider, period]
            if lacking > ROUNDING:
                block = max(lacking, 100.0 if limit is None else limit / 100)
                for amount in (block, lacking):
                    if self._add(provider, period, amount, limit=limit):
                        self._set_aside[provider, period] += amount
                        break
                else:
                    variable = f"GANS_{provider.replace('-', '_').upper()}_BUDGET"
                    raise BudgetError(provider, f"the budget of {limit:g} units for {period} is spent ({variable})")
            self._set_aside[provider, period] -= units

    def _add(self, provider: str, period: str, units: float, *, limit: float | None) -> bool:
        """Count units in one statement, which holds across processes; tell whether the limit has room for them."""
        name, columns = self._settings.provenance(provider), api_usage.c
        this = (columns.provider == name) & (columns.period == period)
        room = sa.true() if limit is None or units < 0 else columns.units + units <= limit + ROUNDING
        try:
            with self._engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
                if not connection.execute(sa.update(api_usage).where(this).values(unit_limit=limit)).rowcount:
                    row = {"provider": name, "period": period, "units": 0.0, "unit_limit": limit}
                    connection.execute(sa.insert(api_usage).values(row))
                count = sa.update(api_usage).where(this, room).values(units=columns.units + units)
                return connection.execute(count).rowcount == 1
        except sa.exc.IntegrityError:  # another process began the period at the same moment
            return self._add(provider, period, units, limit=limit)

    def _period(self, provider: str) -> str:
        return period_of(self._settings.provider(provider), dt.datetime.now(dt.UTC))


def period_of(provider: ProviderSettings, now: dt.datetime) -> str:
    """Return the name of the period of a provider's budget: 2026-11, or 2026-11-25."""
    return f"{now:%Y-%m}" if provider.budget_period == "month" else f"{now:%Y-%m-%d}"
