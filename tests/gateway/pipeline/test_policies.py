"""A tenant's policy on the whole way: from the ledger to the question, to the verdict, and again without a check."""

import asyncio
import time
from dataclasses import replace

import pytest

from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.ids import new_stem
from vouchpost_gateway.domain.lane import SettlementKind
from vouchpost_gateway.domain.tenant_policy import NO_POLICY, TenantPolicy
from vouchpost_gateway.domain.verification import ReasonCode, Status
from vouchpost_gateway.ledger.keys import lane_part
from vouchpost_gateway.ledger.keys import policy as policy_key
from vouchpost_gateway.ledger.policies import PolicyRecords
from vouchpost_gateway.pipeline.verify import CHECK, JUDGE_AGAIN

from .test_verify import TEMPORARY, Scripted, _verify, _view, _worked

VALID = replace(TEMPORARY, status=Status.VALID, reason_code=ReasonCode.DOMAIN_ACCEPTS_MAIL, temporary=False)

RISKY_ROLES = TenantPolicy({"role_account": Status.RISKY}, allow=frozenset({"jane@b.test"}), deny=frozenset({"c.test"}))
PUT_OFF = replace(TEMPORARY, reason_code=ReasonCode.MX_UNREACHABLE, put_off=True, retry_after_s=7.0)


def _policies(bench: Bench) -> PolicyRecords:
    return PolicyRecords(bench.store, bench.tenants)


def _enlist(bench: Bench, stem: str, state: bytes) -> None:
    bench.run(bench.lanes.enlist(bench.lane(), stem, queue=1, state=state))


def test_a_policy_is_kept_as_it_was_written_and_holds_no_address_in_the_clear(bench: Bench) -> None:
    policies = _policies(bench)

    bench.run(policies.write(bench.world, RISKY_ROLES))

    assert bench.run(_policies(bench).read(bench.world)) == RISKY_ROLES
    stored = [bench.raw.get(key) for key in bench.raw.keys("*:q")]
    assert len(stored) == 1
    assert b"jane" not in (stored[0] or b"")


@pytest.mark.parametrize("kept", [b"", b"junk", b"\x92\x01\xc4\x03abc", b"\x92\x09\xc4\x03abc", b"\x91\x01"])
def test_a_policy_that_cannot_be_read_is_told_and_judges_nobody(bench: Bench, kept: bytes) -> None:
    bench.raw.set(policy_key(bench.world), kept)

    with pytest.raises(LedgerUnavailable):
        bench.run(_policies(bench).read(bench.world))


def test_many_who_want_a_policy_at_once_read_it_once_and_a_failure_is_not_kept(bench: Bench) -> None:
    policies = _policies(bench)
    bench.run(policies.write(bench.world, RISKY_ROLES))
    before = bench.raw.info("commandstats")["cmdstat_get"]["calls"]

    async def many() -> list[TenantPolicy]:
        return await asyncio.gather(*(policies.cached(bench.world) for _ in range(50)))

    assert bench.run(many()) == [RISKY_ROLES] * 50
    assert bench.raw.info("commandstats")["cmdstat_get"]["calls"] - before == 1
    policies.forget()
    bench.raw.set(policy_key(bench.world), b"junk")
    with pytest.raises(LedgerUnavailable):
        bench.run(policies.cached(bench.world))
    bench.run(policies.write(bench.world, NO_POLICY))
    assert bench.run(policies.cached(bench.world)) == NO_POLICY


def test_what_a_later_release_lets_amend_is_left_at_its_default(bench: Bench) -> None:
    later = TenantPolicy({"role_account": Status.RISKY, "not_yet_known": Status.RISKY})
    bench.run(_policies(bench).write(bench.world, later))

    assert bench.run(_policies(bench).read(bench.world)) == TenantPolicy({"role_account": Status.RISKY})


def test_a_policy_that_amends_nothing_leaves_nothing_behind(bench: Bench) -> None:
    policies = _policies(bench)
    bench.run(policies.write(bench.world, RISKY_ROLES))

    bench.run(policies.write(bench.world, NO_POLICY))

    assert bench.run(policies.read(bench.world)) == NO_POLICY
    assert bench.raw.keys("*:q") == []


def test_questions_carry_the_policy_of_their_world(bench: Bench) -> None:
    bench.run(_policies(bench).write(bench.world, RISKY_ROLES))
    verifier = Scripted(VALID)
    bench.accept()

    _worked(bench, _verify(bench, verifier))

    assert verifier.policies == [RISKY_ROLES.version]


def test_a_verdict_is_judged_again_without_a_check_and_told_as_the_next_revision(bench: Bench) -> None:
    verifier = Scripted(VALID)
    stem = bench.accept().stem
    _worked(bench, _verify(bench, verifier))
    checked_ms = _view(bench, stem).checked_ms
    bench.run(_policies(bench).write(bench.world, RISKY_ROLES))

    _enlist(bench, stem, JUDGE_AGAIN)
    _worked(bench, _verify(bench, verifier))

    view = _view(bench, stem)
    assert (view.status, view.revision, view.checked_ms) == (Status.RISKY, 2, checked_ms)
    assert len(verifier.asked) == 1


