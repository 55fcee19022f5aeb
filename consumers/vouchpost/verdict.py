"""What a `verification.…` event says. Unknown statuses, reason codes and fields are kept as they came."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from vouchpost.fields import instant, mapping, number, optional_text, others, score, text, texts

VERDICT_TYPES: Final = frozenset({"verification.completed", "verification.updated"})


class Status(StrEnum):
    """The statuses of today, to compare with; a `Verdict.status` is text, for there may be others tomorrow."""

    PENDING = "pending"
    VALID = "valid"
    RISKY = "risky"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found about an address. `(sequence, revision)` orders the verdicts of one `subject_id`."""

    verification_id: str
    sequence: int
    revision: int
    status: str
    subject_id: str | None = None
    reason_code: str = ""
    score: float | None = None
    depth: str = ""
    degraded: bool = False
    checks_skipped: tuple[str, ...] = ()
    flags: Mapping[str, bool | None] = field(default_factory=dict)
    email_hash: str | None = None
    email: str | None = None
    checked_at: datetime | None = None
    policy_version: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Verdict({self.verification_id!r}, status={self.status!r}, reason_code={self.reason_code!r})"


_FIELDS: Final = frozenset(one.name for one in fields(Verdict)) - {"extra"}


def verdict_of(data: Mapping[str, Any]) -> Verdict:
    return Verdict(
        verification_id=text(data, "verification_id"),
        sequence=number(data, "sequence"),
        revision=number(data, "revision"),
        status=text(data, "status"),
        subject_id=optional_text(data, "subject_id"),
        reason_code=optional_text(data, "reason_code") or "",
        score=score(data),
        depth=optional_text(data, "depth") or "",
        degraded=data.get("degraded") is True,
        checks_skipped=texts(data, "checks_skipped"),
        flags=mapping(data, "flags"),
        email_hash=optional_text(data, "email_hash"),
        email=optional_text(data, "email"),
        checked_at=instant(data.get("checked_at")),
        policy_version=optional_text(data, "policy_version") or "",
        metadata=mapping(data, "metadata"),
        extra=others(data, _FIELDS),
    )
