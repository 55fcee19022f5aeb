"""An event for a crowd: few have it with the commit, the others soon after, and everybody once."""

import asyncio
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef
from vouchpost_gateway.domain.lane import LaneNews, Ring, Settlement, SettlementKind, fan_outs
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import Priority
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.fanning import Fanning
from vouchpost_gateway.pipeline.fan_out import FanOut

AT_ONCE = 2


@pytest.fixture
def bench(empty_redis: str) -> Iterator[Bench]:
    with Bench(empty_redis, deliver_at_once=AT_ONCE) as made:
        yield made


@pytest.fixture
def crowd(bench: Bench) -> list[Subscription]:
    return [bench.subscribe() for _ in range(5)]


def _slow_down(bench: Bench, subscriptions: Sequence[Subscription]) -> None:
    for subscription in subscriptions:
        lane = bench.lane_of(subscription)
        bench.announce(subscription)
        claim = bench.claim(lane)
        progress = DeliveryProgress(DeliveryState.DELIVERED, 1)
        done = Settlement(SettlementKind.DONE, claim.item, claim.token, progress=progress)
        assert bench.turn(lane, done, news=LaneNews(delivered=1, slow=True)).slow


def _holders(bench: Bench, crowd: Sequence[Subscription], item: str) -> list[int]:
    """Which of a crowd have the event in line."""
    return [at for at, subscription in enumerate(crowd) if item in bench.waiting(bench.lane_of(subscription))]


def _fan_out(bench: Bench, *, again: int = 0) -> None:
    """Does all the work that is due in the fan-out lane; `again` so many times more with the same claims."""
    lane, work = fan_outs(bench.world), FanOut(bench.fanning)

    async def done(turns: int) -> list[Settlement]:
        found = [one for _ in range(turns) for one in await asyncio.gather(*(work(lane, c, turn) for c in turn.claims))]
        return [one.settlement for one in found if one.settlement is not None]

    turn = bench.turn(lane, want=16)
    bench.turn(lane, *bench.run(done(1 + again)))


def test_a_commit_for_a_crowd_serves_some_and_names_the_others(bench: Bench, crowd: list[Subscription]) -> None:
    event = bench.delivered_to(*crowd)

    assert _holders(bench, crowd, event.item) == [0, 1]
    assert list(bench.waiting(fan_outs(bench.world))) == [event.item]


def test_few_subscriptions_are_no_crowd(bench: Bench, crowd: list[Subscription]) -> None:
    event = bench.delivered_to(*crowd[:AT_ONCE])

    assert _holders(bench, crowd, event.item) == [0, 1]
    assert bench.waiting(fan_outs(bench.world)) == {}


def test_all_of_a_crowd_have_the_event_in_the_end(bench: Bench, crowd: list[Subscription]) -> None:
    event = bench.delivered_to(*crowd)

    _fan_out(bench)

    assert _holders(bench, crowd, event.item) == [0, 1, 2, 3, 4]
    assert {ring.lane_id for ring in bench.fanned_out} == {bench.lane_of(s).id for s in crowd[2:]}
    assert bench.waiting(fan_outs(bench.world)) == bench.in_flight(fan_outs(bench.world)) == {}


def test_what_a_crowd_waits_for_is_rung_for_at_once(bench: Bench, crowd: list[Subscription]) -> None:
    numbers = [s.number for s in crowd]
    bench.accept()

    _, rings = bench.commit_and_ring(bench.claim(bench.lane()), numbers)

    assert fan_outs(bench.world).id in {ring.lane_id for ring in rings}


def test_slow_ones_come_last_and_wait_for_all_events_of_two_seconds(bench: Bench, crowd: list[Subscription]) -> None:
    """Then hundreds that hang cost a few writes now and then, and not as many an event."""
    _slow_down(bench, crowd[:4])
    bench.accept()

    _, rings = bench.commit_and_ring(bench.claim(bench.lane()), [s.number for s in crowd])

    [(item, due)] = bench.waiting(fan_outs(bench.world)).items()
    assert _holders(bench, crowd, item) == [4]
    assert due % 2000 == 0
    assert 0 < due - bench.now_ms() <= 2000
    assert bench.due(fan_outs(bench.world)) == due
    assert {ring.lane_id for ring in rings} == {bench.lane_of(crowd[4]).id}


