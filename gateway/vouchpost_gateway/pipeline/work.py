"""What draining a lane is given: the ledger, the work to do on its items, and how much, how long, how many."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vouchpost_gateway.domain.lane import Claim, Lane, LaneLimits, LaneNews, NextStep, Ring, Settlement, Turn
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.pipeline.report import Report


class Lanes(Protocol):
    async def turn(
        self,
        lane: Lane,
        generation: int,
        *,
        limits: LaneLimits,
        want: int = ...,
        settlements: Sequence[Settlement] = ...,
        news: LaneNews = ...,
        next_step: NextStep = ...,
    ) -> Turn: ...


@value(frozen=True, slots=True)
class Done:
    """What one item's work came to: its settlement, None when it was committed on its own, and news of the lane."""

    settlement: Settlement | None
    news: LaneNews = field(default_factory=LaneNews)


class Work(Protocol):
    """What is done with the items of a lane."""

    async def limits(self, lane: Lane) -> LaneLimits: ...

    async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done: ...

    async def after_turn(self, lane: Lane, turn: Turn) -> None:
        """Told of each turn, to act on what it says about the lane as a whole."""


class Wakes(Protocol):
    def event(self, lane_id: str) -> asyncio.Event:
        """A new event, set when a script that added work to the lane found the drain lingering."""

    def forget(self, lane_id: str, woken: asyncio.Event) -> None: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of draining, in seconds, and how many items one turn may claim."""

    slice_s: float = 3.0
    linger_s: float = 1.0
    heartbeat_s: float = 1.0
    turn_gap_s: float = 0.006
    slow_after_s: float | None = None
    batch: int = 16
    patience_s: float = 60.0


@dataclass(slots=True)
class Room:
    """How many items this process may work on at a time, over all lanes; `stopping` when it must claim no more.

    A slice may linger on its empty lane only while no more than `lingering` run: then nobody waits for its place.
    Those of slow lanes, which have places of their own, do not count.
    """

    size: int
    lingering: int = 64
    used: int = 0
    slices: int = 0
    stopping: bool = False
    stragglers: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def free(self) -> int:
        return 0 if self.stopping else self.size - self.used

    async def empty(self) -> None:
        """Returns when all work that outlived its slice is settled."""
        while self.stragglers:
            await asyncio.wait(set(self.stragglers))


@dataclass(frozen=True, slots=True)
class Means:
    """All that a slice works with."""

    lanes: Lanes
    work: Work
    wakes: Wakes
    ring: Callable[[Sequence[Ring]], None]
    report: Report
    room: Room
    pace: Pace
