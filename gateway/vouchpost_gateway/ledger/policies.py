"""Tenants' policies: one sealed record per world, since who is allowed or denied may be an address."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, Final

import msgpack

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.tenant_policy import AMENDABLE, NO_POLICY, TenantPolicy
from vouchpost_gateway.domain.verification import Status
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.seal import CannotOpen
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.tenants import Tenants

_FORMAT: Final = 1
_KEPT_S: Final = 2.0


@dataclass(slots=True)
class PolicyRecords:
    """Workers read through a cache of two seconds: that soon a changed policy is everybody's."""

    store: Store
    tenants: Tenants
    _known: dict[World, tuple[float, asyncio.Future[TenantPolicy]]] = field(default_factory=dict)

    async def cached(self, world: World) -> TenantPolicy:
        """One read at a time, however many want it."""
        now = asyncio.get_running_loop().time()
        held = self._known.get(world)
        if held is None or now >= held[0]:
            held = self._known[world] = (now + _KEPT_S, asyncio.ensure_future(self.read(world)))
        if held[1].done() and not held[1].cancelled() and held[1].exception() is None:
            return held[1].result()
        try:
            # Shielded: one caller that is cut off must not take the answer from the others.
            return await asyncio.shield(held[1])
        except LedgerUnavailable:
            if self._known.get(world) is held:
                del self._known[world]
            raise

    async def read(self, world: World) -> TenantPolicy:
        """As stored; LedgerUnavailable for what a later release wrote."""
        packed = await self.store.call("GET", keys.policy(world))
        if packed is None:
            return NO_POLICY
        seal = await self.tenants.seal(world)
        try:
            written_in, blob = msgpack.unpackb(packed)
            if written_in == _FORMAT:
                return _policy(json.loads(seal.open(blob, kind="policy", owner=world.name)))
        except (ValueError, TypeError, msgpack.UnpackException, CannotOpen) as error:
            raise LedgerUnavailable("a policy cannot be read: it was changed by someone else") from error
        raise LedgerUnavailable("a policy was written by a later release, in a format that this one does not read")

    async def write(self, world: World, policy: TenantPolicy) -> None:
        """In place of the one before; one that amends nothing leaves nothing behind."""
        if policy.version:
            blob = (await self.tenants.seal(world)).seal(_text(policy), kind="policy", owner=world.name)
            await self.store.call("SET", keys.policy(world), msgpack.packb([_FORMAT, blob]))
        else:
            await self.store.call("DEL", keys.policy(world))
        self._known.pop(world, None)

    def forget(self) -> None:
        """Drops what was read: the ledger is another one now."""
        self._known.clear()


def _text(policy: TenantPolicy) -> str:
    return json.dumps([dict(policy.statuses), sorted(policy.allow), sorted(policy.deny)])


def _policy(fields: Any) -> TenantPolicy:
    statuses, allow, deny = fields
    # What a later release lets a tenant amend is its default here.
    named = {finding: Status(status) for finding, status in statuses.items() if finding in AMENDABLE}
    return TenantPolicy(named, frozenset(allow), frozenset(deny))
