"""Claims, leases, settlements, caps and bells: what a turn promises."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.lane import (
    BellState,
    Claim,
    Lane,
    LaneKind,
    LaneLimits,
    LaneNews,
    NextStep,
    Settlement,
    SettlementKind,
    Turn,
    deliveries,
    recoveries,
)
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import Priority
from vouchpost_gateway.ledger import keys

CRASHING = LaneLimits(lease_ms=1, lane_cap=16, world_fast_cap=1000, world_slow_cap=64)
ONE_SLOW = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=100, world_slow_cap=1)
ONE_AT_A_TIME = LaneLimits(lease_ms=60_000, lane_cap=1, world_fast_cap=1000, world_slow_cap=64)


def _delivered(claim: Claim) -> Settlement:
    progress = DeliveryProgress(DeliveryState.DELIVERED, attempt_count=1)
    return Settlement(SettlementKind.DONE, claim.item, claim.token, progress=progress)


def _dead(claim: Claim) -> Settlement:
    progress = DeliveryProgress(DeliveryState.DEAD, attempt_count=1)
    return Settlement(SettlementKind.DEAD, claim.item, claim.token, progress=progress)


def _later(claim: Claim, delay_ms: int = 0) -> Settlement:
    progress = DeliveryProgress(attempt_count=1)
    return Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=delay_ms, progress=progress)


def _crashed(bench: Bench, lane: Lane, *, limits: LaneLimits = CRASHING, want: int = 1) -> tuple[Claim, ...]:
    """Claims whose worker died: their leases have ended."""
    claims = bench.turn(lane, want=want, limits=limits).claims
    time.sleep(0.003)
    return claims


def _filled(bench: Bench, count: int) -> tuple[Subscription, Lane]:
    subscription = bench.subscribe()
    for _ in range(count):
        bench.announce(subscription)
    return subscription, bench.lane_of(subscription)


def _grown(bench: Bench, lane: Lane, window: int = 16) -> None:
    bench.raw.hset(keys.lane_part(lane, "m"), "window", window)


def _look(bench: Bench, lane: Lane) -> Turn:
    """A turn of a lane whose rest is over, where its tenant may have one slow probe in flight."""
    bench.raw.hdel(keys.lane_part(lane, "m"), "not_before")
    return bench.turn(lane, want=1, limits=ONE_SLOW)


def _slow_lanes(bench: Bench, count: int) -> list[Lane]:
    lanes = [_filled(bench, 9)[1] for _ in range(count)]
    for lane in lanes:
        bench.turn(lane, news=LaneNews(slow=True), limits=ONE_SLOW)
    return lanes


def _time_out(bench: Bench, lane: Lane, *, throttle_ms: int = 1000) -> Turn:
    """The turn of a lane whose one probe ran out of time."""
    [item] = bench.in_flight(lane)
    token = int(bench.raw.hget(keys.lane_part(lane, "t"), item).split()[0])
    news = LaneNews(failed=1, slow=True, throttle_ms=throttle_ms, slowdowns=1)
    return bench.turn(lane, _later(Claim(item, token, 1, 1)), news=news, limits=ONE_SLOW)


# leases and tokens


def test_an_item_is_leased_to_one_worker_at_a_time(bench: Bench) -> None:
    stem = bench.accept().stem

    first = bench.turn(bench.lane(), want=4)
    second = bench.turn(bench.lane(), want=4)

    assert [claim.item for claim in first.claims] == [stem]
    assert second.claims == ()


def test_a_dead_workers_item_comes_due_again_with_a_higher_token(bench: Bench) -> None:
    bench.accept()
    [lost] = _crashed(bench, bench.lane())

    again = bench.claim(bench.lane())

    assert (again.item, again.claims) == (lost.item, 2)
    assert again.token > lost.token


def test_leases_in_a_row_are_counted_until_a_settlement(bench: Bench) -> None:
    bench.accept()
    claims = [_crashed(bench, bench.lane())[0] for _ in range(5)]
    assert [claim.claims for claim in claims] == [1, 2, 3, 4, 5]

    bench.turn(bench.lane(), Settlement(SettlementKind.LATER, claims[-1].item, claims[-1].token))

    assert bench.claim(bench.lane()).claims == 1


@pytest.mark.parametrize("settle", [_later, _dead], ids=["later", "dead"])
def test_a_stale_token_settles_nothing(bench: Bench, settle: Callable[[Claim], Settlement]) -> None:
    _, lane = _filled(bench, 1)
    [stale] = _crashed(bench, lane)
    bench.claim(lane)

    turn = bench.turn(lane, settle(stale), generation=0)

    assert turn.answers == ("stale",)
    assert list(bench.in_flight(lane)) == [stale.item]


def test_delivered_is_taken_from_any_token_ever_given(bench: Bench) -> None:
    """A frozen worker's success is still a success."""
    subscription, lane = _filled(bench, 1)
    [stale] = _crashed(bench, lane)
    current = bench.claim(lane)

    assert bench.turn(lane, _delivered(stale), generation=0).answers == ("ok",)

    assert bench.turn(lane, _dead(current), generation=0).answers == ("stale",)
    assert _state(bench, subscription, stale) is DeliveryState.DELIVERED


