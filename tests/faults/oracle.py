"""The ledger of ids: what was promised against what was delivered and applied. Pure: it takes lists, returns counts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum

from tests.faults.caller import Promise

_STEM = slice(4, 23)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One push as it reached the subscriber: before any check, with the kit's answer."""

    event_id: str
    body_hash: str
    at: float
    status: int


@dataclass(frozen=True, slots=True)
class Applied:
    """One effect, written by the consumer in the same transaction as the kit's mark."""

    event_id: str
    subject_id: str
    at: float


class Whereabouts(Enum):
    """Where a promised verification that was not applied is, by the API's own word."""

    PENDING = "pending"
    DEAD_LETTER = "dead letter"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Findings:
    """The counts of one run. The gate: nothing lost, applied twice, unexpected, corrupt or stuck."""

    attempted: int
    promised: int
    delivered: int
    redelivered: int
    applied: int
    lost: int
    applied_twice: int
    unexpected: int
    corrupt: int
    stuck: int
    dead_letters: int

    @property
    def sound(self) -> bool:
        bad = self.lost + self.applied_twice + self.unexpected + self.corrupt + self.stuck
        return bad == 0 and self.promised > 0

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


def judge(
    *,
    attempted: Collection[str],
    promised: Iterable[Promise],
    delivered: Iterable[Delivered],
    applied: Iterable[Applied],
    whereabouts: Mapping[str, Whereabouts],
) -> Findings:
    """`whereabouts` holds what the API says of each promised stem that was not applied; absent is nowhere.

    A second verification of a subject that holds a promise is unexpected: the caller repeated its request with the
    same idempotency key, so there must be one id only. One of a subject whose request was never answered is not.
    """
    promises = {one.stem: one.subject_id for one in promised}
    silent = set(attempted) - set(promises.values())
    pushes = list(delivered)
    applied = list(applied)
    effects = Counter(one.event_id for one in applied)
    hashes = defaultdict[str, set[str]](set)
    for push in pushes:
        hashes[push.event_id].add(push.body_hash)
    missing = promises.keys() - {event_id[_STEM] for event_id in effects}
    found = Counter(whereabouts.get(stem, Whereabouts.NOWHERE) for stem in missing)
    mixed_up = sum(promises.get(one.event_id[_STEM], one.subject_id) != one.subject_id for one in applied)
    return Findings(
        attempted=len(attempted),
        promised=len(promises),
        delivered=len(hashes),
        redelivered=len(pushes) - len(hashes),
        applied=len(effects),
        lost=found[Whereabouts.NOWHERE],
        applied_twice=sum(count - 1 for count in effects.values()),
        unexpected=len({event_id[_STEM] for event_id in hashes} - promises.keys() - _of(applied, silent)),
        corrupt=sum(len(kinds) > 1 for kinds in hashes.values()) + mixed_up + _refused_signatures(pushes),
        stuck=found[Whereabouts.PENDING],
        dead_letters=found[Whereabouts.DEAD_LETTER],
    )


def _of(applied: Iterable[Applied], subjects: Collection[str]) -> set[str]:
    return {one.event_id[_STEM] for one in applied if one.subject_id in subjects}


def _refused_signatures(pushes: Iterable[Delivered]) -> int:
    """Pushes that the kit answered as not authentic (4xx); 5xx is a consumer that asks for another attempt."""
    return sum(400 <= push.status < 500 for push in pushes)
