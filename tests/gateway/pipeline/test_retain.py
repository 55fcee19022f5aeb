"""The janitor on a real ledger: what is past its time goes with all that points at it, and nothing else does."""

from dataclasses import replace

import pytest

from tests.gateway.ledger.bench import START_MS, VALID, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef
from vouchpost_gateway.domain.lane import NextStep, Settlement, SettlementKind
from vouchpost_gateway.domain.retention import Retention
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import Priority, ReasonCode, Status
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.retention import RetentionRecords
from vouchpost_gateway.pipeline.retain import NoArchive, Retain

DAY_MS = 86_400_000
RULES = Retention(verdicts_ms=7 * DAY_MS, delivered_ms=DAY_MS, dead_letters_ms=30 * DAY_MS)


class Shelf:
    """An archive that remembers what it was given, and whether it was still there."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.kept: list[str] = []

    async def keep(self, world: World, stem: str) -> None:
        assert await self.bench.verifications.read(world, stem) is not None
        self.kept.append(stem)


def _cleaned(bench: Bench, *, days: float, archive: NoArchive | Shelf | None = None, report: Told | None = None) -> int:
    """How many records a round removes, so many days after everything was made."""
    records = RetentionRecords(bench.store, bench.tenants, bench.verifications, bench.deliveries, bench.subscriptions)
    janitor = Retain(records, RULES, report or Told(), archive or NoArchive(), 3600)
    return bench.run(janitor.once(START_MS + round(days * DAY_MS)))


def _settled(bench: Bench, subscription: Subscription, state: DeliveryState) -> None:
    lane = bench.lane_of(subscription)
    claim = bench.claim(lane)
    kind = SettlementKind.DONE if state is DeliveryState.DELIVERED else SettlementKind.DEAD
    bench.turn(lane, Settlement(kind, claim.item, claim.token, progress=DeliveryProgress(state, 1)))


def _state(bench: Bench, ref: EventRef, subscription: Subscription) -> DeliveryState:
    return bench.run(bench.deliveries.get(bench.world, DeliveryRef(ref, subscription.number))).state


def test_a_verdict_is_kept_for_its_time_and_then_goes_without_a_trace(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    _settled(bench, subscription, DeliveryState.DELIVERED)
    assert _cleaned(bench, days=6.9) == 0

    assert _cleaned(bench, days=7.1) == 1

    left = [name for name in bench.raw.keys("*") if ref.stem.encode() in name]
    assert left == []
    assert bench.raw.zcard(keys.hours(bench.world)) == 0
    assert bench.run(bench.deliveries.latest(bench.world, subscription.number, after=None, limit=9)) == []


def test_what_has_no_verdict_never_goes(bench: Bench) -> None:
    stem = bench.accept().stem

    assert _cleaned(bench, days=400) == 0

    assert list(bench.waiting(bench.lane())) == [stem]


def test_a_dead_letter_that_is_resent_late_has_its_time_from_then_on(bench: Bench) -> None:
    """Dead letters are kept for longer than verdicts, so that this can be asked for: it must not be undone."""
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    _settled(bench, subscription, DeliveryState.DEAD)
    delivery, resent_ms = DeliveryRef(ref, subscription.number), START_MS + 10 * DAY_MS
    bench.run(bench.deliveries.resend(bench.world, delivery, queue=0, now_ms=resent_ms))

    assert _cleaned(bench, days=10.1) == 0
    assert _state(bench, ref, subscription) is DeliveryState.PENDING
    assert len(bench.waiting(bench.lane_of(subscription))) == 1


def test_a_dead_verification_that_is_rechecked_late_has_its_time_from_then_on(bench: Bench) -> None:
    unknown = replace(VALID, status=Status.UNKNOWN, reason_code=ReasonCode.DNS_TIMEOUT)
    stem = bench.accept().stem
    bench.commit(bench.claim(bench.lane()), verdict=unknown)
    bench.run(bench.lanes.enlist(bench.lane(), stem, queue=1, state=b"check"))
    bench.commit(bench.claim(bench.lane()), revision=2, checked_ms=START_MS + 10 * DAY_MS)

    assert _cleaned(bench, days=10.1) == 0
    assert bench.run(bench.verifications.view(bench.world, stem)) is not None
    assert _cleaned(bench, days=17.1) == 1


@pytest.mark.parametrize("asked", ["recheck", "resend"])
def test_what_is_asked_for_again_after_it_was_judged_is_not_erased(bench: Bench, asked: str) -> None:
    """Asking was answered with yes."""
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    _settled(bench, subscription, DeliveryState.DELIVERED)

    class AskedMeanwhile(NoArchive):
        async def keep(self, world: World, stem: str) -> None:
            if asked == "recheck":
                await bench.lanes.enlist(bench.lane(), stem, queue=1, state=b"check")
            else:
                await bench.deliveries.resend(world, DeliveryRef(ref, subscription.number), queue=0, now_ms=START_MS)

    assert _cleaned(bench, days=8, archive=AskedMeanwhile()) == 0

    assert bench.run(bench.verifications.view(bench.world, ref.stem)) is not None


def test_what_will_be_rechecked_stays_until_then(bench: Bench) -> None:
    bench.accept()
    bench.commit(bench.claim(bench.lane()), recheck_ms=60_000)

    assert _cleaned(bench, days=400) == 0


def test_dead_letters_are_kept_for_longer(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    _settled(bench, subscription, DeliveryState.DEAD)
    bench.accept()
    unknown = replace(VALID, status=Status.UNKNOWN, reason_code=ReasonCode.POISONED)
    bench.commit(bench.claim(bench.lane()), verdict=unknown)

    assert _cleaned(bench, days=29) == 0
    assert _state(bench, ref, subscription) is DeliveryState.DEAD
    assert _cleaned(bench, days=31) == 2


@pytest.mark.parametrize("paused", [False, True])
def test_a_delivery_that_waited_past_all_retention_ends_among_the_dead_letters_first(
    bench: Bench,
    paused: bool,  # noqa: FBT001
) -> None:
    """It does not vanish unseen: it can be seen, and resent, before it goes."""
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    if paused:
        bench.change(subscription, enabled=False)

    told = Told()
    assert _cleaned(bench, days=8, report=told) == 0

    assert [args[1] for name, args, _ in told.calls if name == "expired"] == [DeliveryRef(ref, subscription.number)]
    assert _state(bench, ref, subscription) is DeliveryState.DEAD
    assert len(bench.run(bench.deliveries.dead(bench.world, after=None, limit=9))) == 1
    assert bench.waiting(bench.lane_of(subscription)) == {}


def test_a_delivery_in_flight_is_left_to_its_worker(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    bench.claim(bench.lane_of(subscription))

    assert _cleaned(bench, days=8) == 0

    assert _state(bench, ref, subscription) is DeliveryState.PENDING
    assert list(bench.in_flight(bench.lane_of(subscription))) == [ref.item]


def test_delivered_deliveries_leave_the_list_of_the_latest_before_their_event_goes(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    waiting = bench.delivered_to(subscription)
    _settled(bench, subscription, DeliveryState.DELIVERED)

    _cleaned(bench, days=2)

    listed = bench.run(bench.deliveries.latest(bench.world, subscription.number, after=None, limit=9))
    assert [delivery.event for delivery in listed] == [waiting]
    assert _state(bench, ref, subscription) is DeliveryState.DELIVERED


def test_history_can_move_before_it_is_removed(bench: Bench) -> None:
    ref = bench.delivered_to()
    shelf = Shelf(bench)

    _cleaned(bench, days=8, archive=shelf)

    assert shelf.kept == [ref.stem]


def test_any_number_of_records_goes_in_bounded_steps(bench: Bench) -> None:
    for _ in range(120):
        bench.delivered_to()

    assert _cleaned(bench, days=8) == 120
    assert _cleaned(bench, days=8) == 0


def test_one_janitor_cleans_up_at_a_time(bench: Bench) -> None:
    records = RetentionRecords(bench.store, bench.tenants, bench.verifications, bench.deliveries, bench.subscriptions)
    assert bench.run(records.take_turn(10))
    assert bench.run(records.take_turn(10)), "whoever holds the turn renews it"

    bench.raw.set(keys.JANITOR, "another")

    assert not bench.run(records.take_turn(10))


def test_a_record_that_cannot_be_read_keeps_no_other_from_going(bench: Bench) -> None:
    first, broken, last = (bench.delivered_to().stem for _ in range(3))
    bench.raw.set(keys.record(bench.world, broken), b"\x01 not a record")
    told = Told()

    assert _cleaned(bench, days=8, report=told) == 2

    assert [args[1] for name, args, _ in told.calls if name == "failed"] == [f"{bench.world.name}:{broken}"]
    assert bench.raw.exists(keys.record(bench.world, broken)), "nobody knows what it held"
    assert not bench.raw.exists(keys.record(bench.world, first), keys.record(bench.world, last))


def test_a_tenant_that_cannot_be_opened_keeps_no_other_from_being_cleaned_up(bench: Bench) -> None:
    tenants = [bench.world, *(bench.new_world(name) for name in ("two", "three"))]
    for bench.world in tenants:
        bench.subscribe()
        bench.delivered_to()
    bench.raw.delete(keys.data_key(tenants[1]))
    for cache in (bench.tenants, bench.subscriptions):
        cache.forget()
    told = Told()

    assert _cleaned(bench, days=8, report=told) == 2

    assert {args[1].split(":")[0] for name, args, _ in told.calls if name == "failed"} == {tenants[1].name}


def test_a_ledger_that_is_full_is_cleaned_up_all_the_same(bench: Bench) -> None:
    """Else nothing would ever make room again."""
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    bench.delivered_to()
    records = RetentionRecords(bench.store, bench.tenants, bench.verifications, bench.deliveries, bench.subscriptions)
    before = bench.raw.config_get("maxmemory")["maxmemory"]
    bench.raw.config_set("maxmemory", 1)
    try:
        assert bench.run(records.take_turn(10))
        assert _cleaned(bench, days=8) == 1
        assert _cleaned(bench, days=31) == 1
    finally:
        bench.raw.config_set("maxmemory", before)


def test_what_came_and_went_leaves_no_key_behind(bench: Bench) -> None:
    """However many: after their time the ledger holds what it held before, key by key and byte by byte."""
    subscriptions = [bench.subscribe() for _ in range(2)]
    _lives(bench, subscriptions)
    before = _held(bench)

    for _ in range(3):
        _lives(bench, subscriptions)

    assert _held(bench) == before


def _lives(bench: Bench, subscriptions: list[Subscription]) -> None:
    """Verifications that end in every way there is, a subscription that comes and goes, and then their time is over."""
    gone = bench.subscribe()
    unknown = replace(VALID, status=Status.UNKNOWN, reason_code=ReasonCode.DNS_TIMEOUT, degraded=True)
    for number, priority in enumerate(Priority):
        bench.accept(key=f"{bench.stem()}{number}", priority=priority)
        bench.commit(bench.claim(bench.lane()), verdict=unknown, recheck_ms=0, cache_ms=60_000)
        bench.commit(bench.claim(bench.lane()), revision=2)
        bench.delivered_to(*subscriptions, gone)
        _settled(bench, subscriptions[0], DeliveryState.DELIVERED)
        _settled(bench, subscriptions[1], DeliveryState.DEAD)
        claim = bench.claim(bench.lane_of(gone))
        progress = DeliveryProgress(attempt_count=1)
        later = Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=60_000, progress=progress)
        bench.turn(bench.lane_of(gone), later)
        bench.announce(subscriptions[0])
        _settled(bench, subscriptions[0], DeliveryState.DEAD)
    crashed = bench.delivered_to(gone)
    bench.claim(bench.lane_of(gone))
    assert bench.run(bench.verifications.erase(bench.world, crashed.stem))
    bench.run(bench.subscriptions.remove(bench.world, gone))
    for lane in (bench.lane(), *map(bench.lane_of, subscriptions)):
        bench.turn(lane, step=NextStep.END)
    _cleaned(bench, days=8)
    _cleaned(bench, days=31)


def _held(bench: Bench) -> dict[str, int]:
    """Every key that does not end by itself, and how many entries it has.

    But for one: that a subscription was removed stays written, a few bytes each, so that every process hears of it.
    """
    sizes = {b"string": "strlen", b"hash": "hlen", b"zset": "zcard"}
    found: dict[str, int] = {}
    for name in bench.raw.keys("*"):
        if bench.raw.ttl(name) == -1 and name.decode() != keys.subscription_changes(bench.world):
            found[name.decode()] = getattr(bench.raw, sizes[bench.raw.type(name)])(name)
    return found
