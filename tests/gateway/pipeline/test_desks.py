import os
from typing import cast

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import Conflict, NotFound
from vouchpost_gateway.domain.event import EventType
from vouchpost_gateway.domain.ids import EventRef
from vouchpost_gateway.domain.lane import LaneNews
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.ledger.tenants import AccessRecords
from vouchpost_gateway.pipeline.accept import Accept
from vouchpost_gateway.pipeline.desks import EventDesk, SubscriptionDesk, VerificationDesk
from vouchpost_gateway.pipeline.resend import Resend
from vouchpost_gateway.pipeline.subscribe import Subscribe
from vouchpost_gateway.pipeline.wait import Wait


def _draw() -> Draw:
    return Draw(START_MS, os.urandom(32))


def _subscribe(bench: Bench) -> Subscribe:
    return Subscribe(
        bench.subscriptions, AccessRecords(bench.store), lambda _rings: None, Told(), lambda: START_MS, _draw, 100, 20
    )


def _desk(bench: Bench, *, later_ms: int = 0) -> SubscriptionDesk:
    """As the API has it, a while later."""
    subscribe = _subscribe(bench)
    resend = Resend(bench.deliveries, bench.lanes, subscribe, lambda _rings: None, lambda: START_MS)
    return SubscriptionDesk(subscribe, bench.deliveries, resend, lambda: int(bench.now_ms()) + later_ms, 1000)


def _listed(bench: Bench, subscription: Subscription, *, event_type: EventType | None = None) -> list[str]:
    page = bench.run(
        _desk(bench).deliveries(
            bench.world, None, subscription.id, state=None, event_type=event_type, after=None, limit=10
        )
    )
    return [delivery.event_type for delivery in page.items]


def test_a_subscription_rests_until_the_time_its_server_asked_for_or_it_is_disabled(bench: Bench) -> None:
    resting, disabled, other = bench.subscribe(), bench.subscribe(), bench.subscribe()
    for subscription in (resting, disabled):
        bench.turn(bench.lane_of(subscription), news=LaneNews(throttle_ms=60_000))
    shown = [resting, bench.change(disabled, enabled=False), other]

    ends = bench.run(_desk(bench).resting(bench.world, shown))

    assert ends.keys() == {resting.number}
    assert 50_000 < ends[resting.number] - bench.now_ms() <= 60_000
    assert bench.run(_desk(bench, later_ms=60_001).resting(bench.world, shown)) == {}


def test_a_partner_reads_the_events_that_went_to_a_subscription_of_its_own(bench: Bench) -> None:
    theirs, rivals = (bench.change(bench.subscribe(), owner=name) for name in ("prt_1", "prt_2"))
    ours = bench.subscribe()
    shared, own = bench.delivered_to(theirs, ours), bench.delivered_to(ours)
    events = EventDesk(bench.deliveries, _subscribe(bench))

    assert bench.run(events.get(bench.world, "prt_1", shared)).id == shared.id
    assert bench.run(events.get(bench.world, None, own)).id == own.id
    for owner, ref in (("prt_1", own), (rivals.owner, shared), ("prt_1", EventRef(shared.stem, 2))):
        with pytest.raises(NotFound):
            bench.run(events.get(bench.world, owner, ref))


def test_a_partner_whose_subscription_is_gone_reads_its_events_no_more(bench: Bench) -> None:
    theirs = bench.change(bench.subscribe(), owner="prt_1")
    sent = bench.delivered_to(theirs)
    subscribe = _subscribe(bench)

    bench.run(subscribe.delete(bench.world, "prt_1", theirs.id))

    with pytest.raises(NotFound):
        bench.run(EventDesk(bench.deliveries, subscribe).get(bench.world, "prt_1", sent))


def test_deliveries_are_listed_with_the_type_of_their_event_and_by_it(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    bench.announce(subscription)

    assert set(_listed(bench, subscription)) == {"verification.completed", "subscription.test"}
    for kind in (EventType.VERIFICATION_COMPLETED, EventType.SUBSCRIPTION_TEST):
        assert _listed(bench, subscription, event_type=kind) == [kind]
    assert _listed(bench, subscription, event_type=EventType.VERIFICATION_UPDATED) == []


def test_a_verification_that_is_being_worked_on_is_not_put_in_line_again(bench: Bench) -> None:
    """It may be judged again without a check, and then nobody would make the check that was asked for."""
    stem = bench.delivered_to().stem
    accept = cast("Accept", None)
    wait = cast("Wait", None)
    desk = VerificationDesk(bench.verifications, bench.lanes, accept, wait, lambda _rings: None)
    bench.run(desk.judge_again(bench.world, stem))
    bench.run(desk.recheck(bench.world, stem))
    assert bench.claim(bench.lane()).note == b"check", "it was still in line, so the recheck took its place"

    for again in (desk.recheck, desk.judge_again):
        with pytest.raises(Conflict):
            bench.run(again(bench.world, stem))
