"""How a delivery is shown, the same in every answer that holds one."""

from typing import Any

from vouchpost_gateway.domain.delivery import Attempt, Delivery
from vouchpost_gateway.domain.event import timestamp_text
from vouchpost_gateway.domain.ids import EventRef, verification_id


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """What is sent and where it stands, then the last attempts, oldest first."""
    return {
        "id": delivery.ref.id,
        "event_id": delivery.ref.event.id,
        "event_type": delivery.event_type,
        "verification_id": _verification_id(delivery.ref.event),
        "subscription_id": delivery.subscription_id,
        "state": delivery.state.value,
        "attempt_count": delivery.attempt_count,
        "next_attempt_at": _instant(delivery.next_attempt_ms),
        "ended_at": _instant(delivery.ended_ms),
        "attempts": [_attempt(attempt) for attempt in delivery.attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "at": timestamp_text(attempt.at_ms),
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome.value,
        "status_code": attempt.status_code,
        "error": attempt.error,
        "answer_excerpt": attempt.excerpt,
    }


def _verification_id(event: EventRef) -> str | None:
    """An event of revision 0 stands alone, with no verification behind it."""
    return None if event.revision == 0 else verification_id(event.stem)


def _instant(ms: int | None) -> str | None:
    return None if ms is None else timestamp_text(ms)
