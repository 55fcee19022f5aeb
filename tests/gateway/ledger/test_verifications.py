import asyncio
import dataclasses

import pytest

from tests.gateway.ledger.bench import START_MS, VALID, Bench
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.errors import Backlogged, IdempotencyConflict, LedgerUnavailable
from vouchpost_gateway.domain.ids import encode
from vouchpost_gateway.domain.lane import Claim, Settlement, SettlementKind
from vouchpost_gateway.domain.page import Span
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.verdict_cache import AlreadyKnown, BeingChecked
from vouchpost_gateway.domain.verification import Depth, ReasonCode, Status
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.accepting import Backlog
from vouchpost_gateway.ledger.lanes import BellLimits
from vouchpost_gateway.ledger.verifications import VerificationRecords

DEGRADED = dataclasses.replace(VALID, status=Status.UNKNOWN, reason_code=ReasonCode.DNS_TIMEOUT, degraded=True)


def _look(
    bench: Bench, stem: str, normalised: str = "a@example.com", world: World | None = None
) -> BeingChecked | AlreadyKnown | None:
    question = Question("a@example.com", Depth.DOMAIN, Mode.LIVE)
    return bench.run(
        bench.verifications.look(world or bench.world, stem, question, normalised, policy="1", lease_ms=60_000)
    )


# accepting


def test_what_was_accepted_can_be_read_and_is_in_line(bench: Bench) -> None:
    accepted = bench.accept("Someone@Example.com")

    view = bench.run(bench.verifications.view(bench.world, accepted.stem))

    assert view is not None
    assert (view.address, view.sequence, view.status) == ("Someone@Example.com", accepted.sequence, Status.PENDING)
    assert (view.subject_id, view.metadata) == ("user_1", {"k": "v"})
    assert list(bench.waiting(bench.lane())) == [accepted.stem]


def test_the_same_key_and_body_is_one_verification_with_the_same_answer(bench: Bench) -> None:
    first = bench.accept(key="k", body=b"{1}")

    second = bench.accept(key="k", body=b"{1}")

    assert (second.stem, second.sequence, second.repeated) == (first.stem, first.sequence, True)
    assert list(bench.waiting(bench.lane())) == [first.stem]


def test_the_same_key_with_another_body_is_a_conflict_and_leaves_nothing(bench: Bench) -> None:
    bench.accept(key="k", body=b"{1}")

    with pytest.raises(IdempotencyConflict):
        bench.accept(key="k", body=b"{2}", stem="z" * 19)

    assert bench.run(bench.verifications.view(bench.world, "z" * 19)) is None


def test_an_idempotency_key_belongs_to_one_tenant_and_mode(bench: Bench) -> None:
    first = bench.accept(key="k", body=b"{1}")
    other = bench.new_world("other")
    test_mode = dataclasses.replace(bench.world, mode=Mode.TEST)

    stems = {bench.accept(key="k", body=b"{2}", world=world).stem for world in (other, test_mode)}

    assert len(stems | {first.stem}) == 3


def test_an_idempotency_key_is_forgotten_after_its_time(bench: Bench) -> None:
    bench.accept(key="k")
    [entry] = bench.raw.keys(f"{keys.world_prefix(bench.world)}:i:*")

    assert 86_000_000 < bench.raw.pttl(entry) <= 86_400_000


def test_no_key_name_tells_an_idempotency_key_or_an_address(bench: Bench) -> None:
    bench.accept("private@example.com", key="private@example.com")
    _look(bench, bench.stem(), "private@example.com")

    everything = b"".join(name + _content(bench, name) for name in bench.raw.keys("*"))

    assert b"private" not in everything


def test_the_reply_that_was_lost_is_given_again(bench: Bench) -> None:
    stem = bench.stem()

    first, again = bench.accept(stem=stem, key="k"), bench.accept(stem=stem, key="k")

    assert (first.stem, first.sequence) == (again.stem, again.sequence)
    assert len(bench.waiting(bench.lane())) == 1


def test_a_line_that_is_full_takes_no_more_and_says_so(empty_redis: str) -> None:
    with Bench(empty_redis, backlog=Backlog(max_items=2)) as bench:
        bench.accept()
        bench.accept()

        with pytest.raises(Backlogged) as refused:
            bench.accept()

        assert refused.value.retry_after_s > 0
        assert bench.accept(world=bench.new_world("other")), "other tenants are unaffected"


