"""A message: an event as one delivery brought it. No I/O; nothing here checks a signature.

There is no way to make one but `signature.Verifier.verify`: whoever holds a message holds a verified one.
Unknown fields are kept, unknown statuses and reason codes too: a newer gateway never breaks an older consumer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self

from vouchpost.errors import NotAnEventError, NotJsonError

VERDICT_TYPES: Final = frozenset({"verification.completed", "verification.updated"})
_MAX_SEQUENCE: Final = 2**63 - 1
_ENVELOPE: Final = frozenset({"id", "type", "timestamp", "schema", "data"})


class Status(StrEnum):
    """The statuses of today, to compare with; a `Verdict.status` is text, for there may be others tomorrow."""

    PENDING = "pending"
    VALID = "valid"
    RISKY = "risky"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class Message:
    """A verified event. `id` is the event id, the same on every attempt; `body` the exact signed bytes."""

    id: str
    type: str
    data: Mapping[str, Any]
    attempted_s: int
    body: bytes
    _content: Mapping[str, Any]

    def __new__(cls, *_: object, **__: object) -> Self:
        raise TypeError("a message comes from Verifier.verify and from nowhere else")

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, type={self.type!r})"

    @property
    def schema(self) -> int:
        """The version of the event's shape; 1 where the sender names none."""
        schema = self._content.get("schema", 1)
        return schema if type(schema) is int else 0

    @property
    def timestamp(self) -> datetime | None:
        """When the event happened, which is not when this attempt was made; None where that cannot be read."""
        return _time(self._content.get("timestamp"))

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields of the envelope that this version of the kit does not know."""
        return {name: self._content[name] for name in self._content.keys() - _ENVELOPE}

    @property
    def verdict(self) -> "Verdict":
        """The typed data of a `verification.…` event; NotAnEventError for any other type."""
        if self.type not in VERDICT_TYPES:
            raise NotAnEventError(f"{self.type} carries no verdict")
        return _verdict(self.data)


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


def message_of(*, event_id: str, attempted_s: int, body: bytes) -> Message:
    """Reads an authentic body. For `signature.Verifier.verify` alone, which calls it once the signature matched."""
    content = _json_object(body)
    kind, data = content.get("type"), content.get("data")
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise NotAnEventError("an event has a type, which is text, and data, which is an object")
    if content.get("id", event_id) != event_id:
        raise NotAnEventError("the id in the body is not the one in the webhook-id header")
    message = object.__new__(Message)
    put = object.__setattr__
    put(message, "id", event_id)
    put(message, "type", kind)
    put(message, "data", MappingProxyType(data))
    put(message, "attempted_s", attempted_s)
    put(message, "body", body)
    put(message, "_content", content)
    return message


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _json_object(body: bytes) -> dict[str, Any]:
    """UnicodeDecodeError is a ValueError, and so is an integer of ten thousand digits."""
    try:
        content = _decode(body.decode())
        # An escaped lone surrogate is text that no database and no encoder takes; RFC 8259, section 8.2.
        if b"\\" in body and (b"\\ud" in body or b"\\uD" in body):
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJsonError from error
    if not isinstance(content, dict):
        raise NotAnEventError("an event is a JSON object")
    return content


def _time(value: object) -> datetime | None:
    """A time that cannot be read is no reason to lose an event: it is kept as None, the text stays in `body`."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None


_VERDICT_FIELDS: Final = frozenset(one.name for one in fields(Verdict)) - {"extra"}


def _verdict(data: Mapping[str, Any]) -> Verdict:
    return Verdict(
        verification_id=_text(data, "verification_id"),
        sequence=_number(data, "sequence"),
        revision=_number(data, "revision"),
        status=_text(data, "status"),
        subject_id=_optional_text(data, "subject_id"),
        reason_code=_optional_text(data, "reason_code") or "",
        score=_score(data),
        depth=_optional_text(data, "depth") or "",
        degraded=data.get("degraded") is True,
        checks_skipped=_texts(data, "checks_skipped"),
        flags=_mapping(data, "flags"),
        email_hash=_optional_text(data, "email_hash"),
        email=_optional_text(data, "email"),
        checked_at=_time(data.get("checked_at")),
        policy_version=_optional_text(data, "policy_version") or "",
        metadata=_mapping(data, "metadata"),
        extra=MappingProxyType({name: data[name] for name in data.keys() - _VERDICT_FIELDS}),
    )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise NotAnEventError(f"data.{name} is not text")
    return value


def _optional_text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise NotAnEventError(f"data.{name} is not text")
    return value


def _number(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= _MAX_SEQUENCE:  # True is an int too, and a sequence fits a BIGINT
        raise NotAnEventError(f"data.{name} is not a whole number that counts up")
    return value


def _score(data: Mapping[str, Any]) -> float | None:
    value = data.get("score")
    if value is not None and type(value) not in (int, float):
        raise NotAnEventError("data.score is not a number")
    return value


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise NotAnEventError(f"data.{name} is not a list of texts")
    return tuple(value)


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise NotAnEventError(f"data.{name} is not an object")
    return MappingProxyType(value)
