"""The services of the API kept in dictionaries: true to the Protocols' words, with the ledger's promises left out.

Nothing but a resend dies half-way here, so nothing else is made a second time of what was drawn before.
"""

import asyncio
import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from vouchpost_gateway.api.services import Services
from vouchpost_gateway.domain.access import ApiKey, Partner, hash_secret, parse_key
from vouchpost_gateway.domain.delivery import Delivery, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import (
    Conflict,
    IdempotencyConflict,
    IdempotencyPending,
    InvalidField,
    NotAuthenticated,
    NotFound,
    Overloaded,
)
from vouchpost_gateway.domain.event import Event, EventType, build, verdict_event
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, encode, new_stem, plain_id, subscription_id, time_ms
from vouchpost_gateway.domain.keyed import Begun, Keyed
from vouchpost_gateway.domain.page import Page, Span
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.domain.secret import SigningSecret, rotate
from vouchpost_gateway.domain.subscription import NewSubscription, Recovery, Subscription
from vouchpost_gateway.domain.tenant_policy import NO_POLICY, TenantPolicy
from vouchpost_gateway.domain.verification import (
    Accepted,
    CheckRun,
    Finding,
    Flags,
    NewVerification,
    ReasonCode,
    Status,
    Verdict,
    Verification,
)
from vouchpost_gateway.domain.world import Mode, Principal, Scope, World

Item = TypeVar("Item")
NOW_MS = 1_795_341_600_123

VALID = Verdict(
    status=Status.VALID,
    reason_code=ReasonCode.DOMAIN_ACCEPTS_MAIL,
    score=0.95,
    flags=Flags(disposable=False, role=False, free=True),
    findings=(Finding("mx", "mx_found", {"hosts": 2}),),
    normalised="ada@example.org",
    domain="example.org",
    policy_version="2026-11-01",
)


def page_of(items: Sequence[Item], *, name: Callable[[Item], str], after: str | None, limit: int) -> Page[Item]:
    """Newest first, after the position exclusive."""
    ordered = sorted(items, key=name, reverse=True)
    rest = [item for item in ordered if after is None or name(item) < after]
    following = name(rest[limit - 1]) if len(rest) > limit else None
    return Page(rest[:limit], following)


@dataclass
class Shelf:
    """Everything that one world owns."""

    verifications: dict[str, Verification] = field(default_factory=dict)
    idempotency: dict[str, tuple[bytes, Accepted]] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    deliveries: dict[DeliveryRef, Delivery] = field(default_factory=dict)
    events: dict[EventRef, Event] = field(default_factory=dict)
    partners: dict[str, Partner] = field(default_factory=dict)
    rests: dict[int, int] = field(default_factory=dict)
    policy: TenantPolicy = NO_POLICY
    keyed: dict[Keyed, tuple[bytes, bytes | None]] = field(default_factory=dict)