def test_a_success_that_comes_late_takes_the_delivery_out_of_the_dead_letters(bench: Bench) -> None:
    subscription, lane = _filled(bench, 1)
    [stale] = _crashed(bench, lane)
    bench.turn(lane, _dead(bench.claim(lane)))

    assert bench.turn(lane, _delivered(stale), generation=0).answers == ("ok",)

    assert _state(bench, subscription, stale) is DeliveryState.DELIVERED
    assert bench.run(bench.deliveries.dead(bench.world, after=None, limit=10)) == []


def test_what_merely_ends_needs_the_current_token(bench: Bench) -> None:
    """A frozen worker that found nothing to do must not take a recheck out of line that was scheduled meanwhile."""
    stem = bench.accept().stem
    [stale] = _crashed(bench, bench.lane())
    bench.commit(bench.claim(bench.lane()), recheck_ms=60_000)

    turn = bench.turn(bench.lane(), Settlement(SettlementKind.DONE, stem, stale.token), generation=0)

    assert turn.answers == ("stale",)
    assert list(bench.waiting(bench.lane())) == [stem]


def _state(bench: Bench, subscription: Subscription, claim: Claim) -> DeliveryState:
    refs = bench.run(bench.deliveries.latest(bench.world, subscription.number, after=None, limit=10))
    [ref] = [ref for ref in refs if ref.event.item == claim.item]
    return bench.run(bench.deliveries.get(bench.world, ref)).state


# caps


def test_no_more_of_a_lane_is_in_flight_than_its_cap(bench: Bench) -> None:
    _, lane = _filled(bench, 6)
    _grown(bench, lane)
    three = LaneLimits(lease_ms=60_000, lane_cap=3, world_fast_cap=1000, world_slow_cap=64)

    claims = [bench.turn(lane, want=4, limits=three).claims for _ in range(3)]

    assert [len(found) for found in claims] == [3, 0, 0]
    assert bench.due(lane) == min(bench.in_flight(lane).values()), "until then there is nothing to do"


def test_a_full_lane_is_due_again_once_something_is_settled(bench: Bench) -> None:
    _, lane = _filled(bench, 2)
    claim = bench.claim(lane, limits=ONE_AT_A_TIME)

    turn = bench.turn(lane, _delivered(claim), generation=0, limits=ONE_AT_A_TIME)

    assert turn.next_due_ms is not None
    assert turn.next_due_ms <= turn.now_ms


