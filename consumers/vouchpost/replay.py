"""The rules against replays and late results. No I/O and no clock: stores keep what these rules name.

Two things are remembered. A *mark* says that an event was dealt with; it is kept longer than its sender can resend
the event. A *guard* says how far a subject has come; it outlives its marks, so that no old verdict comes back.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

from vouchpost.errors import ConfigurationError
from vouchpost.message import Message
from vouchpost.verdict import VERDICT_TYPES, Verdict

DEFAULT_RETENTION: Final = timedelta(days=35)
"""The gateway keeps dead letters, which can be resent, for 30 days."""

MIN_RETENTION: Final = timedelta(days=4)
"""A sender with the schedule of Standard Webhooks retries for 75 h 35 m."""

VERIFICATION_GUARD: Final = "verification:"
_is_name: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}").fullmatch


class Outcome(StrEnum):
    """What became of a delivery. All of these are answered 2xx."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    STALE = "stale"
    IGNORED = "ignored"
    PARKED = "parked"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """How far the verdicts of a subject have come: verifications in sequence, and revisions of each."""

    sequence: int
    revision: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a store is asked to remember, in the same transaction as the effect.

    Dedupe is by (receiver, event id): two receivers may share a database. `guard` is None for events without an order.
    """

    receiver: str
    event_id: str
    at_s: int
    guard: str | None = None
    position: Position | None = None
    outcome: Outcome = Outcome.APPLIED

    def parked(self) -> "Claim":
        """The same event, set aside: its mark says so, and it moves no guard."""
        return replace(self, guard=None, position=None, outcome=Outcome.PARKED)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The subject has a new address, whose verification has this sequence: verdicts from before it are stale.

    Stored in one transaction with the new address, so that no old address's verdict can land on it.
    """

    receiver: str
    subject_id: str = field(repr=False)
    sequence: int
    at_s: int

    @property
    def guard(self) -> str:
        return subject_guard(self.subject_id)

    @property
    def position(self) -> Position:
        """Just before the first revision of the new verification."""
        return Position(self.sequence, 0)


def claim_of(message: Message, *, receiver: str, now_s: float) -> Claim:
    """The claim of a verified message; NotAnEventError when its verdict cannot be read."""
    if message.type not in VERDICT_TYPES:
        return Claim(receiver, message.id, int(now_s))
    verdict = message.verdict
    position = Position(verdict.sequence, verdict.revision)
    return Claim(receiver, message.id, int(now_s), guard_of(verdict), position)


def guard_of(verdict: Verdict) -> str:
    """A subject is guarded as a whole; without one, each verification on its own."""
    if verdict.subject_id is None:
        return VERIFICATION_GUARD + _digest(verdict.verification_id)
    return subject_guard(verdict.subject_id)


def subject_guard(subject_id: str) -> str:
    """A subject id can be anything, an address too: its hash has a fixed length, but who guesses the id knows it."""
    return "subject:" + _digest(subject_id)


def is_newer(position: Position, latest: Position | None) -> bool:
    """Equal is not newer: that verdict was applied, perhaps so long ago that its mark is gone."""
    return latest is None or position > latest


def checked_name(receiver: str) -> str:
    if not _is_name(receiver):
        raise ConfigurationError("a receiver's name is 1 to 64 of A-Z a-z 0-9 _ . -")
    return receiver


def checked_retention(retention: timedelta) -> timedelta:
    if retention < MIN_RETENTION:
        raise ConfigurationError(f"marks are kept at least {MIN_RETENTION.days} days: senders retry for 75 hours")
    return retention


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
