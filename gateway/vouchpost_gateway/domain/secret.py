"""Signing secrets: 24 to 64 random bytes, shown as `whsec_` and base64 (Standard Webhooks 1.0, "Signature scheme")."""

import base64
import binascii
from dataclasses import dataclass

from vouchpost_gateway.domain.errors import Conflict

PREFIX = "whsec_"
MIN_BYTES = 24
MAX_BYTES = 64
MAX_LIVE = 5  # each is one more signature in every request, and receivers read a bounded number of them


class MalformedSecretError(ValueError):
    """A signing secret is whsec_ followed by the base64 of 24 to 64 bytes."""


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """The key bytes, and until when they sign: None for the current secret, a time for a retiring one."""

    key: bytes
    retires_ms: int | None = None

    def __repr__(self) -> str:
        return f"SigningSecret(<{len(self.key)} bytes>, retires_ms={self.retires_ms})"

    @property
    def text(self) -> str:
        return PREFIX + base64.b64encode(self.key).decode()

    def signs_at(self, now_ms: int) -> bool:
        return self.retires_ms is None or now_ms < self.retires_ms


def parse_secret(text: str) -> bytes:
    """The key bytes of a `whsec_…` text; MalformedSecretError otherwise. The message never holds the text."""
    if not text.startswith(PREFIX):
        raise MalformedSecretError(MalformedSecretError.__doc__)
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedSecretError(MalformedSecretError.__doc__) from error
    if not MIN_BYTES <= len(key) <= MAX_BYTES:
        raise MalformedSecretError(MalformedSecretError.__doc__)
    return key


def rotate(
    secrets: tuple[SigningSecret, ...], *, new_key: bytes, now_ms: int, overlap_ms: int
) -> tuple[SigningSecret, ...]:
    """The new secret first, then the current one for the overlap, then older ones for as long as each was promised.

    When the new one is the current one, a repeat whose answer was lost is what it looks like, and nothing changes.
    Without an overlap all others end at once. Conflict when more than MAX_LIVE would sign.
    """
    current = next((secret for secret in secrets if secret.retires_ms is None), None)
    if current is None or overlap_ms <= 0:
        return (SigningSecret(new_key),)
    if current.key == new_key:
        return secrets
    older = [s for s in secrets if s is not current and s.signs_at(now_ms) and s.key != new_key]
    if len(older) + 2 > MAX_LIVE:
        raise Conflict(
            f"{MAX_LIVE} secrets sign already: wait until one of them retires, or end all but the new one at once "
            "with an overlap_s of 0"
        )
    return (SigningSecret(new_key), SigningSecret(current.key, retires_ms=now_ms + overlap_ms), *older)
