"""What the gateway's API shows, as typed records. Fields this version does not know are in `raw`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vouchpost.errors import UnreachableError
from vouchpost.verdict import Status


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification as it stands. `sequence` is its place among the verifications of its `subject_id`."""

    id: str
    status: str
    sequence: int
    revision: int = 0
    subject_id: str | None = None
    reason_code: str | None = None
    score: float | None = None
    degraded: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_pending(self) -> bool:
        return self.status == Status.PENDING

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        verdict = answer.get("verdict") or {}
        try:
            return cls(
                id=str(answer["id"]),
                status=str(answer["status"]),
                sequence=int(answer["sequence"]),
                revision=int(answer.get("revision", 0)),
                subject_id=answer.get("subject_id"),
                reason_code=verdict.get("reason_code"),
                score=verdict.get("score"),
                degraded=verdict.get("degraded") is True,
                raw=answer,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnreachableError("what answered is not a gateway: this is no verification") from error


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription just made. `secret` is shown this once, so keep it where `Receiver` will find it."""

    id: str
    secret: str = field(repr=False)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        try:
            return cls(id=str(answer["id"]), secret=str(answer["secret"]), raw=answer)
        except KeyError as error:
            raise UnreachableError("what answered is not a gateway: this is no subscription") from error
