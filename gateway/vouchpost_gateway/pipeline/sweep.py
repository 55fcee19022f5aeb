"""The sweeper: level-triggered, on every worker. It alone is enough for progress if every bell were lost."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.lane import LaneKind, Ring
from vouchpost_gateway.pipeline.report import Report


class SweepLanes(Protocol):
    async def sweep(self, partition: int, kinds: Collection[LaneKind]) -> list[Ring]: ...


@dataclass(frozen=True, slots=True)
class Sweep:
    """Rings the lanes that are due and silent. Any number of sweepers is harmless: each ring is a new generation.

    Only lanes of kinds that its worker drains: a ring that arq's Redis does not take is answered by whoever swept, and
    would keep the lane from those who can.
    """

    lanes: SweepLanes
    kinds: Collection[LaneKind]
    ring: Callable[[Sequence[Ring]], None]
    report: Report
    partitions: int
    interval_s: float

    async def once(self) -> int:
        """One look at every partition; how many lanes were rung."""
        found = await asyncio.gather(*(self.lanes.sweep(partition, self.kinds) for partition in range(self.partitions)))
        rings = [ring for partition in found for ring in partition]
        self.ring(rings)
        self.report.rung(len(rings), swept=True)
        return len(rings)

    async def forever(self) -> None:
        """Looks again and again; a ledger that does not answer is looked at again too."""
        while True:
            try:
                await self.once()
            except LedgerUnavailable as error:
                self.report.failed("sweep", "all", error)
            await asyncio.sleep(self.interval_s)
