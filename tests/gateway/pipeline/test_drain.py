"""A slice on a real ledger: concurrent, refilled, patient, ended in time, and never losing what it holds."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.gateway.ledger.bench import LIMITS, START_MS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.event import EventType, build
from vouchpost_gateway.domain.lane import (
    Claim,
    Lane,
    LaneLimits,
    LaneNews,
    NextStep,
    Ring,
    Settlement,
    SettlementKind,
    Turn,
)
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.listening import Wakes
from vouchpost_gateway.pipeline.drain import Drain
from vouchpost_gateway.pipeline.work import Done, Lanes, Pace, Room

QUICK = Pace(slice_s=1.0, linger_s=0.05, heartbeat_s=0.2, batch=16, patience_s=5)


class Pushes:
    """Work that takes a while, and remembers how much of it ran at once."""

    def __init__(self, took_s: Callable[[Claim], float] = lambda _claim: 0.0, *, limits: LaneLimits = LIMITS) -> None:
        self.took_s = took_s
        self.lane_limits = limits
        self.done: list[str] = []
        self.now = 0
        self.most = 0

    async def limits(self, lane: Lane) -> LaneLimits:  # noqa: ARG002
        return self.lane_limits

    async def after_turn(self, lane: Lane, turn: Turn) -> None: ...

    async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done:  # noqa: ARG002
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.took_s(claim))
        finally:
            self.now -= 1
        self.done.append(claim.item)
        progress = DeliveryProgress(DeliveryState.DELIVERED, attempt_count=1)
        news = LaneNews(delivered=1, slow=False)
        return Done(Settlement(SettlementKind.DONE, claim.item, claim.token, progress=progress), news)


class Counting:
    """Lanes, and how many turns they were asked for."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes, self.turns = lanes, 0

    async def turn(self, *arguments: Any, **named: Any) -> Turn:
        self.turns += 1
        return await self._lanes.turn(*arguments, **named)


class Scene:
    """A lane with work, a drain for it, and what the drain rang."""

    def __init__(self, bench: Bench, count: int, work: Pushes, *, pace: Pace = QUICK, room: Room | None = None) -> None:
        self.bench, self.work = bench, work
        self.subscription = bench.subscribe()
        self.lane = bench.lane_of(self.subscription)
        for _ in range(count):
            bench.announce(self.subscription)
        self.rung: list[Ring] = []
        self.wakes, self.room, self.told = Wakes(), room or Room(2000), Told()
        self.drain = self.draining(bench.lanes, pace)

    def draining(self, lanes: Lanes, pace: Pace = QUICK) -> Drain:
        return Drain(lanes, self.work, self.wakes, self.rung.extend, self.told, self.room, pace)

    async def slice(self, *, slow: bool = False, drain: Drain | None = None) -> None:
        await (drain or self.drain)(self.lane, self.bench.rung(self.lane), slow=slow)

    def run(self, *, slow: bool = False) -> float:
        """One slice, to the end of all its work; how long the slice itself took."""

        async def main() -> float:
            started = time.monotonic()
            await self.slice(slow=slow)
            took = time.monotonic() - started
            await self.room.empty()
            return took

        return self.bench.run(main())


def test_a_slice_empties_its_lane_and_leaves_it_idle(bench: Bench) -> None:
    scene = Scene(bench, 100, Pushes())

    scene.run()

    assert len(set(scene.work.done)) == len(scene.work.done) == 100
    assert bench.waiting(scene.lane) == bench.in_flight(scene.lane) == {}
    assert scene.rung == []
    assert scene.room.used == 0


def test_items_are_worked_on_together_up_to_the_cap_of_the_lane(bench: Bench) -> None:
    four = LaneLimits(lease_ms=60_000, lane_cap=4, world_fast_cap=1000, world_slow_cap=64)
    scene = Scene(bench, 40, Pushes(lambda _claim: 0.005, limits=four))

    scene.run()

    assert scene.work.most == 4
    assert len(scene.work.done) == 40


def test_what_is_finished_makes_room_at_once_and_waits_for_no_batch(bench: Bench) -> None:
    """One hanging item must not hold up the others of its lane."""
    scene = Scene(bench, 30, Pushes(lambda claim: 0.6 if claim.token == 1 else 0.0))
    bench.raw.hset(keys.lane_part(scene.lane, "m"), "window", 16)

    scene.run()

    assert scene.work.done[-1] == min(scene.work.done)
    assert len(scene.work.done) == 30


