"""What goes to the ledger in one lot is as independent as if each had gone alone."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.errors import Backlogged, IdempotencyConflict
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef
from vouchpost_gateway.domain.lane import Claim, Settlement, SettlementKind
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import Accepted, Priority
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.accepting import Backlog

Asked = tuple[str | None, bytes, Priority]


def accept_together(bench: Bench, asked: Sequence[Asked]) -> list[Accepted | BaseException]:
    async def accept() -> list[Accepted | BaseException]:
        asks = (
            bench.verifications.accept(
                bench.world, bench.stem(), bench.new(priority=priority), idempotency_key=key, body=body
            )
            for key, body, priority in asked
        )
        found = await asyncio.gather(*asks, return_exceptions=True)
        return [one if isinstance(one, BaseException) else one[0] for one in found]

    return bench.run(accept())


def scripts_run(bench: Bench) -> int:
    return int(bench.raw.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_a_lot_is_one_script_with_sequences_that_rise(bench: Bench) -> None:
    bench.accept()  # the script is known from here on
    before = scripts_run(bench)

    found = accept_together(bench, [(None, b"{}", Priority.NORMAL)] * 20)

    assert scripts_run(bench) - before == 1
    sequences = [one.sequence for one in found if isinstance(one, Accepted)]
    assert len(set(sequences)) == 20
    assert sequences == sorted(sequences)


def test_each_of_a_lot_stands_in_the_line_of_its_priority(bench: Bench) -> None:
    asked: list[Asked] = [(None, b"{}", priority) for priority in (Priority.HIGH, Priority.LOW, Priority.LOW)]

    accept_together(bench, asked)

    claims = bench.turn(bench.lane(), want=3).claims
    assert Counter(claim.queue for claim in claims) == {0: 1, 2: 2}


def test_one_idempotency_key_within_a_lot_is_one_verification(bench: Bench) -> None:
    asked: list[Asked] = [
        ("k", b"{1}", Priority.NORMAL),
        ("k", b"{1}", Priority.NORMAL),
        ("k", b"{2}", Priority.NORMAL),
    ]

    first, repeat, conflict = accept_together(bench, asked)

    assert isinstance(first, Accepted)
    assert isinstance(repeat, Accepted)
    assert (repeat.stem, repeat.sequence, repeat.repeated) == (first.stem, first.sequence, True)
    assert isinstance(conflict, IdempotencyConflict)
    assert list(bench.waiting(bench.lane())) == [first.stem]


def test_a_lot_fills_the_line_to_its_limit_and_not_beyond(empty_redis: str) -> None:
    with Bench(empty_redis, backlog=Backlog(max_items=5)) as bench:
        found = accept_together(bench, [(None, b"{}", Priority.NORMAL)] * 8)

        assert [type(one) for one in found] == [Accepted] * 5 + [Backlogged] * 3
        assert len(bench.waiting(bench.lane())) == 5


def commit_together(
    bench: Bench, claims: Sequence[Claim], targets: Sequence[int], *, revision: int | None = None, erased: str = ""
) -> list[str]:
    """Commits these at one time, matched at a revision of the set; `erased` goes after it was looked at."""

    async def commit() -> list[str]:
        views = [await bench.verifications.view(bench.world, claim.item) for claim in claims]
        known = (await bench.subscriptions.fresh(bench.world)).revision if revision is None else revision
        if erased:
            await bench.verifications.erase(bench.world, erased)
        asks = (
            bench.commit_view(view, claim, targets, set_revision=known)
            for view, claim in zip(views, claims, strict=True)
            if view is not None
        )
        return [answer for answer, _ in await asyncio.gather(*asks)]

    return bench.run(commit())


@pytest.fixture
def claims(bench: Bench) -> list[Claim]:
    for _ in range(4):
        bench.accept()
    return list(bench.turn(bench.lane(), want=4).claims)


def test_each_verdict_of_a_lot_goes_to_every_target(bench: Bench, claims: list[Claim]) -> None:
    subscriptions = [bench.subscribe(), bench.subscribe()]
    before = scripts_run(bench)

    assert commit_together(bench, claims, [s.number for s in subscriptions]) == ["ok"] * 4

    assert scripts_run(bench) - before <= 2  # one, or two when the server had yet to be told the script
    for subscription in subscriptions:
        assert sorted(bench.waiting(bench.lane_of(subscription))) == sorted(f"{claim.item}001" for claim in claims)
    assert bench.in_flight(bench.lane()) == {}


def test_a_stale_or_erased_one_takes_no_other_of_its_lot_along(bench: Bench, claims: list[Claim]) -> None:
    subscription = bench.subscribe()
    stale, erased, *good = claims
    late = Claim(stale.item, stale.token + 1000, stale.claims, stale.queue)

    answers = commit_together(bench, [late, erased, *good], [subscription.number], erased=erased.item)

    assert answers == ["stale", "stale", "ok", "ok"]
    assert sorted(bench.waiting(bench.lane_of(subscription))) == sorted(f"{claim.item}001" for claim in good)
    assert list(bench.in_flight(bench.lane())) == [stale.item]


def test_one_claim_twice_in_a_lot_is_committed_once(bench: Bench, claims: list[Claim]) -> None:
    subscription = bench.subscribe()

    assert sorted(commit_together(bench, [claims[0], claims[0]], [subscription.number])) == ["ok", "stale"]

    view = bench.run(bench.verifications.view(bench.world, claims[0].item))
    assert view is not None
    assert len(view.runs) == 1


def test_a_lot_matched_before_the_subscriptions_moved_writes_nothing(bench: Bench, claims: list[Claim]) -> None:
    subscription = bench.subscribe()

    assert commit_together(bench, claims, [subscription.number], revision=999) == ["changed"] * 4
    assert bench.waiting(bench.lane_of(subscription)) == {}
    assert len(bench.in_flight(bench.lane())) == 4


def test_a_target_that_is_idle_becomes_due_beside_one_that_is_due_already(bench: Bench) -> None:
    busy, idle = bench.subscribe(), bench.subscribe()
    bench.announce(busy)
    bench.accept()

    assert bench.commit(bench.claim(bench.lane()), [busy.number, idle.number]) == "ok"

    assert bench.due(bench.lane_of(idle)) is not None


def test_each_who_reads_gets_the_record_that_was_asked_for(bench: Bench) -> None:
    subscription = bench.subscribe()
    refs = [bench.delivered_to(subscription) for _ in range(5)]

    async def read() -> list[tuple[str, str]]:
        events = await asyncio.gather(*(bench.deliveries.event(bench.world, ref) for ref in refs))
        views = await asyncio.gather(*(bench.verifications.view(bench.world, ref.stem) for ref in refs))
        pairs = zip(events, views, strict=True)
        return [(event.body[7:37].decode(), view.stem) for event, view in pairs if event and view]

    assert bench.run(read()) == [(ref.id, ref.stem) for ref in refs]


def claims_of(bench: Bench, subscription: Subscription, count: int) -> dict[str, Claim]:
    """So many at once, as a subscription is given that has delivered much: a new one begins with one at a time."""
    lane = bench.lane_of(subscription)
    bench.raw.hset(keys.lane_part(lane, "m"), "window", count)
    claims = {claim.item: claim for claim in bench.turn(lane, want=count).claims}
    assert len(claims) == count
    return claims


def delivered(claim: Claim, *, attempts: int) -> Settlement:
    progress = DeliveryProgress(DeliveryState.DELIVERED, attempt_count=attempts)
    return Settlement(SettlementKind.DONE, claim.item, claim.token, progress=progress)


def test_each_outcome_of_a_turn_goes_to_its_own_record(bench: Bench) -> None:
    """A stale one between them too: what it would have written is skipped, and no one else's is."""
    subscription = bench.subscribe()
    refs = [bench.delivered_to(subscription) for _ in range(3)]
    claims = claims_of(bench, subscription, 3)
    first, late, last = (claims[ref.item] for ref in refs)
    dead = DeliveryProgress(DeliveryState.DEAD, attempt_count=9)
    stale = Settlement(SettlementKind.DEAD, late.item, late.token + 1000, progress=dead)

    turn = bench.turn(bench.lane_of(subscription), delivered(first, attempts=1), stale, delivered(last, attempts=7))

    assert turn.answers == ("ok", "stale", "ok")
    found = [bench.run(bench.deliveries.get(bench.world, DeliveryRef(ref, subscription.number))) for ref in refs]
    assert [one.attempt_count for one in found] == [1, 0, 7]
    assert [one.state for one in found] == [DeliveryState.DELIVERED, DeliveryState.PENDING, DeliveryState.DELIVERED]


