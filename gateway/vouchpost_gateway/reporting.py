"""What the steps report, as log lines and metrics: one line per outcome, with all ids and never an address."""

from typing import Any

import structlog

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, verification_id
from vouchpost_gateway.domain.lane import LaneKind
from vouchpost_gateway.domain.outcome import Answer
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import Status, Verdict, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.metrics import Metrics


class Reporter:
    """Logs and counts. Nothing here waits: lines go through a bounded queue, counts stay in memory."""

    def __init__(self, metrics: Metrics) -> None:
        self._log: Any = structlog.get_logger().bind()  # at once, and not anew for each line
        self._metrics = metrics

    def waiting(self, reason: str) -> None:
        self._log.warning("ledger.waiting", reason=reason)

    def started(self, **where: str) -> None:
        self._log.info("process.started", **where)

    def stopped(self) -> None:
        self._log.info("process.stopped")

    def readiness(self, readiness: Readiness) -> None:
        log = self._log.info if readiness.ready else self._log.warning
        log("readiness.changed", ready=readiness.ready, problems=list(readiness.problems))

    def accepted(self, world: World, stem: str, *, repeated: bool) -> None:
        self._log.debug("verification.accepted", world=world.name, id=verification_id(stem), repeated=repeated)

    def verified(self, world: World, verification: Verification, verdict: Verdict, *, revision: int) -> None:
        self._metrics.verdict(verdict.status, verdict.reason_code)
        if verdict.status is Status.UNKNOWN:
            self._metrics.dead_letter(LaneKind.VERIFICATIONS)
        self._log.info(
            "verification.completed",
            world=world.name,
            id=verification_id(verification.stem),
            event_id=EventRef(verification.stem, revision).id,
            address=verification.address,
            revision=revision,
            status=verdict.status,
            reason=verdict.reason_code,
        )

    def postponed(self, world: World, stem: str, *, delay_ms: int, verdict: Verdict) -> None:
        self._log.info(
            "verification.postponed",
            world=world.name,
            id=verification_id(stem),
            reason=verdict.reason_code,
            delay_ms=delay_ms,
        )

    def attempted(
        self,
        world: World,
        ref: DeliveryRef,
        subscription: Subscription,
        *,
        number: int,
        outcome: Outcome,
        dead: bool,
        answer: Answer,
        age_ms: int | None,
    ) -> None:
        self._metrics.attempt(outcome, answer.status_code)
        if outcome is Outcome.DELIVERED and age_ms is not None:
            self._metrics.delivered(age_ms / 1000)
        if dead:
            self._metrics.dead_letter(LaneKind.DELIVERIES)
        self._log.info(
            "delivery.attempted",
            world=world.name,
            id=ref.id,
            event_id=ref.event.id,
            subscription_id=subscription.id,
            attempt=number,
            outcome=outcome,
            dead=dead,
            status_code=answer.status_code,
            error=answer.failure,
            duration_ms=round(answer.duration_s * 1000),
        )

    def expired(self, world: World, ref: DeliveryRef) -> None:
        self._metrics.dead_letter(LaneKind.DELIVERIES)
        self._log.warning("delivery.expired", world=world.name, id=ref.id, event_id=ref.event.id)

    def disabled(self, world: World, subscription: Subscription) -> None:
        reason = subscription.disabled_reason.value if subscription.disabled_reason else None
        self._log.warning("subscription.disabled", world=world.name, id=subscription.id, reason=reason)

    def egress(self, port: str) -> None:
        """Whether mail hosts can be reached from here: `open`, `closed` or `untold`."""
        log = self._log.warning if port == "closed" else self._log.info
        log("egress.tested", port_25=port)

    def rung(self, count: int, *, swept: bool) -> None:
        if swept:
            self._metrics.bells_swept(count)
        else:
            self._metrics.bells_rung(count)

    def failed(self, step: str, subject: str, error: BaseException) -> None:
        self._log.error("step.failed", step=step, subject=subject, exc_info=error)
