"""Tenants, their data keys, API keys and partners."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import msgpack

from vouchpost_gateway.domain.access import ApiKey, Partner
from vouchpost_gateway.domain.errors import Conflict, Misconfigured, NotFound
from vouchpost_gateway.domain.ids import encode
from vouchpost_gateway.domain.label import check_label
from vouchpost_gateway.domain.page import Page
from vouchpost_gateway.domain.world import Mode, Scope, World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.seal import CannotOpen, MasterKeys, TenantSeal
from vouchpost_gateway.ledger.store import Store

_ID_LENGTH = 4
_TIME_LENGTH = 10
_TENANTS_CHECKED = 10


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who owns data. Its id is four characters, so that key names stay short."""

    id: str
    name: str
    partition: int
    created_ms: int

    def world(self, mode: Mode) -> World:
        return World(self.id, mode, self.partition)


@dataclass(slots=True)
class Tenants:
    """The tenants of this ledger, and the seal of each."""

    store: Store
    master_keys: MasterKeys
    partitions: int
    _seals: dict[str, TenantSeal] = field(default_factory=dict)

    async def create(self, name: str, *, now_ms: int) -> Tenant:
        """A new tenant; Conflict when the name is taken. Its data key is written first, once, and its name last.

        The id is drawn at random: one that was used before a ledger was lost must not come back with another key.
        """
        check_label("tenant", name)
        while True:
            tenant_id = encode(secrets.randbelow(32**_ID_LENGTH), _ID_LENGTH)
            tenant = Tenant(tenant_id, name, crc32(tenant_id.encode()) % self.partitions, now_ms)
            sealed = self.master_keys.new_data_key(tenant.id)
            if await self.store.call("SET", keys.data_key(tenant.world(Mode.LIVE)), sealed, "NX"):
                break
        packed = _packed([1, tenant.id, tenant.partition, now_ms])
        if not await self.store.call("HSETNX", keys.TENANTS, name, packed):
            await self.store.call("DEL", keys.data_key(tenant.world(Mode.LIVE)))
            raise Conflict(f"a tenant named {name} exists")
        return tenant

    def forget(self) -> None:
        """Drops what was read: the ledger is another one now."""
        self._seals.clear()

    async def find(self, name: str) -> Tenant | None:
        packed = await self.store.call("HGET", keys.TENANTS, name)
        return _tenant(name, packed) if packed else None

    async def all(self) -> list[Tenant]:
        flat = await self.store.call("HGETALL", keys.TENANTS)
        return [_tenant(name.decode(), packed) for name, packed in zip(flat[::2], flat[1::2], strict=True)]

    async def seal(self, world: World) -> TenantSeal:
        """What seals and opens this tenant's values; read once per process."""
        known = self._seals.get(world.tenant_id)
        if known is None:
            blob = await self.store.call("GET", keys.data_key(world))
            if blob is None:
                raise NotFound("tenant")
            known = self._seals[world.tenant_id] = self.master_keys.open_data_key(world.tenant_id, blob)
        return known

    async def check_master_keys(self) -> None:
        """Misconfigured when the ledger holds a tenant whose data key none of our master keys opens."""
        for tenant in (await self.all())[:_TENANTS_CHECKED]:
            try:
                await self.seal(tenant.world(Mode.LIVE))
            except CannotOpen:
                raise Misconfigured(
                    "VOUCHPOST_MASTER_KEYS: none of them opens what this ledger holds; add the one it was made with"
                ) from None
            except NotFound:
                continue  # its creator stopped between two writes

    async def email_hash_key(self, world: World) -> bytes:
        """The key of the tenant's `email_hash`."""
        return (await self.seal(world)).email_hash_key


