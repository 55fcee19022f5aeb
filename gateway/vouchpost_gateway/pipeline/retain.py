"""The janitor: removes what is past its time, record and index entries together, in bounded steps."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.errors import LedgerUnavailable, VouchpostError
from vouchpost_gateway.domain.ids import DeliveryRef
from vouchpost_gateway.domain.retention import Kept, Retention, may_go
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.report import Report

_BATCH = 50
_PAUSE_S = 0.005


class RetainRecords(Protocol):
    async def worlds(self) -> Sequence[World]: ...

    async def take_turn(self, seconds: int) -> bool:
        """Whether it is this process's turn to clean up, for so long."""

    async def oldest(self, world: World, *, before_ms: int, after: str | None, limit: int) -> list[str]:
        """The stems of records made before a time, oldest first."""

    async def kept(self, world: World, stem: str) -> Kept | None:
        """What a record still holds; None when it is gone already."""

    async def expire(self, world: World, stem: str, now_ms: int) -> Sequence[DeliveryRef]:
        """Makes dead letters of the deliveries of a record that are still waiting, out of their lanes; which ones."""

    async def erase(self, world: World, stem: str, kept: Kept) -> bool: ...

    async def trim(self, world: World, *, delivered_before_ms: int, dead_before_ms: int, hours_before_ms: int) -> None:
        """Removes index entries of deliveries past their time, hours that hold nothing, and marks of old removals."""


class Archive(Protocol):
    """Where history may move before it is removed here."""

    async def keep(self, world: World, stem: str) -> None: ...


class NoArchive:
    """Keeps nothing: past retention, history is gone."""

    async def keep(self, world: World, stem: str) -> None:
        """Nothing to do."""


@dataclass(frozen=True, slots=True)
class Retain:
    """Cleans up all worlds. Two janitors at once are harmless: no record is erased that changed after it was read."""

    records: RetainRecords
    rules: Retention
    report: Report
    archive: Archive
    interval_s: float

    async def forever(self, now_ms: "Clock") -> None:
        """Looks again and again; each round is bounded in steps, and pauses between them."""
        while True:
            await asyncio.sleep(self.interval_s)
            try:
                if await self.records.take_turn(max(1, int(self.interval_s))):
                    await self.once(now_ms())
            except LedgerUnavailable as error:
                self.report.failed("retain", "all", error)

    async def once(self, now_ms: int) -> int:
        """One round over all worlds; how many records were removed. A world that fails holds up no other."""
        removed = 0
        for world in await self.records.worlds():
            try:
                removed += await self._clean(world, now_ms)
                await self._trim(world, now_ms)
            except VouchpostError as error:
                self.report.failed("retain", world.name, error)
        return removed

    async def _trim(self, world: World, now_ms: int) -> None:
        await self.records.trim(
            world,
            delivered_before_ms=now_ms - self.rules.delivered_ms,
            dead_before_ms=now_ms - self.rules.dead_letters_ms,
            hours_before_ms=now_ms - self.rules.shortest_ms,
        )

    async def _clean(self, world: World, now_ms: int) -> int:
        removed, after = 0, None
        while stems := await self.records.oldest(
            world, before_ms=now_ms - self.rules.shortest_ms, after=after, limit=_BATCH
        ):
            removed += sum(await asyncio.gather(*(self._judged(world, stem, now_ms) for stem in stems)))
            after = stems[-1]
            await asyncio.sleep(_PAUSE_S)
        return removed

    async def _judged(self, world: World, stem: str, now_ms: int) -> int:
        """How many records were removed, 0 or 1. One that cannot be read, or opened, is left, and holds up no other."""
        try:
            return await self._judge(world, stem, now_ms)
        except VouchpostError as error:
            self.report.failed("retain", f"{world.name}:{stem}", error)
            return 0

    async def _judge(self, world: World, stem: str, now_ms: int) -> int:
        kept = await self.records.kept(world, stem)
        if kept is None or not may_go(kept, self.rules, now_ms=now_ms):
            return 0
        if kept.open_deliveries:
            for ref in await self.records.expire(world, stem, now_ms):
                self.report.expired(world, ref)
            return 0
        await self.archive.keep(world, stem)
        return int(await self.records.erase(world, stem, kept))


class Clock(Protocol):
    def __call__(self) -> int: ...
