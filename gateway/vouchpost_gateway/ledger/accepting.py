"""Accepting, as the ledger does it: those who come while a lot is on its way go together in the next one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vouchpost_gateway.domain.lane import Ring, verifications
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Argument
from vouchpost_gateway.ledger.lanes import BellLimits, one_ring
from vouchpost_gateway.ledger.lots import Lots
from vouchpost_gateway.ledger.record import HEAD
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import hour_of

_ACCEPT = load("accept")
_FIELDS = 3
_MOST = 32
"""So many in one script take Redis about a millisecond; nothing else runs meanwhile."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How long, and how old, a tenant's line may get."""

    max_items: int = 100_000
    max_age_ms: int = 600_000


class Newcomer(NamedTuple):
    """What is to be accepted, packed and sealed; without an idempotency key its entry and digest are empty."""

    stem: str
    queue: int
    tail: bytes
    entry: str
    digest: bytes


class Received(NamedTuple):
    """What the ledger answered: `new`, `repeat`, `conflict`, or which limit of the backlog is reached: `full`, `old`.

    The rings of a lot go to one of it.
    """

    answer: str
    stem: str
    sequence: int
    rings: list[Ring]


@dataclass(frozen=True, slots=True)
class Accepting:
    """Writes newcomers, in lots, one lot of a world at a time."""

    store: Store
    backlog: Backlog
    bells: BellLimits
    idempotency_ms: int
    _lots: Lots[World, Newcomer, Received] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lots", Lots(self._write, most=_MOST))

    async def __call__(self, world: World, newcomer: Newcomer) -> Received:
        """Record, idempotency entry and place in line, in one write. Harmless when repeated with the same stem."""
        return await self._lots.ask(world, newcomer)

    async def _write(self, world: World, newcomers: Sequence[Newcomer]) -> list[Received]:
        lane = verifications(world)
        names = [*keys.lane(lane), keys.hours(world)]
        arguments: list[Argument] = [lane.id, HEAD, self.idempotency_ms]
        arguments += (self.backlog.max_items, self.backlog.max_age_ms, self.bells.ring_ms, keys.WAKE_CHANNEL)
        for one in newcomers:
            record, hour = keys.record(world, one.stem), hour_of(one.stem)
            names += (record, keys.hour_index(world, hour), one.entry or record)
            arguments += (one.stem, hour, one.queue, one.tail, one.digest)
        ring, *flat = await self.store.run(_ACCEPT, names, arguments)
        rings = one_ring(lane, ring, b"0")
        found = []
        for at in range(0, len(flat), _FIELDS):
            answer, stem, sequence = flat[at : at + _FIELDS]
            found.append(Received(answer.decode(), stem.decode(), int(sequence or 0), [] if at else rings))
        return found
