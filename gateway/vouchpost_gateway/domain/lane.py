"""Lanes: due work of one tenant, or of one subscription, ordered by due time; and what a turn of draining one says."""

import re
from enum import StrEnum

from vouchpost_gateway.domain.delivery import DeliveryProgress
from vouchpost_gateway.domain.ids import ALPHABET, decode, encode
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.verification import CheckRun, Priority
from vouchpost_gateway.domain.world import Mode, World

QUEUE_OF = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
"""Which of a lane's three due sets holds an item."""


_LANE_ID = re.compile(rf"([0-9]{{2}})\.([{ALPHABET}]+)([lt])\.(?:([vrf])|d\.([{ALPHABET}]{{4}}))")


class LaneKind(StrEnum):
    """Whose due work: a world's verifications, recoveries or events for a crowd; or a subscription's deliveries."""

    VERIFICATIONS = "v"
    RECOVERIES = "r"
    FAN_OUTS = "f"
    DELIVERIES = "d"


@value(frozen=True, slots=True)
class Lane:
    """A lane. Its id is what an arq job carries: `07.0001l.v`, `07.0001l.d.000a`."""

    world: World
    kind: LaneKind
    number: int = 0

    @property
    def id(self) -> str:
        return f"{self.world.partition:02d}.{self.world.name}.{self.suffix}"

    @property
    def suffix(self) -> str:
        return f"d.{encode(self.number, 4)}" if self.kind is LaneKind.DELIVERIES else self.kind

    @staticmethod
    def is_known(lane_id: str) -> bool:
        """Whether `parse` takes it. A later release, side by side with this one, may have lanes of other kinds."""
        return _LANE_ID.fullmatch(lane_id) is not None

    @classmethod
    def parse(cls, lane_id: str) -> "Lane":
        """The lane that an arq job names; ValueError for anything that `id` did not write."""
        match = _LANE_ID.fullmatch(lane_id)
        if match is None:
            raise ValueError("not the id of a lane")
        partition, tenant_id, mode, kind, number = match.groups()
        world = World(tenant_id, Mode.LIVE if mode == "l" else Mode.TEST, int(partition))
        return cls(world, LaneKind(kind or "d"), decode(number) if number else 0)


@value(frozen=True, slots=True)
class Ring:
    """A bell that a script decided to ring: the arq job it asks for is `lane:generation`."""

    lane_id: str
    generation: int
    slow: bool


@value(frozen=True, slots=True)
class Claim:
    """An item leased to us. `claims` counts the leases in a row that ended without a settlement.

    A delivery brings its progress so far. Any other item brings a note, opaque bytes that were kept with it: of a
    recovery how far it is, of a fan-out whom the event goes to, of a verification in line again what for.
    """

    item: str
    token: int
    claims: int
    queue: int
    progress: DeliveryProgress | None = None
    note: bytes = b""


class SettlementKind(StrEnum):
    DONE = "done"
    LATER = "later"
    DEAD = "dead"


@value(frozen=True, slots=True)
class Settlement:
    """How a claim ended: done, due again after `delay_ms`, or dead, and what is kept of it.

    A delivery keeps its progress, a verification the run of its checks, a recovery the note of how far it is.
    """

    kind: SettlementKind
    item: str
    token: int
    delay_ms: int = 0
    progress: DeliveryProgress | None = None
    run: CheckRun | None = None
    note: bytes = b""


@value(frozen=True, slots=True)
class LaneNews:
    """What the settlements of a turn say about the lane itself."""

    delivered: int = 0
    failed: int = 0
    slow: bool | None = None
    throttle_ms: int = 0
    slowdowns: int | None = None


class NextStep(StrEnum):
    """Hold the lane, to be woken when work is added; or end the slice, ringing for what is left."""

    HOLD = "hold"
    END = "end"


class BellState(StrEnum):
    """What became of our hold on the lane. Whoever does not hold it any more ends its slice."""

    HELD = "held"  # still ours
    IDLE = "idle"  # let go: nothing is due now, the next work to come rings
    HANDED = "handed"  # let go: something is due, and another slice was rung for
    SUPERSEDED = "superseded"  # a later ring gave it to another slice, or the turn was only to settle


@value(frozen=True, slots=True)
class Turn:
    """What one turn answered. Times are the ledger's, in milliseconds.

    `answers` has one for each settlement, in order: `ok`; `stale`, the item is not held under that token any more;
    `gone`, a delivered item is neither in the lane nor a dead letter.
    `set_revision` is that of the world's subscriptions: what was read of them at an earlier one may have changed.
    """

    now_ms: int
    rings: tuple[Ring, ...]
    slow: bool
    next_due_ms: int | None
    bell: BellState
    failing_since_ms: int | None
    failures: int
    slowdowns: int
    answers: tuple[str, ...]
    claims: tuple[Claim, ...]
    set_revision: int = 0


@value(frozen=True, slots=True)
class LaneLimits:
    """How much of a lane may be in flight, for how long, and how much of all the lanes of its world.

    Items that take long, which wait for others rather than for us, may stretch the lane's cap by as many as `stretch`.
    """

    lease_ms: int
    lane_cap: int
    stretch: int = 0
    world_fast_cap: int = 0
    world_slow_cap: int = 0


def verifications(world: World) -> Lane:
    return Lane(world, LaneKind.VERIFICATIONS)


def recoveries(world: World) -> Lane:
    return Lane(world, LaneKind.RECOVERIES)


def fan_outs(world: World) -> Lane:
    return Lane(world, LaneKind.FAN_OUTS)


def deliveries(world: World, number: int) -> Lane:
    return Lane(world, LaneKind.DELIVERIES, number)
