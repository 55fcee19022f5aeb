import dataclasses

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from vouchpost_gateway.domain.delivery import Attempt, DeliveryProgress, DeliveryState, Outcome
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import NotFound
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef
from vouchpost_gateway.domain.lane import LaneNews, NextStep, Settlement, SettlementKind
from vouchpost_gateway.domain.page import Span
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.world import Mode

FAILED = Attempt(1, START_MS, 12, Outcome.RETRYABLE, 503, None, "busy")


def _ref(bench: Bench, subscription: Subscription) -> DeliveryRef:
    return DeliveryRef(bench.delivered_to(subscription), subscription.number)


def _settle(bench: Bench, subscription: Subscription, kind: SettlementKind, progress: DeliveryProgress) -> None:
    lane = bench.lane_of(subscription)
    claim = bench.claim(lane)
    settlement = Settlement(kind, claim.item, claim.token, delay_ms=60_000, progress=progress)
    assert bench.turn(lane, settlement).answers == ("ok",)


def test_a_delivery_in_line_shows_its_attempts_and_when_the_next_one_is_due(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    _settle(bench, subscription, SettlementKind.LATER, DeliveryProgress(attempt_count=1, attempts=(FAILED,)))

    delivery = bench.run(bench.deliveries.get(bench.world, ref))

    assert (delivery.state, delivery.attempt_count, delivery.attempts) == (DeliveryState.PENDING, 1, (FAILED,))
    assert delivery.next_attempt_ms is not None
    assert 50_000 < delivery.next_attempt_ms - bench.now_ms() <= 60_000


def test_a_delivery_whose_subscription_rests_is_due_when_the_rest_is_over(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    bench.turn(bench.lane_of(subscription), news=LaneNews(throttle_ms=3_600_000))

    delivery = bench.run(bench.deliveries.get(bench.world, ref))

    assert delivery.next_attempt_ms is not None
    assert 3_590_000 < delivery.next_attempt_ms - bench.now_ms() <= 3_600_000


def test_a_delivery_that_ended_shows_how_and_when(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    ended = DeliveryProgress(DeliveryState.DEAD, 1, (FAILED,), ended_ms=START_MS + 5)
    _settle(bench, subscription, SettlementKind.DEAD, ended)

    delivery = bench.run(bench.deliveries.get(bench.world, ref))

    assert (delivery.state, delivery.ended_ms, delivery.next_attempt_ms) == (DeliveryState.DEAD, START_MS + 5, None)
    assert delivery.attempts == (FAILED,)


def test_dead_letters_are_listed_newest_first_and_page_by_page(bench: Bench) -> None:
    subscription = bench.subscribe()
    refs = [_ref(bench, subscription) for _ in range(5)]
    for _ in refs:
        _settle(bench, subscription, SettlementKind.DEAD, DeliveryProgress(DeliveryState.DEAD, 1))

    seen: list[DeliveryRef] = []
    after = None
    while page := bench.run(bench.deliveries.dead(bench.world, after=after, limit=2)):
        seen += page
        after = page[-1].event.item + f"{page[-1].subscription_number:04d}"

    assert seen == refs[::-1]


def test_the_latest_deliveries_of_a_subscription_are_its_own(bench: Bench) -> None:
    one, two = bench.subscribe(), bench.subscribe()
    refs = [_ref(bench, one) for _ in range(3)]
    _ref(bench, two)

    first = bench.run(bench.deliveries.latest(bench.world, one.number, after=None, limit=2))
    rest = bench.run(bench.deliveries.latest(bench.world, one.number, after=first[-1].event.item, limit=2))

    assert [*first, *rest] == refs[::-1]


def test_deliveries_and_dead_letters_are_listed_by_the_time_in_their_ids(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    _settle(bench, subscription, SettlementKind.DEAD, DeliveryProgress(DeliveryState.DEAD, 1))

    def found(since_ms: int, until_ms: int) -> list[list[DeliveryRef]]:
        span = Span(since_ms, until_ms)
        latest = bench.run(bench.deliveries.latest(bench.world, subscription.number, after=None, limit=9, span=span))
        return [latest, bench.run(bench.deliveries.dead(bench.world, after=None, limit=9, span=span))]

    assert found(START_MS, START_MS + 1) == [[ref], [ref]]
    assert found(START_MS - 1, START_MS) == [[], []]
    assert found(START_MS + 1, START_MS + 2) == [[], []]


@pytest.mark.parametrize("missing", ["event", "subscription", "revision", "mode"])
def test_what_never_went_there_is_not_found(bench: Bench, missing: str) -> None:
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    world = bench.world
    if missing == "event":
        ref = DeliveryRef(EventRef("0" * 19, 1), ref.subscription_number)
    elif missing == "subscription":
        ref = DeliveryRef(ref.event, 99)
    elif missing == "revision":
        ref = DeliveryRef(EventRef(ref.event.stem, 2), ref.subscription_number)
    else:
        world = dataclasses.replace(world, mode=Mode.TEST)

    with pytest.raises(NotFound):
        bench.run(bench.deliveries.get(world, ref))


def test_the_event_is_the_bytes_that_were_committed(bench: Bench) -> None:
    ref = bench.delivered_to(bench.subscribe())

    record = bench.run(bench.deliveries.record(bench.world, ref.stem))
    event = bench.run(bench.deliveries.event(bench.world, ref))

    assert record is not None
    assert event == record.events[1]
    assert bench.run(bench.deliveries.event(bench.world, EventRef(ref.stem, 2))) is None


def test_how_each_subscription_stands_is_told_per_event(bench: Bench) -> None:
    one, two = bench.subscribe(), bench.subscribe()
    ref = bench.delivered_to(one, two)
    _settle(bench, one, SettlementKind.DONE, DeliveryProgress(DeliveryState.DELIVERED, 1))

    [(event, states)] = bench.run(bench.deliveries.events_of(bench.world, ref.stem))

    assert event.id == ref.id
    assert states == {one.number: DeliveryState.DELIVERED, two.number: DeliveryState.PENDING}


def test_a_resend_that_is_asked_for_twice_is_one_delivery(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    _settle(bench, subscription, SettlementKind.DEAD, DeliveryProgress(DeliveryState.DEAD, 3))

    for _ in range(2):
        bench.run(bench.deliveries.resend(bench.world, ref, queue=0, now_ms=START_MS))

    assert list(bench.waiting(bench.lane_of(subscription))) == [ref.event.item]
    claim = bench.claim(bench.lane_of(subscription))
    assert claim.progress is not None
    assert claim.progress.attempts_before == 3


def test_a_resend_asked_for_again_rings_where_nobody_was_rung_and_leaves_nothing_for_good(bench: Bench) -> None:
    subscription, draw = bench.subscribe(), Draw(START_MS, bytes(32))
    lane, ref = bench.lane_of(subscription), _ref(bench, subscription)
    _settle(bench, subscription, SettlementKind.DONE, DeliveryProgress(DeliveryState.DELIVERED, 1))
    before, rung = set(bench.raw.keys("*")), []

    for _ in range(2):
        bench.end_bell(lane)
        rung += bench.run(bench.deliveries.resend(bench.world, ref, queue=0, now_ms=START_MS, draw=draw))

    assert [ring.lane_id for ring in rung] == [lane.id, lane.id]
    (name,) = [key for key in set(bench.raw.keys("*")) - before if b":a:" in key]
    assert 86_000_000 < bench.raw.pttl(name) <= 86_400_000


def _resting(bench: Bench) -> tuple[Subscription, DeliveryRef]:
    """One dead letter and one that waits, of a subscription whose server asked for a day of rest."""
    subscription = bench.subscribe()
    ref = _ref(bench, subscription)
    _settle(bench, subscription, SettlementKind.DEAD, DeliveryProgress(DeliveryState.DEAD, 1))
    _ref(bench, subscription)
    lane = bench.lane_of(subscription)
    bench.turn(lane, news=LaneNews(throttle_ms=86_400_000), step=NextStep.END)
    return subscription, ref


def test_a_resend_that_ends_the_rest_rings_for_all_that_waited(bench: Bench) -> None:
    subscription, ref = _resting(bench)
    lane = bench.lane_of(subscription)

    rings = bench.run(bench.deliveries.resend(bench.world, ref, queue=0, now_ms=START_MS, ends_rest=True))

    assert [ring.lane_id for ring in rings] == [lane.id]
    assert bench.due(lane) == min(bench.waiting(lane).values())
    assert len(bench.turn(lane, want=2).claims) == 1, "no more at once than before"


def test_a_resend_that_leaves_the_rest_is_due_after_it(bench: Bench) -> None:
    subscription, ref = _resting(bench)

    rings = bench.run(bench.deliveries.resend(bench.world, ref, queue=2, now_ms=START_MS))

    assert rings == []
    assert bench.turn(bench.lane_of(subscription), want=2).claims == ()
    assert (bench.due(bench.lane_of(subscription)) or 0) > bench.now_ms() + 86_000_000
