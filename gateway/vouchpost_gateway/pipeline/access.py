"""Signing in, and the keys and partners of a tenant."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from vouchpost_gateway.domain.access import ApiKey, Partner, parse_key, short_id_of
from vouchpost_gateway.domain.access import new_key as make_key
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import InvalidField, NotAuthenticated, NotFound
from vouchpost_gateway.domain.ids import plain_id
from vouchpost_gateway.domain.label import check_label
from vouchpost_gateway.domain.page import Page
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.world import Principal, Scope, World

_REMEMBERED_MS = 2000
_MAX_REMEMBERED = 10_000
_PAGE = 100
_NO_HASH = bytes(32)


class AccessRecords(Protocol):
    async def add_key(self, key: ApiKey) -> None: ...

    async def key(self, partition: int, short_id: str) -> ApiKey | None: ...

    async def remove_key(self, world: World, short_id: str) -> bool: ...

    async def keys(self, world: World, *, after: str | None, limit: int) -> Page[ApiKey]: ...

    async def add_partner(self, world: World, partner: Partner) -> None: ...

    async def partner(self, world: World, partner_id: str) -> Partner | None: ...

    async def partners(self, world: World, *, after: str | None, limit: int) -> Page[Partner]: ...

    async def remove_partner(self, world: World, partner_id: str) -> bool: ...


class Hashes(Protocol):
    async def email_hash_key(self, world: World) -> bytes: ...


class OwnSubscriptions(Protocol):
    async def list(
        self, world: World, partner_id: str | None, *, after: str | None, limit: int
    ) -> Page[Subscription]: ...

    async def delete(self, world: World, partner_id: str | None, subscription_id: str) -> None: ...


@dataclass(slots=True)
class SignIn:
    """Who presents a key. A key is remembered for two seconds, so one revoked elsewhere works no longer than that."""

    records: AccessRecords
    now_ms: Callable[[], int]
    partitions: int
    _keys_by_name: dict[str, tuple[int, ApiKey]] = field(default_factory=dict)
    _principals_by_text: dict[str, tuple[str, ApiKey, Principal]] = field(default_factory=dict)

    async def sign_in(self, key_text: str) -> Principal:
        """The principal of a good key; NotAuthenticated for any other text, whatever is wrong with it."""
        return self._from_memory(key_text) or await self._from_ledger(key_text)

    def _from_memory(self, key_text: str) -> Principal | None:
        """The principal of a key that was good before, while what was read of it then is still remembered."""
        name, key, principal = self._principals_by_text.get(key_text, ("", None, None))
        if key is None or self._remembered(name) is not key or self._expired(key):
            return None
        return principal

    async def _from_ledger(self, key_text: str) -> Principal:
        """The principal of a key that matches what is stored, or was a moment ago."""
        presented = parse_key(key_text)
        if presented is None or presented.partition >= self.partitions:
            raise NotAuthenticated(NotAuthenticated.__doc__)
        key = await self._find(presented.partition, presented.short_id)
        matches = hmac.compare_digest(key.secret_hash if key else _NO_HASH, presented.secret_hash)
        if key is None or not matches or key.mode is not presented.mode or self._expired(key):
            raise NotAuthenticated(NotAuthenticated.__doc__)
        world = World(key.tenant_id, key.mode, key.partition)
        principal = Principal(world, key.id, key.scopes, key.partner_id)
        if len(self._principals_by_text) >= _MAX_REMEMBERED:
            self._principals_by_text.clear()
        self._principals_by_text[key_text] = (_name(key.partition, key.short_id), key, principal)
        return principal

    def forget(self) -> None:
        """Drops what was read: the ledger is another one now."""
        self._keys_by_name.clear()
        self._principals_by_text.clear()

    async def _find(self, partition: int, short_id: str) -> ApiKey | None:
        name, now = _name(partition, short_id), self.now_ms()
        known = self._remembered(name)
        if known is not None:
            return known
        key = await self.records.key(partition, short_id)
        if len(self._keys_by_name) >= _MAX_REMEMBERED:
            self._keys_by_name.clear()
        if key is None:
            self._keys_by_name.pop(name, None)
        else:
            self._keys_by_name[name] = (now, key)
        return key

    def _remembered(self, name: str) -> ApiKey | None:
        read_at, known = self._keys_by_name.get(name, (0, None))
        return known if 0 <= self.now_ms() - read_at < _REMEMBERED_MS else None

    def _expired(self, key: ApiKey) -> bool:
        return key.expires_ms is not None and key.expires_ms <= self.now_ms()


def _name(partition: int, short_id: str) -> str:
    return f"{partition}/{short_id}"


@dataclass(frozen=True, slots=True)
class Access:
    """The keys and partners of a tenant, in one mode."""

    records: AccessRecords
    hashes: Hashes
    subscriptions: OwnSubscriptions
    forget_keys: Callable[[], None]
    now_ms: Callable[[], int]
    draw: Callable[[], Draw]
    random_bytes: Callable[[int], bytes]

    async def keys(self, world: World, *, after: str | None, limit: int) -> Page[ApiKey]:
        return await self.records.keys(world, after=after, limit=limit)

    async def create_key(
        self, world: World, *, scopes: frozenset[Scope], label: str, partner_id: str | None, expires_ms: int | None
    ) -> tuple[ApiKey, str]:
        """The key as stored, and its text, which nobody sees again."""
        check_label("label", label, low=0)
        if partner_id is not None and await self.records.partner(world, partner_id) is None:
            raise InvalidField("partner_id", "no such partner")
        key, text = make_key(
            world,
            scopes=scopes,
            label=label,
            partner_id=partner_id,
            created_ms=self.now_ms(),
            expires_ms=expires_ms,
            random_bytes=self.random_bytes,
        )
        await self.records.add_key(key)
        return key, text

    async def revoke_key(self, world: World, key_id: str) -> None:
        """The key stops working at once here, and within two seconds everywhere."""
        short_id = short_id_of(key_id)
        key = None if short_id is None else await self.records.key(world.partition, short_id)
        if short_id is None or key is None or key.id != key_id:
            raise NotFound("key")
        if not await self.records.remove_key(world, short_id):
            raise NotFound("key")
        self.forget_keys()

    async def partners(self, world: World, *, after: str | None, limit: int) -> Page[Partner]:
        return await self.records.partners(world, after=after, limit=limit)

    async def create_partner(self, world: World, *, name: str, draw: Draw | None = None) -> Partner:
        """A new partner; with the same draw, the same one."""
        check_label("name", name)
        drawn = draw or self.draw()
        partner_id = plain_id("prt", now_ms=drawn.now_ms, random_bits=drawn.bits("partner"))
        partner = Partner(partner_id, name, drawn.now_ms)
        await self.records.add_partner(world, partner)
        return partner

    async def delete_partner(self, world: World, partner_id: str) -> None:
        """Its keys first, then its subscriptions, then the partner: asked again, it goes on where it stopped.

        Its keys may work for a moment elsewhere, so what was subscribed meanwhile is removed at the end.
        """
        if await self.records.partner(world, partner_id) is None:
            raise NotFound("partner")
        await self._remove_keys_of(world, partner_id)
        self.forget_keys()
        await self._delete_subscriptions(world, partner_id)
        await self.records.remove_partner(world, partner_id)
        await self._delete_subscriptions(world, partner_id)

    async def _remove_keys_of(self, world: World, partner_id: str) -> None:
        page: Page[ApiKey] = await self.records.keys(world, after=None, limit=_PAGE)
        while True:
            for key in page.items:
                if key.partner_id == partner_id:
                    await self.records.remove_key(world, key.short_id)
            if page.next is None:
                return
            page = await self.records.keys(world, after=page.next, limit=_PAGE)

    async def _delete_subscriptions(self, world: World, partner_id: str) -> None:
        while (own := await self.subscriptions.list(world, partner_id, after=None, limit=_PAGE)).items:
            for subscription in own.items:
                await self.subscriptions.delete(world, partner_id, subscription.id)

    async def email_hash_key(self, world: World) -> bytes:
        return await self.hashes.email_hash_key(world)
