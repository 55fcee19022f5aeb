import dataclasses
from functools import partial

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from vouchpost_gateway.domain.errors import Conflict, NotFound
from vouchpost_gateway.domain.event import Event, EventType, build
from vouchpost_gateway.domain.ids import DeliveryRef
from vouchpost_gateway.domain.lane import LaneLimits, LaneNews, NextStep, Settlement, SettlementKind
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.subscriptions import SubscriptionRecords


def _event(bench: Bench) -> Event:
    return build(bench.stem(), 0, EventType.SUBSCRIPTION_DISABLED, at_ms=START_MS, data={})


def _stored(bench: Bench, number: int) -> Subscription | None:
    """As another process reads it, that knows nothing yet."""
    elsewhere = SubscriptionRecords(bench.store, bench.tenants)
    return bench.run(elsewhere.fresh(bench.world)).by_number.get(number)


def test_a_subscription_comes_back_as_it_was_written(bench: Bench) -> None:
    made = bench.subscribe(event_types=frozenset({"verification.completed"}))
    changed = bench.change(
        made,
        headers={"X-Token": "t"},
        schedule_s=(0.0, 5.0),
        owner="prt_1",
        description="é",
        max_in_flight=3,
        include_address=True,
    )

    assert _stored(bench, made.number) == changed


def test_no_secret_is_stored_as_it_is(bench: Bench) -> None:
    made = bench.change(bench.subscribe(), headers={"X-Token": "do-not-tell"})

    text = b"".join(bench.raw.hvals(keys.subscriptions(bench.world)))

    assert made.secrets[0].key not in text
    assert b"do-not-tell" not in text


def test_of_two_who_change_the_same_version_one_is_told(bench: Bench) -> None:
    made = bench.subscribe()
    bench.change(made, url="https://first.example/")

    with pytest.raises(Conflict):
        bench.change(made, url="https://second.example/")

    stored = _stored(bench, made.number)
    assert stored is not None
    assert stored.url == "https://first.example/"


def test_a_change_whose_reply_was_lost_is_not_a_conflict_with_itself(bench: Bench) -> None:
    made = bench.subscribe()
    after = bench.change(made, url="https://first.example/")

    bench.run(bench.subscriptions.write(bench.world, after, new=False))

    assert _stored(bench, made.number) == after


def test_a_removal_whose_reply_was_lost_is_not_a_conflict_with_itself(bench: Bench) -> None:
    made = bench.subscribe()

    for _ in range(2):
        bench.run(bench.subscriptions.remove(bench.world, made))

    assert _stored(bench, made.number) is None


def test_a_removal_of_what_someone_else_changed_is_a_conflict(bench: Bench) -> None:
    made = bench.subscribe()
    bench.change(made, enabled=False)

    with pytest.raises(Conflict):
        bench.run(bench.subscriptions.remove(bench.world, made))


def test_a_removed_subscription_takes_its_lane_along(bench: Bench) -> None:
    """Also what is counted as in flight, and the settlements that come late."""
    made = bench.subscribe()
    ref = bench.delivered_to(made)
    lane = bench.lane_of(made)
    claim = bench.claim(lane)

    bench.run(bench.subscriptions.remove(bench.world, made))

    assert bench.due(lane) is None
    assert bench.raw.hget(keys.counters(bench.world), "flight0") == b"0"
    turn = bench.turn(lane, Settlement(SettlementKind.LATER, claim.item, claim.token), generation=0)
    assert turn.answers == ("stale",)
    assert [name for name in bench.raw.keys("*") if lane.suffix.encode() in name] == []
    delivery = bench.run(bench.deliveries.get(bench.world, DeliveryRef(ref, made.number)))
    assert delivery.state == "dropped"


def test_a_number_is_never_given_twice(bench: Bench) -> None:
    first = bench.subscribe()
    bench.run(bench.subscriptions.remove(bench.world, first))

    assert bench.subscribe().number > first.number


def test_the_two_modes_have_no_subscription_in_common(bench: Bench) -> None:
    live, made = bench.world, bench.subscribe()
    bench.world = dataclasses.replace(live, mode=Mode.TEST)
    assert bench.run(bench.subscriptions.fresh(bench.world)).by_number == {}
    theirs = bench.change(bench.subscribe(), url="https://test.example/")
    assert theirs.number == made.number

    bench.world = live

    assert _stored(bench, made.number) == made


def test_an_event_goes_to_all_that_are_enabled_and_want_its_type(bench: Bench) -> None:
    other = "verification.updated"
    every, _, _ = bench.subscribe(), bench.subscribe(enabled=False), bench.subscribe(event_types=frozenset({other}))
    one = bench.subscribe(event_types=frozenset({"verification.completed"}))

    before = bench.run(bench.subscriptions.cached(bench.world))
    assert before.targets("verification.completed") == (every.number, one.number)

    bench.run(bench.subscriptions.remove(bench.world, every))
    after = bench.run(bench.subscriptions.fresh(bench.world))
    assert after.targets("verification.completed") == (one.number,)
    assert before.targets("verification.completed") == (every.number, one.number)