@dataclass
class MemoryStore:
    """The state behind all services, and the knobs that tests turn."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    shelves: dict[str, Shelf] = field(default_factory=dict)
    readiness: Readiness = field(default_factory=lambda: Readiness(ready=True, problems=[]))
    failure: Exception | None = None
    rotation_failure: Exception | None = None
    resend_failure: Exception | None = None
    resent: set[Draw] = field(default_factory=set)
    is_under_way: bool = False
    conflicts: int = 0
    waiters: int = 0
    waiter_came: asyncio.Event = field(default_factory=asyncio.Event)
    max_waiters: int = 1000
    verdict_arrived: dict[str, asyncio.Event] = field(default_factory=dict)
    numbers: int = 0

    def shelf(self, world: World) -> Shelf:
        """Every look at the store may fail in the way that a test asked for."""
        if self.failure is not None:
            raise self.failure
        return self.shelves.setdefault(world.name, Shelf())

    def next_number(self) -> int:
        self.numbers += 1
        return self.numbers

    def issue_key(
        self,
        *scopes: Scope,
        tenant_id: str = "ten_a",
        mode: Mode = Mode.TEST,
        partner_id: str | None = None,
        expires_ms: int | None = None,
        label: str = "",
    ) -> tuple[ApiKey, str]:
        secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()
        key = ApiKey(
            short_id=encode(self.next_number(), 12),
            tenant_id=tenant_id,
            mode=mode,
            partition=0,
            secret_hash=hash_secret(secret),
            scopes=frozenset(scopes),
            created_ms=NOW_MS,
            label=label,
            partner_id=partner_id,
            expires_ms=expires_ms,
        )
        self.keys[key.short_id] = key
        return key, f"{key.id}_{secret}"

    def give_verdict(self, world: World, stem: str, verdict: Verdict = VALID) -> None:
        """What a worker would do: commit the verdict and its event, and wake those who wait."""
        shelf = self.shelf(world)
        before = shelf.verifications[stem]
        run = CheckRun(1, NOW_MS, 12, verdict.reason_code, verdict.findings)
        after = replace(
            before, verdict=verdict, revision=before.revision + 1, checked_ms=NOW_MS, email_hash="ab" * 32, runs=(run,)
        )
        shelf.verifications[stem] = after
        event = verdict_event(
            before, verdict, revision=after.revision, at_ms=NOW_MS, checked_ms=NOW_MS, email_hash="ab" * 32
        )
        shelf.events[EventRef(stem, after.revision)] = event
        if stem in self.verdict_arrived:
            self.verdict_arrived[stem].set()


class MemoryAuthentication:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def sign_in(self, key_text: str) -> Principal:
        if self._store.failure is not None:
            raise self._store.failure
        presented = parse_key(key_text)
        key = None if presented is None else self._store.keys.get(presented.short_id)
        if presented is None or key is None or key.secret_hash != presented.secret_hash or key.mode != presented.mode:
            raise NotAuthenticated
        if key.expires_ms is not None and key.expires_ms <= NOW_MS:
            raise NotAuthenticated
        world = World(key.tenant_id, key.mode, key.partition)
        return Principal(world, key.id, key.scopes, key.partner_id)


class MemoryVerifications:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def accept(self, world: World, new: NewVerification, *, idempotency_key: str | None, body: bytes) -> Accepted:
        shelf = self._store.shelf(world)
        if idempotency_key in shelf.idempotency:
            seen_body, accepted = shelf.idempotency[idempotency_key]
            if seen_body != body:
                raise IdempotencyConflict
            return replace(accepted, repeated=True)
        number = self._store.next_number()
        accepted = Accepted(new_stem(now_ms=NOW_MS, random_bits=number), NOW_MS * 1000 + number, repeated=False)
        shelf.verifications[accepted.stem] = Verification(
            accepted.stem,
            accepted.sequence,
            new.address,
            new.depth,
            new.priority,
            new.subject_id,
            new.metadata,
            NOW_MS,
        )
        if idempotency_key is not None:
            shelf.idempotency[idempotency_key] = (body, accepted)
        return accepted

    async def get(self, world: World, stem: str) -> Verification:
        return _found(self._store.shelf(world).verifications, stem, "verification")

    async def wait(self, world: World, stem: str, *, seconds: float) -> Verification:
        verification = await self.get(world, stem)
        if verification.verdict is not None:
            return verification
        if self._store.waiters >= self._store.max_waiters:
            raise Overloaded("too many waiters", retry_after_s=1)
        self._store.waiters += 1
        self._store.waiter_came.set()
        arrived = self._store.verdict_arrived.setdefault(stem, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await arrived.wait()
        except TimeoutError:
            pass
        finally:
            self._store.waiters -= 1
        return await self.get(world, stem)

    async def list(
        self,
        world: World,
        *,
        status: Status | None,
        subject_id: str | None,
        span: Span,
        after: str | None,
        limit: int,
    ) -> Page[Verification]:
        items = [
            item
            for item in self._store.shelf(world).verifications.values()
            if status in {None, item.status} and subject_id in {None, item.subject_id} and _within(span, item.stem)
        ]
        return page_of(items, name=lambda item: item.stem, after=after, limit=limit)

    async def recheck(self, world: World, stem: str) -> Verification:
        verification = await self.get(world, stem)
        if verification.verdict is None:
            raise Conflict("the verification has no verdict yet")
        return verification

    async def judge_again(self, world: World, stem: str) -> Verification:
        return await self.recheck(world, stem)

    async def erase(self, world: World, stem: str) -> None:
        await self.get(world, stem)
        del self._store.shelf(world).verifications[stem]


class MemorySubscriptions:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def create(
        self,
        world: World,
        partner_id: str | None,
        new: NewSubscription,
        *,
        draw: Draw | None,  # noqa: ARG002
    ) -> Subscription:
        number = self._store.next_number()
        subscription = Subscription(
            id=subscription_id(now_ms=NOW_MS, random_bits=number, number=number),
            number=number,
            url=new.url,
            event_types=new.event_types,
            secrets=(SigningSecret(new.secret_key or secrets.token_bytes(32)),),
            created_ms=NOW_MS,
            owner=partner_id,
            description=new.description,
            enabled=new.enabled,
            headers=new.headers,
            schedule_s=new.schedule_s,
            max_in_flight=new.max_in_flight,
            include_address=new.include_address,
        )
        self._store.shelf(world).subscriptions[subscription.id] = subscription
        return subscription

    async def get(self, world: World, partner_id: str | None, subscription_id: str) -> Subscription:
        subscription = _found(self._store.shelf(world).subscriptions, subscription_id, "subscription")
        if partner_id not in {None, subscription.owner}:
            raise NotFound("subscription")
        return subscription

    async def list(self, world: World, partner_id: str | None, *, after: str | None, limit: int) -> Page[Subscription]:
        everything = self._store.shelf(world).subscriptions.values()
        items = [item for item in everything if partner_id in {None, item.owner}]
        return page_of(items, name=lambda item: item.id, after=after, limit=limit)

    async def resting(self, world: World, subscriptions: Sequence[Subscription]) -> dict[int, int]:
        ends = self._store.shelf(world).rests
        return {one.number: ends[one.number] for one in subscriptions if one.number in ends}

    async def replace(self, world: World, partner_id: str | None, changed: Subscription) -> Subscription:
        stored = await self.get(world, partner_id, changed.id)
        if self._store.conflicts > 0:
            self._store.conflicts -= 1
            raise Conflict("the subscription was changed meanwhile")
        if stored.version != changed.version:
            raise Conflict("the subscription was changed meanwhile")
        after = replace(changed, version=stored.version + 1)
        self._store.shelf(world).subscriptions[after.id] = after
        return after

    async def delete(self, world: World, partner_id: str | None, subscription_id: str) -> None:
        await self.get(world, partner_id, subscription_id)
        del self._store.shelf(world).subscriptions[subscription_id]

    async def rotate_secret(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        overlap_ms: int,
        new_key: bytes | None,
        draw: Draw | None,  # noqa: ARG002
    ) -> Subscription:
        if self._store.rotation_failure is not None:
            raise self._store.rotation_failure
        before = await self.get(world, partner_id, subscription_id)
        fresh = new_key or secrets.token_bytes(32)
        rotated = rotate(before.secrets, new_key=fresh, now_ms=NOW_MS, overlap_ms=overlap_ms)
        return await self.replace(world, partner_id, replace(before, secrets=rotated))

    async def test(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        draw: Draw | None,  # noqa: ARG002
    ) -> DeliveryRef:
        subscription = await self.get(world, partner_id, subscription_id)
        stem = new_stem(now_ms=NOW_MS, random_bits=self._store.next_number())
        data = {"subscription_id": subscription.id}
        event = build(stem, 0, EventType.SUBSCRIPTION_TEST, at_ms=NOW_MS, data=data)
        ref = DeliveryRef(EventRef(stem, 0), subscription.number)
        shelf = self._store.shelf(world)
        shelf.events[ref.event] = event
        shelf.deliveries[ref] = Delivery(
            ref,
            EventType.SUBSCRIPTION_TEST,
            DeliveryState.PENDING,
            0,
            (),
            next_attempt_ms=NOW_MS,
            subscription_id=subscription.id,
        )
        return ref

    async def recover(
        self, world: World, partner_id: str | None, subscription_id: str, *, since_ms: int, until_ms: int | None
    ) -> Recovery:
        await self.get(world, partner_id, subscription_id)
        return Recovery(subscription_id, since_ms, NOW_MS if until_ms is None else until_ms)

    async def deliveries(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        state: DeliveryState | None,
        event_type: EventType | None,
        span: Span,
        after: str | None,
        limit: int,
    ) -> Page[Delivery]:
        subscription = await self.get(world, partner_id, subscription_id)
        items = [
            item
            for item in self._store.shelf(world).deliveries.values()
            if item.ref.subscription_number == subscription.number
            and state in {None, item.state}
            and event_type in {None, item.event_type}
            and _within(span, item.ref.event.stem)
        ]
        return page_of(items, name=lambda item: item.ref.id, after=after, limit=limit)


class MemoryDeliveries:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def get(self, world: World, partner_id: str | None, ref: DeliveryRef) -> Delivery:
        delivery = _found(self._store.shelf(world).deliveries, ref, "delivery")
        if partner_id not in {None, _owner(self._store.shelf(world), ref)}:
            raise NotFound("delivery")
        return delivery

    async def resend(
        self,
        world: World,
        partner_id: str | None,
        ref: DeliveryRef,
        *,
        draw: Draw | None,
    ) -> Delivery:
        before = await self.get(world, partner_id, ref)
        if draw in self._store.resent:
            return before
        if draw is not None:
            self._store.resent.add(draw)
        after = replace(before, state=DeliveryState.PENDING, next_attempt_ms=NOW_MS, ended_ms=None)
        self._store.shelf(world).deliveries[ref] = after
        if self._store.resend_failure is not None:
            raise self._store.resend_failure
        return after


class MemoryDeadLetters:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def verifications(self, world: World, *, span: Span, after: str | None, limit: int) -> Page[Verification]:
        everything = self._store.shelf(world).verifications.values()
        items = [item for item in everything if item.dead and _within(span, item.stem)]
        return page_of(items, name=lambda item: item.stem, after=after, limit=limit)

    async def deliveries(
        self, world: World, partner_id: str | None, *, span: Span, after: str | None, limit: int
    ) -> Page[Delivery]:
        shelf = self._store.shelf(world)
        items = [
            item
            for item in shelf.deliveries.values()
            if item.state is DeliveryState.DEAD
            and partner_id in {None, _owner(shelf, item.ref)}
            and _within(span, item.ref.event.stem)
        ]
        return page_of(items, name=lambda item: item.ref.id, after=after, limit=limit)


class MemoryEvents:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def get(self, world: World, partner_id: str | None, ref: EventRef) -> Event:
        shelf = self._store.shelf(world)
        owners = {_owner(shelf, delivery) for delivery in shelf.deliveries if delivery.event == ref}
        if partner_id is not None and partner_id not in owners:
            raise NotFound("event")
        return _found(shelf.events, ref, "event")


class MemoryAccess:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def keys(self, world: World, *, after: str | None, limit: int) -> Page[ApiKey]:
        self._store.shelf(world)
        items = [key for key in self._store.keys.values() if (key.tenant_id, key.mode) == (world.tenant_id, world.mode)]
        return page_of(items, name=lambda key: key.short_id, after=after, limit=limit)

    async def create_key(
        self,
        world: World,
        *,
        scopes: frozenset[Scope],
        label: str,
        partner_id: str | None,
        expires_ms: int | None,
    ) -> tuple[ApiKey, str]:
        if partner_id is not None and partner_id not in self._store.shelf(world).partners:
            raise InvalidField("partner_id", "no such partner")
        return self._store.issue_key(
            *scopes,
            tenant_id=world.tenant_id,
            mode=world.mode,
            partner_id=partner_id,
            expires_ms=expires_ms,
            label=label,
        )

    async def revoke_key(self, world: World, key_id: str) -> None:
        """By the short id alone: that the rest of the id fits is for the API to see to."""
        mine = {key.short_id: key for key in (await self.keys(world, after=None, limit=10**6)).items}
        del self._store.keys[_found(mine, key_id[-12:], "key").short_id]

    async def partners(self, world: World, *, after: str | None, limit: int) -> Page[Partner]:
        items = list(self._store.shelf(world).partners.values())
        return page_of(items, name=lambda partner: partner.id, after=after, limit=limit)

    async def create_partner(
        self,
        world: World,
        *,
        name: str,
        draw: Draw | None,  # noqa: ARG002
    ) -> Partner:
        partner = Partner(plain_id("prt", now_ms=NOW_MS, random_bits=self._store.next_number()), name, NOW_MS)
        self._store.shelf(world).partners[partner.id] = partner
        return partner

    async def delete_partner(self, world: World, partner_id: str) -> None:
        shelf = self._store.shelf(world)
        _found(shelf.partners, partner_id, "partner")
        del shelf.partners[partner_id]
        shelf.subscriptions = {key: item for key, item in shelf.subscriptions.items() if item.owner != partner_id}
        self._store.keys = {key: item for key, item in self._store.keys.items() if item.partner_id != partner_id}

    async def email_hash_key(self, world: World) -> bytes:
        self._store.shelf(world)
        return world.tenant_id.encode().ljust(32, b"\x00")


class MemoryPolicies:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def read(self, world: World) -> TenantPolicy:
        return self._store.shelf(world).policy

    async def write(self, world: World, policy: TenantPolicy) -> None:
        self._store.shelf(world).policy = policy


class MemoryKeyedRequests:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def begin(self, world: World, keyed: Keyed) -> Begun | bytes:
        if self._store.is_under_way:
            raise IdempotencyPending
        requests = self._store.shelf(world).keyed
        body, answer = requests.setdefault(replace(keyed, body=b""), (keyed.body, None))
        if body != keyed.body:
            raise IdempotencyConflict
        return answer or Begun(keyed, b"", Draw(NOW_MS, bytes(32)))

    async def answer(self, world: World, begun: Begun, answer: bytes) -> None:
        self._store.shelf(world).keyed[replace(begun.keyed, body=b"")] = (begun.keyed.body, answer)

    async def forget(self, world: World, begun: Begun) -> None:
        del self._store.shelf(world).keyed[replace(begun.keyed, body=b"")]

    async def leave(self, world: World, begun: Begun) -> None:
        """It stays as it is: begun, and without an answer."""


class MemoryHealth:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def readiness(self) -> Readiness:
        return self._store.readiness


def memory_services(store: MemoryStore) -> Services:
    return Services(
        authentication=MemoryAuthentication(store),
        verifications=MemoryVerifications(store),
        subscriptions=MemorySubscriptions(store),
        deliveries=MemoryDeliveries(store),
        dead_letters=MemoryDeadLetters(store),
        events=MemoryEvents(store),
        access=MemoryAccess(store),
        policies=MemoryPolicies(store),
        keyed=MemoryKeyedRequests(store),
        health=MemoryHealth(store),
    )


Key = TypeVar("Key")


def _found(items: dict[Key, Item], key: Key, noun: str) -> Item:
    if key not in items:
        raise NotFound(noun)
    return items[key]


def _owner(shelf: Shelf, ref: DeliveryRef) -> str | None:
    owners = {item.number: item.owner for item in shelf.subscriptions.values()}
    return owners.get(ref.subscription_number)


def _within(span: Span, stem: str) -> bool:
    return span.since_ms <= time_ms(stem) and (span.until_ms is None or time_ms(stem) < span.until_ms)
