"""The second arrow: a claimed verification gets its verdict, from the checks or from a verdict that still holds."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from vouchpost_gateway.domain.lane import Claim, Lane, LaneLimits, Settlement, SettlementKind, Turn
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.tenant_policy import TenantPolicy
from vouchpost_gateway.domain.verdict_cache import AlreadyKnown, BeingChecked
from vouchpost_gateway.domain.verification import CheckRun, Depth, Flags, ReasonCode, Status, Verdict, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.check_rules import CheckRules
from vouchpost_gateway.pipeline.commit import Commit
from vouchpost_gateway.pipeline.report import Report
from vouchpost_gateway.pipeline.work import Done

_MAX_CLAIMS = 8
"""After so many leases that ended without a settlement, the checks are not tried again: they kill workers."""

_FOLLOW_MS = 250
"""While someone else checks the address, the verdict is looked for again after this; when it has waited for more than
twice as long, after half of the time waited."""

CHECK, JUDGE_AGAIN = b"check", b"judge"
"""The note of an item that is put in line again: check anew, or only judge what was found by the policy of now."""


class Verifier(Protocol):
    def policy_version(self, tenant: TenantPolicy) -> str: ...

    def normalised(self, address: str) -> str | None:
        """The address in the one form that equal addresses share; None when it has no meaning as an address."""

    async def verify(self, question: Question) -> Verdict: ...

    def judge_again(self, verdict: Verdict, tenant: TenantPolicy) -> Verdict: ...


class TenantPolicies(Protocol):
    async def cached(self, world: World) -> TenantPolicy: ...

    async def read(self, world: World) -> TenantPolicy: ...


class VerifyRecords(Protocol):
    async def view(self, world: World, stem: str) -> Verification | None: ...

    async def look(
        self, world: World, stem: str, question: Question, normalised: str, *, policy: str, lease_ms: int
    ) -> BeingChecked | AlreadyKnown | None: ...


@dataclass(frozen=True, slots=True)
class Verify:
    """The work of a verification lane. Running it twice on one item is harmless: only one commit finds its token."""

    records: VerifyRecords
    policies: TenantPolicies
    verifier: Verifier
    commit: Commit
    rules: CheckRules
    lane_limits: LaneLimits
    report: Report
    random: Callable[[], float]

    async def limits(self, lane: Lane) -> LaneLimits:  # noqa: ARG002  all tenants' lanes have the same
        return self.lane_limits

    async def after_turn(self, lane: Lane, turn: Turn) -> None:
        """A verification lane has no health of its own."""

    async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done:
        """Finds the verdict and commits it, or settles when to look again."""
        verification = await self.records.view(lane.world, claim.item)
        if verification is None:
            return Done(Settlement(SettlementKind.DONE, claim.item, claim.token))
        # Who changes the policy and asks for its judgement at once means the new one, and nobody asks a second time.
        policies = self.policies.read if claim.note == JUDGE_AGAIN else self.policies.cached
        policy = await policies(lane.world)
        if claim.claims > _MAX_CLAIMS:
            verdict = _unknown(ReasonCode.POISONED, self.verifier.policy_version(policy))
            return await self._commit_checked(lane, claim, turn, verification, verdict, took_ms=0, now_ms=turn.now_ms)
        if claim.note == JUDGE_AGAIN and verification.verdict is not None:
            verdict = self.verifier.judge_again(verification.verdict, policy)
            return await self._judged(lane, claim, verification, verdict, now_ms=turn.now_ms)
        question = Question(verification.address, verification.depth, lane.world.mode, policy)
        if _may_reuse(verification):
            known = await self._answer_from_cache(lane, claim, question, turn.now_ms, verification)
            if known is not None:
                return known
        return await self._check(lane, claim, turn, verification, question)

    async def _judged(
        self, lane: Lane, claim: Claim, verification: Verification, verdict: Verdict, *, now_ms: int
    ) -> Done:
        """What was found stays; what it comes to is the policy's. Where that is the same, nobody is told again."""
        await self.commit(
            lane.world,
            verification,
            claim,
            run=_run(verification, verdict, now_ms, 0),
            verdict=verdict,
            checked_ms=verification.checked_ms or now_ms,
            now_ms=now_ms,
            cacheable=False,  # it is as old as its findings
        )
        return Done(None)

    async def _check(
        self, lane: Lane, claim: Claim, turn: Turn, verification: Verification, question: Question
    ) -> Done:
        started = time.monotonic()
        verdict = await self._ask_checks(question, limit_s=self.rules.limit_s(verification, turn.now_ms))
        took_ms = round((time.monotonic() - started) * 1000)
        now_ms = turn.now_ms + took_ms
        if verdict.put_off and self.rules.may_be_put_off(verification, now_ms):
            return self._put_off(lane, claim, verification, verdict)
        if verdict.temporary:
            delay_s = self.rules.next_check_s(verification, verdict, now_ms, random=self.random())
            if delay_s is not None:
                return self._later(lane, claim, verification, verdict, now_ms=now_ms, took_ms=took_ms, delay_s=delay_s)
            verdict = replace(
                verdict, status=question.policy.degraded_status, degraded=True, temporary=False, put_off=False
            )
            if verification.verdict is not None:
                return self._keep_old_verdict(claim, verification, verdict, now_ms=now_ms, took_ms=took_ms)
        return await self._commit_checked(lane, claim, turn, verification, verdict, took_ms=took_ms, now_ms=now_ms)

    async def _ask_checks(self, question: Question, *, limit_s: float) -> Verdict:
        if question.depth is Depth.SYNTAX:  # waits for nothing
            return await self.verifier.verify(question)
        try:
            async with asyncio.timeout(limit_s):
                return await self.verifier.verify(question)
        except TimeoutError:
            version = self.verifier.policy_version(question.policy)
            return _unknown(ReasonCode.TIMED_OUT, version, temporary=True)

    def _put_off(self, lane: Lane, claim: Claim, verification: Verification, verdict: Verdict) -> Done:
        """Nobody was asked, so no check is counted; it comes again when its turn may have come, not all at once."""
        delay_ms = round(max(verdict.retry_after_s or 0, 1) * 1000 * (1 + self.random()))
        self.report.postponed(lane.world, verification.stem, delay_ms=delay_ms, verdict=verdict)
        return Done(Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=delay_ms))

    def _later(
        self,
        lane: Lane,
        claim: Claim,
        verification: Verification,
        verdict: Verdict,
        *,
        now_ms: int,
        took_ms: int,
        delay_s: float,
    ) -> Done:
        delay_ms = round(delay_s * 1000)
        self.report.postponed(lane.world, verification.stem, delay_ms=delay_ms, verdict=verdict)
        run = _run(verification, verdict, now_ms, took_ms)
        return Done(Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=delay_ms, run=run))

    def _keep_old_verdict(
        self, claim: Claim, verification: Verification, verdict: Verdict, *, now_ms: int, took_ms: int
    ) -> Done:
        """The recheck told nothing: what was known stands, nobody is told otherwise, and the next recheck comes."""
        run = _run(verification, verdict, now_ms, took_ms)
        delay_ms = self.commit.next_recheck_delay_ms(verification, now_ms=now_ms)
        if delay_ms is None:
            return Done(Settlement(SettlementKind.DONE, claim.item, claim.token, run=run))
        return Done(Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=delay_ms, run=run))

    async def _answer_from_cache(
        self, lane: Lane, claim: Claim, question: Question, now_ms: int, verification: Verification
    ) -> Done | None:
        """Answers from a verdict that still holds, or stands behind whoever is finding it; None: it is ours to find."""
        normalised = self.verifier.normalised(question.address)
        if normalised is None:
            return None
        found = await self.records.look(
            lane.world,
            verification.stem,
            question,
            normalised,
            policy=self.verifier.policy_version(question.policy),
            lease_ms=self.lane_limits.lease_ms,
        )
        if isinstance(found, BeingChecked):
            waited_ms = now_ms - verification.created_ms
            if waited_ms > self.lane_limits.lease_ms:
                return None  # whoever checked could not tell: each finds out now, or they would do so one by one
            delay_ms = min(found.ends_in_ms, max(_FOLLOW_MS, waited_ms // 2))
            return Done(Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=delay_ms))
        if isinstance(found, AlreadyKnown):
            other = await self.records.view(lane.world, found.stem)
            if other is not None and other.verdict is not None and other.checked_ms is not None:
                run = replace(other.runs[-1], number=1) if other.runs else _run(verification, other.verdict, now_ms, 0)
                await self.commit(
                    lane.world,
                    verification,
                    claim,
                    run=run,
                    verdict=other.verdict,
                    checked_ms=other.checked_ms,
                    now_ms=now_ms,
                    cacheable=False,
                )
                return Done(None)
        return None

    async def _commit_checked(
        self,
        lane: Lane,
        claim: Claim,
        turn: Turn,
        verification: Verification,
        verdict: Verdict,
        *,
        took_ms: int,
        now_ms: int,
    ) -> Done:
        await self.commit(
            lane.world,
            verification,
            claim,
            run=_run(verification, verdict, now_ms, took_ms),
            verdict=verdict,
            checked_ms=now_ms,
            now_ms=max(now_ms, turn.now_ms),
            cacheable=verification.depth is not Depth.SYNTAX,
        )
        return Done(None)


def _may_reuse(verification: Verification) -> bool:
    """Retries and rechecks never read the cache; and a check of syntax costs less than looking it up."""
    return verification.depth is not Depth.SYNTAX and not verification.runs


def _run(verification: Verification, verdict: Verdict, now_ms: int, took_ms: int) -> CheckRun:
    return CheckRun(
        number=len(verification.runs) + 1,
        at_ms=now_ms,
        duration_ms=took_ms,
        reason_code=verdict.reason_code,
        findings=verdict.findings,
    )


def _unknown(reason: ReasonCode, policy_version: str, *, temporary: bool = False) -> Verdict:
    return Verdict(
        status=Status.UNKNOWN,
        reason_code=reason,
        score=0.0,
        flags=Flags(),
        findings=(),
        normalised=None,
        domain=None,
        policy_version=policy_version,
        temporary=temporary,
    )
