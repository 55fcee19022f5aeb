"""From a claim to a verdict: what is checked, how often, who else's verdict answers, and what is never claimed."""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.gateway.ledger.bench import VALID, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.ids import EventRef, new_stem, time_ms
from vouchpost_gateway.domain.lane import Claim, LaneLimits, SettlementKind, Turn
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.tenant_policy import TenantPolicy
from vouchpost_gateway.domain.verification import ReasonCode, Status, Verdict, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.policies import PolicyRecords
from vouchpost_gateway.ledger.subscriptions import SubscriptionSet
from vouchpost_gateway.pipeline.check_rules import CheckRules
from vouchpost_gateway.pipeline.commit import Commit, CommitRules
from vouchpost_gateway.pipeline.verify import Verify
from vouchpost_gateway.pipeline.work import Done

INVALID = replace(VALID, status=Status.INVALID, reason_code=ReasonCode.NO_MX, score=0.0)
TEMPORARY = replace(VALID, status=Status.UNKNOWN, reason_code=ReasonCode.DNS_TIMEOUT, temporary=True)
HOUR_MS = 3_600_000


class Scripted:
    """A verifier that tells what it is told to tell, and remembers what it was asked."""

    def __init__(self, *verdicts: Verdict | Exception, took_s: float = 0.0) -> None:
        self.verdicts = list(verdicts) or [VALID]
        self.asked: list[str] = []
        self.policies: list[str] = []
        self.judged: list[Verdict] = []
        self.took_s = took_s

    def policy_version(self, tenant: TenantPolicy) -> str:
        return f"1{tenant.version}"

    def judge_again(self, verdict: Verdict, tenant: TenantPolicy) -> Verdict:
        self.judged.append(verdict)
        status = tenant.statuses.get("role_account", verdict.status)
        return replace(verdict, status=status, policy_version=self.policy_version(tenant))

    def normalised(self, address: str) -> str | None:
        return address.lower() if "@" in address else None

    async def verify(self, question: Question) -> Verdict:
        self.asked.append(question.address)
        self.policies.append(question.policy.version)
        await asyncio.sleep(self.took_s)
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if isinstance(verdict, Exception):
            raise verdict
        return replace(verdict, normalised=self.normalised(question.address))


def _verify(bench: Bench, verifier: Scripted, *, window_s: float = 900, timeout_s: float = 1.0) -> Verify:
    rules = CommitRules(
        cache_ms={Status.VALID: HOUR_MS, Status.INVALID: HOUR_MS, Status.UNKNOWN: 120_000},
        recheck_delays_ms=[HOUR_MS, 6 * HOUR_MS],
    )
    commit = Commit(bench.verifications, bench.subscriptions, rules, lambda _rings: None, Told())
    checks = CheckRules(max_checks=4, window_s=window_s, timeout_s=timeout_s)
    policies = PolicyRecords(bench.store, bench.tenants)
    return Verify(bench.verifications, policies, verifier, commit, checks, LaneLimits(60_000, 100), Told(), lambda: 0.5)


def _claimed(bench: Bench) -> tuple[Claim, Turn]:
    turn = bench.turn(bench.lane(), want=1)
    [claim] = turn.claims
    return claim, turn


def _worked(bench: Bench, verify: Verify, *, soon: bool = True) -> Done:
    """One claim, worked on and settled; what is due later is due at once when `soon`."""
    claim, turn = _claimed(bench)
    done = bench.run(verify(bench.lane(), claim, turn))
    if done.settlement is not None:
        bench.turn(bench.lane(), replace(done.settlement, delay_ms=0) if soon else done.settlement)
    return done


def _view(bench: Bench, stem: str) -> Verification:
    view = bench.run(bench.verifications.view(bench.world, stem))
    assert view is not None
    return view


def _event(bench: Bench, stem: str, revision: int = 1) -> dict[str, object]:
    event = bench.run(bench.deliveries.event(bench.world, EventRef(stem, revision)))
    assert event is not None
    data = json.loads(event.body)["data"]
    assert isinstance(data, dict)
    return data


def test_a_check_that_tells_ends_in_a_verdict_an_event_and_a_delivery(bench: Bench) -> None:
    subscription = bench.subscribe()
    stem = bench.accept().stem

    assert _worked(bench, _verify(bench, Scripted(INVALID))).settlement is None

    assert _view(bench, stem).status is Status.INVALID
    assert _event(bench, stem)["status"] == "invalid"
    assert list(bench.waiting(bench.lane_of(subscription))) == [stem + "001"]


