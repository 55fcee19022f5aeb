"""What committing a verdict stores together, and what can come of it."""

from collections.abc import Sequence
from enum import StrEnum

from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.verification import CheckRun, Verdict


class CommitAnswer(StrEnum):
    """Whether a commitment was stored; if not, why nothing of it was."""

    OK = "ok"
    STALE = "stale"  # the claim is no longer ours
    CHANGED = "changed"  # the subscriptions are not those that were matched
    GONE = "gone"  # the record was erased


@value(frozen=True, slots=True)
class Commitment:
    """All of one verdict that must be stored together.

    `event` is None when a recheck changed nothing. `cache_ms` is how long the verdict may answer for others.
    """

    run: CheckRun
    verdict: Verdict
    revision: int
    checked_ms: int
    email_hash: str
    event: Event | None
    targets: Sequence[int]
    set_revision: int | None
    cache_ms: int
    recheck_ms: int | None
    dead: bool