def test_those_who_come_together_get_no_more_than_the_room_there_is(empty_redis: str) -> None:
    """They share one step: each must see those before it."""
    with Bench(empty_redis, backlog=Backlog(max_items=3)) as bench:

        async def main() -> list[BaseException | object]:
            asks = (
                bench.verifications.accept(bench.world, bench.stem(), bench.new(), idempotency_key=None, body=b"")
                for _ in range(9)
            )
            return await asyncio.gather(*asks, return_exceptions=True)

        answers = bench.run(main())

        assert sum(isinstance(answer, Backlogged) for answer in answers) == 6
        assert len(bench.waiting(bench.lane())) == 3


def test_a_line_that_is_old_takes_no_more(empty_redis: str) -> None:
    with Bench(empty_redis, backlog=Backlog(max_age_ms=1000)) as bench:
        stem = bench.accept().stem
        bench.raw.zadd(keys.lane_part(bench.lane(), "1"), {stem: bench.now_ms() - 2000})

        with pytest.raises(Backlogged):
            bench.accept()


def test_rechecks_to_come_are_no_line(empty_redis: str) -> None:
    with Bench(empty_redis, backlog=Backlog(max_items=1)) as bench:
        bench.accept()
        bench.commit(bench.claim(bench.lane()), verdict=DEGRADED, recheck_ms=3_600_000)

        assert bench.accept()


def test_a_repeat_is_answered_even_when_the_line_is_full(empty_redis: str) -> None:
    """Its promise was given already."""
    with Bench(empty_redis, backlog=Backlog(max_items=1)) as bench:
        first = bench.accept(key="k")

        assert bench.accept(key="k").stem == first.stem


def test_a_202_with_replication_waits_for_the_replica(bench: Bench) -> None:
    """There is no replica here: the write stands, but it is not promised."""
    records = VerificationRecords(bench.store, bench.tenants, bells=BellLimits(), replicas=1)
    bench.verifications = records

    with pytest.raises(LedgerUnavailable):
        bench.accept(stem="z" * 19)

    assert bench.run(records.view(bench.world, "z" * 19)) is not None


# sequence


def test_the_sequence_rises_within_a_tenant_and_is_never_below_the_clock(bench: Bench) -> None:
    before_us = bench.now_ms() * 1000

    sequences = [bench.accept().sequence for _ in range(50)]

    assert sequences == sorted(set(sequences))
    assert sequences[0] >= before_us


def test_the_sequence_rises_even_when_the_clock_was_ahead(bench: Bench) -> None:
    ahead = int((bench.now_ms() + 3_600_000) * 1000)
    bench.raw.hset(keys.counters(bench.world), "sequence", ahead)

    assert [bench.accept().sequence for _ in range(2)] == [ahead + 1, ahead + 2]


def test_the_sequence_rises_over_the_loss_of_its_counter(bench: Bench) -> None:
    """Else every later result would be stale for ever."""
    before = bench.accept().sequence
    bench.raw.delete(keys.counters(bench.world))

    assert bench.accept().sequence > before


def test_the_sequence_rises_over_the_loss_of_everything(bench: Bench) -> None:
    before = bench.accept().sequence
    bench.raw.flushall()

    with Bench(bench.url) as anew:
        assert anew.accept().sequence > before


# committing


def test_verdict_event_and_deliveries_are_one_write(bench: Bench) -> None:
    one, two = bench.subscribe(), bench.subscribe()
    ref = bench.delivered_to(one, two)

    view = bench.run(bench.verifications.view(bench.world, ref.stem))
    event = bench.run(bench.deliveries.event(bench.world, ref))

    assert view is not None
    assert event is not None
    assert (view.status, view.revision) == (Status.VALID, 1)
    assert event.type == "verification.completed"
    for subscription in (one, two):
        assert list(bench.waiting(bench.lane_of(subscription))) == [ref.item]
    assert bench.waiting(bench.lane()) == bench.in_flight(bench.lane()) == {}


def test_nothing_is_committed_when_the_subscriptions_moved(bench: Bench) -> None:
    """Matching was done on a set that is no longer: it must be done again."""
    known = bench.run(bench.subscriptions.fresh(bench.world))
    stem = bench.accept().stem
    claim = bench.claim(bench.lane())
    late = bench.subscribe()

    assert bench.commit(claim, [], set_revision=known.revision) == "changed"

    view = bench.run(bench.verifications.view(bench.world, stem))
    assert view is not None
    assert view.verdict is None
    assert bench.commit(claim, [late.number]) == "ok"


@pytest.mark.parametrize("change", ["created", "disabled", "enabled", "deleted"])
def test_every_change_of_a_subscription_moves_the_set(bench: Bench, change: str) -> None:
    subscription = bench.subscribe(enabled=change != "enabled")
    before = bench.run(bench.subscriptions.fresh(bench.world)).revision

    if change == "created":
        bench.subscribe()
    elif change == "deleted":
        bench.run(bench.subscriptions.remove(bench.world, subscription))
    else:
        bench.change(subscription, enabled=change == "enabled")

    assert bench.run(bench.subscriptions.fresh(bench.world)).revision > before


