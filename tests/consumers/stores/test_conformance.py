"""The promises that every store keeps, run on each of them through the whole ladder."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from tests.consumers.stores.benches import BENCHES, ON_SERVERS, Bench, on_redis
from vouchpost import Message, ParkError, Receiver, Router
from vouchpost.apply import AsyncStore, Store

DAY = 86_400


class Consumer:
    """A receiver on a bench, whose handler writes the status; `broken` makes it fail after it wrote."""

    def __init__(self, bench: Bench, *, name: str = "crm", **options: Any) -> None:
        self.bench, self.now = bench, float(NOW)
        self.broken = self.hopeless = False
        router = Router()
        router.on_verdict(self._apply_async if self._is_async else self._apply)
        router.on("batch.completed")(self._apply_async if self._is_async else self._apply)
        self.receiver = Receiver(
            secrets=SECRET, store=bench.store, router=router, name=name, clock=lambda: self.now, **options
        )

    @property
    def _is_async(self) -> bool:
        return not isinstance(self.bench.store, Store)

    def _apply(self, message: Message, handle: Any) -> None:
        self.bench.write(handle, str(message.data["status"]))
        self._fail()

    async def _apply_async(self, message: Message, handle: Any) -> None:
        written = self.bench.write(handle, str(message.data["status"]))
        if inspect.isawaitable(written):
            await written
        self._fail()

    def _fail(self) -> None:
        if self.broken:
            raise RuntimeError("the handler is broken")
        if self.hopeless:
            raise ParkError

    async def unpark(self, event_id: str) -> bool:
        if isinstance(self.bench.store, Store):
            return await asyncio.to_thread(self.receiver.unpark, event_id)
        return await self.receiver.unpark_async(event_id)

    async def deliver(self, event_id: str = "evt_1", kind: str = "verification.completed", **data: Any) -> str:
        body = event(event_id=event_id, kind=kind, data=data)
        three = headers(body, event_id=event_id, at=int(self.now))
        return (await self.receiver.answer_async(headers=three, body=body)).outcome

    async def expect(self, *, subject_id: str, sequence: int) -> None:
        """As where the application changes an address: in a transaction of its own."""
        store = self.bench.store
        if isinstance(store, Store):
            await asyncio.to_thread(self._expect, store, subject_id, sequence)
        else:
            assert isinstance(store, AsyncStore)
            async with store.transaction_async() as opened:
                await self.receiver.expect_async(opened.handle, subject_id=subject_id, sequence=sequence)

    def _expect(self, store: Store, subject_id: str, sequence: int) -> None:
        with store.transaction() as transaction:
            self.receiver.expect(transaction.handle, subject_id=subject_id, sequence=sequence)


@pytest.fixture(params=[*BENCHES, on_redis, *ON_SERVERS], ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    make: Callable[[Any], Bench] = request.param
    if make in ON_SERVERS:
        return make(request.getfixturevalue(ON_SERVERS[make]))
    return make(request.getfixturevalue("redis_url") if make is on_redis else tmp_path)


def test_an_event_is_applied_once_however_often_it_comes(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)

        outcomes = [await consumer.deliver() for _ in range(3)]

        assert outcomes == ["applied", "duplicate", "duplicate"]
        assert bench.effects() == ["valid"]

    asyncio.run(main())


def test_a_retry_with_a_new_timestamp_and_signature_is_still_the_same_event(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver()

        consumer.now += 3 * DAY

        assert await consumer.deliver() == "duplicate"

    asyncio.run(main())


def test_fifty_concurrent_deliveries_of_one_event_apply_it_once(bench: Bench) -> None:
    """Each is applied, a duplicate, or told to come back; after coming back, each was answered 2xx."""

    async def main() -> None:
        consumer = Consumer(bench)

        first = Counter(await asyncio.gather(*(consumer.deliver() for _ in range(50))))
        again = Counter(await asyncio.gather(*(consumer.deliver() for _ in range(first["in_flight"]))))

        assert first["applied"] == 1
        assert first["duplicate"] + first["in_flight"] == 49
        assert again["duplicate"] == first["in_flight"]
        assert bench.effects() == ["valid"]

    asyncio.run(main())


def test_fifty_concurrent_verdicts_of_one_subject_end_with_the_newest(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        order = [(number * 7) % 50 for number in range(50)]

        async def until_settled(number: int) -> None:
            answer = "in_flight"
            while answer == "in_flight":
                answer = await consumer.deliver(f"evt_{number}", sequence=number, status=f"s{number:02d}")
                await asyncio.sleep(0.001)

        await asyncio.gather(*(until_settled(number) for number in order))

        assert bench.effects() == sorted(bench.effects())
        assert bench.effects()[-1] == "s49"

    asyncio.run(main())


def test_a_failing_handler_rolls_back_mark_and_effect_and_the_retry_applies(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        consumer.broken = True
        assert await consumer.deliver() == "handler_failed"
        written = bench.effects()

        consumer.broken = False

        assert await consumer.deliver() == "applied"
        assert written == [] or not bench.store.exactly_once
        assert bench.effects()[len(written) :] == ["valid"]

    asyncio.run(main())


def test_an_event_that_can_never_be_applied_is_set_aside_until_it_is_let_in_again(bench: Bench) -> None:
    """Parked: nothing of it is written, later deliveries are duplicates, the guard stays; a resend after it applies."""

    async def main() -> None:
        consumer = Consumer(bench)
        consumer.hopeless = True
        outcomes = [await consumer.deliver(), await consumer.deliver()]
        written = bench.effects()

        consumer.hopeless = False

        assert outcomes == ["parked", "duplicate"]
        assert written == [] or not bench.store.exactly_once
        assert [await consumer.unpark("evt_1"), await consumer.unpark("evt_1")] == [True, False]
        assert await consumer.deliver() == "applied"
        assert not await consumer.unpark("evt_1")

    asyncio.run(main())


def test_a_failed_event_leaves_the_guard_where_it_was(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        consumer.broken = True
        await consumer.deliver("evt_2", sequence=2)

        consumer.broken = False

        assert await consumer.deliver("evt_1", sequence=1) == "applied"
        assert await consumer.deliver("evt_2", sequence=2) == "applied"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        pytest.param((5, 1), (6, 1), "applied", id="the next verification"),
        pytest.param((5, 1), (5, 2), "applied", id="the next revision"),
        pytest.param((5, 9), (6, 1), "applied", id="the sequence counts before the revision"),
        pytest.param((6, 1), (5, 9), "stale", id="an earlier verification"),
        pytest.param((5, 2), (5, 1), "stale", id="an earlier revision"),
        pytest.param((5, 1), (5, 1), "stale", id="the same place under another event id"),
    ],
)
def test_an_older_verdict_never_overwrites_a_newer_one(
    bench: Bench, first: tuple[int, int], second: tuple[int, int], outcome: str
) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver("evt_1", sequence=first[0], revision=first[1], status="first")

        second_outcome = await consumer.deliver("evt_2", sequence=second[0], revision=second[1], status="second")

        assert second_outcome == outcome
        assert bench.effects() == ["first"] + ["second"] * (outcome == "applied")
        assert await consumer.deliver("evt_2", sequence=second[0], revision=second[1]) == "duplicate"

    asyncio.run(main())


def test_subjects_do_not_hold_each_other_up(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver("evt_1", subject_id="ann", sequence=9)

        assert await consumer.deliver("evt_2", subject_id="bob", sequence=1) == "applied"

    asyncio.run(main())


def test_without_a_subject_each_verification_is_ordered_on_its_own(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        place: dict[str, Any] = {"subject_id": None, "sequence": 9}
        await consumer.deliver("evt_1", verification_id="vrf_1", revision=2, **place)

        earlier = await consumer.deliver("evt_2", verification_id="vrf_1", revision=1, **place)
        other = await consumer.deliver("evt_3", verification_id="vrf_2", revision=1, subject_id=None, sequence=1)

        assert (earlier, other) == ("stale", "applied")

    asyncio.run(main())


def test_an_event_without_an_order_is_only_deduplicated(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver("evt_1", sequence=9)

        outcomes = [await consumer.deliver("evt_2", "batch.completed", sequence=1) for _ in range(2)]

        assert outcomes == ["applied", "duplicate"]

    asyncio.run(main())


def test_two_receivers_on_one_database_each_apply_the_event(bench: Bench) -> None:
    async def main() -> None:
        crm, newsletter = Consumer(bench, name="crm"), Consumer(bench, name="newsletter")

        assert [await crm.deliver(), await newsletter.deliver()] == ["applied", "applied"]
        assert [await crm.deliver(), await newsletter.deliver()] == ["duplicate", "duplicate"]

    asyncio.run(main())


def test_names_that_differ_in_case_are_two(bench: Bench) -> None:
    """Of receivers, and of whatever else marks and guards are kept under."""

    async def main() -> None:
        alone: dict[str, Any] = {"subject_id": None}
        outcomes = [
            await Consumer(bench, name=name).deliver(event_id, verification_id=verification_id, **alone)
            for name in ("crm", "CRM")
            for event_id, verification_id in (("evt_a", "vrf_a"), ("evt_A", "vrf_A"))
        ]

        assert outcomes == ["applied"] * 4

    asyncio.run(main())


def test_after_an_address_change_verdicts_of_the_old_address_are_stale(bench: Bench) -> None:
    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver("evt_1", sequence=5)

        await consumer.expect(subject_id="user_42", sequence=8)

        assert await consumer.deliver("evt_2", sequence=7, revision=3) == "stale"
        assert await consumer.deliver("evt_3", sequence=8) == "applied"

    asyncio.run(main())


def test_expecting_late_takes_nothing_back(bench: Bench) -> None:
    """The verdict may come before the caller has stored the sequence that the gateway answered."""

    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver("evt_1", sequence=8)

        await consumer.expect(subject_id="user_42", sequence=8)

        assert await consumer.deliver("evt_2", sequence=8) == "stale"
        assert await consumer.deliver("evt_3", sequence=8, revision=2) == "applied"

    asyncio.run(main())


def test_marks_outlive_every_resend_and_then_make_room(bench: Bench) -> None:
    """34 days later the mark is there; past 35 it is gone, and the guard still keeps the old verdict out."""

    async def main() -> None:
        consumer = Consumer(bench)
        await consumer.deliver()

        consumer.now += 34 * DAY
        assert await consumer.deliver() == "duplicate"
        consumer.now += 2 * DAY
        await consumer.deliver("evt_other", subject_id="someone else")

        assert await consumer.deliver() == "stale"
        assert bench.effects() == ["valid", "valid"]

    asyncio.run(main())


def test_marks_past_their_retention_are_gone_within_seconds_however_many_they_are(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vouchpost.receiver._FORGET_LIMIT", 2)

    async def main() -> None:
        consumer, many = Consumer(bench), [f"evt_{number}" for number in range(7)]
        for event_id in many:
            consumer.now += 1
            await consumer.deliver(event_id)

        consumer.now += 36 * DAY
        for number in range(4):
            consumer.now += 1
            await consumer.deliver(f"evt_new_{number}")

        assert "duplicate" not in [await consumer.deliver(event_id) for event_id in many]

    asyncio.run(main())


def test_a_receiver_forgets_no_marks_and_guards_of_another(bench: Bench) -> None:
    async def main() -> None:
        short, long = Consumer(bench, name="short", retention=timedelta(days=4)), Consumer(bench, name="long")
        alone: dict[str, Any] = {"subject_id": None}
        await long.deliver("evt_1", **alone)

        short.now = long.now = NOW + 5 * DAY
        await short.deliver("evt_other")

        assert await long.deliver("evt_1", **alone) == "duplicate"
        assert await long.deliver("evt_2", **alone) == "stale"

    asyncio.run(main())
