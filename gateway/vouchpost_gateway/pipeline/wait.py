"""Waiting for a verdict: no polling loop per waiter, a limit on how many wait, and an end to each wait."""

import asyncio
from contextlib import AbstractAsyncContextManager
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
    waiting: int = field(default=0)

    async def __call__(self, world: World, stem: str, *, seconds: float) -> Verification:
        """The verification once it has a verdict, or as it is after `seconds`; Overloaded past the limit of waiters."""
        verification = await self._view(world, stem)
        if verification.verdict is not None or seconds <= 0:
            return verification
        if self.waiting >= self.max_waiters:
            raise Overloaded(f"{self.max_waiters} requests wait already", retry_after_s=1)
        self.waiting += 1
        try:
            return await self._until_told(world, stem, seconds)
        finally:
            self.waiting -= 1

    async def _until_told(self, world: World, stem: str, seconds: float) -> Verification:
        async with self.verdicts.announced(world, stem) as told:
            verification = await self._view(world, stem)
            if verification.verdict is not None:
                return verification
            try:
                async with asyncio.timeout(seconds):
                    await told.wait()
            except TimeoutError:
                pass
            return await self._view(world, stem)

    async def _view(self, world: World, stem: str) -> Verification:
        verification = await self.records.view(world, stem)
        if verification is None:
            raise NotFound("verification")
        return verification
