"""The third arrow, for a crowd: a stored event goes in line of the many subscriptions that its commit named."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.lane import Claim, Lane, LaneLimits, Settlement, SettlementKind, Turn
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.work import Done

_LEASE_MS = 30_000
_IN_FLIGHT = 64


class Fanning(Protocol):
    async def hand_out(self, world: World, targets: Sequence[int], item: str, queue: int) -> None: ...


@dataclass(frozen=True, slots=True)
class FanOut:
    """The work of a fan-out lane. An event that is handed out twice is in line once."""

    fanning: Fanning

    async def limits(self, lane: Lane) -> LaneLimits:  # noqa: ARG002  all fan-out lanes have the same
        return LaneLimits(lease_ms=_LEASE_MS, lane_cap=_IN_FLIGHT)

    async def after_turn(self, lane: Lane, turn: Turn) -> None:
        """A fan-out lane has no health of its own."""

    async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done:  # noqa: ARG002  whatever the turn said
        """Hands one event out to all that its claim names."""
        await self.fanning.hand_out(lane.world, json.loads(claim.note), claim.item, claim.queue)
        return Done(Settlement(SettlementKind.DONE, claim.item, claim.token))