def test_a_full_lane_is_due_again_once_a_verdict_is_committed(bench: Bench) -> None:
    """A commit takes what was in flight without a turn of the lane."""
    bench.accept()
    bench.accept()
    claim = bench.claim(bench.lane(), limits=ONE_AT_A_TIME)
    assert (bench.due(bench.lane()) or 0) > bench.now_ms(), "full until the lease ends"

    assert bench.commit(claim) == "ok"

    assert (bench.due(bench.lane()) or 0) <= bench.now_ms()


def test_a_full_lane_is_due_again_once_what_was_in_flight_is_erased(bench: Bench) -> None:
    subscription = bench.subscribe()
    first = bench.delivered_to(subscription)
    lane = bench.lane_of(subscription)
    assert bench.claim(lane, limits=ONE_AT_A_TIME).item == first.item
    second = bench.delivered_to(subscription)

    bench.run(bench.verifications.erase(bench.world, first.stem))

    due = bench.due(lane)
    assert due is not None
    assert due <= bench.now_ms()
    assert bench.claim(lane, limits=ONE_AT_A_TIME).item == second.item


def test_what_is_erased_no_longer_counts_as_in_flight_for_its_world(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    bench.claim(bench.lane_of(subscription))

    bench.run(bench.verifications.erase(bench.world, ref.stem))

    assert bench.raw.hget(keys.counters(bench.world), "flight0") == b"0"
    assert bench.due(bench.lane_of(subscription)) is None


def test_a_tenant_has_no_more_in_flight_than_its_cap_over_all_its_lanes(bench: Bench) -> None:
    lanes = [_filled(bench, 3)[1] for _ in range(3)]
    five = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=5, world_slow_cap=64)
    for lane in lanes:
        _grown(bench, lane)

    counts = [len(bench.turn(lane, want=4, limits=five).claims) for lane in lanes]

    assert counts == [3, 2, 0]


def test_at_its_tenants_cap_a_lane_makes_way_and_is_looked_at_again_soon(bench: Bench) -> None:
    (_, first), (_, second) = _filled(bench, 1), _filled(bench, 1)
    one = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=1, world_slow_cap=64)
    claim = bench.claim(first, limits=one)
    turn = bench.turn(second, want=1, limits=one)
    assert turn.claims == ()
    assert turn.next_due_ms is not None
    assert 0 < turn.next_due_ms - turn.now_ms <= 250
    assert turn.bell is BellState.IDLE

    bench.turn(first, _delivered(claim), limits=one)
    time.sleep(0.26)
    assert second.id in [ring.lane_id for ring in bench.sweep()]

    assert len(bench.turn(second, want=1, limits=one).claims) == 1


def test_of_what_comes_free_at_the_tenants_cap_half_is_left_to_whoever_found_none(bench: Bench) -> None:
    """A lane refills in the turn that settles, before anybody else can look: it must not take all of it again."""
    (_, first), (_, second) = _filled(bench, 12), _filled(bench, 12)
    eight = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=8, world_slow_cap=64)
    for lane in (first, second):
        _grown(bench, lane)
    held = bench.turn(first, want=8, limits=eight).claims
    assert len(held) == 8
    assert bench.turn(second, want=8, limits=eight).claims == ()

    again = bench.turn(first, *map(_delivered, held[:4]), want=8, limits=eight)
    bench.raw.hdel(keys.lane_part(second, "m"), "not_before")

    assert len(again.claims) == 2
    assert len(bench.turn(second, want=8, limits=eight).claims) == 1, "half of two: there may be a third"
    time.sleep(1.1)
    assert len(bench.turn(first, want=8, limits=eight).claims) == 1, "nobody has looked in vain for a second"


def test_what_is_in_flight_for_long_stretches_the_cap_whoever_claimed_it(bench: Bench) -> None:
    """It waits for others: the lane's next slices, and those of other processes, work on beside it."""
    _, lane = _filled(bench, 12)
    four = LaneLimits(lease_ms=60_000, lane_cap=4, stretch=6)
    assert len(bench.turn(lane, want=12, limits=four).claims) == 4
    assert bench.turn(lane, want=12, limits=four).claims == ()
    assert bench.due(lane) is not None, "time alone will make room, so somebody has to look"

    time.sleep(0.6)
    assert len(bench.turn(lane, want=12, limits=four).claims) == 4
    time.sleep(0.6)
    assert len(bench.turn(lane, want=12, limits=four).claims) == 2, "by six, and no more"
    assert bench.turn(lane, want=12, limits=four).claims == ()


