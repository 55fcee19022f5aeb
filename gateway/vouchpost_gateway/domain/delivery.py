"""A delivery: one event to one subscription until it ends, and the attempts made so far."""

from enum import StrEnum

from vouchpost_gateway.domain.ids import DeliveryRef
from vouchpost_gateway.domain.value import value

KEPT_ATTEMPTS = 5
"""How many of a delivery's last attempts are kept."""


class Outcome(StrEnum):
    """What an attempt meant for its delivery."""

    DELIVERED = "delivered"
    RETRYABLE = "retryable"
    GONE = "gone"


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    DROPPED = "dropped"  # its subscription was deleted, or its verification erased, before it ended


@value(frozen=True, slots=True)
class Attempt:
    """One HTTP request of a delivery, numbered from 1.

    `status_code` is None when no answer came; `error` then says why, as `domain.outcome.Failure` lists it.
    `excerpt` holds at most 512 bytes of a failed answer, as text.
    """

    number: int
    at_ms: int
    duration_ms: int
    outcome: Outcome
    status_code: int | None = None
    error: str | None = None
    excerpt: str = ""


@value(frozen=True, slots=True)
class DeliveryProgress:
    """What is kept of a delivery between attempts, and when it has ended.

    `since_ms` is when its schedule began, `attempts_before` how many attempts were made before that: a resend begins
    the schedule anew and goes on counting.
    """

    state: DeliveryState = DeliveryState.PENDING
    attempt_count: int = 0
    attempts: tuple[Attempt, ...] = ()
    ended_ms: int | None = None
    since_ms: int | None = None
    attempts_before: int = 0


@value(frozen=True, slots=True)
class Delivery:
    """A delivery as read back. Attempts are the last ones, oldest first; `attempt_count` counts all of them.

    `subscription_id` is None once the subscription is gone.
    """

    ref: DeliveryRef
    event_type: str
    state: DeliveryState
    attempt_count: int
    attempts: tuple[Attempt, ...]
    next_attempt_ms: int | None = None
    ended_ms: int | None = None
    subscription_id: str | None = None