def test_a_verdict_that_is_asked_for_twice_in_one_step_is_committed_once(bench: Bench) -> None:
    """As when a frozen drain wakes up beside its successor, with what both hold."""
    bench.accept()
    bench.accept()
    first, second = bench.turn(bench.lane(), want=2).claims

    async def main() -> list[str]:
        views = [await bench.verifications.view(bench.world, claim.item) for claim in (first, second)]
        asks = [(view, claim) for view, claim in zip(views, (first, second), strict=True) if view is not None]
        # The first leaves alone; those behind it share the next step.
        found = await asyncio.gather(*(bench.commit_view(view, claim) for view, claim in (asks[0], asks[1], asks[1])))
        return [answer for answer, _ in found]

    assert bench.run(main()) == ["ok", "ok", "stale"]


def test_a_verdict_is_committed_once(bench: Bench) -> None:
    subscription = bench.subscribe()
    ref = bench.delivered_to(subscription)
    lane = bench.lane_of(subscription)
    delivery = bench.claim(lane)
    progress = DeliveryProgress(DeliveryState.DELIVERED)
    bench.turn(lane, Settlement(SettlementKind.DONE, delivery.item, delivery.token, progress=progress))

    assert bench.commit(Claim(ref.stem, token=1, claims=1, queue=1), [subscription.number]) == "stale"

    assert bench.waiting(lane) == {}


def test_a_late_result_of_a_lease_that_ended_is_stale(bench: Bench) -> None:
    bench.accept()
    late = bench.claim(bench.lane())
    bench.raw.zadd(keys.lane_part(bench.lane(), "f"), {late.item: 1})
    current = bench.claim(bench.lane())

    assert bench.commit(late) == "stale"
    assert bench.commit(current) == "ok"


def test_a_verdict_on_what_was_erased_is_gone_and_leaves_nothing(bench: Bench) -> None:
    stem = bench.accept().stem
    claim = bench.claim(bench.lane())
    view = bench.run(bench.verifications.view(bench.world, stem))
    bench.raw.delete(keys.record(bench.world, stem))

    assert view is not None
    assert bench.run(bench.commit_view(view, claim))[0] == "gone"
    assert bench.in_flight(bench.lane()) == {}
    assert not bench.raw.exists(keys.record(bench.world, stem))


def test_a_degraded_verdict_is_a_dead_letter_with_a_recheck_in_line(bench: Bench) -> None:
    stem = bench.accept().stem
    bench.commit(bench.claim(bench.lane()), verdict=DEGRADED, recheck_ms=60_000)
    assert bench.run(bench.verifications.dead(bench.world, after=None, limit=10)) == [stem]
    assert list(bench.waiting(bench.lane())) == [stem]

    bench.run(bench.lanes.enlist(bench.lane(), stem, queue=0))
    bench.commit(bench.claim(bench.lane()), revision=2)

    assert bench.run(bench.verifications.dead(bench.world, after=None, limit=10)) == []


def test_a_committed_verdict_is_announced(bench: Bench) -> None:
    stem = bench.accept().stem
    with bench.raw.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(keys.done_channel(bench.world, stem))
        heard.get_message(timeout=1)

        bench.commit(bench.claim(bench.lane()))

        assert heard.get_message(timeout=1)


# the verdict cache


def test_one_worker_checks_an_address_and_the_others_stand_behind(bench: Bench) -> None:
    first, second = bench.stem(), bench.stem()

    assert _look(bench, first) is None
    assert _look(bench, first) is None, "a repeat finds its own mark"
    found = _look(bench, second)

    assert isinstance(found, BeingChecked)
    assert 0 < found.ends_in_ms <= 60_000


def test_a_verdict_answers_for_others_until_its_time(bench: Bench) -> None:
    stem = bench.accept().stem
    _look(bench, stem)
    bench.commit(bench.claim(bench.lane()), cache_ms=40_000)

    assert _look(bench, bench.stem()) == AlreadyKnown(stem)
    [entry] = bench.raw.keys(f"{keys.world_prefix(bench.world)}:c:*")
    assert 0 < bench.raw.pttl(entry) <= 40_000


def test_a_verdict_that_answers_for_nobody_lets_go_of_its_mark(bench: Bench) -> None:
    stem = bench.accept().stem
    _look(bench, stem)

    bench.commit(bench.claim(bench.lane()), cache_ms=0)

    assert _look(bench, bench.stem()) is None