def test_slow_lanes_at_their_tenants_cap_come_back_one_after_another(bench: Bench) -> None:
    """As places come free, one with each lease that ends: hundreds must not keep a worker busy with looking."""
    holder, *others = _slow_lanes(bench, 4)
    assert _look(bench, holder).claims

    turns = [_look(bench, lane) for lane in others]

    assert all((turn.claims, turn.bell) == ((), BellState.IDLE) for turn in turns)
    first, second, third = (turn.next_due_ms or 0 for turn in turns)
    assert first == turns[0].now_ms + 5000
    assert (second - first, third - second) == (ONE_SLOW.lease_ms, ONE_SLOW.lease_ms)
    assert _look(bench, others[0]).next_due_ms == third + ONE_SLOW.lease_ms, "who looked in vain is the last of them"


def test_more_slow_lanes_come_back_where_more_may_be_in_flight(bench: Bench) -> None:
    four = replace(ONE_SLOW, world_slow_cap=4)
    lanes = _slow_lanes(bench, 6)

    turns = [bench.turn(lane, want=1, limits=four) for lane in lanes]

    assert [len(turn.claims) for turn in turns] == [1, 1, 1, 1, 0, 0]
    assert (turns[5].next_due_ms or 0) - (turns[4].next_due_ms or 0) == ONE_SLOW.lease_ms / 4


def test_a_slow_lane_that_ran_out_of_time_comes_back_behind_those_that_wait(bench: Bench) -> None:
    """Or those that had a place would have it again, and the others none."""
    first, second, third = _slow_lanes(bench, 3)
    assert _look(bench, first).claims
    last = [_look(bench, lane).next_due_ms or 0 for lane in (second, third)][-1]

    assert _time_out(bench, first).next_due_ms == last + ONE_SLOW.lease_ms


def test_a_slow_lane_waits_for_no_more_than_five_minutes(bench: Bench) -> None:
    """Thousands that waited may be gone, and nobody comes in their place."""
    first, second = _slow_lanes(bench, 2)
    assert _look(bench, first).claims
    bench.raw.hset(keys.counters(bench.world), "booked", bench.now_ms() + 86_400_000)

    looked, timed_out = _look(bench, second), _time_out(bench, first)

    assert [turn.next_due_ms for turn in (looked, timed_out)] == [t.now_ms + 300_000 for t in (looked, timed_out)]


@pytest.mark.parametrize("others", [0, 1])
def test_a_slow_lane_rests_as_long_as_its_peer_is_owed(bench: Bench, others: int) -> None:
    first, *waiting = _slow_lanes(bench, 1 + others)
    assert _look(bench, first).claims
    for lane in waiting:
        assert not _look(bench, lane).claims

    turn = _time_out(bench, first, throttle_ms=6000)

    assert turn.next_due_ms == turn.now_ms + 6000


def test_leases_that_ended_do_not_keep_a_tenant_at_its_cap(bench: Bench) -> None:
    """A worker that died with all of a tenant's room in its hands must not take that room with it."""
    lanes = [_filled(bench, 2)[1] for _ in range(2)]
    two = LaneLimits(lease_ms=1, lane_cap=16, world_fast_cap=2, world_slow_cap=2)
    for lane in lanes:
        assert len(_crashed(bench, lane, limits=two)) == 1

    assert [len(bench.turn(lane, want=1, limits=two).claims) for lane in lanes] == [1, 1]


def test_other_tenants_have_a_cap_of_their_own(bench: Bench) -> None:
    one = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=1, world_slow_cap=64)
    bench.claim(_filled(bench, 1)[1], limits=one)

    bench.world = bench.new_world("other")

    assert len(bench.turn(_filled(bench, 1)[1], want=1, limits=one).claims) == 1


