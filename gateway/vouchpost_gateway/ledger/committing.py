"""Committing, as the ledger does it: verdicts that are ready at one time, for the same subscriptions, go together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vouchpost_gateway.domain.commitment import CommitAnswer
from vouchpost_gateway.domain.lane import Ring, deliveries, fan_outs, verifications
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Argument
from vouchpost_gateway.ledger.crowds import Crowds
from vouchpost_gateway.ledger.lanes import BellLimits, rings
from vouchpost_gateway.ledger.lots import Lots
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import LATEST_CAP

_COMMIT = load("commit")
_MOST = 16


class Destination(NamedTuple):
    """Where the events of a lot go: these subscriptions, as they were at a revision (None: there is no event)."""

    world: World
    targets: tuple[int, ...]
    set_revision: int | None


class Committable(NamedTuple):
    """A verdict as it is written. `cache` is the entry in the verdict cache, None for none."""

    stem: str
    token: int
    sections: bytes
    item: str
    queue: int
    cache: str | None
    cache_ms: int
    recheck_ms: int | None
    dead: bool


Committed = tuple[CommitAnswer, list[Ring]]
"""The answer, and the rings of the lot, which go to one of it."""

_ANSWERS = {answer.value.encode(): answer for answer in CommitAnswer}


@dataclass(frozen=True, slots=True)
class Committing:
    """Writes verdicts, in lots. Each is there whole or not at all, whatever becomes of the others."""

    store: Store
    bells: BellLimits
    crowds: Crowds
    _lots: Lots[Destination, Committable, Committed] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lots", Lots(self._write, most=_MOST))

    async def __call__(self, destination: Destination, verdict: Committable) -> Committed:
        """Verdict, event and every delivery in one write. A repeat finds its token gone."""
        return await self._lots.ask(destination, verdict)

    async def _write(self, destination: Destination, verdicts: Sequence[Committable]) -> list[Committed]:
        world, targets, set_revision = destination
        share = await self.crowds.share(world, targets)
        lane, lanes = verifications(world), [deliveries(world, number) for number in share.now]
        names = [*keys.lane(lane), keys.dead_verifications(world)]
        arguments: list[Argument] = [lane.id, "" if set_revision is None else set_revision]
        arguments += (self.bells.ring_ms, keys.WAKE_CHANNEL, LATEST_CAP)
        arguments += (fan_outs(world).id if share.later else "", share.later, share.pace_ms, len(verdicts))
        for one in verdicts:
            record = keys.record(world, one.stem)
            names += (record, one.cache or record)
            arguments += (one.stem, one.token, one.sections, one.item, one.queue)
            arguments += ("" if one.cache is None else one.cache_ms, "" if one.recheck_ms is None else one.recheck_ms)
            arguments += (int(one.dead), keys.done_channel(world, one.stem))
        for target in lanes:
            names += keys.lane(target)
        arguments += (target.id for target in lanes)
        if share.later:
            names += keys.lane(fan_outs(world))
        answer, found, ringing = await self.store.run(_COMMIT, names, arguments)
        if answer == b"changed":
            return [(CommitAnswer.CHANGED, []) for _ in verdicts]
        first_rings = rings(ringing)
        return [(_ANSWERS[each], [] if at else first_rings) for at, each in enumerate(found)]
