"""How much of us a mail operator sees at once, and when we leave it alone: kept per process, by the operator's name."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

_MOST_OPERATORS: Final = 10_000
_SILENT_OPERATORS: Final = 3


@dataclass(slots=True)
class _Lane:
    slots: asyncio.Semaphore
    failures: int = 0
    closed_until: float = 0.0


@dataclass(slots=True)
class Egress:
    """Tells "port 25 is closed here" from "that host does not answer": several operators in a row, and silence only.

    A refused connection, or any greeting, proves that the port is open.
    """

    now: Callable[[], float]
    rest_s: float = 600.0
    _silent: set[str] = field(default_factory=set)
    _closed_until: float = 0.0

    @property
    def closed(self) -> bool:
        return self.now() < self._closed_until

    def reached(self) -> None:
        self._silent.clear()

    def silent(self, operator: str) -> None:
        self._silent.add(operator)
        if len(self._silent) >= _SILENT_OPERATORS:
            self._silent.clear()
            self._closed_until = self.now() + self.rest_s


@dataclass(slots=True)
class Traffic:
    """A few connections to one operator at a time; after `patience` failures in a row, none for `rest_s`."""

    now: Callable[[], float]
    at_once: int = 3
    patience: int = 5
    rest_s: float = 60.0
    _lanes: OrderedDict[str, _Lane] = field(default_factory=OrderedDict)

    def resting_s(self, operator: str) -> float:
        """For how long this operator is still left alone; 0 when it is not."""
        return max(0.0, self._lane(operator).closed_until - self.now())

    @asynccontextmanager
    async def turn(self, operator: str) -> AsyncIterator[None]:
        """One of the few connections; waits for it as long as the caller's own limit lets it."""
        async with self._lane(operator).slots:
            yield

    def told(self, operator: str, *, good: bool) -> None:
        """What came of it: any reply to a recipient is good, a block or no connection is not."""
        lane = self._lane(operator)
        lane.failures = 0 if good else lane.failures + 1
        if lane.failures >= self.patience:
            lane.failures = 0
            lane.closed_until = self.now() + self.rest_s

    def _lane(self, operator: str) -> _Lane:
        lane = self._lanes.get(operator)
        if lane is None:
            lane = self._lanes[operator] = _Lane(asyncio.Semaphore(self.at_once))
            if len(self._lanes) > _MOST_OPERATORS:
                self._lanes.popitem(last=False)
        return lane