def test_verdicts_answer_for_no_other_tenant_mode_or_address(bench: Bench) -> None:
    _look(bench, bench.stem())

    worlds = (bench.new_world("other"), dataclasses.replace(bench.world, mode=Mode.TEST))

    assert [_look(bench, bench.stem(), world=world) for world in worlds] == [None, None]
    assert _look(bench, bench.stem(), "b@example.com") is None


# erasing


def test_an_erased_verification_leaves_no_trace(bench: Bench) -> None:
    subscription = bench.subscribe()
    stem = bench.accept().stem
    _look(bench, stem)
    before = _names_and_texts(bench, stem)
    assert before
    bench.commit(bench.claim(bench.lane()), [subscription.number], verdict=DEGRADED, cache_ms=60_000, recheck_ms=1000)
    lane = bench.lane_of(subscription)
    claim = bench.claim(lane)
    bench.turn(
        lane, Settlement(SettlementKind.DEAD, claim.item, claim.token, progress=DeliveryProgress(DeliveryState.DEAD))
    )

    assert bench.run(bench.verifications.erase(bench.world, stem))

    assert _names_and_texts(bench, stem) == set()
    assert not bench.run(bench.verifications.erase(bench.world, stem)), "a repeat finds nothing"


def _names_and_texts(bench: Bench, stem: str) -> set[str]:
    """Every key that holds the stem, in its name or in what it stores."""
    found = set()
    for name in bench.raw.keys("*"):
        if stem.encode() in name or stem.encode() in _content(bench, name):
            found.add(name.decode())
    return found


def _content(bench: Bench, name: bytes) -> bytes:
    kind = bench.raw.type(name)
    if kind == b"string":
        return bytes(bench.raw.get(name))
    if kind == b"hash":
        return b" ".join(part for pair in bench.raw.hgetall(name).items() for part in pair)
    return b" ".join(bench.raw.zrange(name, 0, -1))


# lists


def test_verifications_are_listed_newest_first_and_page_by_page(bench: Bench) -> None:
    stems = [encode(START_MS + hour * 3_600_000, 10) + encode(hour, 9) for hour in range(7)]
    for stem in stems:
        bench.accept(stem=stem)

    seen: list[str] = []
    after = None
    while page := bench.run(bench.verifications.stems(bench.world, after=after, limit=3)):
        seen += page
        after = page[-1]

    assert seen == stems[::-1]


def test_verifications_of_a_time_are_found_by_their_hour(bench: Bench) -> None:
    stems = [encode(START_MS + hour * 3_600_000, 10) + encode(hour, 9) for hour in range(4)]
    for stem in stems:
        bench.accept(stem=stem)

    found = bench.run(bench.verifications.stems(bench.world, after=None, limit=10, span=Span(START_MS + 2 * 3_600_000)))

    assert found == [stems[3], stems[2]]


@pytest.mark.parametrize(
    ("since", "until", "after", "expected"),
    [
        pytest.param(0, None, None, [5, 4, 3, 2, 1, 0], id="always"),
        pytest.param(2, None, None, [5, 4, 3, 2], id="since"),
        pytest.param(0, 2, None, [1, 0], id="until"),
        pytest.param(1, 4, None, [3, 2, 1], id="both"),
        pytest.param(1, 4, 3, [2, 1], id="from the middle of it on"),
        pytest.param(1, 4, 5, [3, 2, 1], id="from after it on"),
        pytest.param(1, 4, 0, [], id="from before it on"),
        pytest.param(3, 3, None, [], id="no time at all"),
    ],
)
def test_a_stretch_of_time_is_exact_to_the_millisecond(
    bench: Bench, since: int, until: int | None, after: int | None, expected: list[int]
) -> None:
    """One verification a millisecond, on both sides of an hour; the end is not part of the stretch."""
    start_ms = START_MS // 3_600_000 * 3_600_000 - 3
    stems = [encode(start_ms + number, 10) + "0" * 9 for number in range(6)]
    for stem in stems:
        bench.accept(stem=stem)
        bench.raw.zadd(keys.dead_verifications(bench.world), {stem: 0})
    span = Span(start_ms + since if since else 0, None if until is None else start_ms + until)
    position = None if after is None else stems[after]

    for listed in (bench.verifications.stems, bench.verifications.dead):
        found = bench.run(listed(bench.world, after=position, limit=10, span=span))
        assert [stems.index(stem) for stem in found] == expected


def test_no_mode_sees_the_verifications_of_the_other(bench: Bench) -> None:
    stem = bench.accept().stem
    other = dataclasses.replace(bench.world, mode=Mode.TEST)

    assert bench.run(bench.verifications.view(other, stem)) is None
    assert bench.run(bench.verifications.stems(other, after=None, limit=10)) == []
