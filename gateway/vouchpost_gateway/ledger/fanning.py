"""Fanning out, as the ledger does it: events for the same crowd go together, in steps that are short for Redis."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vouchpost_gateway.domain.lane import Lane, Ring, deliveries
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Argument
from vouchpost_gateway.ledger.lanes import BellLimits, rings
from vouchpost_gateway.ledger.lots import Lots
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import LATEST_CAP

_FAN_OUT = load("fan_out")
_MOST = 32
_STEP = 256
_LANE = 10
"""A lane is as much work for the server as ten deliveries; one script is 256 of them, or a millisecond."""
_REST_S = 0.005
"""Between two steps, unless others wait: the server is everybody's."""


class Crowd(NamedTuple):
    """Whom an event goes to."""

    world: World
    targets: tuple[int, ...]


class QueuedEvent(NamedTuple):
    """An event as lanes hold it: the item that stands for it, and in which of a lane's queues it goes."""

    item: str
    queue: int


@dataclass(frozen=True, slots=True)
class Fanning:
    """Puts events in line of subscriptions, in lots. Harmless when repeated: who had an event is not given it again."""

    store: Store
    ring: Callable[[Sequence[Ring]], None]
    bells: BellLimits = field(default_factory=BellLimits)
    _lots: Lots[Crowd, QueuedEvent, None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lots", Lots(self._write, most=_MOST))

    async def hand_out(self, world: World, targets: Sequence[int], item: str, queue: int) -> None:
        """One delivery for each of these subscriptions that is still there, each rung for as soon as it has it."""
        await self._lots.ask(Crowd(world, tuple(targets)), QueuedEvent(item, queue))

    async def _write(self, crowd: Crowd, events: Sequence[QueuedEvent]) -> list[None]:
        step = max(_STEP // (_LANE + len(events)), 1)
        for at in range(0, len(crowd.targets), step):
            if at and not self._lots.waiting(crowd):
                await asyncio.sleep(_REST_S)
            lanes = [deliveries(crowd.world, number) for number in crowd.targets[at : at + step]]
            self.ring(await self._write_to(lanes, events))
        return [None] * len(events)

    async def _write_to(self, lanes: Sequence[Lane], events: Sequence[QueuedEvent]) -> list[Ring]:
        names = [name for lane in lanes for name in keys.lane(lane)]
        arguments: list[Argument] = [self.bells.ring_ms, keys.WAKE_CHANNEL, LATEST_CAP, len(events)]
        for event in events:
            arguments += event
        arguments += (lane.id for lane in lanes)
        return rings(await self.store.run(_FAN_OUT, names, arguments))
