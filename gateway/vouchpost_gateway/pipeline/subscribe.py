"""Subscriptions: made, changed, rotated, tested, disabled, removed. A change and the event of it are one write."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.access import Partner
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import Conflict, InvalidField, NotFound
from vouchpost_gateway.domain.event import Event, EventType, build
from vouchpost_gateway.domain.ids import (
    NUMBER_LENGTH,
    DeliveryRef,
    EventRef,
    new_stem,
    parse_subscription_id,
    subscription_id,
)
from vouchpost_gateway.domain.lane import Ring
from vouchpost_gateway.domain.page import Page
from vouchpost_gateway.domain.secret import SigningSecret, rotate
from vouchpost_gateway.domain.subscription import DisabledReason, NewSubscription, Subscription
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.report import Report

_NEW_SECRET_BYTES = 32
_MAX_ROUNDS = 20


class SubscriptionSet(Protocol):
    @property
    def revision(self) -> int: ...

    @property
    def by_number(self) -> dict[int, Subscription]: ...

    def matching(self, event_type: str) -> list[Subscription]: ...


class SubscriptionRecords(Protocol):
    async def fresh(self, world: World) -> SubscriptionSet: ...

    async def at(self, world: World, revision: int) -> SubscriptionSet: ...

    async def next_number(self, world: World) -> int: ...

    async def write(
        self,
        world: World,
        changed: Subscription,
        *,
        new: bool,
        event: Event | None = ...,
        targets: Sequence[int] = ...,
        set_revision: int | None = ...,
        moved: bool = ...,
    ) -> list[Ring]: ...

    async def remove(self, world: World, subscription: Subscription) -> None: ...

    async def announce(
        self, world: World, event: Event, targets: Sequence[int], *, ends_rest: bool = ...
    ) -> list[Ring]: ...


class Partners(Protocol):
    async def partner(self, world: World, partner_id: str) -> Partner | None: ...


@dataclass(frozen=True, slots=True)
class Subscribe:
    """The subscriptions of all worlds. A partner sees only its own; to it the others do not exist."""

    records: SubscriptionRecords
    partners: Partners
    ring: Callable[[Sequence[Ring]], None]
    report: Report
    now_ms: Callable[[], int]
    draw: Callable[[], Draw]
    max_matches: int
    max_partner_matches: int

    async def create(
        self, world: World, partner_id: str | None, new: NewSubscription, *, draw: Draw | None = None
    ) -> Subscription:
        """A new subscription with a secret of its own; its lane exists from now on. With a draw, the one made of it."""
        if draw is not None and (made := await self._made_of(world, draw)):
            await self._check_partner(world, made)
            return made
        await self._check_matches(world, partner_id, new.event_types, enabled=new.enabled)
        number = await self.records.next_number(world)
        drawn = draw or self.draw()
        now_ms = drawn.now_ms
        made = Subscription(
            id=_id(drawn, number),
            number=number,
            url=new.url,
            event_types=new.event_types,
            secrets=(SigningSecret(new.secret_key or _new_secret(drawn)),),
            created_ms=now_ms,
            owner=partner_id,
            description=new.description,
            enabled=new.enabled,
            disabled_reason=None if new.enabled else DisabledReason.BY_OWNER,
            disabled_ms=None if new.enabled else now_ms,
            headers=new.headers,
            schedule_s=new.schedule_s,
            max_in_flight=new.max_in_flight,
            include_address=new.include_address,
        )
        self.ring(await self.records.write(world, made, new=True))
        await self._check_partner(world, made)
        return made

    async def _check_partner(self, world: World, made: Subscription) -> None:
        """A partner's key works for a moment after the partner was deleted, and what was made then must not stay.

        Looked at behind the write: who deletes a partner looks for its subscriptions behind that again.
        """
        if made.owner is not None and await self.partners.partner(world, made.owner) is None:
            await self.records.remove(world, made)
            raise NotFound("partner")

    async def _made_of(self, world: World, draw: Draw) -> Subscription | None:
        """What was made with this draw already, by someone who could not say so."""
        known = (await self.records.fresh(world)).by_number.values()
        beginning = _id(draw, 0)[:-NUMBER_LENGTH]
        return next((subscription for subscription in known if subscription.id.startswith(beginning)), None)

    async def get(self, world: World, partner_id: str | None, subscription_id: str) -> Subscription:
        """The subscription as it is now; NotFound when there is none, or it is not the partner's."""
        number = parse_subscription_id(subscription_id)
        found = (await self.records.fresh(world)).by_number.get(number)
        if found is None or found.id != subscription_id or not _sees(partner_id, found):
            raise NotFound("subscription")
        return found

    async def find(self, world: World, number: int) -> Subscription | None:
        """The subscription of this number, as it is now."""
        return (await self.records.fresh(world)).by_number.get(number)

    async def find_at(self, world: World, number: int, revision: int) -> Subscription | None:
        """The subscription of this number as it was at a revision of the set, or later: asks only when that is news."""
        return (await self.records.at(world, revision)).by_number.get(number)

    async def list(self, world: World, partner_id: str | None, *, after: str | None, limit: int) -> Page[Subscription]:
        """A page of the subscriptions that the caller sees, the newest first."""
        found = [s for s in (await self.records.fresh(world)).by_number.values() if _sees(partner_id, s)]
        found.sort(key=lambda s: s.id, reverse=True)
        page = [s for s in found if after is None or s.id < after]
        return Page(page[:limit], page[limit - 1].id if len(page) > limit else None)

    async def replace(self, world: World, partner_id: str | None, changed: Subscription) -> Subscription:
        """Stores a change to what was read at `changed.version`; Conflict when someone else was faster.

        At another URL it begins anew, as one that is enabled does: what the server before asked for or failed in is not
        held against this one.
        """
        before = await self.get(world, partner_id, changed.id)
        if before.version != changed.version:
            raise Conflict("the subscription was changed by someone else; read it again")
        await self._check_matches(
            world, changed.owner, changed.event_types, enabled=changed.enabled, besides=changed.number
        )
        stored = dataclasses.replace(
            changed,
            version=changed.version + 1,
            disabled_reason=None if changed.enabled else (before.disabled_reason or DisabledReason.BY_OWNER),
            disabled_ms=None if changed.enabled else (before.disabled_ms or self.now_ms()),
        )
        self.ring(await self.records.write(world, stored, new=False, moved=stored.url != before.url))
        return stored

    async def delete(self, world: World, partner_id: str | None, subscription_id: str) -> None:
        """Removes the subscription; deliveries that had not ended are dropped, and shown as dropped."""
        await self.records.remove(world, await self.get(world, partner_id, subscription_id))

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
        """A new secret signs at once; the current one goes on beside it for the overlap, and older ones for theirs."""
        before = await self.get(world, partner_id, subscription_id)
        drawn = draw or self.draw()
        key = new_key or _new_secret(drawn)
        if new_key is None and any(secret.key == key for secret in before.secrets):
            return before  # what was drawn signs already, or did before another rotation: this one was carried out
        secrets = rotate(before.secrets, new_key=key, now_ms=drawn.now_ms, overlap_ms=overlap_ms)
        if secrets == before.secrets:
            return before
        after = dataclasses.replace(before, secrets=secrets, version=before.version + 1)
        await self.records.write(world, after, new=False)
        return after

    async def test(
        self, world: World, partner_id: str | None, subscription_id: str, *, draw: Draw | None = None
    ) -> DeliveryRef:
        """Sends one `subscription.test` event to this subscription alone, now; with the same draw, the same one."""
        subscription = await self.get(world, partner_id, subscription_id)
        if not subscription.enabled:
            raise Conflict("the subscription is disabled; enable it first")
        data = {"subscription_id": subscription.id, "message": "A test event: your receiver works."}
        drawn = draw or self.draw()
        event = _event(drawn, EventType.SUBSCRIPTION_TEST, data, at_ms=drawn.now_ms)
        self.ring(await self.records.announce(world, event, [subscription.number], ends_rest=True))
        return DeliveryRef(EventRef(event.stem, 0), subscription.number)

    async def disable(self, world: World, number: int, reason: DisabledReason, *, now_ms: int) -> None:
        """Pauses a subscription and tells the tenant's others, in one write. A repeat finds it disabled."""
        for _ in range(_MAX_ROUNDS):
            known = await self.records.fresh(world)
            before = known.by_number.get(number)
            if before is None or not before.enabled:
                return
            after = dataclasses.replace(
                before, enabled=False, disabled_reason=reason, disabled_ms=now_ms, version=before.version + 1
            )
            with suppress(Conflict):  # the set moved meanwhile: look again
                await self._write_disabled(world, known, after)
                self.report.disabled(world, after)
                return

    async def _write_disabled(self, world: World, known: SubscriptionSet, after: Subscription) -> None:
        reason = after.disabled_reason.value if after.disabled_reason else None
        data = {"subscription_id": after.id, "reason": reason, "partner_id": after.owner}
        event = _event(self.draw(), EventType.SUBSCRIPTION_DISABLED, data, at_ms=after.disabled_ms or 0)
        others = known.matching(EventType.SUBSCRIPTION_DISABLED)
        targets = sorted(s.number for s in others if s.number != after.number and s.owner is None)
        self.ring(
            await self.records.write(world, after, new=False, event=event, targets=targets, set_revision=known.revision)
        )

    async def _check_matches(
        self,
        world: World,
        owner: str | None,
        event_types: frozenset[str],
        *,
        enabled: bool,
        besides: int | None = None,
    ) -> None:
        """An event that matched more subscriptions than one write may hold could not keep its promise.

        A partner has its share of them, so that it leaves some to the others.
        """
        if not enabled:
            return
        known = await self.records.fresh(world)
        for kind in EventType:
            if event_types and kind.value not in event_types:
                continue
            others = [s for s in known.matching(kind.value) if s.number != besides]
            if len(others) >= self.max_matches:
                raise _too_many(kind, self.max_matches)
            if owner is not None and sum(s.owner == owner for s in others) >= self.max_partner_matches:
                raise _too_many(kind, self.max_partner_matches, "of this partner")


def _too_many(kind: EventType, limit: int, whose: str = "") -> InvalidField:
    words = f"{kind.value} already goes to {limit} subscriptions {whose}".rstrip()
    return InvalidField("event_types", f"{words}, which is the limit")


def _id(draw: Draw, number: int) -> str:
    return subscription_id(now_ms=draw.now_ms, random_bits=draw.bits("subscription"), number=number)


def _new_secret(draw: Draw) -> bytes:
    return draw.octets("signing secret", _NEW_SECRET_BYTES)


def _event(draw: Draw, kind: EventType, data: Mapping[str, str | None], *, at_ms: int) -> Event:
    stem = new_stem(now_ms=draw.now_ms, random_bits=draw.bits("event"))
    return build(stem, 0, kind, at_ms=at_ms, data=data)


def _sees(partner_id: str | None, subscription: Subscription) -> bool:
    return partner_id is None or subscription.owner == partner_id