def test_a_slow_lane_has_one_probe_in_flight(bench: Bench) -> None:
    _, lane = _filled(bench, 5)
    _grown(bench, lane)
    bench.turn(lane, news=LaneNews(slow=True))

    turn = bench.turn(lane, want=8)

    assert turn.slow
    assert len(turn.claims) == 1


def test_slow_lanes_count_apart_from_the_fast_ones(bench: Bench) -> None:
    caps = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=1, world_slow_cap=1)
    (_, slow), (_, fast), (_, slow_too) = (_filled(bench, 1) for _ in range(3))
    for lane in (slow, slow_too):
        bench.turn(lane, news=LaneNews(slow=True), limits=caps)

    counts = [len(bench.turn(lane, want=1, limits=caps).claims) for lane in (slow, fast, slow_too)]

    assert counts == [1, 1, 0]


def test_a_healthy_lane_leaves_the_slow_class(bench: Bench) -> None:
    _, lane = _filled(bench, 3)
    bench.turn(lane, news=LaneNews(slow=True))
    claim = bench.claim(lane)

    turn = bench.turn(lane, _delivered(claim), want=8, news=LaneNews(delivered=1, slow=False))

    assert not turn.slow
    assert len(turn.claims) == 2


def test_a_window_grows_with_success_and_shrinks_with_failure(bench: Bench) -> None:
    _, lane = _filled(bench, 40)
    sizes = []
    for news in (LaneNews(delivered=1),) * 3 + (LaneNews(failed=1),) * 2:
        claims = bench.turn(lane, want=16).claims
        sizes.append(len(claims))
        bench.turn(lane, *(_later(claim) for claim in claims), news=news)

    assert sizes == [1, 2, 4, 8, 4]


# due times


def test_nothing_is_claimed_before_it_is_due(bench: Bench) -> None:
    _, lane = _filled(bench, 1)
    claim = bench.claim(lane)
    bench.turn(lane, _later(claim, delay_ms=600))
    assert bench.turn(lane, want=1).claims == ()

    time.sleep(0.65)

    assert bench.claim(lane).item == claim.item


def test_new_work_does_not_wait_for_the_retry_of_old_work(bench: Bench) -> None:
    """Nor does it when its bell is lost: the index of due lanes is what the sweeper goes by."""
    subscription, lane = _filled(bench, 1)
    bench.turn(lane, _later(bench.claim(lane), delay_ms=3_600_000), step=NextStep.END)
    assert bench.sweep() == []

    bench.announce(subscription)
    bench.lose_bell(lane)

    assert [ring.lane_id for ring in bench.sweep()] == [lane.id]
    assert len(bench.turn(lane, want=2).claims) == 1


def test_a_throttled_lane_rests_and_its_items_use_up_no_attempt(bench: Bench) -> None:
    _, lane = _filled(bench, 2)
    turn = bench.turn(lane, want=2, news=LaneNews(failed=1, throttle_ms=600, slowdowns=1))
    assert turn.claims == ()
    assert turn.slowdowns == 1
    assert turn.next_due_ms is not None
    assert turn.next_due_ms - turn.now_ms == 600
    assert bench.turn(lane, want=2).claims == (), "nor in the next turn"

    time.sleep(0.65)

    claim = bench.claim(lane)
    assert claim.claims == 1
    assert claim.progress == DeliveryProgress()


def test_new_work_makes_no_lane_due_that_is_held_back(bench: Bench) -> None:
    """Paused, throttled or full: the sweeper goes by the index, and would ring for nothing."""
    (paused_one, paused), (throttled_one, throttled), (full_one, full) = (_filled(bench, 1) for _ in range(3))
    bench.change(paused_one, enabled=False)
    bench.turn(throttled, news=LaneNews(throttle_ms=60_000))
    bench.claim(full, limits=ONE_AT_A_TIME)

    for subscription in (paused_one, throttled_one, full_one):
        bench.announce(subscription)

    assert bench.due(paused) is None
    assert (bench.due(throttled) or 0) > bench.now_ms() + 50_000
    assert bench.due(full) == min(bench.in_flight(full).values())


