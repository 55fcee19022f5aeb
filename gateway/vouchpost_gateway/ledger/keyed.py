"""Requests under idempotency keys: each is carried out once, and answered the same while its key is kept.

What it draws is stored before it is carried out: when the process dies, or Redis does not answer, the next to ask
carries it out with the same draw, and finds what was made already. Draw and answer may hold secrets, and are sealed.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import msgpack

from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import IdempotencyConflict, IdempotencyPending, Overloaded
from vouchpost_gateway.domain.keyed import Begun, Keyed
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.seal import TenantSeal
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.tenants import Tenants

_BEGIN = load("begin")
_END = load("end")
_TOKEN_BYTES = 16
_FULL_RETRY_S = 10


@dataclass(frozen=True, slots=True)
class KeyedRequests:
    """The requests of all worlds. `lease_ms` outlives the time that one may take."""

    store: Store
    tenants: Tenants
    draw: Callable[[], Draw]
    has_room: Callable[[], bool]
    kept_ms: int = 86_400_000
    lease_ms: int = 10_000

    async def begin(self, world: World, keyed: Keyed) -> Begun | bytes:
        """The request, to be carried out and ended by the caller; or its answer, when it was carried out before.

        IdempotencyConflict for another body, IdempotencyPending while somebody else carries it out.
        """
        if not self.has_room():
            raise Overloaded("the ledger's memory is nearly full", retry_after_s=_FULL_RETRY_S)
        seal = await self.tenants.seal(world)
        name, token, drawn = _name(seal, keyed), os.urandom(_TOKEN_BYTES), self.draw()
        sealed = seal.seal(_packed(drawn), kind="draw", owner=name)
        arguments = (seal.digest("body", keyed.body), token, sealed, self.lease_ms, self.kept_ms)
        answer, rest = await self.store.run(_BEGIN, [keys.idempotency(world, name)], arguments)
        match answer:
            case b"conflict":
                raise IdempotencyConflict(IdempotencyConflict.__doc__)
            case b"running":
                raise IdempotencyPending(IdempotencyPending.__doc__)
            case b"answered":
                return seal.open(rest, kind="answer", owner=name)
            case _:
                return Begun(keyed, token, _unpacked(seal.open(rest, kind="draw", owner=name)))

    async def answer(self, world: World, begun: Begun, answer: bytes) -> None:
        """It is done; whoever asks again is answered this."""
        seal = await self.tenants.seal(world)
        name = _name(seal, begun.keyed)
        await self._end(world, name, begun, answer=seal.seal(answer, kind="answer", owner=name))

    async def forget(self, world: World, begun: Begun) -> None:
        """Nothing was done, and the key is as good as new."""
        await self._end(world, _name(await self.tenants.seal(world), begun.keyed), begun, forget=True)

    async def leave(self, world: World, begun: Begun) -> None:
        """It may have been done or not; whoever asks again carries it out with the same draw."""
        await self._end(world, _name(await self.tenants.seal(world), begun.keyed), begun)

    async def _end(self, world: World, name: str, begun: Begun, *, answer: bytes = b"", forget: bool = False) -> None:
        arguments = (begun.token, answer, int(forget), self.kept_ms)
        await self.store.run(_END, [keys.idempotency(world, name)], arguments)


def _name(seal: TenantSeal, keyed: Keyed) -> str:
    parts = (keyed.caller, keyed.path, keyed.key)
    return seal.name("keyed", *(part.encode() for part in parts))


def _packed(draw: Draw) -> bytes:
    packed = msgpack.packb([1, draw.now_ms, draw.seed])
    assert isinstance(packed, bytes)
    return packed


def _unpacked(packed: bytes) -> Draw:
    _format, now_ms, seed = msgpack.unpackb(packed)
    return Draw(now_ms, seed)