def test_a_slice_ends_in_time_and_hands_on_what_is_left(bench: Bench) -> None:
    pace = replace(QUICK, slice_s=0.2)
    scene = Scene(bench, 60, Pushes(lambda _claim: 0.05), pace=pace)

    assert scene.run() < 0.6

    assert bench.waiting(scene.lane)
    assert [ring.lane_id for ring in scene.rung] == [scene.lane.id]
    assert bench.in_flight(scene.lane) == {}, "what outlived the slice was settled without the lane"


def test_the_whole_room_of_a_process_is_never_exceeded(bench: Bench) -> None:
    scene = Scene(bench, 20, Pushes(lambda _claim: 0.005), room=Room(4))
    bench.raw.hset(keys.lane_part(scene.lane, "m"), "window", 16)

    scene.run()

    assert scene.work.most == 2, "a lane takes no more than it leaves to others"
    assert len(scene.work.done) == 20


def test_a_lane_that_is_due_and_finds_no_room_is_looked_at_in_no_hurry(bench: Bench) -> None:
    """It is due all the time: looking every few milliseconds would load Redis just when everything hangs."""
    room = Room(4)
    room.used = 4
    scene = Scene(bench, 3, Pushes(), pace=replace(QUICK, slice_s=1), room=room)
    lanes = Counting(bench.lanes)

    bench.run(scene.slice(drain=scene.draining(cast("Lanes", lanes), replace(QUICK, slice_s=1, linger_s=1))))

    assert lanes.turns < 20


def test_lanes_that_hang_leave_room_for_whoever_comes_next(bench: Bench) -> None:
    """Each could fill the process by itself; or a neighbour would wait for their time-outs."""
    wide = LaneLimits(lease_ms=60_000, lane_cap=500, world_fast_cap=1000, world_slow_cap=64)
    room = Room(48)
    hanging = [Scene(bench, 60, Pushes(lambda _claim: 1.5, limits=wide), room=room) for _ in range(3)]
    healthy = Scene(bench, 10, Pushes(limits=wide), room=room)
    for scene in (*hanging, healthy):
        bench.raw.hset(keys.lane_part(scene.lane, "m"), "window", 500)

    async def main() -> float:
        async with asyncio.TaskGroup() as slices:
            for scene in hanging:
                slices.create_task(scene.slice())
            await asyncio.sleep(0.3)
            started = time.monotonic()
            await healthy.slice()
            took = time.monotonic() - started
        await room.empty()
        return took

    assert bench.run(main()) < 1.0
    assert len(healthy.work.done) == 10


def test_told_to_stop_it_finishes_what_it_holds_and_claims_nothing_more(bench: Bench) -> None:
    scene = Scene(bench, 40, Pushes(lambda _claim: 0.05))

    async def main() -> None:
        running = asyncio.create_task(scene.slice())
        await asyncio.sleep(0.02)
        scene.room.stopping = True
        await running
        await scene.room.empty()

    bench.run(main())

    assert 0 < len(scene.work.done) < 40
    assert bench.in_flight(scene.lane) == {}
    assert len(bench.waiting(scene.lane)) == 40 - len(scene.work.done)


def test_a_hanging_item_moves_its_lane_to_the_slow_class(bench: Bench) -> None:
    """And the slice leaves at once: a slow subscriber holds no place of the fast ones."""
    pace = replace(QUICK, slow_after_s=0.1, slice_s=5)
    scene = Scene(bench, 3, Pushes(lambda _claim: 0.5), pace=pace)

    async def main() -> tuple[float, bytes]:
        started = time.monotonic()
        await scene.slice()
        took = time.monotonic() - started
        bell: bytes = bench.raw.hget(keys.bells(bench.world.partition), scene.lane.id)
        await scene.room.empty()
        return took, bell

    took, bell = bench.run(main())

    assert took < 0.4
    assert bell.endswith(b" 1")
    assert len(scene.work.done) == 1


@pytest.mark.parametrize("slice_s", [0.4, 1.0])
def test_a_slow_lane_that_waits_for_its_probe_costs_no_turns(bench: Bench, slice_s: float) -> None:
    """Full with the one item, it is rung for by nobody; hundreds such lanes leave Redis to the others.

    Nor when the probe outlasts the slice.
    """
    counts = []
    for slow in (True, False):
        scene = Scene(bench, 1, Pushes(lambda _claim: 0.5), pace=replace(QUICK, heartbeat_s=0.05, slice_s=slice_s))
        if slow:
            bench.turn(scene.lane, news=LaneNews(slow=True))
        bench.raw.config_resetstat()
        scene.run(slow=slow)
        counts.append(bench.raw.info("commandstats")["cmdstat_evalsha"]["calls"])
        assert bench.waiting(scene.lane) == bench.in_flight(scene.lane) == {}

    assert counts[0] == 2
    assert counts[1] > 8


