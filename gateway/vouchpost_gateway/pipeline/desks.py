"""The desks: what the API may read of, and do to, what is stored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from vouchpost_gateway.domain.delivery import Delivery, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import Conflict, InvalidField, NotFound
from vouchpost_gateway.domain.event import Event, EventType
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, encode
from vouchpost_gateway.domain.lane import QUEUE_OF, Lane, Ring, verifications
from vouchpost_gateway.domain.page import ALWAYS, Page, Span
from vouchpost_gateway.domain.subscription import NewSubscription, Recovery, Subscription
from vouchpost_gateway.domain.verification import Accepted, NewVerification, Status, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.accept import Accept
from vouchpost_gateway.pipeline.resend import Resend
from vouchpost_gateway.pipeline.subscribe import Subscribe
from vouchpost_gateway.pipeline.verify import CHECK, JUDGE_AGAIN
from vouchpost_gateway.pipeline.wait import Wait

_SCAN = 100
_SCAN_PAGES = 10
"""How many pages a filtered list looks through before it answers with what it found and where to go on."""


class VerificationRecords(Protocol):
    async def view(self, world: World, stem: str) -> Verification | None: ...

    async def views(self, world: World, stems: Sequence[str]) -> list[Verification]: ...

    async def stems(self, world: World, *, after: str | None, limit: int, span: Span = ...) -> list[str]: ...

    async def dead(self, world: World, *, after: str | None, limit: int, span: Span) -> list[str]: ...

    async def erase(self, world: World, stem: str) -> bool: ...


class DeliveryRecords(Protocol):
    async def get(self, world: World, ref: DeliveryRef) -> Delivery: ...

    async def many(self, world: World, refs: Sequence[DeliveryRef]) -> list[Delivery]: ...

    async def latest(
        self, world: World, number: int, *, after: str | None, limit: int, span: Span
    ) -> list[DeliveryRef]: ...

    async def dead(self, world: World, *, after: str | None, limit: int, span: Span) -> list[DeliveryRef]: ...

    async def event(self, world: World, ref: EventRef) -> Event | None: ...

    async def events_of(self, world: World, stem: str) -> list[tuple[Event, dict[int, DeliveryState]]]: ...

    async def rests(self, world: World, numbers: Sequence[int]) -> list[int]: ...


class Enlist(Protocol):
    async def enlist(self, lane: Lane, item: str, *, queue: int, state: bytes) -> tuple[str, list[Ring]]: ...


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
        self,
        world: World,
        *,
        status: Status | None,
        subject_id: str | None,
        span: Span = ALWAYS,
        after: str | None,
        limit: int,
    ) -> Page[Verification]:
        """A page, newest first. A filter looks through a bounded number of verifications a page."""
        found: list[Verification] = []
        for _ in range(_SCAN_PAGES):
            stems = await self.records.stems(world, after=after, limit=_SCAN, span=span)
            for view in await self.records.views(world, stems):
                if (status is None or view.status is status) and subject_id in {None, view.subject_id}:
                    found.append(view)
                    if len(found) == limit:
                        return Page(found, view.stem)
            if len(stems) < _SCAN:
                return Page(found, None)
            after = stems[-1]
        return Page(found, after)

    async def recheck(self, world: World, stem: str) -> Verification:
        """Puts the verification in line again; Conflict while it is still being verified."""
        return await self._again(world, stem, CHECK)

    async def judge_again(self, world: World, stem: str) -> Verification:
        """Puts it in line to be judged by the policy of now, without a check; Conflict where a check is to come."""
        return await self._again(world, stem, JUDGE_AGAIN)

    async def _again(self, world: World, stem: str, wanted: bytes) -> Verification:
        found = await self.get(world, stem)
        if found.verdict is None:
            raise Conflict("the verification is still pending")
        if wanted == JUDGE_AGAIN and found.verdict.degraded:
            raise Conflict("the verdict is degraded: the checks to come will judge it by the policy of then")
        queue = QUEUE_OF[found.priority]
        answer, rings = await self.lanes.enlist(verifications(world), stem, queue=queue, state=wanted)
        if answer == "in_flight":
            raise Conflict("the verification is being checked or judged right now; ask again in a moment")
        self.ring(rings)
        return found

    async def erase(self, world: World, stem: str) -> None:
        await self.get(world, stem)
        await self.records.erase(world, stem)


@dataclass(frozen=True, slots=True)
class DeliveryDesk:
    """Deliveries. A partner sees those of its own subscriptions."""

    records: DeliveryRecords
    subscriptions: Subscribe
    resending: Resend

    async def get(self, world: World, partner_id: str | None, ref: DeliveryRef) -> Delivery:
        """A delivery whose subscription is gone is shown to the tenant, and to no partner."""
        subscription = await self.subscriptions.find(world, ref.subscription_number)
        if partner_id is not None and (subscription is None or subscription.owner != partner_id):
            raise NotFound("delivery")
        return named(await self.records.get(world, ref), subscription)

    async def resend(
        self, world: World, partner_id: str | None, ref: DeliveryRef, *, draw: Draw | None = None
    ) -> Delivery:
        """The delivery, back in line; NotFound when its subscription is gone."""
        before = await self.get(world, partner_id, ref)
        if before.subscription_id is None:
            raise NotFound("delivery")
        await self.resending.one(world, ref, draw=draw)
        return await self.get(world, partner_id, ref)


@dataclass(frozen=True, slots=True)
class DeadLetterDesk:
    """What ended without success, kept to be resent or rechecked."""

    delivery_records: DeliveryRecords
    verification_records: VerificationRecords
    subscriptions: Subscribe

    async def verifications(
        self, world: World, *, span: Span = ALWAYS, after: str | None, limit: int
    ) -> Page[Verification]:
        stems = await self.verification_records.dead(world, after=after, limit=limit, span=span)
        views = await self.verification_records.views(world, stems)
        return Page(views, stems[-1] if len(stems) == limit else None)

    async def deliveries(
        self, world: World, partner_id: str | None, *, span: Span = ALWAYS, after: str | None, limit: int
    ) -> Page[Delivery]:
        """Those of subscriptions that still exist: the others can be sent nowhere."""
        found: list[Delivery] = []
        for _ in range(_SCAN_PAGES):
            refs = await self.delivery_records.dead(world, after=after, limit=_SCAN, span=span)
            seen = [ref for ref in refs if await sees(self.subscriptions, world, partner_id, ref)]
            for delivery in await self.delivery_records.many(world, seen):
                subscription = await self.subscriptions.find(world, delivery.ref.subscription_number)
                found.append(named(delivery, subscription))
                if len(found) == limit:
                    return Page(found, _dead_position(delivery.ref))
            if len(refs) < _SCAN:
                return Page(found, None)
            after = _dead_position(refs[-1])
        return Page(found, after)


@dataclass(frozen=True, slots=True)
class EventDesk:
    """Events, as the bytes that were stored. A partner sees those that went to a subscription of its own."""

    records: DeliveryRecords
    subscriptions: Subscribe

    async def get(self, world: World, partner_id: str | None, ref: EventRef) -> Event:
        found = await self.records.event(world, ref)
        if found is None or (partner_id is not None and not await self._went_to(world, partner_id, ref)):
            raise NotFound("event")
        return found

    async def _went_to(self, world: World, partner_id: str, ref: EventRef) -> bool:
        for event, states in await self.records.events_of(world, ref.stem):
            if event.revision == ref.revision:
                refs = [DeliveryRef(ref, number) for number in states]
                return any([await sees(self.subscriptions, world, partner_id, one) for one in refs])
        return False


@dataclass(frozen=True, slots=True)
class SubscriptionDesk:
    """Subscriptions, and what was sent to each."""

    subscribe: Subscribe
    records: DeliveryRecords
    resending: Resend
    now_ms: Callable[[], int]
    kept_ms: int

    async def create(
        self, world: World, partner_id: str | None, new: NewSubscription, *, draw: Draw | None = None
    ) -> Subscription:
        return await self.subscribe.create(world, partner_id, new, draw=draw)

    async def get(self, world: World, partner_id: str | None, subscription_id: str) -> Subscription:
        return await self.subscribe.get(world, partner_id, subscription_id)

    async def list(self, world: World, partner_id: str | None, *, after: str | None, limit: int) -> Page[Subscription]:
        return await self.subscribe.list(world, partner_id, after=after, limit=limit)

    async def resting(self, world: World, subscriptions: Sequence[Subscription]) -> dict[int, int]:
        """Until when those of them rest that do, by number. Enabling ends a rest: no disabled one has any."""
        numbers = [subscription.number for subscription in subscriptions if subscription.enabled]
        ends = zip(numbers, await self.records.rests(world, numbers), strict=True)
        return {number: end_ms for number, end_ms in ends if end_ms > self.now_ms()}

    async def replace(self, world: World, partner_id: str | None, changed: Subscription) -> Subscription:
        return await self.subscribe.replace(world, partner_id, changed)

    async def delete(self, world: World, partner_id: str | None, subscription_id: str) -> None:
        await self.subscribe.delete(world, partner_id, subscription_id)

    async def rotate_secret(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        overlap_ms: int,
        new_key: bytes | None,
        draw: Draw | None = None,
    ) -> Subscription:
        return await self.subscribe.rotate_secret(
            world, partner_id, subscription_id, overlap_ms=overlap_ms, new_key=new_key, draw=draw
        )

    async def test(
        self, world: World, partner_id: str | None, subscription_id: str, *, draw: Draw | None = None
    ) -> DeliveryRef:
        return await self.subscribe.test(world, partner_id, subscription_id, draw=draw)

    async def recover(
        self, world: World, partner_id: str | None, subscription_id: str, *, since_ms: int, until_ms: int | None
    ) -> Recovery:
        """Resends all since a time that did not arrive; InvalidField when that is further back than events are kept."""
        subscription = await self.subscribe.get(world, partner_id, subscription_id)
        if since_ms < self.now_ms() - self.kept_ms:
            raise InvalidField("since", "further back than events are kept")
        return await self.resending.all_since(world, subscription, since_ms=since_ms, until_ms=until_ms)

    async def deliveries(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        state: DeliveryState | None,
        event_type: EventType | None,
        span: Span = ALWAYS,
        after: str | None,
        limit: int,
    ) -> Page[Delivery]:
        """The latest deliveries of a subscription, newest first. A filter looks through a bounded number of them."""
        subscription = await self.subscribe.get(world, partner_id, subscription_id)
        found: list[Delivery] = []
        for _ in range(_SCAN_PAGES):
            refs = await self.records.latest(world, subscription.number, after=after, limit=_SCAN, span=span)
            for delivery in await self.records.many(world, refs):
                if state in {None, delivery.state} and event_type in {None, delivery.event_type}:
                    found.append(named(delivery, subscription))
                    if len(found) == limit:
                        return Page(found, delivery.ref.event.item)
            if len(refs) < _SCAN:
                return Page(found, None)
            after = refs[-1].event.item
        return Page(found, after)


async def sees(subscriptions: Subscribe, world: World, partner_id: str | None, ref: DeliveryRef) -> bool:
    """Whether the subscription of a delivery exists, and is the partner's where a partner asks."""
    subscription = await subscriptions.find(world, ref.subscription_number)
    return subscription is not None and (partner_id is None or subscription.owner == partner_id)


def named(delivery: Delivery, subscription: Subscription | None) -> Delivery:
    """The delivery with the id of its subscription, where that still exists."""
    return replace(delivery, subscription_id=subscription.id if subscription else None)


def _dead_position(ref: DeliveryRef) -> str:
    return ref.event.item + encode(ref.subscription_number, 4)
