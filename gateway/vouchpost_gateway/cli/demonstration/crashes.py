"""The two crashes of the demo, each proven: what the ledger says is leased at the moment of the kill."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from vouchpost_gateway.cli.demonstration.tally import ENOUGH_HELD
from vouchpost_gateway.domain.errors import VouchpostError
from vouchpost_gateway.domain.ids import EventRef, parse_subscription_id
from vouchpost_gateway.domain.lane import deliveries
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.embedded.supervisor import Supervisor
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.store import Store

_LOOK_EVERY_S = 0.02
_SETTLE_S = 0.05


class NothingInFlightError(VouchpostError):
    """No moment came in which enough deliveries were in flight to make a kill prove anything."""


class Leased(NamedTuple):
    """A delivery that a worker holds: which subscription's, and of which event."""

    subscription_id: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Crashes:
    """Kills processes while they hold work."""

    supervisor: Supervisor
    store: Store
    world: World
    subscription_ids: Sequence[str]

    async def kill_deliver_worker(self, *, limit_s: float) -> set[Leased]:
        """What the one deliver worker held when it died: it is frozen, looked at, and killed without thawing."""
        async with _patience(limit_s):
            while True:
                await self._until_enough()
                pid = self.supervisor.pid("deliver")
                if pid is None:
                    continue
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(_SETTLE_S)  # what it had sent to the ledger before, has arrived
                if len(await self.leased()) >= ENOUGH_HELD:
                    await self.supervisor.kill("deliver")
                    return await self.leased()
                os.kill(pid, signal.SIGCONT)

    async def kill_redis(self, *, limit_s: float) -> set[Leased]:
        """What was leased a moment before the ledger's server died."""
        async with _patience(limit_s):
            await self._until_enough()
        leased = await self.leased()
        await self.supervisor.kill("redis")
        return leased

    async def leased(self) -> set[Leased]:
        """All deliveries in flight, as the ledger has them."""
        return {lease for one in self.subscription_ids for lease in await self._leased(one)}

    async def _leased(self, subscription_id: str) -> set[Leased]:
        lane = deliveries(self.world, parse_subscription_id(subscription_id))
        items = await self.store.call("ZRANGE", keys.lane_part(lane, "f"), 0, -1)
        return {Leased(subscription_id, EventRef.from_item(item.decode()).id) for item in items}

    async def _until_enough(self) -> None:
        while len(await self.leased()) < ENOUGH_HELD:  # noqa: ASYNC110  the ledger tells nobody
            await asyncio.sleep(_LOOK_EVERY_S)


@asynccontextmanager
async def _patience(limit_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise NothingInFlightError(NothingInFlightError.__doc__) from error