def test_a_throttle_is_never_shortened(bench: Bench) -> None:
    _, lane = _filled(bench, 1)
    bench.turn(lane, news=LaneNews(throttle_ms=60_000))

    turn = bench.turn(lane, news=LaneNews(throttle_ms=10))

    assert turn.next_due_ms is not None
    assert turn.next_due_ms - turn.now_ms > 50_000


def test_a_paused_lane_keeps_its_items(bench: Bench) -> None:
    subscription, lane = _filled(bench, 3)
    paused = bench.change(subscription, enabled=False)
    assert bench.turn(lane, want=3).claims == ()
    assert bench.due(lane) is None

    bench.change(paused, enabled=True)

    assert len(bench.waiting(lane)) == 3
    assert bench.claim(lane)


# priority


@pytest.mark.parametrize("favoured", [Priority.HIGH, Priority.NORMAL])
@pytest.mark.parametrize("room", [1, 7, 40])
def test_priority_is_served_first_and_a_tenth_is_left_to_the_rest(bench: Bench, favoured: Priority, room: int) -> None:
    rest = {bench.accept(priority=Priority.LOW).stem for _ in range(40)}
    first = {bench.accept(priority=favoured).stem for _ in range(40)}

    served: list[str] = []
    while len(served) < 40:
        served += [claim.item for claim in bench.turn(bench.lane(), want=room, limits=_WIDE).claims]

    assert 30 <= len(first.intersection(served[:40])) <= 37
    assert rest.intersection(served[:20])


_WIDE = LaneLimits(lease_ms=60_000, lane_cap=1000)


def test_a_retry_keeps_its_priority(bench: Bench) -> None:
    stem = bench.accept(priority=Priority.LOW).stem
    claim = bench.claim(bench.lane())

    bench.turn(bench.lane(), Settlement(SettlementKind.LATER, stem, claim.token))

    assert bench.claim(bench.lane()).queue == 2


# health


def test_a_lane_that_only_fails_says_since_when(bench: Bench) -> None:
    _, lane = _filled(bench, 1)
    first = bench.turn(lane, news=LaneNews(failed=2))
    second = bench.turn(lane, news=LaneNews(failed=1))
    assert (second.failing_since_ms, second.failures) == (first.now_ms, 3)

    third = bench.turn(lane, news=LaneNews(delivered=1))

    assert (third.failing_since_ms, third.failures) == (None, 0)


# bells


def test_work_that_comes_to_an_idle_lane_rings_once(bench: Bench) -> None:
    _, first = bench.accept_and_ring()
    _, second = bench.accept_and_ring()

    assert [(ring.lane_id, ring.generation, ring.slow) for ring in first] == [(bench.lane().id, 1, False)]
    assert second == []


def test_a_verdict_rings_for_each_subscription_that_it_goes_to(bench: Bench) -> None:
    """And for none that is drained already."""
    one, two, busy = (bench.subscribe() for _ in range(3))
    bench.rung(bench.lane_of(busy))
    bench.turn(bench.lane_of(busy), want=1)
    bench.accept()

    answer, rings = bench.commit_and_ring(bench.claim(bench.lane()), [one.number, two.number, busy.number])

    assert answer == "ok"
    assert [(ring.lane_id, ring.generation, ring.slow) for ring in rings] == [
        (bench.lane_of(subscription).id, 1, False) for subscription in (one, two)
    ]


def test_a_bell_of_the_past_claims_nothing(bench: Bench) -> None:
    bench.accept()
    bench.lose_bell(bench.lane())
    [ring] = bench.sweep()

    old = bench.turn(bench.lane(), want=1, generation=ring.generation - 1)

    assert old.bell is BellState.SUPERSEDED
    assert old.claims == ()
    assert len(bench.turn(bench.lane(), want=1, generation=ring.generation).claims) == 1


