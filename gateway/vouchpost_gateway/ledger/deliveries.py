"""Deliveries: read from the record and the lane, listed, resent."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from vouchpost_gateway.domain.delivery import Delivery, DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import Conflict, NotFound
from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, decode, encode
from vouchpost_gateway.domain.lane import Ring, deliveries
from vouchpost_gateway.domain.page import ALWAYS, Span
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.bounds import bounds
from vouchpost_gateway.ledger.lanes import BellLimits, one_ring
from vouchpost_gateway.ledger.reading import Reading
from vouchpost_gateway.ledger.record import (
    Record,
    pack_delivery,
    pack_delivery_state,
    unpack,
    unpack_delivery_state,
    unpack_event,
)
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import LATEST_CAP

_RESEND = load("resend")
_DRAWN_BYTES = 16
_MOST_RECORD_BYTES = 262_144  # some fifty times all of the attempts of a schedule


@dataclass(frozen=True, slots=True)
class DeliveryRecords:
    """The deliveries of all worlds: until one ends it is kept in a lane, from then on in its event's record.

    `drawn_ms` is how long a draw may come again after it was last asked with.
    """

    store: Store
    bells: BellLimits = field(default_factory=BellLimits)
    drawn_ms: int = 86_400_000
    _reading: Reading = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reading", Reading(self.store))

    async def record(self, world: World, stem: str) -> Record | None:
        text = await self.store.call("GET", keys.record(world, stem))
        return unpack(stem, text) if text else None

    async def event(self, world: World, ref: EventRef) -> Event | None:
        """The event with its stored bytes; None when it is no longer kept."""
        text = await self._reading(world, ref.stem)
        return unpack_event(ref.stem, text, ref.revision) if text else None

    async def events_of(self, world: World, stem: str) -> list[tuple[Event, dict[int, DeliveryState]]]:
        """The events of a record, oldest first, and how the delivery of each to each subscription stands."""
        record = await self.record(world, stem)
        if record is None:
            return []
        found = []
        for revision, event in sorted(record.events.items()):
            states = dict.fromkeys(record.targets.get(revision, []), DeliveryState.PENDING)
            ended = {number: d.state for (r, number), d in record.deliveries.items() if r == revision}
            found.append((event, states | ended))
        return found

    async def get(self, world: World, ref: DeliveryRef) -> Delivery:
        """The delivery; NotFound when its event never went to that subscription, or is no longer kept."""
        record = await self.record(world, ref.event.stem)
        if record is None or (ref.event.revision, ref.subscription_number) not in record.delivery_ids():
            raise NotFound("delivery")
        if ref.event.revision not in record.events:
            raise NotFound("delivery")
        return await self._read(world, ref, record)

    async def progress(self, world: World, ref: DeliveryRef) -> DeliveryProgress:
        """What its lane keeps of a delivery that has not ended."""
        state = await self.store.call(
            "HGET", keys.lane_part(deliveries(world, ref.subscription_number), "s"), ref.event.item
        )
        return unpack_delivery_state(state) if state else DeliveryProgress()

    async def rests(self, world: World, numbers: Sequence[int]) -> list[int]:
        """Until when each of these subscriptions rests, or rested, in milliseconds; 0 for one that never did."""
        lanes = [keys.lane_part(deliveries(world, number), "m") for number in numbers]
        found = await asyncio.gather(*(self.store.call("HGET", lane, "not_before") for lane in lanes))
        return [int(end or 0) for end in found]

    async def _read(self, world: World, ref: DeliveryRef, record: Record) -> Delivery:
        kind = record.events[ref.event.revision].type
        ended = record.deliveries.get((ref.event.revision, ref.subscription_number))
        if ended is not None and ended.state is not DeliveryState.PENDING:
            return _delivery(ref, kind, ended, due_ms=None)
        lane, item = deliveries(world, ref.subscription_number), ref.event.item
        state, exists, not_before, *scores = await asyncio.gather(
            self.store.call("HGET", keys.lane_part(lane, "s"), item),
            self.store.call("EXISTS", keys.lane_part(lane, "m")),
            self.store.call("HGET", keys.lane_part(lane, "m"), "not_before"),
            *(self.store.call("ZSCORE", keys.lane_part(lane, part), item) for part in "012f"),
        )
        progress = unpack_delivery_state(state) if state else ended or DeliveryProgress()
        if not exists:
            dropped = DeliveryProgress(DeliveryState.DROPPED, progress.attempt_count, progress.attempts)
            return _delivery(ref, kind, dropped, due_ms=None)
        due = next((int(float(score)) for score in scores[:3] if score is not None), None)
        if due is not None:
            due = max(due, int(not_before or 0))
        return _delivery(ref, kind, progress, due_ms=due)

    async def latest(
        self, world: World, number: int, *, after: str | None, limit: int, span: Span = ALWAYS
    ) -> list[DeliveryRef]:
        """The latest deliveries of a subscription within the span, newest first, older than `after`."""
        latest = keys.lane_part(deliveries(world, number), "y")
        page = await self.store.call("ZREVRANGEBYLEX", latest, *bounds(after, span), "LIMIT", 0, limit)
        return [DeliveryRef(EventRef.from_item(item.decode()), number) for item in page]

    async def dead(self, world: World, *, after: str | None, limit: int, span: Span = ALWAYS) -> list[DeliveryRef]:
        """The dead letters of all subscriptions, newest event first; `after` is an item and a subscription number."""
        dead = keys.dead_deliveries(world)
        page = await self.store.call("ZREVRANGEBYLEX", dead, *bounds(after, span), "LIMIT", 0, limit)
        return [DeliveryRef(EventRef.from_item(text[:22].decode()), decode(text[22:].decode())) for text in page]

    async def many(self, world: World, refs: Sequence[DeliveryRef]) -> list[Delivery]:
        """Those of these deliveries that are still kept, in the same order."""
        found = await asyncio.gather(*(self.get(world, ref) for ref in refs), return_exceptions=True)
        for answer in found:
            if isinstance(answer, BaseException) and not isinstance(answer, NotFound):
                raise answer
        return [answer for answer in found if isinstance(answer, Delivery)]

    async def resend(
        self,
        world: World,
        ref: DeliveryRef,
        *,
        queue: int,
        now_ms: int,
        draw: Draw | None = None,
        ends_rest: bool = False,
    ) -> list[Ring]:
        """Puts a delivery in line again, its schedule begun anew; one in flight is left alone. NotFound when gone.

        With the same draw it does so once, however the delivery went on meanwhile. With `ends_rest` it is tried now,
        even where its subscription's server had asked to be left alone for longer. Each time adds to the record, which
        is rewritten whole: Conflict once it is full.
        """
        record = await self.record(world, ref.event.stem)
        if record is None or ref.event.revision not in record.events:
            raise NotFound("delivery")
        before = record.deliveries.get((ref.event.revision, ref.subscription_number), DeliveryProgress())
        again = DeliveryProgress(
            attempt_count=before.attempt_count,
            attempts=before.attempts,
            since_ms=now_ms,
            attempts_before=before.attempt_count,
        )
        lane = deliveries(world, ref.subscription_number)
        names = [*keys.lane(lane), keys.record(world, ref.event.stem), keys.dead_deliveries(world)]
        if draw is not None:
            names.append(keys.resent(world, draw.octets("resend", _DRAWN_BYTES).hex()))
        section = pack_delivery(ref.event.revision, ref.subscription_number, again)
        dead_id = ref.event.item + encode(ref.subscription_number, 4)
        arguments = (
            *(lane.id, ref.event.item, pack_delivery_state(again), section, dead_id, queue),
            *(self.bells.ring_ms, keys.WAKE_CHANNEL, LATEST_CAP, _MOST_RECORD_BYTES, self.drawn_ms, int(ends_rest)),
        )
        answer, generation, slow = await self.store.run(_RESEND, names, arguments)
        if answer == b"gone":
            raise NotFound("delivery")
        if answer == b"full":
            raise Conflict("what is kept of this event's attempts is as much as is kept; it cannot be sent again")
        return one_ring(lane, generation, slow)


def _delivery(ref: DeliveryRef, kind: str, progress: DeliveryProgress, *, due_ms: int | None) -> Delivery:
    p = progress
    return Delivery(ref, kind, p.state, p.attempt_count, p.attempts, next_attempt_ms=due_ms, ended_ms=p.ended_ms)