def test_quick_ones_that_find_no_room_in_the_commit_do_not_wait(bench: Bench, crowd: list[Subscription]) -> None:
    _slow_down(bench, crowd[:1])

    event = bench.delivered_to(*crowd)

    assert _holders(bench, crowd, event.item) == [1, 2]
    assert bench.waiting(fan_outs(bench.world))[event.item] <= bench.now_ms()


def test_who_is_slow_is_read_once_a_moment(bench: Bench, crowd: list[Subscription]) -> None:
    first = bench.delivered_to(*crowd)
    _slow_down(bench, crowd[:4])

    second = bench.delivered_to(*crowd)

    assert _holders(bench, crowd, first.item) == _holders(bench, crowd, second.item) == [0, 1]


def test_who_is_slow_is_read_again_after_it(
    bench: Bench, crowd: list[Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.crowds._REMEMBERED_S", 0)
    bench.delivered_to(*crowd)
    _slow_down(bench, crowd[:4])

    event = bench.delivered_to(*crowd)

    assert _holders(bench, crowd, event.item) == [4]


def test_no_more_crowds_are_remembered_than_there_is_room_for(
    bench: Bench, crowd: list[Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.crowds._REMEMBERED", 1)
    bench.delivered_to(*crowd)
    bench.delivered_to(*crowd[:3])
    _slow_down(bench, crowd[:4])

    event = bench.delivered_to(*crowd)

    assert _holders(bench, crowd, event.item) == [4]


def test_an_earlier_event_keeps_its_place_in_the_index(bench: Bench, crowd: list[Subscription]) -> None:
    lane = bench.lane_of(crowd[4])
    bench.delivered_to(*crowd)
    _fan_out(bench)
    due = bench.due(lane)
    time.sleep(0.002)
    bench.delivered_to(*crowd)

    _fan_out(bench)

    assert bench.due(lane) == due == min(bench.waiting(lane).values())


def test_a_verdict_whose_record_is_gone_goes_to_no_crowd(bench: Bench, crowd: list[Subscription]) -> None:
    stem = bench.accept().stem
    claim = bench.claim(bench.lane())
    view = bench.run(bench.verifications.view(bench.world, stem))
    assert view is not None
    bench.raw.delete(keys.record(bench.world, stem))

    answer, rings = bench.run(bench.commit_view(view, claim, [s.number for s in crowd]))

    assert (answer, rings) == ("gone", [])
    assert bench.waiting(fan_outs(bench.world)) == {}


def test_a_fan_out_that_is_repeated_adds_nothing(bench: Bench, crowd: list[Subscription]) -> None:
    """Whoever has had the event meanwhile is not sent it again."""
    event = bench.delivered_to(*crowd)
    lane = bench.lane_of(crowd[4])
    targets = [s.number for s in crowd]
    bench.run(bench.fanning.hand_out(bench.world, targets, event.item, 1))
    claim = bench.claim(lane)
    done = DeliveryProgress(DeliveryState.DELIVERED, 1)
    bench.turn(lane, Settlement(SettlementKind.DONE, claim.item, claim.token, progress=done))

    _fan_out(bench, again=1)

    assert _holders(bench, crowd, event.item) == [0, 1, 2, 3]


def test_a_new_event_beside_a_repeated_one_is_handed_out(bench: Bench, crowd: list[Subscription]) -> None:
    first = bench.delivered_to(*crowd)
    _fan_out(bench)
    second = bench.delivered_to(*crowd)

    async def both() -> None:
        targets = [s.number for s in crowd]
        asks = (bench.fanning.hand_out(bench.world, targets, ref.item, 1) for ref in (first, second))
        await asyncio.gather(*asks)

    bench.run(both())

    assert _holders(bench, crowd, second.item) == [0, 1, 2, 3, 4]
    assert len(bench.waiting(bench.lane_of(crowd[4]))) == 2


def test_a_delivery_is_pending_before_it_is_handed_out(bench: Bench, crowd: list[Subscription]) -> None:
    event = bench.delivered_to(*crowd)

    found = bench.run(bench.deliveries.get(bench.world, DeliveryRef(event, crowd[4].number)))

    assert found.state is DeliveryState.PENDING


def test_a_subscription_that_goes_meanwhile_leaves_nothing_behind(bench: Bench, crowd: list[Subscription]) -> None:
    bench.delivered_to(*crowd)
    bench.run(bench.subscriptions.remove(bench.world, crowd[4]))

    _fan_out(bench)

    assert bench.waiting(bench.lane_of(crowd[4])) == {}
    assert bench.due(bench.lane_of(crowd[4])) is None


def test_what_is_erased_is_handed_out_no_more(bench: Bench, crowd: list[Subscription]) -> None:
    event = bench.delivered_to(*crowd)

    assert bench.run(bench.verifications.erase(bench.world, event.stem))

    assert bench.waiting(fan_outs(bench.world)) == {}
    assert not bench.raw.exists(keys.lane_part(fan_outs(bench.world), "s"))


@pytest.mark.parametrize("priority", Priority)
def test_a_fan_out_keeps_the_priority(bench: Bench, crowd: list[Subscription], priority: Priority) -> None:
    stem = bench.accept(priority=priority).stem
    claim = bench.claim(bench.lane())
    bench.commit(claim, [s.number for s in crowd])

    _fan_out(bench)

    first, last = (bench.claim(bench.lane_of(crowd[at])) for at in (0, 4))
    assert first.queue == last.queue == claim.queue
    assert last.item == EventRef(stem, 1).item


def test_the_events_of_a_turn_go_to_a_crowd_in_few_steps(bench: Bench) -> None:
    """The more events, the fewer lanes a step: Redis stops for no longer, however many come together."""
    crowd = [bench.subscribe() for _ in range(AT_ONCE + 28)]
    bench.delivered_to(*crowd)
    _fan_out(bench)
    events = [bench.delivered_to(*crowd) for _ in range(8)]
    bench.raw.config_resetstat()

    _fan_out(bench)

    assert bench.raw.info("commandstats")["cmdstat_evalsha"]["calls"] == 2 + 2  # of 14 lanes each; and two turns
    assert all(len(_holders(bench, crowd, event.item)) == len(crowd) for event in events)


def test_nobody_waits_for_the_others_of_a_crowd(
    bench: Bench, crowd: list[Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.fanning._STEP", 1)
    item = bench.stem() + "001"
    seen: list[tuple[list[str], int]] = []

    def ring(rings: Sequence[Ring]) -> None:
        seen.append(([ring.lane_id for ring in rings], len(_holders(bench, crowd, item))))

    fanning = Fanning(bench.store, ring)
    bench.run(fanning.hand_out(bench.world, [s.number for s in crowd], item, 1))

    assert seen == [([bench.lane_of(one).id], at) for at, one in enumerate(crowd, 1)]


@pytest.mark.parametrize("events", [1, 32, 33, 65])
def test_between_two_steps_redis_is_for_everybody_unless_others_wait(
    bench: Bench, crowd: list[Subscription], monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    """A lot has 32 events: all lots but the last are in a hurry."""
    rests, rest_s = 2, 0.1
    monkeypatch.setattr("vouchpost_gateway.ledger.fanning._STEP", 1)
    monkeypatch.setattr("vouchpost_gateway.ledger.fanning._REST_S", rest_s)
    targets = [s.number for s in crowd[:3]]
    items = [bench.stem() + "001" for _ in range(events)]

    async def all_at_once() -> float:
        started = time.monotonic()
        await asyncio.gather(*(bench.fanning.hand_out(bench.world, targets, item, 1) for item in items))
        return time.monotonic() - started

    assert rests * rest_s <= bench.run(all_at_once()) < (rests + 2) * rest_s
    assert all(_holders(bench, crowd, item) == [0, 1, 2] for item in items)


def test_with_memory_full_a_crowd_is_served(bench: Bench, crowd: list[Subscription]) -> None:
    event = bench.delivered_to(*crowd)
    bench.run(bench.fanning.hand_out(bench.world, [crowd[0].number], event.item, 1))  # the script is known
    bench.raw.config_set("maxmemory", 1)
    try:
        _fan_out(bench)
    finally:
        bench.raw.config_set("maxmemory", 0)

    assert _holders(bench, crowd, event.item) == [0, 1, 2, 3, 4]


def test_the_latest_list_of_a_lane_stays_short(bench: Bench, crowd: list[Subscription]) -> None:
    latest = keys.lane_part(bench.lane_of(crowd[4]), "y")
    bench.raw.zadd(latest, {f"{at:022d}": 0 for at in range(10_000)})
    event = bench.delivered_to(*crowd)

    _fan_out(bench)

    assert bench.raw.zcard(latest) == 10_000
    assert bench.raw.zscore(latest, event.item) == 0
