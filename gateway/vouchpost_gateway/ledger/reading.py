"""Reading records in lots: those that are asked for while a lot is on its way are read together in the next one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Reply
from vouchpost_gateway.ledger.lots import Lots
from vouchpost_gateway.ledger.store import Store

_MOST = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the records of all worlds, in lots, one lot of a world at a time."""

    store: Store
    _lots: Lots[World, str, bytes | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lots", Lots(self._read, most=_MOST))

    async def __call__(self, world: World, stem: str) -> bytes | None:
        """The record as it is stored; None when there is none."""
        return await self._lots.ask(world, stem)

    async def _read(self, world: World, stems: Sequence[str]) -> Reply:
        return await self.store.call("MGET", *(keys.record(world, stem) for stem in stems))