def test_a_check_that_cannot_tell_is_made_again_and_every_run_is_kept(bench: Bench) -> None:
    stem = bench.accept().stem
    verify = _verify(bench, Scripted(TEMPORARY, TEMPORARY, VALID))

    kinds = [_worked(bench, verify).settlement for _ in range(3)]

    assert [s and s.kind for s in kinds] == [SettlementKind.LATER, SettlementKind.LATER, None]
    assert _view(bench, stem).status is Status.VALID
    assert [run.reason_code.value for run in _view(bench, stem).runs][:2] == ["dns_timeout", "dns_timeout"]
    assert [run.number for run in _view(bench, stem).runs] == [1, 2, 3]


def test_checks_that_never_tell_end_unknown_degraded_and_among_the_dead_letters(bench: Bench) -> None:
    """Unknown is not no: and it will be looked at again."""
    stem = bench.accept().stem
    verifier = Scripted(TEMPORARY)

    for _ in range(4):
        _worked(bench, _verify(bench, verifier))

    view = _view(bench, stem)
    assert view.verdict is not None
    assert (view.status, view.verdict.degraded, view.dead) == (Status.UNKNOWN, True, True)
    assert len(verifier.asked) == 4
    assert bench.run(bench.verifications.dead(bench.world, after=None, limit=9)) == [stem]
    recheck_ms = bench.waiting(bench.lane())[stem] - bench.now_ms()
    assert HOUR_MS - 5000 < recheck_ms <= HOUR_MS


def test_no_check_begins_after_the_window(bench: Bench) -> None:
    stem = bench.accept().stem

    _worked(bench, _verify(bench, Scripted(TEMPORARY), window_s=5))

    assert _view(bench, stem).status is Status.UNKNOWN


def test_a_line_that_is_slow_does_not_make_checks_endless(bench: Bench) -> None:
    """Each check comes so late that the window of the one before is over."""
    stem = bench.accept().stem
    verify = _verify(bench, Scripted(TEMPORARY))

    for late in range(2):
        claim, turn = _claimed(bench)
        done = bench.run(verify(bench.lane(), claim, replace(turn, now_ms=turn.now_ms + late * 20 * 60_000)))
        if done.settlement is not None:
            bench.turn(bench.lane(), replace(done.settlement, delay_ms=0))

    assert _view(bench, stem).status is Status.UNKNOWN


def test_a_check_that_hangs_is_a_check_that_could_not_tell(bench: Bench) -> None:
    stem = bench.accept().stem

    done = _worked(bench, _verify(bench, Scripted(VALID, took_s=60), timeout_s=0.05))

    assert done.settlement is not None
    assert done.settlement.kind is SettlementKind.LATER
    assert [run.reason_code for run in _view(bench, stem).runs] == [ReasonCode.TIMED_OUT]


def test_what_kills_workers_is_not_tried_for_ever(bench: Bench) -> None:
    stem = bench.accept().stem
    verifier = Scripted(VALID)
    claim, turn = _claimed(bench)

    bench.run(_verify(bench, verifier)(bench.lane(), replace(claim, claims=9), turn))

    verdict = _view(bench, stem).verdict
    assert verdict is not None
    assert (verdict.status, verdict.reason_code) == (Status.UNKNOWN, ReasonCode.POISONED)
    assert verifier.asked == []


# the same address twice


def test_the_same_address_twice_is_one_check_and_two_events_with_one_checked_at(bench: Bench) -> None:
    first, second = bench.accept("A@example.com").stem, bench.accept("a@example.com").stem
    bench.accept("a@Example.com")
    verifier = Scripted(VALID)
    verify = _verify(bench, verifier)

    for _ in range(3):
        _worked(bench, verify)

    assert len(verifier.asked) == 1, "whom a verdict answered leaves it for the next"
    one, two = _event(bench, first), _event(bench, second)
    assert one["checked_at"] == two["checked_at"]
    assert one["email_hash"] == two["email_hash"]
    assert one["verification_id"] != two["verification_id"]
    assert one["sequence"] != two["sequence"]


def _new(bench: Bench) -> str:
    """A stem of this moment: who waits for another's check does so for a limited time."""
    return new_stem(now_ms=round(bench.now_ms()), random_bits=secrets.randbits(80))