def test_two_events_of_one_record_can_be_settled_in_one_turn(bench: Bench) -> None:
    subscription = bench.subscribe()
    stem = bench.accept().stem
    assert bench.commit(bench.claim(bench.lane()), [subscription.number], recheck_ms=0) == "ok"
    assert bench.commit(bench.claim(bench.lane()), [subscription.number], revision=2) == "ok"
    claims = claims_of(bench, subscription, 2)

    bench.turn(bench.lane_of(subscription), *(delivered(claim, attempts=1) for claim in claims.values()))

    refs = [DeliveryRef(EventRef(stem, revision), subscription.number) for revision in (1, 2)]
    states = [bench.run(bench.deliveries.get(bench.world, ref)).state for ref in refs]
    assert states == [DeliveryState.DELIVERED] * 2


def test_a_delivery_that_ends_leaves_nothing_in_its_lane(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    lane = bench.lane_of(subscription)
    claim = bench.claim(lane)
    tried = DeliveryProgress(attempt_count=1)
    bench.turn(lane, Settlement(SettlementKind.LATER, claim.item, claim.token, progress=tried))
    again = bench.claim(lane)
    assert bench.raw.hlen(keys.lane_part(lane, "s")) == 1

    bench.turn(lane, delivered(again, attempts=2))

    assert [bench.raw.exists(keys.lane_part(lane, part)) for part in "012fts"] == [0] * 6
