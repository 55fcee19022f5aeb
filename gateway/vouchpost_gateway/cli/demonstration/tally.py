"""What the demo proves, counted from what the subscribers wrote down. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from vouchpost_gateway.cli.demonstration.caller import Acknowledged
from vouchpost_gateway.cli.demonstration.journals import Applied, Push

ENOUGH_HELD = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One address: what was found, who applied it, and how long that took; None until the last of them has."""

    address: str
    status: str
    reason_code: str
    subscribers: tuple[str, ...]
    took_ms: int | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The line at the end. `held` and `held_came` are of the worker that was killed: leased, and pushed after all."""

    submitted: int
    subscribers: int
    acknowledged: int
    delivered: int
    redelivered: int
    applied: int
    twice: int
    lost: int
    held: int
    held_came: int

    @property
    def holds(self) -> bool:
        """Whether every promise was kept, and the kills were such that they could have broken one."""
        return not self.flaws

    @property
    def flaws(self) -> tuple[str, ...]:
        """Each promise that was not kept, and each way in which the kills proved nothing, in words."""
        due = self.acknowledged * self.subscribers
        found = {
            f"{self.submitted} were submitted, {self.acknowledged} acknowledged": self.acknowledged != self.submitted,
            f"{due} were due, {self.delivered} delivered": self.delivered != due,
            f"{due} were due, {self.applied} applied": self.applied != due,
            f"{self.twice} were applied twice": self.twice != 0,
            f"{self.lost} were lost": self.lost != 0,
            f"the killed worker held {self.held}, which proves too little": self.held < ENOUGH_HELD,
            f"of {self.held} that the killed worker held, {self.held_came} came again": self.held_came != self.held,
            "nothing was delivered again after the kills, which proves nothing": self.redelivered == 0,
        }
        return tuple(words for words, is_so in found.items() if is_so)


def rows_of(
    acknowledged: Sequence[Acknowledged], applied: Iterable[Applied], *, subscribers: Sequence[str]
) -> list[Row]:
    """In the order of submission."""
    found: dict[str, list[Applied]] = defaultdict(list)
    for one in applied:
        found[one.verification_id].append(one)
    return [_row(one, found[one.verification_id], subscribers) for one in acknowledged]


def _row(asked: Acknowledged, applied: Sequence[Applied], subscribers: Sequence[str]) -> Row:
    names = {one.subscriber for one in applied}
    status, reason = (applied[0].status, applied[0].reason_code) if applied else ("lost", "")
    took_ms = max(one.at_ms for one in applied) - asked.at_ms if len(names) == len(subscribers) else None
    return Row(asked.address, status, reason, tuple(name for name in subscribers if name in names), took_ms)


def applied_twice(applied: Iterable[Applied]) -> int:
    """Events that one subscriber has more than one row of."""
    rows = Counter((one.subscriber, one.event_id) for one in applied)
    return sum(1 for count in rows.values() if count > 1)


def redelivered(pushes: Iterable[Push], *, since_ms: int) -> int:
    """Deliveries that came more than once, and again after the first kill."""
    came: dict[tuple[str, str], list[int]] = defaultdict(list)
    for push in pushes:
        came[push.subscriber, push.event_id].append(push.at_ms)
    return sum(1 for times in came.values() if len(times) > 1 and max(times) >= since_ms)


def came_since(pushes: Iterable[Push], held: AbstractSet[tuple[str, str]], *, since_ms: int) -> int:
    """How many of these deliveries, (subscriber, event id), were pushed after this time."""
    return len(held & {(push.subscriber, push.event_id) for push in pushes if push.at_ms >= since_ms})