@dataclass(frozen=True, slots=True)
class AccessRecords:
    """API keys, found by their short id within the partition that they name, and partners."""

    store: Store

    async def add_key(self, key: ApiKey) -> None:
        """The key first, its entry in the tenant's list second: a key that is not listed yet still works."""
        world = World(key.tenant_id, key.mode, key.partition)
        await self.store.call("HSET", keys.api_keys(key.partition), key.short_id, _pack_key(key))
        await self.store.call("ZADD", keys.key_list(world), 0, _listed(key))

    async def key(self, partition: int, short_id: str) -> ApiKey | None:
        packed = await self.store.call("HGET", keys.api_keys(partition), short_id)
        return _key(partition, short_id, packed) if packed else None

    async def remove_key(self, world: World, short_id: str) -> bool:
        """Whether there was such a key of this world. It stops working before it leaves the list."""
        found = await self.key(world.partition, short_id)
        if found is None or World(found.tenant_id, found.mode, found.partition) != world:
            return False
        await self.store.call("HDEL", keys.api_keys(world.partition), short_id)
        await self.store.call("ZREM", keys.key_list(world), _listed(found))
        return True

    async def keys(self, world: World, *, after: str | None, limit: int) -> Page[ApiKey]:
        """Newest first. One that is being revoked is left out, though its place in the page is taken."""
        high = f"({after}" if after else "+"
        listed = await self.store.call("ZREVRANGEBYLEX", keys.key_list(world), high, "-", "LIMIT", 0, limit + 1)
        names = [member.decode() for member in listed]
        found = await asyncio.gather(*(self.key(world.partition, name[_TIME_LENGTH:]) for name in names[:limit]))
        return Page([key for key in found if key is not None], names[limit - 1] if len(names) > limit else None)

    async def add_partner(self, world: World, partner: Partner) -> None:
        packed = _packed([1, partner.name, partner.created_ms])
        await self.store.call("HSET", keys.partners(world), partner.id, packed)

    async def partner(self, world: World, partner_id: str) -> Partner | None:
        packed = await self.store.call("HGET", keys.partners(world), partner_id)
        return _partner(partner_id, packed) if packed else None

    async def partners(self, world: World, *, after: str | None, limit: int) -> Page[Partner]:
        flat = await self.store.call("HGETALL", keys.partners(world))
        found = [_partner(name.decode(), packed) for name, packed in zip(flat[::2], flat[1::2], strict=True)]
        return paged(found, lambda partner: partner.id, after=after, limit=limit)

    async def remove_partner(self, world: World, partner_id: str) -> bool:
        return bool(await self.store.call("HDEL", keys.partners(world), partner_id))


def paged(found: list[Any], key: Callable[[Any], str], *, after: str | None, limit: int) -> Page[Any]:
    """A page of a list that is small enough to be read whole, newest id first."""
    ordered = sorted((item for item in found if after is None or key(item) < after), key=key, reverse=True)
    return Page(ordered[:limit], key(ordered[limit - 1]) if len(ordered) > limit else None)


def _packed(fields: list[Any]) -> bytes:
    packed = msgpack.packb(fields)
    assert isinstance(packed, bytes)
    return packed


def _tenant(name: str, packed: bytes) -> Tenant:
    _format, tenant_id, partition, created_ms = msgpack.unpackb(packed)
    return Tenant(tenant_id, name, partition, created_ms)


def _listed(key: ApiKey) -> str:
    """A key in the list of its world, which sorts by when it was made."""
    return encode(key.created_ms, _TIME_LENGTH) + key.short_id


def _pack_key(key: ApiKey) -> bytes:
    scopes = sorted(scope.value for scope in key.scopes)
    rest = [key.created_ms, key.label, key.partner_id, key.expires_ms]
    return _packed([1, key.tenant_id, key.mode.value, key.secret_hash, scopes, *rest])


def _key(partition: int, short_id: str, packed: bytes) -> ApiKey:
    _format, tenant_id, mode, secret_hash, scopes, created_ms, label, partner_id, expires_ms = msgpack.unpackb(packed)
    allowed = frozenset(Scope(scope) for scope in scopes)
    return ApiKey(
        short_id, tenant_id, Mode(mode), partition, secret_hash, allowed, created_ms, label, partner_id, expires_ms
    )


def _partner(partner_id: str, packed: bytes) -> Partner:
    _format, name, created_ms = msgpack.unpackb(packed)
    return Partner(partner_id, name, created_ms)
