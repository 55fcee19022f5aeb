"""What the gateway's API shows, as typed records. Fields this version does not know are in `raw`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vouchpost.errors import NotAGatewayError
from vouchpost.verdict import Status


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification as it stands. `sequence` is its place among the verifications of its `subject_id`."""

    id: str
    status: str
    sequence: int
    revision: int = 0
    subject_id: str | None = field(default=None, repr=False)
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
            raise NotAGatewayError("no verification") from error


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription. `secret` is shown once, to whoever makes or rotates it: keep it where `Receiver` will find it."""

    id: str
    secret: str = field(default="", repr=False)
    url: str = ""
    event_types: tuple[str, ...] = ()
    enabled: bool = True
    disabled_reason: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any], *, with_secret: bool = False) -> Self:
        try:
            return cls(
                id=str(answer["id"]),
                secret=str(answer["secret"]) if with_secret else "",
                url=str(answer.get("url", "")),
                event_types=tuple(answer.get("event_types") or ()),
                enabled=answer.get("enabled") is not False,
                disabled_reason=answer.get("disabled_reason"),
                raw={name: value for name, value in answer.items() if name != "secret"},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise NotAGatewayError("no subscription") from error


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event to one subscription. `raw["attempts"]` has the last attempts, oldest first."""

    id: str
    event_id: str
    state: str
    attempt_count: int = 0
    subscription_id: str | None = None
    verification_id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        try:
            return cls(
                id=str(answer["id"]),
                event_id=str(answer["event_id"]),
                state=str(answer["state"]),
                attempt_count=int(answer.get("attempt_count", 0)),
                subscription_id=answer.get("subscription_id"),
                verification_id=answer.get("verification_id"),
                raw=answer,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotAGatewayError("no delivery") from error


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, as it came; `next_cursor` is None on the last one."""

    items: tuple[Mapping[str, Any], ...]
    next_cursor: str | None

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        items, cursor = answer.get("items"), answer.get("next_cursor")
        if not isinstance(items, list) or not isinstance(cursor, str | None):
            raise NotAGatewayError("no list")
        return cls(tuple(items), cursor)
