"""The fourth arrow: one HTTP request of one delivery. Prepare (sign), send, settle: decided apart from done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

from vouchpost_gateway.domain.delivery import KEPT_ATTEMPTS, Attempt, DeliveryProgress, DeliveryState, Outcome
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.event import Event, with_address
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, time_ms
from vouchpost_gateway.domain.lane import Claim, Lane, LaneLimits, LaneNews, Settlement, SettlementKind, Turn
from vouchpost_gateway.domain.outcome import Answer, Failure, Judgement, judge
from vouchpost_gateway.domain.retry import next_attempt_ms, parse_retry_after, should_disable, slow_down_s
from vouchpost_gateway.domain.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signature_header
from vouchpost_gateway.domain.subscription import DisabledReason, Subscription
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.pipeline.report import Report
from vouchpost_gateway.pipeline.work import Done

SLOW_AFTER_S = 2.0
"""An answer slower than this moves the subscription to the slow class."""

_MAX_CLAIMS = 20
_USER_AGENT = f"Vouchpost/{version('vouchpost')}"


class Sender(Protocol):
    async def post(
        self, *, url: str, headers: Mapping[str, str], body: bytes, allow_loopback: bool = ...
    ) -> Answer: ...


class EventRecords(Protocol):
    async def event(self, world: World, ref: EventRef) -> Event | None: ...

    async def address(self, world: World, stem: str) -> str | None: ...


class Subscriptions(Protocol):
    async def find(self, world: World, number: int) -> Subscription | None: ...

    async def find_at(self, world: World, number: int, revision: int) -> Subscription | None: ...

    async def disable(self, world: World, number: int, reason: DisabledReason, *, now_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class AttemptRules:
    """The defaults that a subscription may override, and the limits that it may not."""

    schedule_s: tuple[float, ...]
    max_age_s: float
    max_in_flight: int
    lease_ms: int
    world_in_flight: int
    world_slow: int


@value(frozen=True, slots=True)
class Prepared:
    """One request, ready to be sent: everything but the connection."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    allow_loopback: bool


@value(frozen=True, slots=True)
class Settled:
    """What an answer comes to."""

    settlement: Settlement
    news: LaneNews
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Deliver:
    """The work of a subscription's lane. Twice is harmless to a receiver that heeds the event id; it happens."""

    events: EventRecords
    subscriptions: Subscriptions
    sender: Sender
    rules: AttemptRules
    report: Report
    random: Callable[[], float]

    async def limits(self, lane: Lane) -> LaneLimits:
        subscription = await self.subscriptions.find(lane.world, lane.number)
        own = subscription.max_in_flight if subscription else None
        rules = self.rules
        return LaneLimits(
            lease_ms=rules.lease_ms,
            lane_cap=own or rules.max_in_flight,
            world_fast_cap=rules.world_in_flight,
            world_slow_cap=rules.world_slow,
        )

    async def after_turn(self, lane: Lane, turn: Turn) -> None:
        """Disables a subscription that has only failed for days."""
        if should_disable(failing_since_ms=turn.failing_since_ms, failures=turn.failures, now_ms=turn.now_ms):
            await self._disable(lane, DisabledReason.FAILING, turn.now_ms)

    async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done:
        """Makes one attempt of the claimed delivery."""
        ref = DeliveryRef(EventRef.from_item(claim.item), lane.number)
        subscription = await self.subscriptions.find_at(lane.world, lane.number, turn.set_revision)
        event = await self.events.event(lane.world, ref.event)
        progress = claim.progress or DeliveryProgress()
        if subscription is None or event is None:
            return Done(Settlement(SettlementKind.DONE, claim.item, claim.token))
        if not subscription.enabled:
            return Done(Settlement(SettlementKind.LATER, claim.item, claim.token, progress=progress))
        answer = await self._send(lane.world, subscription, event, turn, claim)
        now_ms = turn.now_ms + round(answer.duration_s * 1000)
        settled = settle(
            claim, progress, answer, subscription, turn=turn, now_ms=now_ms, random=self.random(), rules=self.rules
        )
        self.report.attempted(
            lane.world,
            ref,
            subscription,
            number=progress.attempt_count + 1,
            outcome=settled.outcome,
            dead=settled.settlement.kind is SettlementKind.DEAD,
            answer=answer,
            age_ms=None if progress.attempts_before else now_ms - time_ms(ref.event.stem),
        )
        if settled.outcome is Outcome.GONE:
            await self._disable(lane, DisabledReason.GONE, now_ms)
        return Done(settled.settlement, settled.news)

    async def _disable(self, lane: Lane, reason: DisabledReason, now_ms: int) -> None:
        """A ledger that does not answer now must not cost the outcome of an attempt; the next one disables."""
        try:
            await self.subscriptions.disable(lane.world, lane.number, reason, now_ms=now_ms)
        except LedgerUnavailable as error:
            self.report.failed("disable", lane.id, error)

    async def _send(self, world: World, subscription: Subscription, event: Event, turn: Turn, claim: Claim) -> Answer:
        if claim.claims > _MAX_CLAIMS:
            return Answer(0.0, failure=Failure.INTERNAL)
        address = await self.events.address(world, event.stem) if subscription.include_address else None
        prepared = prepare(subscription, event, now_ms=turn.now_ms, mode=world.mode, address=address)
        return await self.sender.post(
            url=prepared.url,
            headers=prepared.headers,
            body=prepared.body,
            allow_loopback=prepared.allow_loopback,
        )


