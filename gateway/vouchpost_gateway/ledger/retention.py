"""What the janitor reads and removes."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vouchpost_gateway.domain.delivery import DeliveryState
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, encode, time_ms
from vouchpost_gateway.domain.lane import deliveries, verifications
from vouchpost_gateway.domain.retention import Kept
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import LedgerRefused
from vouchpost_gateway.ledger.deliveries import DeliveryRecords
from vouchpost_gateway.ledger.record import Record, pack_delivery, unpack
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import SubscriptionRecords
from vouchpost_gateway.ledger.tenants import Tenants
from vouchpost_gateway.ledger.verifications import VerificationRecords

_EXPIRE = load("expire")
_TRIM = load("trim")
_TRIM_STEP = 200
_ME = secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class RetentionRecords:
    """Records by age, and their removal."""

    store: Store
    tenants: Tenants
    verifications: VerificationRecords
    deliveries: DeliveryRecords
    subscriptions: SubscriptionRecords

    async def worlds(self) -> Sequence[World]:
        return [tenant.world(mode) for tenant in await self.tenants.all() for mode in Mode]

    async def take_turn(self, seconds: int) -> bool:
        """A lease on cleaning up, renewed by whoever holds it. Only saves work: two janitors do no harm."""
        try:
            if await self.store.call("SET", keys.JANITOR, _ME, "NX", "EX", 2 * seconds + 60):
                return True
        except LedgerRefused as error:
            if error.code != "OOM":
                raise
            return True  # what there is no room for is the lease; cleaning up is what makes room
        if await self.store.call("GET", keys.JANITOR) != _ME.encode():
            return False
        await self.store.call("EXPIRE", keys.JANITOR, 2 * seconds + 60)
        return True

    async def oldest(self, world: World, *, before_ms: int, after: str | None, limit: int) -> list[str]:
        """The stems of records made before a time, oldest first, later than `after`."""
        end = encode(max(before_ms, 0), 10)
        low = f"({after}" if after else "-"
        first_hour = time_ms(after) // 3_600_000 if after else "-inf"
        hours = await self.store.call("ZRANGEBYSCORE", keys.hours(world), first_hour, before_ms // 3_600_000)
        found: list[str] = []
        for hour in hours:
            index = keys.hour_index(world, int(hour))
            page = await self.store.call("ZRANGEBYLEX", index, low, f"({end}", "LIMIT", 0, limit - len(found))
            found += [stem.decode() for stem in page]
            if len(found) >= limit:
                break
        return found

    async def kept(self, world: World, stem: str) -> Kept | None:
        """What the record holds; an index entry without a record is removed on the way."""
        text = await self.store.call("GET", keys.record(world, stem))
        if text is None:
            await self.store.call("ZREM", keys.hour_index(world, time_ms(stem) // 3_600_000), stem)
            return None
        record = unpack(stem, text)
        last = record.last_verdict
        return Kept(
            as_read=text,
            since_ms=_since_ms(stem, record),
            pending=record.request is not None and (last is None or await self._in_line(world, stem)),
            open_deliveries=bool(await self._open(world, record)),
            dead_letters=bool(last and last.dead)
            or any(d.state is DeliveryState.DEAD for d in record.deliveries.values()),
        )

    async def _in_line(self, world: World, stem: str) -> bool:
        lane = verifications(world)
        scores = await asyncio.gather(*(self.store.call("ZSCORE", keys.lane_part(lane, part), stem) for part in "012f"))
        return any(score is not None for score in scores)

    async def _open(self, world: World, record: Record) -> list[tuple[int, int]]:
        """Deliveries that have not ended and whose subscription is still there to end them."""
        known = (await self.subscriptions.fresh(world)).by_number
        return [
            (revision, number)
            for revision, number in record.delivery_ids()
            if number in known
            and ((ended := record.deliveries.get((revision, number))) is None or ended.state is DeliveryState.PENDING)
        ]

    async def expire(self, world: World, stem: str, now_ms: int) -> list[DeliveryRef]:
        """Turns the record's waiting deliveries into dead letters; those in flight settle on their own."""
        record = await self.verifications.read(world, stem)
        if record is None:
            return []
        expired = []
        for revision, number in await self._open(world, record):
            ref = DeliveryRef(EventRef(stem, revision), number)
            progress = await self.deliveries.progress(world, ref)
            ended = replace(progress, state=DeliveryState.DEAD, ended_ms=now_ms)
            lane, item = deliveries(world, number), ref.event.item
            names = [*keys.lane(lane), keys.record(world, stem), keys.dead_deliveries(world)]
            section = pack_delivery(revision, number, ended)
            if await self.store.run(_EXPIRE, names, (lane.id, item, section, item + encode(number, 4))) == b"ok":
                expired.append(ref)
        return expired

    async def erase(self, world: World, stem: str, kept: Kept) -> bool:
        """Whether it was removed: not when it changed since, or was asked for again."""
        return await self.verifications.erase_idle(world, stem, kept.as_read)

    async def trim(self, world: World, *, delivered_before_ms: int, dead_before_ms: int, hours_before_ms: int) -> None:
        """Removes old entries of the lists of deliveries, hours that hold nothing, and marks of old removals."""
        await self.subscriptions.forget_removals(world)
        known = await self.subscriptions.fresh(world)
        for number in known.by_number:
            await self._trim_latest(world, number, encode(max(delivered_before_ms, 0), 10))
        dead_end = f"({encode(max(dead_before_ms, 0), 10)}"
        await self.store.call("ZREMRANGEBYLEX", keys.dead_deliveries(world), "-", dead_end)
        for hour in await self.store.call("ZRANGEBYSCORE", keys.hours(world), "-inf", hours_before_ms // 3_600_000 - 1):
            if not await self.store.call("EXISTS", keys.hour_index(world, int(hour))):
                await self.store.call("ZREM", keys.hours(world), hour)

    async def _trim_latest(self, world: World, number: int, end: str) -> None:
        lane, after = deliveries(world, number), ""
        while True:
            last = await self.store.run(_TRIM, keys.lane(lane), (lane.id, after, end, _TRIM_STEP))
            if not last:
                return
            after = last.decode()


def _since_ms(stem: str, record: Record) -> int:
    """Of dead letters their end does not count: what is kept of them is measured from when the record was made."""
    last = record.last_verdict
    alive = [delivery for delivery in record.deliveries.values() if delivery.state is not DeliveryState.DEAD]
    later = [delivery.ended_ms or delivery.since_ms or 0 for delivery in alive]
    return max(time_ms(stem), last.checked_ms if last else 0, *later)
