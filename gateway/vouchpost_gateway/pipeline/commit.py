"""The third arrow: a verdict, its event and one delivery per matching subscription become one write, then the bells."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.commitment import CommitAnswer, Commitment
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.event import Event, verdict_event
from vouchpost_gateway.domain.lane import Claim, Ring
from vouchpost_gateway.domain.retry import next_planned_delay_ms
from vouchpost_gateway.domain.verification import CheckRun, Status, Verdict, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.report import Report

_MAX_ROUNDS = 20


class Matching(Protocol):
    """The subscriptions of a world as they were at a revision.

    All that match are targets, whatever their number: their limit is kept where they register.
    """

    @property
    def revision(self) -> int: ...

    def targets(self, event_type: str) -> Sequence[int]: ...


class CommitRecords(Protocol):
    async def commit(
        self, world: World, verification: Verification, claim: Claim, made: Commitment, *, normalised: str | None
    ) -> tuple[CommitAnswer, list[Ring]]: ...

    async def email_hash(self, world: World, normalised: str) -> str: ...


class SubscriptionSets(Protocol):
    async def cached(self, world: World) -> Matching: ...

    async def fresh(self, world: World) -> Matching: ...


@dataclass(frozen=True, slots=True)
class CommitRules:
    """How long a verdict of each status may answer for others, and when a degraded one is looked at again."""

    cache_ms: Mapping[Status, int]
    recheck_delays_ms: Sequence[int]


@dataclass(frozen=True, slots=True)
class Commit:
    """Commits verdicts. A repeat finds its token gone; a set that moved is read again and matched anew."""

    records: CommitRecords
    subscriptions: SubscriptionSets
    rules: CommitRules
    ring: Callable[[Sequence[Ring]], None]
    report: Report

    async def __call__(
        self,
        world: World,
        verification: Verification,
        claim: Claim,
        *,
        run: CheckRun,
        verdict: Verdict,
        checked_ms: int,
        now_ms: int,
        cacheable: bool,
    ) -> None:
        """Returns when the verdict is stored, or when it is someone else's to store.

        LedgerUnavailable when it could not be, because the set of subscriptions never stood still: it is due again.
        """
        email_hash = await self.records.email_hash(world, verdict.normalised or verification.address)
        revision, event = _revision_and_event(
            verification, verdict, at_ms=now_ms, checked_ms=checked_ms, email_hash=email_hash
        )
        known = await self.subscriptions.cached(world)
        for _ in range(_MAX_ROUNDS):
            made = Commitment(
                run=run,
                verdict=verdict,
                revision=revision,
                checked_ms=checked_ms,
                email_hash=email_hash,
                event=event,
                targets=known.targets(event.type) if event else (),
                set_revision=known.revision if event else None,
                cache_ms=self._cache_ms(verdict) if cacheable else 0,
                recheck_ms=self._recheck_delay_ms(verification, verdict),
                dead=verdict.status is Status.UNKNOWN,
            )
            answer, rings = await self.records.commit(world, verification, claim, made, normalised=verdict.normalised)
            self.ring(rings)
            if answer is CommitAnswer.OK:
                self.report.verified(world, verification, verdict, revision=revision)
            if answer is not CommitAnswer.CHANGED:
                return
            known = await self.subscriptions.fresh(world)
        error = LedgerUnavailable(f"the subscriptions changed {_MAX_ROUNDS} times while a verdict was committed")
        self.report.failed("commit", verification.stem, error)
        raise error

    def _cache_ms(self, verdict: Verdict) -> int:
        return 0 if verdict.degraded else self.rules.cache_ms.get(verdict.status, 0)

    def next_recheck_delay_ms(self, verification: Verification, *, now_ms: int) -> int | None:
        """How long until a verdict that a recheck left standing is looked at again; None: never, or not degraded."""
        if verification.verdict is None or not verification.verdict.degraded or verification.checked_ms is None:
            return None
        planned = self.rules.recheck_delays_ms[max(verification.revision - 1, 0) :]
        return next_planned_delay_ms(planned, since_ms=verification.checked_ms, now_ms=now_ms)

    def _recheck_delay_ms(self, verification: Verification, verdict: Verdict) -> int | None:
        """How long until a degraded verdict is looked at again, each time later, a limited number of times.

        Never sooner than the mail host asked for: a greylist counts from the start again for those who come too soon.
        """
        delays = self.rules.recheck_delays_ms
        if not verdict.degraded or verification.revision >= len(delays):
            return None
        return max(delays[verification.revision], round((verdict.retry_after_s or 0) * 1000))


def _revision_and_event(
    verification: Verification, verdict: Verdict, *, at_ms: int, checked_ms: int, email_hash: str
) -> tuple[int, Event | None]:
    """When the verdict differs from the last one: the next revision and its event.

    Otherwise: the current revision and None.
    """
    if not _is_news(verification, verdict):
        return verification.revision, None
    revision = verification.revision + 1
    event = verdict_event(
        verification, verdict, revision=revision, at_ms=at_ms, checked_ms=checked_ms, email_hash=email_hash
    )
    return revision, event


def _is_news(verification: Verification, verdict: Verdict) -> bool:
    before = verification.verdict
    if before is None:
        return True
    return (before.status, before.reason_code, before.degraded) != (
        verdict.status,
        verdict.reason_code,
        verdict.degraded,
    )
