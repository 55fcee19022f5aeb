from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import Conflict, InvalidField, NotFound
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, new_stem
from vouchpost_gateway.domain.lane import LaneNews, Settlement, SettlementKind, recoveries
from vouchpost_gateway.domain.subscription import DisabledReason, Subscription
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.record import pack_delivery
from vouchpost_gateway.ledger.subscriptions import SubscriptionRecords
from vouchpost_gateway.ledger.tenants import AccessRecords
from vouchpost_gateway.pipeline.resend import Recover, Resend
from vouchpost_gateway.pipeline.subscribe import Subscribe


def _draw() -> Draw:
    return Draw(START_MS, bytes(32))


def _subscribe(bench: Bench) -> Subscribe:
    records: SubscriptionRecords = bench.subscriptions
    return Subscribe(records, AccessRecords(bench.store), lambda _rings: None, Told(), lambda: START_MS, _draw, 100, 20)


def _resend(bench: Bench) -> Resend:
    return Resend(bench.deliveries, bench.lanes, _subscribe(bench), lambda _rings: None, lambda: START_MS)


def _recovered(
    bench: Bench, subscription: Subscription, *, since_ms: int = START_MS - 1, step_s: float = 10
) -> list[str]:
    """What a recovery puts in line for this subscription."""
    bench.run(_resend(bench).all_since(bench.world, subscription, since_ms=since_ms, until_ms=START_MS + 1))
    work = Recover(bench.deliveries, bench.verifications, _subscribe(bench), lambda _rings: None, step_s)
    lane = recoveries(bench.world)
    for _ in range(20):
        turn = bench.turn(lane, want=1)
        for claim in turn.claims:
            done = bench.run(work(lane, claim, turn))
            assert done.settlement is not None
            bench.turn(lane, replace(done.settlement, delay_ms=0))
        if not turn.claims:
            break
    return sorted(bench.waiting(bench.lane_of(subscription)))


def _settled(bench: Bench, subscription: Subscription, state: DeliveryState, *, attempts: int = 1) -> None:
    lane = bench.lane_of(subscription)
    claim = bench.claim(lane)
    kind = SettlementKind.DONE if state is DeliveryState.DELIVERED else SettlementKind.DEAD
    bench.turn(lane, Settlement(kind, claim.item, claim.token, progress=DeliveryProgress(state, attempts)))


