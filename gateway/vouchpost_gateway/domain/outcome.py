"""What an answer means: the attempt policy, as a table from (status code or failure) to outcome."""

from enum import StrEnum

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.value import value


class Failure(StrEnum):
    """Why no complete answer came: a closed, coarse list that tells a port scanner nothing."""

    TIMED_OUT = "timed_out"
    CONNECTION_FAILED = "connection_failed"
    DNS_FAILED = "dns_failed"
    TLS_ERROR = "tls_error"
    ADDRESS_REFUSED = "address_refused"
    PROTOCOL_ERROR = "protocol_error"
    INTERNAL = "internal"


@value(frozen=True, slots=True)
class Answer:
    """What came back from one HTTP request: a status code, or the failure that took its place.

    `retry_after` is the raw header, at most 64 characters; `excerpt` the first 512 bytes of the body of a failed
    answer, as text; `duration_s` is measured on a monotonic clock.
    """

    duration_s: float
    status_code: int | None = None
    failure: Failure | None = None
    retry_after: str | None = None
    excerpt: str = ""


@value(frozen=True, slots=True)
class Judgement:
    """An outcome, and whether the subscription, not only this delivery, should be slowed down."""

    outcome: Outcome
    slow_down: bool = False


def judge(answer: Answer) -> Judgement:
    """2xx is delivered, 410 is gone, the rest retried; 429, 502 to 504 and time-outs slow the subscription."""
    if answer.status_code is None:
        return Judgement(Outcome.RETRYABLE, slow_down=answer.failure is Failure.TIMED_OUT)
    if 200 <= answer.status_code < 300:
        return Judgement(Outcome.DELIVERED)
    if answer.status_code == 410:
        return Judgement(Outcome.GONE)
    return Judgement(Outcome.RETRYABLE, slow_down=answer.status_code in {429, 502, 503, 504})