def test_who_asks_to_judge_again_right_after_a_change_of_policy_is_judged_by_the_new_one(bench: Bench) -> None:
    """The worker read the old policy a moment ago, and reads it again for checks every two seconds only."""
    stem = bench.accept().stem
    verify = _verify(bench, Scripted(VALID))
    _worked(bench, verify)
    bench.run(_policies(bench).write(bench.world, RISKY_ROLES))

    _enlist(bench, stem, JUDGE_AGAIN)
    _worked(bench, verify)

    verdict = _view(bench, stem).verdict
    assert verdict is not None
    assert (verdict.status, verdict.policy_version) == (Status.RISKY, f"1{RISKY_ROLES.version}")


def test_a_verdict_that_stays_the_same_is_told_nobody_again(bench: Bench) -> None:
    verifier = Scripted(VALID)
    stem = bench.accept().stem
    _worked(bench, _verify(bench, verifier))

    _enlist(bench, stem, JUDGE_AGAIN)
    _worked(bench, _verify(bench, verifier))

    assert _view(bench, stem).revision == 1
    assert len(verifier.judged) == 1


def test_who_asks_for_a_check_after_asking_for_a_judgement_gets_the_check(bench: Bench) -> None:
    verifier = Scripted(VALID)
    stem = bench.accept().stem
    _worked(bench, _verify(bench, verifier))

    _enlist(bench, stem, JUDGE_AGAIN)
    _enlist(bench, stem, CHECK)
    _worked(bench, _verify(bench, verifier))

    assert len(verifier.asked) == 2
    assert verifier.judged == []


def test_a_verification_whose_turn_has_not_come_is_put_off_at_no_checks_cost(bench: Bench) -> None:
    verifier = Scripted(*[PUT_OFF] * 9, VALID)
    stem = bench.accept(stem=new_stem(now_ms=time.time_ns() // 1_000_000, random_bits=7)).stem
    verify = _verify(bench, verifier)

    for _ in range(9):
        done = _worked(bench, verify)
        assert done.settlement is not None
        assert done.settlement.kind is SettlementKind.LATER
        assert done.settlement.delay_ms >= 7000
    _worked(bench, verify)

    assert _view(bench, stem).status is Status.VALID
    assert len(_view(bench, stem).runs) == 1


def test_being_put_off_ends_and_then_it_counts_as_a_check(bench: Bench) -> None:
    verifier = Scripted(PUT_OFF)
    stem = bench.accept().stem

    _worked(bench, _verify(bench, verifier, window_s=0.0))

    view = _view(bench, stem)
    assert len(view.runs) == 1
    assert view.status in {Status.PENDING, Status.UNKNOWN}


@pytest.mark.parametrize(("status", "expected"), [(None, Status.UNKNOWN), (Status.RISKY, Status.RISKY)])
def test_checks_that_could_not_tell_end_as_the_tenant_calls_degraded(
    bench: Bench, status: Status | None, expected: Status
) -> None:
    if status is not None:
        bench.run(_policies(bench).write(bench.world, TenantPolicy({"degraded": status})))
    stem = bench.accept().stem
    verify = _verify(bench, Scripted(TEMPORARY))

    for _ in range(4):
        _worked(bench, verify)

    verdict = _view(bench, stem).verdict
    assert verdict is not None
    assert (verdict.status, verdict.degraded) == (expected, True)


def _with_budget(bench: Bench, seconds: int) -> str:
    stem = new_stem(now_ms=time.time_ns() // 1_000_000, random_bits=8)
    new = replace(bench.new(), time_budget_s=seconds)
    bench.run(bench.verifications.accept(bench.world, stem, new, idempotency_key=None, body=b""))
    return stem


def test_no_check_is_begun_after_the_callers_time_budget(bench: Bench) -> None:
    """A hint to come back in five minutes is more than a budget of a minute has: the verdict is what is known."""
    stem = _with_budget(bench, 60)
    verify = _verify(bench, Scripted(replace(TEMPORARY, retry_after_s=300)))

    _worked(bench, verify)

    verdict = _view(bench, stem).verdict
    assert verdict is not None
    assert (verdict.status, verdict.degraded) == (Status.UNKNOWN, True)


def test_within_its_budget_a_verification_is_checked_again(bench: Bench) -> None:
    stem = _with_budget(bench, 800)
    verify = _verify(bench, Scripted(replace(TEMPORARY, retry_after_s=300), VALID))

    _worked(bench, verify)
    _worked(bench, verify)

    assert _view(bench, stem).status is Status.VALID


def test_a_check_is_cut_off_where_the_budget_ends(bench: Bench) -> None:
    stem = _with_budget(bench, 1)
    started = time.monotonic()

    _worked(bench, _verify(bench, Scripted(VALID, took_s=5), timeout_s=30))

    assert time.monotonic() - started < 3
    assert _view(bench, stem).status is Status.UNKNOWN


def test_a_recheck_comes_no_sooner_than_the_mail_host_asked_for(bench: Bench) -> None:
    """A hint of two hours is past the window of checks, and past the first recheck too."""
    stem = bench.accept().stem

    _worked(bench, _verify(bench, Scripted(replace(TEMPORARY, retry_after_s=7200))))

    scores = [bench.raw.zscore(lane_part(bench.lane(), part), stem) for part in "012"]
    [due_ms] = [score for score in scores if score is not None]
    assert due_ms - time.time() * 1000 > 7_100_000
