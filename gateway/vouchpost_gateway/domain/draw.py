"""What one request draws: a time and randomness. Pure: whoever makes one brings both."""

from dataclasses import dataclass, field
from hashlib import shake_256

SEED_BYTES = 32
_ID_BYTES = 10


@dataclass(frozen=True, slots=True)
class Draw:
    """The same draw makes the same ids and secrets, so that a request carried out again makes nothing twice.

    The seed is as secret as what is made of it.
    """

    now_ms: int
    seed: bytes = field(repr=False)

    def bits(self, purpose: str) -> int:
        """80 random bits, for an id."""
        return int.from_bytes(self.octets(purpose, _ID_BYTES))

    def octets(self, purpose: str, length: int) -> bytes:
        """Random bytes; what they are for goes in, so that an id tells nothing of a secret."""
        return shake_256(self.seed + purpose.encode()).digest(length)