def test_another_process_sees_each_change(bench: Bench) -> None:
    elsewhere = SubscriptionRecords(bench.store, bench.tenants)
    made = bench.subscribe()
    for enabled in (False, True, False):
        made = bench.change(made, enabled=enabled)
        assert bench.run(elsewhere.fresh(bench.world)).by_number == {made.number: made}
    bench.run(bench.subscriptions.remove(bench.world, made))

    assert bench.run(elsewhere.fresh(bench.world)).by_number == {}


def _numbers(bench: Bench, records: SubscriptionRecords) -> set[int]:
    return set(bench.run(records.fresh(bench.world)).by_number)


def test_removals_are_forgotten_and_those_who_missed_them_are_right_all_the_same(bench: Bench) -> None:
    """One process has read nothing of what changed, one part of it, one all; a fourth starts after that."""
    stays, goes, goes_too = bench.subscribe(), bench.subscribe(), bench.subscribe()
    behind, halfway, ahead, new = (SubscriptionRecords(bench.store, bench.tenants) for _ in range(4))
    assert _numbers(bench, behind) == {stays.number, goes.number, goes_too.number}
    bench.run(bench.subscriptions.remove(bench.world, goes))
    assert _numbers(bench, halfway) == {stays.number, goes_too.number}
    bench.run(bench.subscriptions.remove(bench.world, goes_too))
    assert _numbers(bench, ahead) == {stays.number}

    bench.run(bench.subscriptions.forget_removals(bench.world, kept=0))

    assert bench.raw.zcard(keys.subscription_changes(bench.world)) == 2
    later = bench.subscribe()
    for records in (behind, halfway, ahead, new):
        assert _numbers(bench, records) == {stays.number, later.number}


def test_removals_are_forgotten_page_by_page_however_often(bench: Bench) -> None:
    made = [bench.subscribe() for _ in range(4)]
    for subscription in made[:3]:
        bench.run(bench.subscriptions.remove(bench.world, subscription))

    for _ in range(2):
        bench.run(bench.subscriptions.forget_removals(bench.world, kept=0))
    bench.run(bench.subscriptions.remove(bench.world, made[3]))
    bench.run(bench.subscriptions.forget_removals(bench.world, kept=0))

    revision = float(bench.raw.hget(keys.counters(bench.world), "subscriptions") or 0)
    assert bench.raw.zrange(keys.subscription_changes(bench.world), 0, -1, withscores=True) == [(b"", revision)]


def test_a_set_that_a_failover_took_back_does_not_come_again_as_another(bench: Bench) -> None:
    """Its revision would be a known one, and those who know it would push to what is no more."""
    bench.subscribe()
    replica = {name: bench.raw.dump(name) for name in bench.raw.keys("*")}
    lost = bench.change(bench.subscribe(), url="https://lost.example/")
    worker = SubscriptionRecords(bench.store, bench.tenants)
    assert lost.number in _numbers(bench, worker)

    bench.raw.flushall()
    for name, value in replica.items():
        bench.raw.restore(name, 0, value)
    bench.change(bench.subscribe(), url="https://another.example/")

    urls = {number: one.url for number, one in bench.run(worker.fresh(bench.world)).by_number.items()}
    assert urls[lost.number] == "https://another.example/"


def test_a_few_removals_are_kept(bench: Bench) -> None:
    made = bench.subscribe()
    bench.run(bench.subscriptions.remove(bench.world, made))

    bench.run(bench.subscriptions.forget_removals(bench.world))

    assert bench.raw.zcard(keys.subscription_changes(bench.world)) == 1


def test_a_change_and_its_event_are_one_write(bench: Bench) -> None:
    made, other = bench.subscribe(), bench.subscribe()
    event = _event(bench)
    after = dataclasses.replace(made, enabled=False, version=2)

    bench.run(bench.subscriptions.write(bench.world, after, new=False, event=event, targets=[other.number]))

    assert _stored(bench, made.number) == after
    assert list(bench.waiting(bench.lane_of(other))) == [event.stem + "000"]


def test_neither_the_change_nor_its_event_is_written_when_someone_was_faster(bench: Bench) -> None:
    made, other = bench.subscribe(), bench.subscribe()
    bench.change(made, url="https://first.example/")
    event = _event(bench)
    after = dataclasses.replace(made, enabled=False, version=2)

    with pytest.raises(Conflict):
        bench.run(bench.subscriptions.write(bench.world, after, new=False, event=event, targets=[other.number]))

    assert bench.waiting(bench.lane_of(other)) == {}
    assert not bench.raw.exists(keys.record(bench.world, event.stem))


def test_an_event_is_not_written_for_a_set_that_moved(bench: Bench) -> None:
    """Whoever subscribed meanwhile would never get it."""
    made = bench.subscribe()
    known = bench.run(bench.subscriptions.fresh(bench.world))
    bench.subscribe()
    after = dataclasses.replace(made, enabled=False, version=2)

    with pytest.raises(Conflict):
        bench.run(
            bench.subscriptions.write(
                bench.world, after, new=False, event=_event(bench), targets=[], set_revision=known.revision
            )
        )