def test_whoever_comes_while_an_address_is_checked_waits_for_it(bench: Bench) -> None:
    bench.accept(stem=_new(bench))
    second = bench.accept(stem=_new(bench)).stem
    verifier = Scripted(VALID)
    verify = _verify(bench, verifier)
    first_claim, first_turn = _claimed(bench)
    second_claim, second_turn = _claimed(bench)

    async def both() -> tuple[Done, Done]:
        verifier.took_s = 0.05
        one = asyncio.create_task(verify(bench.lane(), first_claim, first_turn))
        await asyncio.sleep(0.02)
        return await verify(bench.lane(), second_claim, second_turn), await one

    waited, _ = bench.run(both())

    assert waited.settlement is not None
    assert waited.settlement.kind is SettlementKind.LATER
    bench.turn(bench.lane(), replace(waited.settlement, delay_ms=0))
    _worked(bench, verify)
    assert _view(bench, second).status is Status.VALID
    assert len(verifier.asked) == 1


@pytest.mark.parametrize(("waited_ms", "delay_ms"), [(0, 250), (10_000, 5_000), (60_000, 30_000)])
def test_whoever_waits_looks_again_the_more_rarely_the_longer_it_waits(
    bench: Bench, waited_ms: int, delay_ms: int
) -> None:
    bench.accept(stem=_new(bench))
    second = bench.accept(stem=_new(bench)).stem
    verify = _verify(bench, Scripted(TEMPORARY))
    (first_claim, first_turn), (second_claim, second_turn) = _claimed(bench), _claimed(bench)
    assert second_claim.item == second
    bench.run(verify(bench.lane(), first_claim, first_turn))
    later = replace(second_turn, now_ms=time_ms(second) + waited_ms)

    waits = bench.run(verify(bench.lane(), second_claim, later))

    assert waits.settlement is not None
    assert waits.settlement.delay_ms == delay_ms


def test_one_address_many_times_that_nobody_can_check_is_not_checked_one_by_one(bench: Bench) -> None:
    """Each that waited for as long as a check may take finds out for itself, or the last would wait for hours."""
    for _ in range(5):
        bench.accept(stem=_new(bench))
    verifier = Scripted(TEMPORARY)
    verify = _verify(bench, verifier)

    for _ in range(5):
        claim, turn = _claimed(bench)
        bench.run(verify(bench.lane(), claim, replace(turn, now_ms=turn.now_ms + 61_000)))

    assert len(verifier.asked) == 5


def test_a_degraded_verdict_answers_for_nobody(bench: Bench) -> None:
    bench.accept()
    verifier = Scripted(TEMPORARY)
    _worked(bench, _verify(bench, verifier, window_s=5))
    second = bench.accept().stem
    verifier.verdicts = [VALID]

    _worked(bench, _verify(bench, verifier))

    assert _view(bench, second).status is Status.VALID
    assert len(verifier.asked) == 2


def test_a_verdict_answers_for_no_other_tenant(bench: Bench) -> None:
    verifier = Scripted(VALID)
    bench.accept()
    _worked(bench, _verify(bench, verifier))
    bench.world = bench.new_world("other")
    bench.accept()

    _worked(bench, _verify(bench, verifier))

    assert len(verifier.asked) == 2


# rechecks


def _rechecked(bench: Bench, stem: str, verifier: Scripted, **rules: float) -> None:
    bench.run(bench.lanes.enlist(bench.lane(), stem, queue=0))
    _worked(bench, _verify(bench, verifier, **rules))


def test_a_recheck_never_reads_the_cache(bench: Bench) -> None:
    stem = bench.accept().stem
    verifier = Scripted(VALID)
    _worked(bench, _verify(bench, verifier))

    _rechecked(bench, stem, verifier)

    assert len(verifier.asked) == 2


def test_a_recheck_that_changes_the_verdict_is_an_update_with_the_next_revision(bench: Bench) -> None:
    stem = bench.accept().stem
    _worked(bench, _verify(bench, Scripted(VALID)))

    _rechecked(bench, stem, Scripted(INVALID))

    assert (_view(bench, stem).status, _view(bench, stem).revision) == (Status.INVALID, 2)
    assert _event(bench, stem, 2)["revision"] == 2
    event = bench.run(bench.deliveries.event(bench.world, EventRef(stem, 2)))
    assert event is not None
    assert event.type == "verification.updated"


def test_a_recheck_that_says_the_same_tells_nobody(bench: Bench) -> None:
    stem = bench.accept().stem
    _worked(bench, _verify(bench, Scripted(VALID)))

    _rechecked(bench, stem, Scripted(VALID))

    assert bench.run(bench.deliveries.event(bench.world, EventRef(stem, 2))) is None
    assert _view(bench, stem).revision == 1


