"""Draining lanes: what an arq job does when a bell rings."""

from dataclasses import dataclass

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.lane import Lane
from vouchpost_gateway.pipeline.slice import Slice
from vouchpost_gateway.pipeline.work import Means


@dataclass(frozen=True, slots=True)
class Drain(Means):
    """Drains lanes with one kind of work. Running a slice twice is harmless: the bell's generation lets one in."""

    async def __call__(self, lane: Lane, generation: int, *, slow: bool) -> None:
        """One slice of the lane, if the bell is still ours. Never raises for what Redis or a peer can do."""
        counted = 0 if slow else 1
        self.room.slices += counted
        woken = self.wakes.event(lane.id)
        try:
            await Slice(self, lane, generation, await self.work.limits(lane), woken, slow=slow).run()
        except LedgerUnavailable as error:
            self.report.failed("drain", lane.id, error)
        finally:
            self.room.slices -= counted
            self.wakes.forget(lane.id, woken)