def test_a_slice_that_ends_with_work_left_hands_the_lane_on(bench: Bench) -> None:
    bench.accept()
    generation = bench.generation(bench.lane())

    turn = bench.turn(bench.lane(), step=NextStep.END)

    assert turn.bell is BellState.HANDED
    assert [ring.generation for ring in turn.rings] == [generation + 1]


def test_a_slice_that_ends_with_nothing_left_leaves_the_lane_idle(bench: Bench) -> None:
    bench.accept()
    claim = bench.claim(bench.lane())
    bench.commit(claim)

    assert bench.turn(bench.lane(), step=NextStep.END).bell is BellState.IDLE

    _, rings = bench.accept_and_ring()
    assert len(rings) == 1


def test_a_lane_whose_ring_was_lost_is_left_to_the_sweeper_however_much_is_added(bench: Bench) -> None:
    """While arq's Redis takes no bell, a steady load rings in vain just before each sweeper looks, who could drain."""
    bench.accept()
    bench.lose_bell(bench.lane())

    assert [bench.accept_and_ring()[1] for _ in range(3)] == [[], [], []]
    assert [ring.lane_id for ring in bench.sweep()] == [bench.lane().id]


def test_a_drain_that_lingers_is_woken_and_not_rung_for(bench: Bench) -> None:
    bench.accept()
    bench.commit(bench.claim(bench.lane()))
    assert bench.turn(bench.lane(), want=1).bell is BellState.HELD
    with bench.raw.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(keys.WAKE_CHANNEL)
        heard.get_message(timeout=1)

        _, rings = bench.accept_and_ring()

        message = heard.get_message(timeout=1)
    assert rings == []
    assert message is not None
    assert message["data"] == bench.lane().id.encode()


def test_the_sweeper_rings_what_is_due_and_silent_and_nothing_else(bench: Bench) -> None:
    bench.accept()
    assert bench.sweep() == [], "it was rung for"
    bench.lose_bell(bench.lane())

    assert [(ring.lane_id, ring.generation) for ring in bench.sweep()] == [(bench.lane().id, 2)]

    assert bench.sweep() == [], "it was rung for again"


def test_busy_lanes_hide_no_silent_one_behind_them(bench: Bench) -> None:
    """Hundreds that have waited longer, all of them rung for, must not keep the sweeper from a neighbour's."""
    busy = [deliveries(bench.world, number).id for number in range(1, 700)]
    bench.raw.zadd(keys.due_lanes(bench.world.partition), dict.fromkeys(busy, 1))
    rung = f"1 {bench.now_ms() + 60_000:.0f} 0"
    bench.raw.hset(keys.bells(bench.world.partition), mapping=dict.fromkeys(busy, rung))
    bench.accept()
    bench.lose_bell(bench.lane())

    assert [ring.lane_id for ring in bench.sweep()] == [bench.lane().id]


def test_a_sweeper_leaves_the_lanes_of_other_kinds_silent(bench: Bench) -> None:
    """What it does not drain it must not keep from those who do, should its ring be lost."""
    delivered_to = deliveries(bench.world, 1)
    bench.raw.zadd(keys.due_lanes(bench.world.partition), {delivered_to.id: 1})
    bench.accept()
    bench.lose_bell(bench.lane())

    async def sweep(*kinds: LaneKind) -> list[str]:
        return [ring.lane_id for ring in await bench.lanes.sweep(bench.world.partition, kinds)]

    assert bench.run(sweep(LaneKind.RECOVERIES, LaneKind.FAN_OUTS)) == []
    assert bench.run(sweep(LaneKind.VERIFICATIONS, LaneKind.RECOVERIES, LaneKind.FAN_OUTS)) == [bench.lane().id]
    assert bench.run(sweep(LaneKind.DELIVERIES)) == [delivered_to.id]


