"""What a mail operator may see of us, and whether a conversation with it may begin now."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one operator. After `patience` failures in a row it is left alone for `rest_s`.

    Caps are conversations a day (UTC), with it and with all of them; 0 for none.
    """

    at_once: int = 3
    per_minute: int = 600
    daily_cap: int = 0
    total_daily_cap: int = 0
    patience: int = 5
    rest_s: float = 60.0
    lease_s: float = 45.0


class Admittance(StrEnum):
    """Whether a conversation may begin now, or what stands against it."""

    GO = "go"
    BUSY = "busy"
    RESTING = "resting"
    CAPPED = "capped"


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether this turn may begin; if not, why, and in how many seconds it is worth asking again."""

    answer: Admittance
    wait_s: float = 0.0