def prepare(
    subscription: Subscription, event: Event, *, now_ms: int, mode: Mode, address: str | None = None
) -> Prepared:
    """The request of one attempt: the stored bytes, signed for now with every live secret."""
    body = event.body if address is None else with_address(event.body, address)
    keys = [secret.key for secret in subscription.secrets if secret.signs_at(now_ms)]
    timestamp_s = now_ms // 1000
    headers = {
        **subscription.headers,
        "content-type": "application/json",
        "user-agent": _USER_AGENT,
        ID_HEADER: event.id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: signature_header(keys=keys, event_id=event.id, timestamp_s=timestamp_s, body=body),
    }
    return Prepared(subscription.url, headers, body, allow_loopback=mode is Mode.TEST)


def settle(
    claim: Claim,
    progress: DeliveryProgress,
    answer: Answer,
    subscription: Subscription,
    *,
    turn: Turn,
    now_ms: int,
    random: float,
    rules: AttemptRules,
) -> Settled:
    """What an answer means for the delivery and for its lane. Values in, values out."""
    judgement = judge(answer)
    after = _with_attempt(progress, answer, judgement.outcome, turn)
    if judgement.outcome is Outcome.DELIVERED:
        done = Settlement(
            SettlementKind.DONE, claim.item, claim.token, progress=_ended(after, DeliveryState.DELIVERED, now_ms)
        )
        return Settled(done, LaneNews(delivered=1, slow=answer.duration_s > SLOW_AFTER_S), Outcome.DELIVERED)
    retry_after_s = parse_retry_after(answer.retry_after, now_s=now_ms / 1000)
    news = _news_of_failure(answer, judgement, turn, retry_after_s=retry_after_s, random=random)
    due_ms = None
    if judgement.outcome is Outcome.RETRYABLE:
        due_ms = next_attempt_ms(
            schedule=subscription.schedule_s or rules.schedule_s,
            attempts_made=after.attempt_count - after.attempts_before,
            retry_after_s=retry_after_s,
            random=random,
            created_ms=after.since_ms if after.since_ms is not None else turn.now_ms,
            now_ms=now_ms,
            max_age_s=rules.max_age_s,
        )
    if due_ms is None:
        dead = Settlement(
            SettlementKind.DEAD, claim.item, claim.token, progress=_ended(after, DeliveryState.DEAD, now_ms)
        )
        return Settled(dead, news, judgement.outcome)
    later = Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=due_ms - now_ms, progress=after)
    return Settled(later, news, judgement.outcome)


def _with_attempt(progress: DeliveryProgress, answer: Answer, outcome: Outcome, turn: Turn) -> DeliveryProgress:
    """The progress with this attempt behind the others; the schedule began with the first one."""
    attempt = Attempt(
        number=progress.attempt_count + 1,
        at_ms=turn.now_ms,
        duration_ms=round(answer.duration_s * 1000),
        outcome=outcome,
        status_code=answer.status_code,
        error=answer.failure,
        excerpt=answer.excerpt,
    )
    return DeliveryProgress(
        attempt_count=attempt.number,
        attempts=(*progress.attempts, attempt)[-KEPT_ATTEMPTS:],
        since_ms=progress.since_ms if progress.since_ms is not None else turn.now_ms,
        attempts_before=progress.attempts_before,
    )


def _news_of_failure(
    answer: Answer, judgement: Judgement, turn: Turn, *, retry_after_s: float | None, random: float
) -> LaneNews:
    """What a failed attempt says about the lane; our own side's failures say nothing about the subscriber."""
    failed = 0 if answer.failure is Failure.INTERNAL else 1
    if not judgement.slow_down:
        return LaneNews(failed=failed, slow=_is_slow(answer))
    slowdowns = turn.slowdowns + 1
    rest_s = slow_down_s(consecutive=slowdowns, retry_after_s=retry_after_s, random=random)
    return LaneNews(failed=failed, slow=_is_slow(answer), throttle_ms=round(rest_s * 1000), slowdowns=slowdowns)


def _is_slow(answer: Answer) -> bool | None:
    """Slow moves a lane to the slow class; a quick failure says nothing about its speed."""
    return True if answer.failure is Failure.TIMED_OUT or answer.duration_s > SLOW_AFTER_S else None


def _ended(progress: DeliveryProgress, state: DeliveryState, now_ms: int) -> DeliveryProgress:
    return DeliveryProgress(
        state, progress.attempt_count, progress.attempts, now_ms, progress.since_ms, progress.attempts_before
    )