def test_lanes_of_a_later_release_are_left_to_it_and_keep_nothing_up(bench: Bench) -> None:
    """Both run side by side during an update, on one index of due lanes."""
    later = f"{bench.world.partition:02d}.{bench.world.name}.z"
    bench.raw.zadd(keys.due_lanes(bench.world.partition), {later: 1})
    bench.accept()
    bench.lose_bell(bench.lane())

    assert [ring.lane_id for ring in bench.sweep()] == [bench.lane().id]
    assert not bench.raw.hexists(keys.bells(bench.world.partition), later)
    [(lane, items, _)] = bench.run(bench.lanes.overview(bench.world.partition, now_ms=round(bench.now_ms())))
    assert (lane, items) == (bench.lane(), 1)


def test_a_sweep_rings_a_bounded_number_and_the_next_one_goes_on(bench: Bench) -> None:
    silent = [deliveries(bench.world, number).id for number in range(1, 300)]
    bench.raw.zadd(keys.due_lanes(bench.world.partition), dict.fromkeys(silent, 1))

    first, second, third = (bench.sweep() for _ in range(3))

    assert (len(first), len(second), len(third)) == (200, 99, 0)
    assert {ring.lane_id for ring in (*first, *second)} == set(silent)


def test_a_sweeper_alone_finds_a_lease_that_ended(bench: Bench) -> None:
    bench.accept()
    _crashed(bench, bench.lane())
    bench.lose_bell(bench.lane())

    assert len(bench.sweep()) == 1


def test_a_settlement_without_the_lane_rings_for_what_it_leaves(bench: Bench) -> None:
    _, lane = _filled(bench, 2)
    claim = bench.claim(lane, limits=ONE_AT_A_TIME)
    bench.end_bell(lane)

    turn = bench.turn(lane, _delivered(claim), generation=0, limits=ONE_AT_A_TIME)

    assert [ring.lane_id for ring in turn.rings] == [lane.id]


def test_a_ring_says_that_its_lane_is_slow(bench: Bench) -> None:
    _, lane = _filled(bench, 2)

    turn = bench.turn(lane, news=LaneNews(slow=True), step=NextStep.END)

    assert [ring.slow for ring in turn.rings] == [True]


# repeats


def test_a_turn_that_is_sent_again_settles_nothing_twice(bench: Bench) -> None:
    subscription, lane = _filled(bench, 1)
    claim = bench.claim(lane)

    answers = [bench.turn(lane, _delivered(claim)).answers for _ in range(2)]

    assert answers == [("ok",), ("gone",)]
    assert _state(bench, subscription, claim) is DeliveryState.DELIVERED


def test_a_claim_that_is_sent_again_leases_other_items_and_the_first_come_due_again(bench: Bench) -> None:
    stems = [bench.accept().stem for _ in range(2)]
    [lost] = bench.turn(bench.lane(), want=1, limits=CRASHING).claims

    [second] = bench.turn(bench.lane(), want=1, limits=_WIDE).claims
    time.sleep(0.003)
    third = bench.turn(bench.lane(), want=2, limits=_WIDE).claims

    assert {lost.item, second.item} | {claim.item for claim in third} == set(stems)


# what is enlisted by hand


def test_what_waits_comes_forward_and_what_flies_is_left_alone(bench: Bench) -> None:
    lane = recoveries(bench.world)
    assert bench.run(bench.lanes.enlist(lane, "0001", queue=1, state=b"a", delay_ms=60_000))[0] == "ok"
    assert bench.turn(lane, want=1).claims == ()

    answer, rings = bench.run(bench.lanes.enlist(lane, "0001", queue=0))
    assert (answer, len(rings)) == ("ok", 0)
    claim = bench.claim(lane)

    assert claim.note == b"a"
    assert bench.run(bench.lanes.enlist(lane, "0001", queue=0)) == ("in_flight", [])
