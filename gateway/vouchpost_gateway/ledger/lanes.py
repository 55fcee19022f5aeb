"""Lanes: due work by due time, claimed under a lease with a fencing token, settled, and rung for."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vouchpost_gateway.domain.delivery import DeliveryState
from vouchpost_gateway.domain.ids import EventRef, encode
from vouchpost_gateway.domain.lane import (
    BellState,
    Claim,
    Lane,
    LaneKind,
    LaneLimits,
    LaneNews,
    NextStep,
    Ring,
    Settlement,
    SettlementKind,
    Turn,
)
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Argument, Reply
from vouchpost_gateway.ledger.record import pack_delivery, pack_delivery_state, pack_run, unpack_delivery_state
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store

_TURN = load("turn")
_SWEEP = load("sweep")
_ENLIST = load("enlist")
_CLAIM_FIELDS = 5
_OVERVIEW = 200
_LOOKED_AT = 10_000
"""How many lanes that are due one sweep looks at: some ten milliseconds of the server's time."""

_NO_NEWS = LaneNews()
_RING_FIELDS = 3


@dataclass(frozen=True, slots=True)
class BellLimits:
    """How long a bell counts as rung without a drain showing up, and how long a drain lingers on an empty lane."""

    ring_ms: int = 3000
    linger_ms: int = 1000


@dataclass(frozen=True, slots=True)
class Lanes:
    """All lanes of the ledger."""

    store: Store
    bells: BellLimits = field(default_factory=BellLimits)

    async def turn(
        self,
        lane: Lane,
        generation: int,
        *,
        limits: LaneLimits,
        want: int = 0,
        settlements: Sequence[Settlement] = (),
        news: LaneNews = _NO_NEWS,
        next_step: NextStep = NextStep.HOLD,
    ) -> Turn:
        """Settles and claims in one write. Generation 0 only settles. A repeat settles nothing twice."""
        dead = keys.dead_deliveries(lane.world)
        packed = [_pack(lane, settlement) for settlement in settlements]
        records = [keys.record(lane.world, p.stem) for p in packed if p.section]
        arguments: list[Argument] = [
            lane.id,
            generation,
            want,
            limits.lease_ms,
            self.bells.ring_ms,
            keys.WAKE_CHANNEL,
            next_step,
            self.bells.linger_ms,
            limits.lane_cap,
            limits.world_fast_cap,
            limits.world_slow_cap,
            news.delivered,
            news.failed,
            "" if news.slow is None else int(news.slow),
            news.throttle_ms,
            "" if news.slowdowns is None else news.slowdowns,
            limits.stretch,
            len(settlements),
        ]
        for s, p in zip(settlements, packed, strict=True):
            arguments += (p.kind, s.item, s.token, s.delay_ms, p.state, p.section, p.dead_id)
        return _turn(lane, await self.store.run(_TURN, [*keys.lane(lane), dead, *records], arguments))

    async def sweep(self, partition: int, kinds: Iterable[LaneKind], *, limit: int = 200) -> list[Ring]:
        """The rings of the lanes of these kinds, in a partition, that are due and silent."""
        names = [keys.due_lanes(partition), keys.bells(partition)]
        reply = await self.store.run(_SWEEP, names, [limit, self.bells.ring_ms, _LOOKED_AT, "".join(kinds)])
        return [ring for ring in rings(reply) if Lane.is_known(ring.lane_id)]

    async def enlist(
        self,
        lane: Lane,
        item: str,
        *,
        queue: int,
        state: bytes = b"",
        delay_ms: int = 0,
        stem: str = "",
        section: bytes = b"",
    ) -> tuple[str, list[Ring]]:
        """Puts an item in line; one that waits comes forward, one in flight is left alone. Harmless when repeated."""
        record = keys.record(lane.world, stem) if stem else keys.lane_part(lane, "m")
        arguments = (lane.id, item, queue, state, delay_ms, self.bells.ring_ms, keys.WAKE_CHANNEL, section)
        answer, generation, slow = await self.store.run(_ENLIST, [*keys.lane(lane), record], arguments)
        return answer.decode(), one_ring(lane, generation, slow)

    async def overview(self, partition: int, *, now_ms: int) -> list[tuple[Lane, int, int]]:
        """The lanes with the oldest due work: each with how many items it holds, and how long it has been due, ms."""
        flat = await self.store.call("ZRANGE", keys.due_lanes(partition), 0, _OVERVIEW - 1, "WITHSCORES")
        seen = [
            (Lane.parse(name.decode()), int(float(due)))
            for name, due in zip(flat[::2], flat[1::2], strict=True)
            if Lane.is_known(name.decode())
        ]
        counts = await asyncio.gather(
            *(self.store.call("ZCARD", keys.lane_part(lane, part)) for lane, _ in seen for part in "012f")
        )
        return [(lane, sum(counts[4 * at : 4 * at + 4]), max(0, now_ms - due)) for at, (lane, due) in enumerate(seen)]


