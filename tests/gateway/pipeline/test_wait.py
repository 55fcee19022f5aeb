import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.domain.errors import NotFound, Overloaded
from vouchpost_gateway.domain.lane import LaneLimits
from vouchpost_gateway.domain.verification import Status, Verification
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.ledger.listening import Verdicts
from vouchpost_gateway.pipeline.wait import Wait

_LIMITS = LaneLimits(lease_ms=60_000, lane_cap=16)


class Counted:
    """The records, and how often they were read."""

    def __init__(self, bench: Bench) -> None:
        self._view = bench.verifications.view
        self.reads = 0
        self.of: dict[World, World] = {}
        """Worlds that read what another one holds."""

    async def view(self, world: World, stem: str) -> Verification | None:
        self.reads += 1
        return await self._view(self.of.get(world, world), stem)


def _waiting(
    bench: Bench, work: Callable[[Wait, Counted], Coroutine[Any, Any, None]], *, max_waiters: int = 1000
) -> None:
    async def main() -> None:
        verdicts, records = Verdicts(bench.url), Counted(bench)
        listening = asyncio.create_task(verdicts.listener.forever())
        try:
            wait = Wait(records, verdicts, max_waiters)
            await work(wait, records)
            assert wait.waiting == 0
            assert verdicts._waiting == {}
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    bench.run(main())


async def _commit_soon(bench: Bench) -> None:
    await asyncio.sleep(0.1)
    turn = await bench.lanes.turn(bench.lane(), bench.rung(bench.lane()), limits=_LIMITS, want=1)
    await bench._commit(turn.claims[0], ())


def test_a_wait_ends_when_the_verdict_is_committed_and_polls_nothing(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, records: Counted) -> None:
        committing = asyncio.create_task(_commit_soon(bench))
        view = await wait(bench.world, stem, seconds=10)
        await committing
        assert view.status is Status.VALID
        assert records.reads <= 3

    _waiting(bench, work)


def test_a_wait_for_what_is_known_ends_at_once(bench: Bench) -> None:
    stem = bench.accept().stem
    bench.commit(bench.claim(bench.lane()))

    async def work(wait: Wait, records: Counted) -> None:
        assert (await wait(bench.world, stem, seconds=10)).status is Status.VALID
        assert records.reads == 1

    _waiting(bench, work)


def test_a_wait_gives_up_after_its_time_with_what_there_is(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, _records: Counted) -> None:
        started = time.monotonic()
        assert (await wait(bench.world, stem, seconds=0.2)).status is Status.PENDING
        assert 0.2 <= time.monotonic() - started < 1.5

    _waiting(bench, work)


def test_many_wait_for_one_verdict_and_all_are_told(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, _records: Counted) -> None:
        committing = asyncio.create_task(_commit_soon(bench))
        views = await asyncio.gather(*(wait(bench.world, stem, seconds=10) for _ in range(50)))
        await committing
        assert {view.status for view in views} == {Status.VALID}

    _waiting(bench, work)


def test_past_the_limit_of_waiters_one_is_told_to_come_back(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, _records: Counted) -> None:
        waiting = [asyncio.create_task(wait(bench.world, stem, seconds=10)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert wait.waiting == 2
        with pytest.raises(Overloaded):
            await wait(bench.world, stem, seconds=10)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert (await wait(bench.world, stem, seconds=0.05)).status is Status.PENDING

    _waiting(bench, work, max_waiters=2)


def test_a_wait_for_what_does_not_exist_is_not_found(bench: Bench) -> None:
    async def work(wait: Wait, _records: Counted) -> None:
        with pytest.raises(NotFound):
            await wait(bench.world, "0" * 19, seconds=10)

    _waiting(bench, work)


def test_a_client_that_leaves_ends_its_wait(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, _records: Counted) -> None:
        waiting = asyncio.create_task(wait(bench.world, stem, seconds=10))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    _waiting(bench, work)


def test_a_wait_ends_when_what_it_waits_for_is_erased(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, _records: Counted) -> None:
        waiting = asyncio.create_task(wait(bench.world, stem, seconds=10))
        await asyncio.sleep(0.1)
        await bench.verifications.erase(bench.world, stem)
        with pytest.raises(NotFound):
            await asyncio.wait_for(waiting, 2)

    _waiting(bench, work)


def test_a_process_that_stops_lets_those_who_wait_go_with_what_is_known(bench: Bench) -> None:
    stem = bench.accept().stem

    async def work(wait: Wait, _records: Counted) -> None:
        waiting = asyncio.create_task(wait(bench.world, stem, seconds=10))
        await asyncio.sleep(0.1)
        assert isinstance(wait.verdicts, Verdicts)
        wait.verdicts.release()
        for one in (waiting, wait(bench.world, stem, seconds=10)):
            assert (await asyncio.wait_for(one, 2)).status is Status.PENDING

    _waiting(bench, work)


def test_a_verdict_between_the_first_look_and_the_listening_is_not_missed(bench: Bench) -> None:
    """What was announced before one listens is never announced again."""
    stem = bench.accept().stem

    class Early(Counted):
        """The verdict comes right behind the first look."""

        async def view(self, world: World, stem: str) -> Verification | None:
            seen = await super().view(world, stem)
            if self.reads == 1:
                turn = await bench.lanes.turn(bench.lane(), bench.rung(bench.lane()), limits=_LIMITS, want=1)
                await bench._commit(turn.claims[0], ())
            return seen

    async def work(wait: Wait, records: Counted) -> None:
        wait.records = Early(bench)
        async with asyncio.timeout(10):
            assert (await wait(bench.world, stem, seconds=30)).verdict is not None

    _waiting(bench, work)


def test_whoever_takes_all_places_leaves_some_to_others(bench: Bench) -> None:
    """The longest wait of the world with the most ends early, as it would have in time, until both have as many."""
    stem = bench.accept().stem
    other = replace(bench.world, mode=Mode.TEST)

    async def work(wait: Wait, records: Counted) -> None:
        records.of[other] = bench.world
        greedy = [asyncio.create_task(wait(bench.world, stem, seconds=10)) for _ in range(4)]
        await asyncio.sleep(0.1)
        late = [asyncio.create_task(wait(other, stem, seconds=10)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert [task.done() for task in greedy] == [True, True, False, False]
        assert {task.result().status for task in greedy[:2]} == {Status.PENDING}
        assert not any(task.done() for task in late)
        for world in (bench.world, other):
            with pytest.raises(Overloaded):
                await wait(world, stem, seconds=10)
        committing = asyncio.create_task(_commit_soon(bench))
        assert {view.status for view in await asyncio.gather(*greedy[2:])} == {Status.VALID}
        await committing
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    _waiting(bench, work, max_waiters=4)


def test_a_wait_that_is_just_ending_gives_its_place_like_any_other(bench: Bench) -> None:
    """Its time is over and it has not left yet: it can no longer be told to end sooner."""
    stem = bench.accept().stem
    other = replace(bench.world, mode=Mode.TEST)

    async def work(wait: Wait, _records: Counted) -> None:
        loop, made_room = asyncio.get_running_loop(), list[bool]()
        greedy = [asyncio.create_task(wait(bench.world, stem, seconds=0.3)) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert wait.waiting == 2
        loop.call_later(0.35, lambda: made_room.append(wait._make_room(other)))
        time.sleep(0.5)  # noqa: ASYNC251  all of it comes due in one turn of the loop, the ends of the waits first
        assert [view.status for view in await asyncio.gather(*greedy)] == [Status.PENDING] * 2
        assert made_room == [True]

    _waiting(bench, work, max_waiters=2)