def test_an_announcement_that_is_sent_again_is_delivered_once(bench: Bench) -> None:
    made = bench.subscribe()
    event = _event(bench)
    for _ in range(2):
        bench.run(bench.subscriptions.announce(bench.world, event, [made.number]))
        claims = bench.turn(bench.lane_of(made), want=1).claims

    assert claims == ()


def test_nothing_is_put_in_the_lane_of_a_subscription_that_is_gone(bench: Bench) -> None:
    """A lane that nobody drains would be rung for ever."""
    made = bench.subscribe()
    bench.run(bench.subscriptions.remove(bench.world, made))

    ref = bench.announce(made)

    assert bench.due(bench.lane_of(made)) is None
    assert bench.waiting(bench.lane_of(made)) == {}
    with pytest.raises(NotFound):
        bench.run(bench.deliveries.resend(bench.world, ref, queue=0, now_ms=START_MS))


def test_enabling_forgets_the_failures_and_rings_for_what_waited(bench: Bench) -> None:
    made = bench.subscribe()
    bench.announce(made)
    lane = bench.lane_of(made)
    bench.turn(lane, news=LaneNews(failed=20, throttle_ms=60_000))
    paused = bench.change(made, enabled=False)
    bench.end_bell(lane)
    rings = bench.run(
        bench.subscriptions.write(bench.world, dataclasses.replace(paused, enabled=True, version=3), new=False)
    )

    assert [ring.lane_id for ring in rings] == [lane.id]
    assert bench.turn(lane).failures == 0


def _resting(bench: Bench) -> Subscription:
    """One delivery waits for a subscription whose server failed, and asked for a day of rest."""
    made = bench.subscribe()
    bench.announce(made)
    news = LaneNews(failed=20, throttle_ms=86_400_000, slowdowns=3)
    bench.turn(bench.lane_of(made), news=news, step=NextStep.END)
    return made


def test_a_subscription_that_moved_begins_anew_and_is_rung_for_what_waited(bench: Bench) -> None:
    made = _resting(bench)
    lane = bench.lane_of(made)
    after = dataclasses.replace(made, url="https://second.example/", version=2)

    rings = bench.run(bench.subscriptions.write(bench.world, after, new=False, moved=True))

    assert [ring.lane_id for ring in rings] == [lane.id]
    assert bench.due(lane) == min(bench.waiting(lane).values())
    turn = bench.turn(lane, want=1)
    assert (turn.failing_since_ms, turn.failures, turn.slowdowns, len(turn.claims)) == (None, 0, 0, 1)


def test_another_change_leaves_a_subscription_its_rest_and_its_failures(bench: Bench) -> None:
    made = _resting(bench)

    bench.change(made, description="still the same server")

    turn = bench.turn(bench.lane_of(made), want=1)
    assert (turn.failures, turn.slowdowns, turn.claims) == (20, 3, ())


def test_an_announcement_that_ends_the_rest_rings_for_all_that_waited(bench: Bench) -> None:
    """Once: a repeat, whose answer was lost, must not end the rest that the server asked for meanwhile."""
    made = _resting(bench)
    lane = bench.lane_of(made)
    event = _event(bench)
    announcing = partial(bench.subscriptions.announce, bench.world, event, [made.number], ends_rest=True)

    rings = bench.run(announcing())

    assert [ring.lane_id for ring in rings] == [lane.id]
    assert bench.due(lane) == min(bench.waiting(lane).values())
    bench.turn(lane, news=LaneNews(throttle_ms=86_400_000), step=NextStep.END)
    assert bench.run(announcing()) == []
    assert bench.turn(lane, want=2).claims == ()


def test_a_slow_lane_whose_wait_is_ended_looks_in_vain_while_its_tenants_places_are_taken(bench: Bench) -> None:
    """Its wait is for a place, too, and a test by hand is no way past the others."""
    limits = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=100, world_slow_cap=1)
    first, second = bench.subscribe(), bench.subscribe()
    for subscription in (first, second):
        bench.announce(subscription)
        bench.turn(bench.lane_of(subscription), news=LaneNews(slow=True), limits=limits)
        bench.turn(bench.lane_of(subscription), want=1, limits=limits)
    waits = bench.lane_of(second)

    bench.run(bench.subscriptions.announce(bench.world, _event(bench), [second.number], ends_rest=True))

    assert (bench.due(waits) or 0) <= bench.now_ms()
    assert bench.turn(waits, want=1, limits=limits).claims == ()
    assert (bench.due(waits) or 0) > bench.now_ms() + 4000


def test_there_are_only_so_many_subscriptions_and_a_removal_makes_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.subscriptions.MAX_PER_WORLD", 2)
    first, second = bench.subscribe(), bench.subscribe()

    with pytest.raises(Conflict, match="2 subscriptions already"):
        bench.subscribe()

    bench.change(second, description="a change needs no room")
    bench.run(bench.subscriptions.remove(bench.world, first))
    assert bench.subscribe()
