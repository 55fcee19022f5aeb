"""A message: an event as one delivery brought it. No I/O; nothing here checks a signature.

There is no way to make one but `signature.Verifier.verify`: whoever holds a message holds a verified one.
Unknown fields are kept, unknown statuses and reason codes too: a newer gateway never breaks an older consumer.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self

from vouchpost.errors import NotAnEventError, NotJsonError
from vouchpost.fields import instant
from vouchpost.notice import NOTICE_TYPES, SubscriptionNotice, notice_of
from vouchpost.verdict import VERDICT_TYPES, Verdict, verdict_of

_ENVELOPE: Final = frozenset({"id", "type", "timestamp", "schema", "data"})


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
        return instant(self._content.get("timestamp"))

    @property
    def extra(self) -> Mapping[str, Any]:
        """Fields of the envelope that this version of the kit does not know."""
        return {name: self._content[name] for name in self._content.keys() - _ENVELOPE}

    @property
    def verdict(self) -> Verdict:
        """The typed data of a `verification.…` event; NotAnEventError for any other type."""
        if self.type not in VERDICT_TYPES:
            raise NotAnEventError(f"{self.type} carries no verdict")
        return verdict_of(self.data)

    @property
    def notice(self) -> SubscriptionNotice:
        """The typed data of a `subscription.…` event; NotAnEventError for any other type."""
        if self.type not in NOTICE_TYPES:
            raise NotAnEventError(f"{self.type} is about no subscription")
        return notice_of(self.data)


def message_of(*, event_id: str, attempted_s: int, body: bytes) -> Message:
    """Reads an authentic body. For `signature.Verifier.verify` alone, which calls it once the signature matched."""
    content = _json_object(body)
    kind, data = content.get("type"), content.get("data")
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise NotAnEventError("an event has a type, which is text, and data, which is an object")
    if content.get("id", event_id) != event_id:
        raise NotAnEventError("the id in the body is not the one in the webhook-id header")
    draft: Any = _Draft()
    draft.id, draft.type, draft.data = event_id, kind, MappingProxyType(data)
    draft.attempted_s, draft.body, draft._content = attempted_s, body, content  # noqa: SLF001 - a field of ours
    draft.__class__ = Message
    message: Message = draft
    return message


class _Draft:
    """A message while its fields are set: a quarter of what `object.__setattr__` of a frozen one takes."""

    __slots__ = Message.__slots__


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_read: Final = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
_WHITESPACE: Final = " \t\n\r"


def _json_object(body: bytes) -> dict[str, Any]:
    """UnicodeDecodeError is a ValueError, and so is an integer of ten thousand digits."""
    try:
        text = body.decode().strip(_WHITESPACE)
        content, end = _read(text)
        # An escaped lone surrogate is text that no database and no encoder takes; RFC 8259, section 8.2.
        if "\\" in text and ("\\ud" in text or "\\uD" in text):
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJsonError from error
    if end != len(text):
        raise NotJsonError
    if not isinstance(content, dict):
        raise NotAnEventError("an event is a JSON object")
    return content
