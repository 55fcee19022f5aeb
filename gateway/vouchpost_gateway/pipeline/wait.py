"""Waiting for a verdict: no polling loop per waiter, a limit on how many wait, fair to all, and an end to each wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from vouchpost_gateway.domain.errors import NotFound, Overloaded
from vouchpost_gateway.domain.verification import Verification
from vouchpost_gateway.domain.world import World


class WaitRecords(Protocol):
    async def view(self, world: World, stem: str) -> Verification | None: ...


class Verdicts(Protocol):
    def announced(self, world: World, stem: str) -> AbstractAsyncContextManager[asyncio.Event]:
        """An event that is set when a verdict of this verification is committed."""


@dataclass(slots=True)
class Wait:
    """Waits for verdicts on behalf of callers that asked with `?wait=`."""

    records: WaitRecords
    verdicts: Verdicts
    max_waiters: int
    _places: dict[World, dict[asyncio.Timeout, None]] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        return sum(map(len, self._places.values()))

    async def __call__(self, world: World, stem: str, *, seconds: float) -> Verification:
        """The verification once it has a verdict, or as it is after `seconds`; Overloaded past the limit of waiters."""
        verification = await self._view(world, stem)
        if verification.verdict is not None or seconds <= 0:
            return verification
        try:
            async with (
                asyncio.timeout(seconds) as limit,
                self._place(world, limit),
                self.verdicts.announced(world, stem) as told,
            ):
                verification = await self._view(world, stem)
                if verification.verdict is not None:
                    return verification
                await told.wait()
        except TimeoutError:
            pass
        return await self._view(world, stem)

    @asynccontextmanager
    async def _place(self, world: World, limit: asyncio.Timeout) -> AsyncIterator[None]:
        """One of the places for those who wait, or Overloaded."""
        if self.waiting >= self.max_waiters and not self._make_room(world):
            raise Overloaded(f"{self.max_waiters} requests wait already", retry_after_s=1)
        self._places.setdefault(world, {})[limit] = None
        try:
            yield
        finally:
            self._leave(world, limit)

    def _make_room(self, world: World) -> bool:
        """The world that waits most gives a place to one that waits less: its longest wait ends early, as in time."""
        most = max(self._places, key=lambda one: len(self._places[one]))
        if len(self._places[most]) <= len(self._places.get(world, ())) + 1:
            return False
        longest = next(iter(self._places[most]))
        if not longest.expired():  # else it ends by itself, in this very turn of the loop
            longest.reschedule(asyncio.get_running_loop().time())
        self._leave(most, longest)
        return True

    def _leave(self, world: World, limit: asyncio.Timeout) -> None:
        places = self._places.get(world, {})
        places.pop(limit, None)
        if not places:
            self._places.pop(world, None)

    async def _view(self, world: World, stem: str) -> Verification:
        verification = await self.records.view(world, stem)
        if verification is None:
            raise NotFound("verification")
        return verification
