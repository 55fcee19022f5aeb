"""Verifies what a sender signed, as Standard Webhooks 1.0 writes it. Bytes in, message out; no I/O.

The signed content is `webhook-id.webhook-timestamp.body`, over the bytes as they came. An id holds no full stop, so
that this splits in one way only. Nothing that a sender can write ends in anything but `SignatureError` or
`MessageError`.
"""

import base64
import binascii
import hmac
import re
import time
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from vouchpost.errors import (
    BodyTooLargeError,
    ConfigurationError,
    DuplicateHeaderError,
    MalformedHeaderError,
    MessageError,
    MissingHeaderError,
    NoMatchingSignatureError,
    SecretError,
    TimestampError,
)
from vouchpost.message import Message, message_of

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

MAX_SIGNATURES: Final = 16
MAX_SIGNATURE_HEADER: Final = 4096
MAX_SECRETS: Final = 2  # the current one and the retiring one; more would be a third chance to guess
MAX_TOLERANCE_S: Final = 3600
DEFAULT_TOLERANCE_S: Final = 300
DEFAULT_BODY_LIMIT: Final = 64 * 1024  # an event is well under 20 kB

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
"""Either a mapping or pairs. Pairs show duplicates; names are compared without case."""

_ORDER: Final = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
_NAMES: Final = frozenset(_ORDER)
_SHAPE: Final = "headers are a mapping of text to text, or pairs of text"
_is_id: Final = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_is_signed_first: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\.[0-9]{10}\.").fullmatch


class Verifier:
    """Holds the signing secrets of one subscription; `verify` is the only way to get a message."""

    def __init__(
        self,
        secrets: str | Sequence[str],
        *,
        tolerance_s: int = DEFAULT_TOLERANCE_S,
        body_limit: int = DEFAULT_BODY_LIMIT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        texts = [secrets] if isinstance(secrets, str) else list(secrets)
        if not 1 <= len(texts) <= MAX_SECRETS:
            raise SecretError(f"a receiver has one signing secret, or {MAX_SECRETS} while rotating")
        if not 1 <= tolerance_s <= MAX_TOLERANCE_S:
            raise ConfigurationError(f"the tolerance is between 1 and {MAX_TOLERANCE_S} seconds")
        self._macs = [_Mac(_key(text)) for text in texts]
        self.tolerance_s = tolerance_s
        self.body_limit = body_limit
        self._clock = clock

    def __repr__(self) -> str:
        return f"Verifier(<{len(self._macs)} secrets>, tolerance_s={self.tolerance_s})"

    def verify(self, *, headers: Headers, body: bytes) -> Message:
        """The message, if and only if one of the secrets signed these bytes within the tolerance."""
        event_id, attempted_s = self.authenticate(headers=headers, body=body)
        return message_of(event_id=event_id, attempted_s=attempted_s, body=body)

    def authenticate(self, *, headers: Headers, body: bytes) -> tuple[str, int]:
        """The id and timestamp, once the signature matched. For bodies that are not events: `verify` reads events."""
        event_id, timestamp, signatures = _three(headers)
        signed_first = f"{event_id}.{timestamp}."
        if not _is_signed_first(signed_first):
            raise _malformed(event_id)
        attempted_s = self._attempted_s(timestamp)
        entries = _entries(signatures)
        if not isinstance(body, bytes):
            raise MessageError("the body is bytes, exactly as they came: not text, and nothing that was parsed before")
        if len(body) > self.body_limit:
            raise BodyTooLargeError
        if not self._any_match(entries, signed_first.encode(), body):
            raise NoMatchingSignatureError
        return event_id, attempted_s

    def _attempted_s(self, timestamp: str) -> int:
        attempted_s = int(timestamp)
        off_by_s = attempted_s - self._clock()
        if off_by_s < -self.tolerance_s:
            raise TimestampError(reason="timestamp_too_old", off_by_s=off_by_s)
        if off_by_s > self.tolerance_s:
            raise TimestampError(reason="timestamp_too_new", off_by_s=off_by_s)
        return attempted_s

    def _any_match(self, entries: list[str], signed_first: bytes, body: bytes) -> bool:
        """Compares text with text: only the canonical base64 of the right 32 bytes is equal to it.

        What is malformed, or of another version, is equal to nothing and hides no good entry.
        """
        for mac in self._macs:
            expected = f"v1,{b2a_base64(mac.digest(signed_first, body), newline=False).decode()}"
            for entry in entries:
                if entry.isascii() and hmac.compare_digest(entry, expected):
                    return True
        return False


class _Mac:
    """HMAC-SHA256 with its key taken in beforehand, as RFC 2104, section 4, advises; a third faster than `hmac`."""

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")  # a secret is never longer than a block
        self._inner = sha256(bytes(octet ^ 0x36 for octet in block))
        self._outer = sha256(bytes(octet ^ 0x5C for octet in block))

    def digest(self, signed_first: bytes, body: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(signed_first)
        inner.update(body)
        outer.update(inner.digest())
        return outer.digest()


def _three(headers: Headers) -> tuple[str, str, str]:
    """The three headers, each exactly once, each of them text.

    Raw bytes, and whatever else is not pairs of text, are an error of the tree too.
    """
    found: dict[str, str] = {}
    try:
        for name, value in headers.items() if hasattr(headers, "items") else headers:
            lowered = name.lower()
            if lowered in _NAMES:
                if lowered in found:
                    raise DuplicateHeaderError(f"{lowered} is there twice")
                found[lowered] = value
            elif not isinstance(name, str):
                raise MalformedHeaderError(reason="malformed_header", detail=_SHAPE)
    except (AttributeError, TypeError, ValueError):
        raise MalformedHeaderError(reason="malformed_header", detail=_SHAPE) from None
    event_id, timestamp, signatures = found.get(ID_HEADER), found.get(TIMESTAMP_HEADER), found.get(SIGNATURE_HEADER)
    if not event_id or not timestamp or not signatures:
        missing = next(name for name in _ORDER if not found.get(name))
        raise MissingHeaderError(f"{missing} is missing")
    if not (isinstance(event_id, str) and isinstance(timestamp, str) and isinstance(signatures, str)):
        raise MalformedHeaderError(reason="malformed_header", detail=_SHAPE)
    return event_id, timestamp, signatures


def _malformed(event_id: str) -> MalformedHeaderError:
    if _is_id(event_id):
        return MalformedHeaderError(reason="malformed_timestamp", detail="webhook-timestamp is ten digits")
    return MalformedHeaderError(reason="malformed_id", detail="webhook-id is 1 to 64 of A-Z a-z 0-9 _ -")


def _entries(header: str) -> list[str]:
    """The signatures, of whatever version."""
    if len(header) > MAX_SIGNATURE_HEADER:
        raise MalformedHeaderError(reason="signature_header_too_large", detail="webhook-signature is at most 4 KiB")
    entries = header.split(" ")
    if len(entries) > MAX_SIGNATURES and len([entry for entry in entries if entry]) > MAX_SIGNATURES:
        raise MalformedHeaderError(reason="too_many_signatures", detail=f"at most {MAX_SIGNATURES} signatures")
    return entries


def _key(text: str) -> bytes:
    """The bytes of a secret. Strict: what another library would read in another way is refused at start."""
    encoded = text.removeprefix("whsec_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise SecretError from None  # the cause would hold the text
    if encoded == text or base64.b64encode(key).decode() != encoded or not 24 <= len(key) <= 64:
        raise SecretError
    return key
