"""Ids: a prefix and 26 time-sortable characters.

Verification, event and delivery ids of one request share a *stem* of 19 characters, so that each is computed from
the others and a repeated fan-out writes the same keys:

    vrf_ <stem> 000  0000
    evt_ <stem> <revision, 3> 0000
    dlv_ <stem> <revision, 3> <number of the subscription, 4>

A revision of 0 in an event id marks an event that stands alone (`subscription.test`), with no verification behind it.
"""

import re
from functools import lru_cache

from vouchpost_gateway.domain.value import value

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32 in lower case: sorts as its numbers do
STEM_LENGTH = 19
TIME_LENGTH = 10
STEM_RANDOM_BITS = 45
NUMBER_LENGTH = 4
MAX_REVISION = 32**3 - 1
MAX_SUBSCRIPTION_NUMBER = 32**4 - 1

_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_BODY = re.compile(f"[{ALPHABET}]{{26}}")
_VALUE_OF = {character: value for value, character in enumerate(ALPHABET)}


class MalformedIdError(ValueError):
    """The text is not an id of the expected kind."""


def encode(number: int, length: int) -> str:
    """Writes a number in exactly `length` base-32 characters; ValueError when it does not fit."""
    if not 0 <= number < 32**length:
        raise ValueError(f"{number} does not fit in {length} characters")
    text = ""
    for _ in range(length // 2):
        text = _PAIRS[number & 1023] + text
        number >>= 10
    return ALPHABET[number] + text if length % 2 else text


# Revisions and numbers of subscriptions, of which there are few: every id of a delivery holds both.
_encode_small = lru_cache(4096)(encode)


def decode(text: str) -> int:
    """Reads what `encode` wrote; KeyError on any other character."""
    number = 0
    for character in text:
        number = number * 32 + _VALUE_OF[character]
    return number


_decode_small = lru_cache(4096)(decode)
_decode_time = lru_cache(4096)(decode)


def new_stem(*, now_ms: int, random_bits: int) -> str:
    """The stem of a new request: 48 bits of time in milliseconds, 45 random bits."""
    return encode(now_ms, TIME_LENGTH) + encode(random_bits % 2**STEM_RANDOM_BITS, 9)


def time_ms(stem_or_body: str) -> int:
    """When the id was made, in milliseconds since 1970."""
    return _decode_time(stem_or_body[:TIME_LENGTH])


def verification_id(stem: str) -> str:
    return f"vrf_{stem}0000000"


def event_id(stem: str, revision: int) -> str:
    return f"evt_{stem}{_encode_small(revision, 3)}0000"


def delivery_id(stem: str, revision: int, subscription_number: int) -> str:
    return f"dlv_{stem}{_encode_small(revision, 3)}{_encode_small(subscription_number, 4)}"


def subscription_id(*, now_ms: int, random_bits: int, number: int) -> str:
    """A subscription's id ends in its number within the tenant and mode, never given twice."""
    return f"sub_{encode(now_ms, TIME_LENGTH)}{encode(random_bits % 2**60, 12)}{encode(number, 4)}"


def plain_id(prefix: str, *, now_ms: int, random_bits: int) -> str:
    """An id of a noun with no structure of its own: a key, a partner, a tenant."""
    return f"{prefix}_{encode(now_ms, TIME_LENGTH)}{encode(random_bits % 2**80, 16)}"


@value(frozen=True, slots=True)
class EventRef:
    """Which event: the stem it shares with its verification, and the revision of the verdict."""

    stem: str
    revision: int

    @property
    def item(self) -> str:
        """How a delivery of this event is named inside a subscription's lane."""
        return self.stem + _encode_small(self.revision, 3)

    @property
    def id(self) -> str:
        return event_id(self.stem, self.revision)

    @classmethod
    def from_item(cls, item: str) -> "EventRef":
        return cls(item[:STEM_LENGTH], _decode_small(item[STEM_LENGTH : STEM_LENGTH + 3]))


@value(frozen=True, slots=True)
class DeliveryRef:
    """Which delivery: an event, and the number of the subscription it goes to."""

    event: EventRef
    subscription_number: int

    @property
    def id(self) -> str:
        return delivery_id(self.event.stem, self.event.revision, self.subscription_number)


def parse_verification_id(text: str) -> str:
    """The stem of a verification id; MalformedIdError for anything else."""
    body = _body(text, "vrf_")
    if body[STEM_LENGTH:] != "0000000":
        raise MalformedIdError("not a verification id")
    return body[:STEM_LENGTH]


def parse_event_id(text: str) -> EventRef:
    """The parts of an event id; MalformedIdError for anything else."""
    body = _body(text, "evt_")
    if body[22:] != "0000":
        raise MalformedIdError("not an event id")
    return EventRef.from_item(body)


def parse_delivery_id(text: str) -> DeliveryRef:
    """The parts of a delivery id; MalformedIdError for anything else."""
    body = _body(text, "dlv_")
    return DeliveryRef(EventRef.from_item(body), decode(body[22:]))


def parse_subscription_id(text: str) -> int:
    """The number at the end of a subscription id; MalformedIdError for anything else."""
    return decode(_body(text, "sub_")[22:])


def parse_plain_id(text: str, prefix: str) -> str:
    """The text itself when it is an id with this prefix; MalformedIdError for anything else."""
    _body(text, f"{prefix}_")
    return text


def _body(text: str, prefix: str) -> str:
    body = text.removeprefix(prefix)
    if body == text or not _BODY.fullmatch(body):
        raise MalformedIdError(f"an id here starts with {prefix} and has 26 characters after it")
    return body
