"""The story of the demo: submit, crash while work is in flight, submit on, wait until all is applied, count."""

import asyncio
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import structlog

from vouchpost_gateway.cli.demonstration.addresses import addresses
from vouchpost_gateway.cli.demonstration.caller import Acknowledged, Caller
from vouchpost_gateway.cli.demonstration.crashes import Crashes, Leased
from vouchpost_gateway.cli.demonstration.journals import Journal, Push
from vouchpost_gateway.cli.demonstration.screen import Screen
from vouchpost_gateway.cli.demonstration.stage import PAUSE_S, SUBSCRIBERS, Stage
from vouchpost_gateway.cli.demonstration.tally import Row, Totals, applied_twice, came_since, redelivered, rows_of
from vouchpost_gateway.cli.up import test_key
from vouchpost_gateway.domain.errors import VouchpostError
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.embedded.supervisor import Supervisor
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.wiring import now_ms, opened

_LIMIT_S = 300.0
_ACKNOWLEDGED = "acknowledged"
_HELD_BACK = 40
"""So many addresses are submitted while Redis is down."""

_BEFORE_THE_KILLS = 180
"""So many events are applied in peace, for the eye to compare."""

_PATIENCE_S = 120.0
_CRASH_LIMIT_S = 60.0
_LOOK_EVERY_S = 0.1


class TookTooLongError(VouchpostError):
    """The demo did not come to its end in time."""


@dataclass(slots=True)
class Play:
    """One performance. `run` needs the stage's processes to be up and watched."""

    stage: Stage
    screen: Screen
    supervisor: Supervisor
    store: Store
    caller: Caller
    world: World
    given: Sequence[str] = field(default_factory=addresses)
    acknowledged: dict[int, Acknowledged] = field(default_factory=dict)

    async def run(self) -> tuple[list[Row], Totals]:
        """The table and the totals."""
        self.screen.say(
            f"The API is at {self.stage.machine.url}; submitting {len(self.given)} addresses from a CSV file"
        )
        names = {}
        for subscriber in self.stage.subscribers:
            names[await self.caller.subscribe(subscriber.url, subscriber.secret)] = subscriber.name
        crashes = Crashes(self.supervisor, self.store, self.world, tuple(names))
        with self.screen.bars(dict.fromkeys((_ACKNOWLEDGED, *names.values()), len(self.given))):
            watching = asyncio.create_task(self._watch())
            try:
                held, killed_ms = await self._crash(crashes)
                delivered = await self._until_delivered(tuple(names))
            finally:
                watching.cancel()
            self._show()
        return self._counted(delivered, {(names[one.subscription_id], one.event_id) for one in held}, killed_ms)

    async def _crash(self, crashes: Crashes) -> tuple[set[Leased], int]:
        """Submits everything, and meanwhile kills the deliver worker, then Redis, each with work in flight."""
        last = len(self.given) - _HELD_BACK
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit(0, last))
            await _until(lambda: self._applied_count() >= _BEFORE_THE_KILLS)
            pid = self.supervisor.pid("deliver")
            held = await crashes.kill_deliver_worker(limit_s=_CRASH_LIMIT_S)
            killed_ms = now_ms()
            self.screen.say(f"SIGKILL to the deliver worker (pid {pid}), which held {len(held)} leased deliveries")
        await self._until_work_came_back(held, killed_ms)
        self.screen.say("Its leases ended: another worker delivers what it held")
        pid = self.supervisor.pid("redis")
        leased = await crashes.kill_redis(limit_s=_CRASH_LIMIT_S)
        self.screen.say(f"SIGKILL to Redis (pid {pid}), with {len(leased)} deliveries leased; submitting goes on")
        await self._submit(last, len(self.given))
        self.screen.say(f"Redis is back with its data; {self.caller.retries} requests were sent again meanwhile")
        return held, killed_ms

    async def _submit(self, first: int, end: int) -> None:
        async def submit(number: int) -> None:
            self.acknowledged[number] = await self.caller.submit(self.given[number], f"row-{number + 1:03d}")

        await asyncio.gather(*(submit(number) for number in range(first, end)))

    async def _until_work_came_back(self, held: AbstractSet[Leased], killed_ms: int) -> None:
        """Leases of a dead worker end by themselves; returns when the first of them is pushed again."""
        ids = {one.event_id for one in held}
        await _until(lambda: any(push.at_ms > killed_ms and push.event_id in ids for push in self._pushes()))

    async def _until_delivered(self, subscription_ids: Sequence[str]) -> int:
        """The API's count of delivered deliveries: all of them, or as many as there are when patience ends."""
        due = len(self.given) * len(subscription_ids)
        until = time.monotonic() + _PATIENCE_S
        while True:
            await asyncio.sleep(PAUSE_S)
            is_over = time.monotonic() > until
            if is_over or self._applied_count() >= due:
                delivered = sum([await self.caller.delivered(one) for one in subscription_ids])
                if is_over or delivered >= due:
                    return delivered

    async def _watch(self) -> None:
        while True:
            self._show()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _show(self) -> None:
        self.screen.done(_ACKNOWLEDGED, len(self.acknowledged))
        for journal in self._journals:
            self.screen.done(journal.subscriber, journal.applied_count())

    def _counted(self, delivered: int, held: AbstractSet[tuple[str, str]], killed_ms: int) -> tuple[list[Row], Totals]:
        applied = [one for journal in self._journals for one in journal.applied()]
        pushes = self._pushes()
        acknowledged = [one for _, one in sorted(self.acknowledged.items())]
        rows = rows_of(acknowledged, applied, subscribers=SUBSCRIBERS)
        totals = Totals(
            submitted=len(self.given),
            subscribers=len(SUBSCRIBERS),
            acknowledged=len(acknowledged),
            delivered=delivered,
            redelivered=redelivered(pushes, since_ms=killed_ms),
            applied=len({(one.subscriber, one.event_id) for one in applied}),
            twice=applied_twice(applied),
            lost=sum(len(SUBSCRIBERS) - len(row.subscribers) for row in rows),
            held=len(held),
            held_came=came_since(pushes, held, since_ms=killed_ms),
        )
        return rows, totals

    def _applied_count(self) -> int:
        return sum(journal.applied_count() for journal in self._journals)

    def _pushes(self) -> list[Push]:
        return [push for journal in self._journals for push in journal.pushes()]

    @property
    def _journals(self) -> list[Journal]:
        return [Journal(one.name, one.directory) for one in self.stage.subscribers]


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110  what is waited for is written by other processes
        await asyncio.sleep(_LOOK_EVERY_S)


async def perform(stage: Stage, screen: Screen) -> tuple[list[Row], Totals]:
    """Starts everything, runs the play, and stops everything, whatever happens."""
    log: Any = structlog.get_logger()
    screen.say(f"Starting Redis, sandbox DNS, API, workers and {len(SUBSCRIBERS)} subscribers in {stage.home.path}")
    async with Supervisor(stage.stages, tell=log.info) as supervisor, opened(stage.machine.settings) as gateway:
        key = await test_key(gateway, stage.home)
        world = (await gateway.services.authentication.sign_in(key)).world
        async with Caller(stage.machine.url, key) as caller:
            try:
                async with asyncio.timeout(_LIMIT_S):
                    return await Play(stage, screen, supervisor, gateway.store, caller, world).run()
            except TimeoutError as error:
                raise TookTooLongError(f"after {_LIMIT_S:g} s the demo was not over; --keep shows why") from error
            except ExceptionGroup as errors:  # of what ran at the same time, one says enough
                raise errors.exceptions[0] from errors
