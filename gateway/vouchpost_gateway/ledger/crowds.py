"""Crowds: more subscriptions of one event than the step that commits it can write to.

A step that wrote to hundreds of lanes would stop Redis for everybody. So an event for a crowd is stored with a place
in the world's fan-out lane, and most of its subscriptions have it from there: those that are slow anyway a moment
later, together with all other events of that moment.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import NamedTuple

from vouchpost_gateway.domain.lane import deliveries
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.lanes import is_slow
from vouchpost_gateway.ledger.store import Store

AT_ONCE = 50
"""How many subscriptions get their deliveries in the step of the commit: some 2 ms of the server's time."""

_PACE_MS = 2000
"""What is slow has its events in lots, no later for it than the answers that made it slow."""

_REMEMBERED = 100
_REMEMBERED_S = 5.0


class Share(NamedTuple):
    """Whom a commit itself hands its event to, and whom the fan-out lane does: every `pace_ms`, or at once (0).

    `later` is the note of the fan-out lane: their numbers as JSON, "" for nobody.
    """

    now: Sequence[int]
    later: str = ""
    pace_ms: int = 0


class Crowds:
    """Who of a crowd is served first. Remembered for 5 s, since reading hundreds of bells has its price too."""

    def __init__(self, store: Store, *, at_once: int = AT_ONCE) -> None:
        self._store = store
        self._at_once = at_once
        self._known: dict[tuple[World, tuple[int, ...]], tuple[float, Share]] = {}

    async def share(self, world: World, targets: tuple[int, ...]) -> Share:
        """Up to `at_once` targets: all now.

        More: the first `at_once` that were not slow now, the rest by the fan-out lane.
        """
        if len(targets) <= self._at_once:
            return Share(targets)
        now = asyncio.get_running_loop().time()
        until, share = self._known.get((world, targets), (now, Share(())))
        if until <= now:
            share = await self._read(world, targets)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[world, targets] = now + _REMEMBERED_S, share
        return share

    async def _read(self, world: World, targets: Sequence[int]) -> Share:
        ids = [deliveries(world, number).id for number in targets]
        bells = await self._store.call("HMGET", keys.bells(world.partition), *ids)
        slow = {number for number, bell in zip(targets, bells, strict=True) if bell and is_slow(bell)}
        quick = [number for number in targets if number not in slow]
        now, rest = quick[: self._at_once], quick[self._at_once :]
        # Only the slow can wait to be served together: for a single quick one the lane goes at once.
        return Share(now, json.dumps([*rest, *sorted(slow)]), 0 if rest else _PACE_MS)