def test_a_dead_letter_goes_in_line_again_and_counts_on(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    _settled(bench, subscription, DeliveryState.DEAD, attempts=10)

    bench.run(_resend(bench).one(bench.world, ref))

    claim = bench.claim(bench.lane_of(subscription))
    assert claim.progress is not None
    assert (claim.progress.attempt_count, claim.progress.attempts_before) == (10, 10)
    assert bench.run(bench.deliveries.dead(bench.world, after=None, limit=10)) == []


def test_what_was_delivered_can_be_sent_again_by_hand(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    _settled(bench, subscription, DeliveryState.DELIVERED)

    bench.run(_resend(bench).one(bench.world, ref))

    assert bench.claim(bench.lane_of(subscription)).item == ref.event.item


def test_what_is_in_line_or_in_flight_is_not_sent_twice(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    bench.run(_resend(bench).one(bench.world, ref))
    claim = bench.claim(bench.lane_of(subscription))

    bench.run(_resend(bench).one(bench.world, ref))

    assert list(bench.in_flight(bench.lane_of(subscription))) == [claim.item]
    assert bench.waiting(bench.lane_of(subscription)) == {}


@pytest.mark.parametrize("found", ["delivered", "in line", "in flight"])
def test_a_request_that_was_carried_out_sends_nothing_when_it_is_asked_for_again(bench: Bench, found: str) -> None:
    """Its answer was lost, and the delivery went on meanwhile."""
    subscription = bench.subscribe()
    lane, ref = bench.lane_of(subscription), DeliveryRef(bench.delivered_to(subscription), subscription.number)
    if found == "delivered":
        _settled(bench, subscription, DeliveryState.DELIVERED)
    claims = [bench.claim(lane)] if found == "in flight" else []
    bench.run(_resend(bench).one(bench.world, ref, draw=_draw()))
    (claim,) = claims or [bench.claim(lane)]
    delivered = DeliveryProgress(DeliveryState.DELIVERED, 1)
    bench.turn(lane, Settlement(SettlementKind.DONE, claim.item, claim.token, progress=delivered))

    bench.run(_resend(bench).one(bench.world, ref, draw=_draw()))

    assert bench.waiting(lane) == {}


def test_a_request_asked_for_again_sends_nothing_though_another_one_came_between(bench: Bench) -> None:
    """The other one may have drawn at the same moment, and is another one."""
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    _settled(bench, subscription, DeliveryState.DELIVERED)
    for draw in (_draw(), Draw(START_MS, bytes(31) + b"2")):
        bench.run(_resend(bench).one(bench.world, ref, draw=draw))
        _settled(bench, subscription, DeliveryState.DELIVERED)

    bench.run(_resend(bench).one(bench.world, ref, draw=_draw()))

    assert bench.waiting(bench.lane_of(subscription)) == {}


def test_the_schedule_of_a_request_that_waited_for_hours_begins_when_it_is_carried_out(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    _settled(bench, subscription, DeliveryState.DEAD)

    bench.run(_resend(bench).one(bench.world, ref, draw=Draw(START_MS - 20 * 3_600_000, bytes(32))))

    progress = bench.claim(bench.lane_of(subscription)).progress
    assert progress is not None
    assert progress.since_ms == START_MS


def test_nothing_is_resent_to_who_is_disabled_or_gone(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    disabled = bench.change(subscription, enabled=False)
    with pytest.raises(Conflict):
        bench.run(_resend(bench).one(bench.world, ref))

    bench.run(bench.subscriptions.remove(bench.world, disabled))

    with pytest.raises(NotFound):
        bench.run(_resend(bench).one(bench.world, ref))


def test_an_event_that_is_no_longer_kept_cannot_be_resent(bench: Bench) -> None:
    subscription = bench.subscribe()

    with pytest.raises(NotFound):
        bench.run(_resend(bench).one(bench.world, DeliveryRef(EventRef("0" * 19, 1), subscription.number)))


def test_a_recovery_resends_what_did_not_arrive_and_what_came_while_disabled(bench: Bench) -> None:
    subscription = bench.subscribe()
    arrived, dead, waiting = (bench.delivered_to(subscription) for _ in range(3))
    _settled(bench, subscription, DeliveryState.DELIVERED)
    _settled(bench, subscription, DeliveryState.DEAD)
    disabled = bench.change(subscription, enabled=False)
    missed = bench.delivered_to()
    enabled = bench.change(disabled, enabled=True)

    assert _recovered(bench, enabled) == sorted([dead.item, waiting.item, missed.item])
    assert arrived.item not in bench.waiting(bench.lane_of(subscription))


def test_a_recovery_goes_no_further_back_than_asked(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to()

    assert _recovered(bench, subscription, since_ms=START_MS + 1) == []


def test_a_recovery_goes_through_any_number_of_events(bench: Bench) -> None:
    subscription = bench.subscribe()
    items = [bench.delivered_to().item for _ in range(205)]

    assert _recovered(bench, subscription) == sorted(items)


def test_a_recovery_gets_on_however_little_it_can_do_in_a_step(bench: Bench) -> None:
    """As when Redis is far away: a step that outlived its lease would be begun again, and never get further."""
    subscription = bench.subscribe()
    refs = [bench.delivered_to(subscription) for _ in range(5)]
    for _ in refs:
        _settled(bench, subscription, DeliveryState.DEAD)

    assert _recovered(bench, subscription, step_s=0) == sorted(ref.item for ref in refs)


def test_an_event_whose_record_is_full_is_not_sent_again_and_holds_up_no_other(bench: Bench) -> None:
    """Every time adds to it, and it is rewritten whole: a failing endpoint could make it as large as it likes."""
    subscription = bench.subscribe()
    full, other = bench.delivered_to(subscription), bench.delivered_to(subscription)
    for _ in range(2):
        _settled(bench, subscription, DeliveryState.DEAD)
    section = pack_delivery(1, subscription.number, DeliveryProgress(DeliveryState.DEAD, 10))
    bench.raw.append(keys.record(bench.world, full.stem), section * (300_000 // len(section)))

    with pytest.raises(Conflict):
        bench.run(_resend(bench).one(bench.world, DeliveryRef(full, subscription.number)))
    assert _recovered(bench, subscription) == [other.item]


def test_a_recovery_brings_no_events_that_were_for_someone_else(bench: Bench) -> None:
    """A test event is for one subscription; that another one was disabled is no partner's business."""
    other, own = bench.subscribe(), bench.subscribe()
    partners = bench.change(bench.subscribe(), owner="prt_1")
    bench.announce(other)
    bench.run(_subscribe(bench).disable(bench.world, other.number, DisabledReason.GONE, now_ms=START_MS))
    told = sorted(bench.waiting(bench.lane_of(own)))

    assert _recovered(bench, partners) == []
    assert _recovered(bench, own) == told
    assert len(told) == 1


def test_a_recovery_fills_a_new_subscription_with_what_was_before_it_unless_it_is_a_partners(bench: Bench) -> None:
    """A partner who came today is owed nothing of last week's, addresses least of all."""
    before = bench.delivered_to()
    own = bench.change(bench.subscribe(), created_ms=START_MS + 1)
    partners = bench.change(bench.subscribe(), created_ms=START_MS + 1, owner="prt_1", include_address=True)

    assert _recovered(bench, own) == [before.item]
    assert _recovered(bench, partners) == []


def test_a_partner_is_owed_what_came_about_since_it_is_there_however_old_the_verification(bench: Bench) -> None:
    partners = bench.change(bench.subscribe(), created_ms=START_MS - 1000, owner="prt_1")
    stem = bench.accept(stem=new_stem(now_ms=START_MS - 5000, random_bits=1)).stem
    bench.commit(bench.claim(bench.lane()))

    assert _recovered(bench, partners, since_ms=START_MS - 9000) == [EventRef(stem, 1).item]


def test_a_recovery_asked_for_twice_runs_once(bench: Bench) -> None:
    subscription = bench.subscribe()
    for _ in range(2):
        bench.run(_resend(bench).all_since(bench.world, subscription, since_ms=0, until_ms=None))

    assert len(bench.waiting(recoveries(bench.world))) == 1


def test_a_recovery_of_a_disabled_subscription_is_refused(bench: Bench) -> None:
    subscription = bench.subscribe(enabled=False)

    with pytest.raises(Conflict):
        bench.run(_resend(bench).all_since(bench.world, subscription, since_ms=0, until_ms=None))


def test_nothing_is_recovered_from_the_future(bench: Bench) -> None:
    subscription = bench.subscribe()

    with pytest.raises(InvalidField, match="since"):
        bench.run(_resend(bench).all_since(bench.world, subscription, since_ms=START_MS + 1, until_ms=None))


async def _by_resend(bench: Bench, _made: Subscription, ref: DeliveryRef) -> None:
    await _resend(bench).one(bench.world, ref)


async def _by_test(bench: Bench, made: Subscription, _ref: DeliveryRef) -> None:
    await _subscribe(bench).test(bench.world, None, made.id)


async def _by_moving(bench: Bench, made: Subscription, _ref: DeliveryRef) -> None:
    await _subscribe(bench).replace(bench.world, None, replace(made, url="https://second.example/"))


async def _by_describing(bench: Bench, made: Subscription, _ref: DeliveryRef) -> None:
    await _subscribe(bench).replace(bench.world, None, replace(made, description="of the same server"))


@pytest.mark.parametrize(
    ("act", "claimed"),
    [
        pytest.param(_by_resend, 1, id="resend by hand"),
        pytest.param(_by_test, 1, id="test"),
        pytest.param(_by_moving, 1, id="another URL"),
        pytest.param(_by_describing, 0, id="another description"),
    ],
)
def test_the_day_of_rest_that_a_server_asked_for_ends_when_somebody_wants_it_tried(
    bench: Bench, act: Callable[[Bench, Subscription, DeliveryRef], Coroutine[Any, Any, None]], claimed: int
) -> None:
    subscription = bench.subscribe()
    ref = DeliveryRef(bench.delivered_to(subscription), subscription.number)
    lane = bench.lane_of(subscription)
    bench.turn(lane, news=LaneNews(failed=1, throttle_ms=86_400_000))

    bench.run(act(bench, subscription, ref))

    assert len(bench.turn(lane, want=1).claims) == claimed


def test_a_recovery_leaves_a_subscription_the_rest_that_its_server_asked_for(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    _settled(bench, subscription, DeliveryState.DEAD)
    lane = bench.lane_of(subscription)
    bench.turn(lane, news=LaneNews(failed=1, throttle_ms=86_400_000))

    assert len(_recovered(bench, subscription)) == 1
    assert bench.turn(lane, want=1).claims == ()