def test_a_drain_that_lingers_takes_new_work_when_woken(bench: Bench) -> None:
    pace = replace(QUICK, linger_s=2.0, slice_s=1.0)
    scene = Scene(bench, 1, Pushes(), pace=pace)

    async def main() -> float:
        running = asyncio.create_task(scene.slice())
        await asyncio.sleep(0.1)
        await _announce(bench, scene)
        scene.wakes.hear("vp:wake", scene.lane.id.encode())
        started = time.monotonic()
        while len(scene.work.done) < 2 and time.monotonic() - started < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        took = time.monotonic() - started
        await running
        return took

    assert bench.run(main()) < 0.5
    assert scene.rung == []


@pytest.mark.parametrize("slow", [True, False])
def test_a_drain_lingers_beside_slow_lanes_that_wait_for_their_probes(bench: Bench, *, slow: bool) -> None:
    """Beside as many others it leaves at once, for somebody may wait for its place."""
    room = Room(2000, lingering=1)
    beside = Scene(bench, 1, Pushes(lambda _claim: 0.9), room=room)
    scene = Scene(bench, 1, Pushes(), pace=replace(QUICK, linger_s=0.4), room=room)
    if slow:
        bench.turn(beside.lane, news=LaneNews(slow=True))

    async def main() -> float:
        other = asyncio.create_task(beside.slice(slow=slow))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await scene.slice()
        took = time.monotonic() - started
        await other
        await room.empty()
        return took

    assert (bench.run(main()) > 0.4) == slow


async def _announce(bench: Bench, scene: Scene) -> None:
    event = build(bench.stem(), 0, EventType.SUBSCRIPTION_TEST, at_ms=START_MS, data={})
    await bench.subscriptions.announce(bench.world, event, [scene.subscription.number])


def test_a_bell_of_the_past_drains_nothing(bench: Bench) -> None:
    scene = Scene(bench, 3, Pushes())

    async def main() -> None:
        await scene.drain(scene.lane, bench.rung(scene.lane) + 5, slow=False)

    bench.run(main())

    assert scene.work.done == []


def test_an_item_that_raises_does_not_stop_the_others(bench: Bench) -> None:
    class Bad(Pushes):
        async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done:
            if claim.token == 1:
                raise RuntimeError("unforeseen")
            return await super().__call__(lane, claim, turn)

    scene = Scene(bench, 5, Bad())
    bench.raw.hset(keys.lane_part(scene.lane, "m"), "window", 16)

    scene.run()

    assert len(scene.work.done) == 4
    assert len(bench.in_flight(scene.lane)) == 1, "it comes due again when its lease ends"
    assert [name for name, _, _ in scene.told.calls] == ["failed"]


class Flaky:
    """Lanes whose ledger is away for some of its calls, or whose reply is lost."""

    def __init__(self, lanes: Lanes, *, away: set[int]) -> None:
        self.lanes, self.away, self.calls = lanes, away, 0

    async def turn(
        self,
        lane: Lane,
        generation: int,
        *,
        limits: LaneLimits,
        want: int = 0,
        settlements: object = (),
        news: LaneNews | None = None,
        next_step: NextStep = NextStep.HOLD,
    ) -> Turn:
        self.calls += 1
        if self.calls in self.away:
            raise LedgerUnavailable("away")
        assert isinstance(settlements, list | tuple)
        return await self.lanes.turn(
            lane,
            generation,
            limits=limits,
            want=want,
            settlements=settlements,
            news=news or LaneNews(),
            next_step=next_step,
        )


def test_an_outcome_outlives_a_ledger_that_is_away(bench: Bench) -> None:
    """What was sent must not be sent again because Redis restarted."""
    scene = Scene(bench, 4, Pushes())
    drain = scene.draining(Flaky(bench.lanes, away={2, 3, 4}))

    async def main() -> None:
        await scene.slice(drain=drain)
        await scene.room.empty()

    bench.run(main())

    assert sorted(scene.work.done) == sorted(set(scene.work.done))
    assert len(scene.work.done) == 4
    assert bench.in_flight(scene.lane) == {}


def test_a_slice_that_ends_does_not_deafen_the_next_one_of_its_lane(bench: Bench) -> None:
    """The next slice may begin while the last one settles: its wake-up must not be taken away."""
    scene = Scene(bench, 0, Pushes())
    old = scene.wakes.event(scene.lane.id)
    new = scene.wakes.event(scene.lane.id)

    scene.wakes.forget(scene.lane.id, old)
    scene.wakes.hear("vp:wake", scene.lane.id.encode())

    assert new.is_set()