def test_a_recheck_that_cannot_tell_keeps_the_verdict(bench: Bench) -> None:
    stem = bench.accept().stem
    _worked(bench, _verify(bench, Scripted(VALID)))

    _rechecked(bench, stem, Scripted(TEMPORARY), window_s=5)

    assert (_view(bench, stem).status, _view(bench, stem).revision) == (Status.VALID, 1)
    assert bench.waiting(bench.lane()) == {}
    assert bench.run(bench.deliveries.event(bench.world, EventRef(stem, 2))) is None


def test_a_degraded_verdict_that_a_recheck_makes_good_leaves_the_dead_letters(bench: Bench) -> None:
    stem = bench.accept().stem
    _worked(bench, _verify(bench, Scripted(TEMPORARY), window_s=5))

    _rechecked(bench, stem, Scripted(VALID))

    assert (_view(bench, stem).status, _view(bench, stem).dead) == (Status.VALID, False)
    assert bench.run(bench.verifications.dead(bench.world, after=None, limit=9)) == []


# late and gone


def test_a_result_that_comes_after_the_lease_is_dropped(bench: Bench) -> None:
    stem = bench.accept().stem
    frozen = bench.turn(bench.lane(), want=1, limits=LaneLimits(lease_ms=1, lane_cap=16))
    asyncio.run(asyncio.sleep(0.003))
    _worked(bench, _verify(bench, Scripted(VALID)))

    bench.run(_verify(bench, Scripted(INVALID))(bench.lane(), frozen.claims[0], frozen))

    assert (_view(bench, stem).status, _view(bench, stem).revision) == (Status.VALID, 1)


def test_what_was_erased_meanwhile_is_let_go(bench: Bench) -> None:
    stem = bench.accept().stem
    claim, turn = _claimed(bench)
    bench.run(bench.verifications.erase(bench.world, stem))
    verifier = Scripted(VALID)

    done = bench.run(_verify(bench, verifier)(bench.lane(), claim, turn))

    assert done.settlement is not None
    assert done.settlement.kind is SettlementKind.DONE
    assert verifier.asked == []


@pytest.mark.parametrize("change", ["subscribes", "leaves"])
def test_who_comes_or_goes_during_the_check_is_heeded(bench: Bench, change: str) -> None:
    """The set that was matched is not the set any more: it is read again, and the commit made anew."""
    early = bench.subscribe()
    bench.run(bench.subscriptions.fresh(bench.world))
    stem = bench.accept().stem
    steps: dict[str, Callable[[], object]] = {
        "subscribes": bench.subscribe,
        "leaves": lambda: bench.run(bench.subscriptions.remove(bench.world, early)),
    }
    known = bench.subscriptions._sets[bench.world]
    steps[change]()
    bench.subscriptions._sets[bench.world] = known  # this process has not heard of it

    _worked(bench, _verify(bench, Scripted(VALID)))

    record = bench.run(bench.verifications.read(bench.world, stem))
    assert record is not None
    assert record.targets == {1: [early.number, early.number + 1] if change == "subscribes" else []}


class Restless:
    """A set of subscriptions that somebody changes each time after it was read."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    async def cached(self, world: World) -> SubscriptionSet:
        return await self.fresh(world)

    async def fresh(self, world: World) -> SubscriptionSet:
        found = await self.bench.subscriptions.fresh(world)
        self.bench.raw.hincrby(keys.counters(world), "subscriptions")
        return found


def test_a_verdict_that_cannot_be_stored_is_reported_and_its_verification_comes_due_again(bench: Bench) -> None:
    bench.subscribe()
    stem = bench.accept().stem
    told, verify = Told(), _verify(bench, Scripted(VALID))
    restless = replace(verify, commit=replace(verify.commit, subscriptions=Restless(bench), report=told))
    turn = bench.turn(bench.lane(), want=1, limits=LaneLimits(lease_ms=1, lane_cap=16))

    with pytest.raises(LedgerUnavailable):
        bench.run(restless(bench.lane(), turn.claims[0], turn))

    assert [(name, args[:2]) for name, args, _ in told.calls] == [("failed", ("commit", stem))]
    asyncio.run(asyncio.sleep(0.003))
    _worked(bench, verify)
    assert _view(bench, stem).status is Status.VALID
