"""The oracle of the load cases: what was accepted, joined by id with what was received."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from tests.load.plan import Sent

_STEM = slice(4, 23)


@dataclass(frozen=True, slots=True)
class Received:
    """One push as the receiver saw it."""

    path: str
    event_id: str
    at: float

    @property
    def stem(self) -> str:
        return self.event_id[_STEM]


@dataclass(frozen=True, slots=True)
class Joined:
    """None lost, none extra, and how many copies came; latencies in milliseconds from the intended send time."""

    accepted: int
    refused: int
    unanswered: int
    lost: int
    unexpected: int
    duplicates: int
    accept_ms: list[float]
    received_ms: list[float]

    @property
    def sound(self) -> bool:
        return self.lost == 0 and self.unexpected == 0 and self.accepted > 0

    def __add__(self, other: "Joined") -> "Joined":
        """Two runs as one."""
        return Joined(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


def join(sent: Iterable[Sent], received: Iterable[Received], *, paths: Sequence[str]) -> Joined:
    """Every accepted request must have been received once or more on every one of `paths`, and nothing else on them.

    A request without an answer may have been accepted: what it caused is not unexpected, only unclaimed, so
    unexpected counts the receipts beyond those that unanswered requests can explain.
    """
    requests = list(sent)
    intended = {one.stem: one.intended for one in requests if one.status == 202}
    copies = Counter[tuple[str, str]]()
    first: dict[tuple[str, str], float] = {}
    for push in received:
        if push.path in paths:
            at = (push.path, push.stem)
            copies[at] += 1
            first.setdefault(at, push.at)
    wanted = {(path, stem) for path in paths for stem in intended}
    unanswered = sum(one.status == 0 for one in requests)
    strangers = len({stem for _, stem in copies} - intended.keys())
    return Joined(
        accepted=len(intended),
        refused=sum(one.status not in {0, 202} for one in requests),
        unanswered=unanswered,
        lost=len(wanted - copies.keys()),
        unexpected=max(0, strangers - unanswered),
        duplicates=sum(count - 1 for count in copies.values()),
        accept_ms=[(one.answered - one.intended) * 1000 for one in requests if one.status == 202 and one.answered],
        received_ms=[(first[at] - intended[at[1]]) * 1000 for at in wanted & first.keys()],
    )
