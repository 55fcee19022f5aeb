"""Turns at mail operators: the same promises, kept in one process and by the ledger for all."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest

from vouchpost_gateway.checks.traffic import NoTurn, OneProcess, Shared, Traffic
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.traffic import Admission, Admittance, Limits
from vouchpost_gateway.ledger.operators import OperatorRecords
from vouchpost_gateway.ledger.store import Store

T = TypeVar("T")
FAST = Limits(at_once=2, per_minute=1_000_000, rest_s=0.3)
Run = Callable[[Callable[[Shared], Awaitable[T]]], T]


@pytest.fixture(params=["one process", "ledger"])
def run(request: pytest.FixtureRequest) -> Run[object]:
    """Runs a test on each keeper of what is shared."""

    async def main(use: Callable[[Shared], Awaitable[object]]) -> object:
        async with AsyncExitStack() as stack:
            if request.param == "one process":
                return await use(OneProcess())
            store = Store(request.getfixturevalue("redis_url"))
            stack.push_async_callback(store.aclose)
            await store.ask("FLUSHDB")
            return await use(OperatorRecords(store))

    return lambda use: asyncio.run(main(use))


def _answers(run: Run[object], use: Callable[[Shared], Awaitable[list[Admission]]]) -> list[Admittance]:
    found = run(use)
    assert isinstance(found, list)
    return [admission.answer for admission in found]


def test_no_more_turns_at_once_than_allowed_whoever_asks(run: Run[object]) -> None:
    async def use(shared: Shared) -> list[Admission]:
        first = [await shared.enter("a", turn, FAST) for turn in ("t1", "t2", "t3")]
        await shared.leave("a", "t1", FAST, good=True)
        return [*first, await shared.enter("a", "t4", FAST), await shared.enter("b", "t5", FAST)]

    assert _answers(run, use) == [Admittance.GO, Admittance.GO, Admittance.BUSY, Admittance.GO, Admittance.GO]


def test_a_turn_that_nobody_left_ends_with_its_lease(run: Run[object]) -> None:
    limits = Limits(at_once=1, per_minute=1_000_000, lease_s=0.2)

    async def use(shared: Shared) -> list[Admission]:
        first = [await shared.enter("a", "dead", limits), await shared.enter("a", "t2", limits)]
        await asyncio.sleep(0.25)
        return [*first, await shared.enter("a", "t3", limits)]

    assert _answers(run, use) == [Admittance.GO, Admittance.BUSY, Admittance.GO]


def test_failures_in_a_row_make_everybody_leave_the_operator_alone_and_one_more_after_the_rest(
    run: Run[object],
) -> None:
    limits = Limits(at_once=9, per_minute=1_000_000, patience=3, rest_s=0.3)

    async def fail(shared: Shared, turn: str) -> Admission:
        admission = await shared.enter("a", turn, limits)
        await shared.leave("a", turn, limits, good=False)
        return admission

    async def use(shared: Shared) -> list[Admission]:
        failed = [await fail(shared, f"t{number}") for number in range(4)]
        await asyncio.sleep(0.35)
        return [*failed, await fail(shared, "probe"), await shared.enter("a", "t9", limits)]

    go, resting = Admittance.GO, Admittance.RESTING
    assert _answers(run, use) == [go, go, go, resting, go, resting]


def test_a_success_in_between_ends_the_row(run: Run[object]) -> None:
    limits = Limits(at_once=9, per_minute=1_000_000, patience=2)

    async def use(shared: Shared) -> list[Admission]:
        admissions = []
        for number, good in enumerate([False, True, False, None, True, False]):
            admissions.append(await shared.enter("a", f"t{number}", limits))
            await shared.leave("a", f"t{number}", limits, good=good)
        return admissions

    assert set(_answers(run, use)) == {Admittance.GO}


def test_turns_are_spread_over_the_minute(run: Run[object]) -> None:
    limits = Limits(at_once=2, per_minute=600)  # one in 100 ms, two of them ahead

    async def use(shared: Shared) -> list[Admission]:
        admissions = []
        for number in range(4):
            admissions.append(await shared.enter("a", f"t{number}", limits))
            await shared.leave("a", f"t{number}", limits, good=True)
        await asyncio.sleep(max(admission.wait_s for admission in admissions) + 0.01)
        return [*admissions, await shared.enter("a", "later", limits)]

    assert _answers(run, use) == [Admittance.GO, Admittance.GO, Admittance.GO, Admittance.BUSY, Admittance.GO]


@pytest.mark.parametrize("limits", [Limits(daily_cap=2), Limits(total_daily_cap=2)])
def test_a_cap_of_the_day_ends_the_turns(run: Run[object], limits: Limits) -> None:
    async def use(shared: Shared) -> list[Admission]:
        admissions = [await shared.enter("a", turn, limits) for turn in ("t1", "t2", "t3")]
        assert 0 < admissions[-1].wait_s <= 86_400
        return [*admissions, await shared.enter("b", "t4", limits)]

    *first, other = _answers(run, use)
    assert first == [Admittance.GO, Admittance.GO, Admittance.CAPPED]
    assert other is (Admittance.CAPPED if limits.total_daily_cap else Admittance.GO)


def test_what_hosts_taught_is_everybodys_and_ends(run: Run[object]) -> None:
    async def use(shared: Shared) -> list[bool | None]:
        await shared.learn_catch_all("p1", takes_all=True, seconds=0.2)
        await shared.learn_catch_all("p2", takes_all=False, seconds=60)
        found = [await shared.catch_all(place) for place in ("p1", "p2", "p3")]
        await asyncio.sleep(0.25)
        return [*found, await shared.catch_all("p1")]

    assert run(use) == [True, False, None, None]


def test_two_workers_keep_one_measure(redis_url: str) -> None:
    """Two processes with a store each: together they have as many conversations as one may."""

    async def main() -> int:
        stores = [Store(redis_url), Store(redis_url)]
        await stores[0].ask("FLUSHDB")
        workers = [Traffic(OperatorRecords(store), FAST, patience_s=0.2) for store in stores]
        talking = most = 0

        async def talk(traffic: Traffic) -> None:
            nonlocal talking, most
            async with traffic.turn("a"):
                talking += 1
                most = max(most, talking)
                await asyncio.sleep(0.05)
                talking -= 1

        await asyncio.gather(*(talk(worker) for worker in workers for _ in range(6)), return_exceptions=True)
        for store in stores:
            await store.aclose()
        return most

    assert asyncio.run(main()) == FAST.at_once


def test_nothing_that_is_shared_stays_for_ever(redis_url: str) -> None:
    """There are as many operators as domains with mail hosts of their own."""

    async def main() -> list[int]:
        store = Store(redis_url)
        await store.ask("FLUSHDB")
        records = OperatorRecords(store)
        for number, limits in enumerate([Limits(), Limits(daily_cap=9)]):
            await records.enter(f"op{number}.net", "t", limits)
            await records.leave(f"op{number}.net", "t", limits, good=False)
            await records.enter(f"op{number}.net", "t2", limits)
        await records.learn_catch_all("p", takes_all=True, seconds=60)
        left = [await store.ask("PTTL", key) for key in await store.ask("KEYS", "*")]
        await store.aclose()
        return left

    left = asyncio.run(main())

    assert len(left) == 6
    assert all(0 < milliseconds <= 86_400_000 for milliseconds in left)
    assert sum(milliseconds > 3_600_000 for milliseconds in left) == 2  # the counts of the day


class Down(OneProcess):
    """A ledger that does not answer."""

    async def enter(self, *_: object) -> Admission:
        raise LedgerUnavailable

    async def leave(self, *_: object, good: bool | None) -> None:
        raise LedgerUnavailable(f"{good} is not kept")


def test_without_the_ledger_each_process_keeps_its_own_measure() -> None:
    async def main() -> int:
        traffic = Traffic(Down(), FAST, patience_s=0.05)
        turns = [traffic.turn("a") for _ in range(3)]
        entered = 0
        for turn in turns:
            try:
                await turn.__aenter__()
            except NoTurn:
                continue
            entered += 1
        return entered

    assert asyncio.run(main()) == FAST.at_once