@value(frozen=True, slots=True)
class _Packed:
    """What the script is told of a settlement, as opaque bytes."""

    kind: str
    state: bytes = b""
    section: bytes = b""
    stem: str = ""
    dead_id: str = ""


def _pack(lane: Lane, settlement: Settlement) -> _Packed:
    kind: str = settlement.kind
    if lane.kind in {LaneKind.RECOVERIES, LaneKind.FAN_OUTS}:
        return _Packed(kind, state=settlement.note)
    if lane.kind is LaneKind.VERIFICATIONS:
        section = pack_run(settlement.run) if settlement.run else b""
        return _Packed(kind, section=section, stem=settlement.item)
    if settlement.progress is None:
        return _Packed(kind)
    if settlement.kind is SettlementKind.LATER:
        return _Packed(kind, state=pack_delivery_state(settlement.progress))
    if settlement.progress.state is DeliveryState.DELIVERED:
        kind = "delivered"  # accepted from any token, unlike what merely ends here
    event = EventRef.from_item(settlement.item)
    section = pack_delivery(event.revision, lane.number, settlement.progress)
    return _Packed(kind, section=section, stem=event.stem, dead_id=settlement.item + encode(lane.number, 4))


def rings(reply: Reply) -> list[Ring]:
    """The rings in a flat answer: lane id, generation, slow, …."""
    return [
        Ring(reply[at].decode(), int(reply[at + 1]), reply[at + 2] == b"1") for at in range(0, len(reply), _RING_FIELDS)
    ]


def is_slow(bell: bytes) -> bool:
    """Whether a lane's bell, as it is stored, says that the lane is slow."""
    return bell.endswith(b" 1")


def one_ring(lane: Lane, generation: bytes, slow: bytes) -> list[Ring]:
    """The ring of a script that adds to one lane, if it decided to ring."""
    return [Ring(lane.id, int(generation), slow == b"1")] if generation else []


def _turn(lane: Lane, reply: Reply) -> Turn:
    seconds, micros, ring, slow, due, bell, failing_since, failures, slowdowns, answers, flat, set_revision = reply
    claims = tuple(_claim(lane, flat[at : at + _CLAIM_FIELDS]) for at in range(0, len(flat), _CLAIM_FIELDS))
    return Turn(
        now_ms=int(seconds) * 1000 + int(micros) // 1000,
        rings=(Ring(lane.id, int(ring), slow == b"1"),) if ring else (),
        slow=slow == b"1",
        next_due_ms=int(due) if due else None,
        bell=BellState(bell.decode()),
        failing_since_ms=int(failing_since) if failing_since else None,
        failures=int(failures),
        slowdowns=int(slowdowns),
        answers=tuple(answer.decode() for answer in answers),
        claims=claims,
        set_revision=int(set_revision),
    )


def _claim(lane: Lane, fields: Reply) -> Claim:
    item, token, claims, queue, state = fields
    if lane.kind is LaneKind.DELIVERIES:
        return Claim(item.decode(), int(token), claims, queue, unpack_delivery_state(state))
    return Claim(item.decode(), int(token), claims, queue, note=state)
