"""What is asked about things that exist: verifications, deliveries, dead letters and events, read and acted upon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.delivery import Delivery, DeliveryState
from vouchpost_gateway.domain.errors import Conflict, InvalidField, NotFound
from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, encode
from vouchpost_gateway.domain.lane import QUEUE_OF, Lane, Ring, verifications
from vouchpost_gateway.domain.page import Page
from vouchpost_gateway.domain.subscription import Recovery, Subscription
from vouchpost_gateway.domain.verification import Accepted, NewVerification, Status, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.accept import Accept
from vouchpost_gateway.pipeline.resend import Resend
from vouchpost_gateway.pipeline.subscribe import Subscribe
from vouchpost_gateway.pipeline.wait import Wait

_SCAN_PAGES = 10
"""How many pages a filtered list looks through before it answers with what it found and where to go on."""


class VerificationRecords(Protocol):
    async def view(self, world: World, stem: str) -> Verification | None: ...

    async def views(self, world: World, stems: Sequence[str]) -> list[Verification]: ...

    async def stems(self, world: World, *, after: str | None, limit: int, since_ms: int = ...) -> list[str]: ...

    async def dead(self, world: World, *, after: str | None, limit: int) -> list[str]: ...

    async def erase(self, world: World, stem: str) -> bool: ...


class DeliveryRecords(Protocol):
    async def get(self, world: World, ref: DeliveryRef) -> Delivery: ...

    async def many(self, world: World, refs: Sequence[DeliveryRef]) -> list[Delivery]: ...

    async def latest(self, world: World, number: int, *, after: str | None, limit: int) -> list[DeliveryRef]: ...

    async def dead(self, world: World, *, after: str | None, limit: int) -> list[DeliveryRef]: ...

    async def event(self, world: World, ref: EventRef) -> Event | None: ...


class Enlist(Protocol):
    async def enlist(self, lane: Lane, item: str, *, queue: int) -> tuple[str, list[Ring]]: ...


@dataclass(frozen=True, slots=True)
class VerificationDesk:
    """Verifications, as the API asks for them."""

    records: VerificationRecords
    lanes: Enlist
    accepting: Accept
    waiting: Wait
    ring: Callable[[Sequence[Ring]], None]

    async def accept(self, world: World, new: NewVerification, *, idempotency_key: str | None, body: bytes) -> Accepted:
        return await self.accepting(world, new, idempotency_key=idempotency_key, body=body)

    async def get(self, world: World, stem: str) -> Verification:
        found = await self.records.view(world, stem)
        if found is None:
            raise NotFound("verification")
        return found

    async def wait(self, world: World, stem: str, *, seconds: float) -> Verification:
        return await self.waiting(world, stem, seconds=seconds)

    async def list(
        self, world: World, *, status: Status | None, subject_id: str | None, after: str | None, limit: int
    ) -> Page[Verification]:
        """A page, newest first. A filter looks through a bounded number of verifications a page."""
        found: list[Verification] = []
        for _ in range(_SCAN_PAGES):
            stems = await self.records.stems(world, after=after, limit=100)
            for view in await self.records.views(world, stems):
                if (status is None or view.status is status) and subject_id in {None, view.subject_id}:
                    found.append(view)
                    if len(found) == limit:
                        return Page(found, view.stem)
            if len(stems) < 100:
                return Page(found, None)
            after = stems[-1]
        return Page(found, after)

    async def recheck(self, world: World, stem: str) -> Verification:
        """Puts the verification in line again; Conflict while it is still being verified."""
        found = await self.get(world, stem)
        if found.verdict is None:
            raise Conflict("the verification is still pending")
        _, rings = await self.lanes.enlist(verifications(world), stem, queue=QUEUE_OF[found.priority])
        self.ring(rings)
        return found

    async def erase(self, world: World, stem: str) -> None:
        await self.get(world, stem)
        await self.records.erase(world, stem)


@dataclass(frozen=True, slots=True)
class DeliveryDesk:
    """Deliveries and dead letters. A partner sees those of its own subscriptions."""

    records: DeliveryRecords
    verification_records: VerificationRecords
    subscriptions: Subscribe
    resending: Resend

    async def get(self, world: World, partner_id: str | None, ref: DeliveryRef) -> Delivery:
        await self._check(world, partner_id, ref)
        return await self.records.get(world, ref)

    async def resend(self, world: World, partner_id: str | None, ref: DeliveryRef) -> Delivery:
        await self._check(world, partner_id, ref)
        await self.records.get(world, ref)
        await self.resending.one(world, ref)
        return await self.records.get(world, ref)

    async def of_subscription(
        self,
        world: World,
        subscription: Subscription,
        *,
        state: DeliveryState | None,
        after: str | None,
        limit: int,
    ) -> Page[Delivery]:
        """The latest deliveries of a subscription, newest first."""
        found: list[Delivery] = []
        for _ in range(_SCAN_PAGES):
            refs = await self.records.latest(world, subscription.number, after=after, limit=100)
            for delivery in await self.records.many(world, refs):
                if state in {None, delivery.state}:
                    found.append(delivery)
                    if len(found) == limit:
                        return Page(found, delivery.ref.event.item)
            if len(refs) < 100:
                return Page(found, None)
            after = refs[-1].event.item
        return Page(found, after)

    async def dead(self, world: World, partner_id: str | None, *, after: str | None, limit: int) -> Page[Delivery]:
        found: list[Delivery] = []
        for _ in range(_SCAN_PAGES):
            refs = await self.records.dead(world, after=after, limit=100)
            seen = [ref for ref in refs if await self._sees(world, partner_id, ref)]
            for delivery in await self.records.many(world, seen):
                found.append(delivery)
                if len(found) == limit:
                    return Page(found, _dead_position(delivery.ref))
            if len(refs) < 100:
                return Page(found, None)
            after = _dead_position(refs[-1])
        return Page(found, after)

    async def dead_verifications(self, world: World, *, after: str | None, limit: int) -> Page[Verification]:
        stems = await self.verification_records.dead(world, after=after, limit=limit)
        views = await self.verification_records.views(world, stems)
        return Page(views, stems[-1] if len(stems) == limit else None)

    async def event(self, world: World, ref: EventRef) -> Event:
        found = await self.records.event(world, ref)
        if found is None:
            raise NotFound("event")
        return found

    async def _check(self, world: World, partner_id: str | None, ref: DeliveryRef) -> None:
        if partner_id is not None and not await self._sees(world, partner_id, ref):
            raise NotFound("delivery")

    async def _sees(self, world: World, partner_id: str | None, ref: DeliveryRef) -> bool:
        subscription = await self.subscriptions.find(world, ref.subscription_number)
        return subscription is not None and (partner_id is None or subscription.owner == partner_id)


@dataclass(frozen=True, slots=True)
class SubscriptionDesk:
    """What is asked of one subscription beyond changing it."""

    subscribe: Subscribe
    deliveries_desk: DeliveryDesk
    resending: Resend
    now_ms: Callable[[], int]
    max_recovery_ms: int

    async def recover(
        self, world: World, partner_id: str | None, subscription_id: str, *, since_ms: int, until_ms: int | None
    ) -> Recovery:
        """Resends all since a time that did not arrive; InvalidField when that is further back than events are kept."""
        subscription = await self.subscribe.get(world, partner_id, subscription_id)
        if since_ms < self.now_ms() - self.max_recovery_ms:
            raise InvalidField("since", "further back than events are kept")
        return await self.resending.all_since(world, subscription, since_ms=since_ms, until_ms=until_ms)

    async def deliveries(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        state: DeliveryState | None,
        after: str | None,
        limit: int,
    ) -> Page[Delivery]:
        subscription = await self.subscribe.get(world, partner_id, subscription_id)
        return await self.deliveries_desk.of_subscription(world, subscription, state=state, after=after, limit=limit)


def _dead_position(ref: DeliveryRef) -> str:
    return ref.event.item + encode(ref.subscription_number, 4)
