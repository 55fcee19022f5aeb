"""Subscriptions: one hash per world, with a revision that moves when any of them does."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from vouchpost_gateway.domain.errors import Conflict
from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.ids import decode, encode, time_ms
from vouchpost_gateway.domain.lane import Ring, deliveries
from vouchpost_gateway.domain.secret import SigningSecret
from vouchpost_gateway.domain.subscription import DisabledReason, Subscription
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Argument
from vouchpost_gateway.ledger.lanes import BellLimits, rings
from vouchpost_gateway.ledger.record import HEAD, pack_event, pack_targets
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.seal import TenantSeal
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.tenants import Tenants

_WRITE = load("subscription")
_FORGET = load("forget")
_FORGET_STEP = 500
_FORGOTTEN = b""
"""A member of the changes of a set: removals up to its revision may be missing from them."""

LATEST_CAP = 10_000
"""How many of a subscription's latest deliveries can be listed."""

MAX_PER_WORLD = 20_000
REMOVALS_KEPT = 1000
"""So many removals stay listed, so that processes which read the set now and then need not read all of it again."""


@dataclass(frozen=True, slots=True)
class SubscriptionSet:
    """All subscriptions of a world, by number, as they were at `revision`."""

    revision: int
    by_number: dict[int, Subscription]
    _targets: dict[str, tuple[int, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def targets(self, event_type: str) -> tuple[int, ...]:
        """The numbers of all that an event of this type goes to, ascending. A set never changes, so they are kept."""
        found = self._targets.get(event_type)
        if found is None:
            found = tuple(sorted(subscription.number for subscription in self.matching(event_type)))
            self._targets[event_type] = found
        return found

    def matching(self, event_type: str) -> list[Subscription]:
        return [subscription for subscription in self.by_number.values() if subscription.wants(event_type)]


_NOTHING = SubscriptionSet(0, {})


@dataclass(slots=True)
class SubscriptionRecords:
    """Reads through a cache per world; wherever something is decided by it, its revision is checked."""

    store: Store
    tenants: Tenants
    bells: BellLimits = field(default_factory=BellLimits)
    _sets: dict[World, SubscriptionSet] = field(default_factory=dict)

    async def cached(self, world: World) -> SubscriptionSet:
        """The set as last read: only for a step that checks, as it writes, that the revision is still this one."""
        return self._sets.get(world) or await self.fresh(world)

    async def fresh(self, world: World) -> SubscriptionSet:
        """The set as it is. The revision is read first, so a set is never newer than it says."""
        return await self.at(world, int(await self.store.call("HGET", keys.counters(world), "subscriptions") or 0))

    async def at(self, world: World, revision: int) -> SubscriptionSet:
        """The set at this revision or later: what was read before, and what has changed since."""
        known = self._sets.get(world, _NOTHING)
        if known.revision >= revision and known is not _NOTHING:
            return known
        numbers = await self._changed(world, known.revision)
        if _FORGOTTEN in numbers and known.revision:
            known = _NOTHING
            numbers = await self._changed(world, 0)
        numbers = [number for number in numbers if number != _FORGOTTEN]
        by_number = dict(known.by_number)
        if numbers:
            seal = await self.tenants.seal(world)
            for number, packed in zip(
                numbers, await self.store.call("HMGET", keys.subscriptions(world), *numbers), strict=True
            ):
                if packed is None:
                    by_number.pop(decode(number.decode()), None)
                else:
                    by_number[decode(number.decode())] = _unpack(seal, packed)
        self._sets[world] = SubscriptionSet(revision, by_number)
        return self._sets[world]

    async def _changed(self, world: World, revision: int) -> list[bytes]:
        """The numbers of what changed after a revision; with _FORGOTTEN, some removals are missing."""
        found = await self.store.call("ZRANGEBYSCORE", keys.subscription_changes(world), f"({revision}", "+inf")
        return list(found)

    async def forget_removals(self, world: World, *, kept: int = REMOVALS_KEPT) -> None:
        """Forgets the removals of a world when there are more than `kept`. Processes that missed one read all again."""
        changed = await self.store.call("ZCARD", keys.subscription_changes(world))
        if changed - await self.store.call("HLEN", keys.subscriptions(world)) <= kept:
            return
        names, after = [keys.subscription_changes(world), keys.subscriptions(world)], b"0"
        while last := await self.store.run(_FORGET, names, [after, _FORGET_STEP]):
            after = last

    def forget(self) -> None:
        """Drops what was read: the ledger is another one now."""
        self._sets.clear()

    async def next_number(self, world: World) -> int:
        return int(await self.store.call("HINCRBY", keys.counters(world), "last_number", 1))

    async def write(
        self,
        world: World,
        changed: Subscription,
        *,
        new: bool,
        event: Event | None = None,
        targets: Sequence[int] = (),
        set_revision: int | None = None,
        moved: bool = False,
    ) -> list[Ring]:
        """Stores a subscription at `changed.version`, whose predecessor must be the stored one; Conflict otherwise.

        With an event, it and its deliveries to `targets` are part of the same write; Conflict when the set is no
        longer the one that they were matched in. One that `moved` begins anew, without the failures and the rest that
        the server before is to blame for.
        """
        expected = 0 if new else changed.version - 1
        seal = await self.tenants.seal(world)
        reply = await self._run(
            world,
            changed.number,
            expected=str(expected),
            packed=_pack(seal, changed),
            paused=not changed.enabled,
            event=event,
            targets=targets,
            set_revision=set_revision,
            anew=moved,
        )
        if reply[0] == b"full":
            raise Conflict(f"there are {MAX_PER_WORLD} subscriptions already")
        if reply[0] == b"changed" and not await self._is_stored(world, changed):
            raise Conflict("the subscription was changed by someone else; read it again")
        return rings(reply[1])

    async def remove(self, world: World, subscription: Subscription) -> None:
        """Removes a subscription with its lane: what was still due to it is dropped, and shown as dropped."""
        reply = await self._run(world, subscription.number, expected=str(subscription.version))
        if reply[0] == b"changed" and subscription.number in (await self.fresh(world)).by_number:
            raise Conflict("the subscription was changed by someone else; read it again")

    async def announce(
        self, world: World, event: Event, targets: Sequence[int], *, ends_rest: bool = False
    ) -> list[Ring]:
        """Stores an event that stands alone with its deliveries. A repeat finds its record, and ends no rest."""
        reply = await self._run(world, targets[0] if targets else 0, event=event, targets=targets, anew=ends_rest)
        return rings(reply[1])

    async def _is_stored(self, world: World, changed: Subscription) -> bool:
        """Whether this very write happened, and only its answer was lost."""
        return (await self.fresh(world)).by_number.get(changed.number) == changed

    async def _run(
        self,
        world: World,
        number: int,
        *,
        expected: str = "",
        packed: bytes = b"",
        paused: bool = False,
        event: Event | None = None,
        targets: Sequence[int] = (),
        set_revision: int | None = None,
        anew: bool = False,
    ) -> Any:
        lane = deliveries(world, number)
        lanes = [deliveries(world, target) for target in targets]
        names = [*keys.lane(lane), keys.subscriptions(world), keys.subscription_versions(world)]
        names.append(keys.subscription_changes(world))
        if event is not None:
            names += event_keys(world, event.stem)
            for target in lanes:
                names += keys.lane(target)
        tail = pack_event(event) + pack_targets(event.revision, targets) if event else b""
        item = event.stem + encode(event.revision, 3) if event else ""
        hour = hour_of(event.stem) if event else 0
        arguments: list[Argument] = [lane.id, encode(number, 4), expected]
        arguments += (packed, int(paused), MAX_PER_WORLD, self.bells.ring_ms, keys.WAKE_CHANNEL)
        arguments += (event.stem if event else "", hour, item, HEAD, tail, LATEST_CAP)
        arguments += (len(lanes), *(target.id for target in lanes))
        arguments += ("" if set_revision is None else set_revision, int(anew))
        return await self.store.run(_WRITE, names, arguments)


def event_keys(world: World, stem: str) -> list[str]:
    """The keys of a record and of its place in the index."""
    return [keys.record(world, stem), keys.hours(world), keys.hour_index(world, hour_of(stem))]


def hour_of(stem: str) -> int:
    """Which hour's index holds a record."""
    return time_ms(stem) // 3_600_000


def _pack(seal: TenantSeal, s: Subscription) -> bytes:
    # Headers of the subscriber's own choice are how tokens are passed on, so they are sealed too.
    private = msgpack.packb([[[secret.key, secret.retires_ms] for secret in s.secrets], dict(s.headers)])
    assert isinstance(private, bytes)
    sealed = seal.seal(private, kind="signing-secrets", owner=s.id)
    fields = [
        *(1, s.id, s.number, s.url, sorted(s.event_types), sealed, s.created_ms, s.owner, s.description, s.enabled),
        *(s.disabled_reason.value if s.disabled_reason else None, s.disabled_ms),
        *(list(s.schedule_s) if s.schedule_s else None, s.max_in_flight, s.include_address, s.version),
    ]
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed


def _unpack(seal: TenantSeal, packed: bytes) -> Subscription:
    _format, sid, number, url, types, sealed, created_ms, owner, description, enabled, *rest = msgpack.unpackb(packed)
    reason, disabled_ms, schedule_s, max_in_flight, include_address, version = rest
    secrets, headers = msgpack.unpackb(seal.open(sealed, kind="signing-secrets", owner=sid))
    return Subscription(
        id=sid,
        number=number,
        url=url,
        event_types=frozenset(types),
        secrets=tuple(SigningSecret(key, retires_ms) for key, retires_ms in secrets),
        created_ms=created_ms,
        owner=owner,
        description=description,
        enabled=enabled,
        disabled_reason=DisabledReason(reason) if reason else None,
        disabled_ms=disabled_ms,
        headers=headers,
        schedule_s=tuple(schedule_s) if schedule_s else None,
        max_in_flight=max_in_flight,
        include_address=include_address,
        version=version,
    )
