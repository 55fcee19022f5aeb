"""Watching the ledger: whether it may be trusted at start, and whether it still may be, once a second."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Argument, LedgerRefused
from vouchpost_gateway.ledger.fitness import (
    CONFIG_NAMES,
    Problem,
    broken,
    clock_problem,
    parse_config,
    parse_info,
    problems,
    refusal,
)
from vouchpost_gateway.ledger.record import FORMAT
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store

_PROBE = load("probe")
_META = ("partitions", "oldest_reader", "oldest_writer", "generation")
_INTERVAL_S = 1.0
_STALE_S = 3.0
_CONFIG_EVERY = 5
_START_LIMIT_S = 10.0


async def probe(store: Store) -> None:
    """Returns when the ledger's user may do what scripts do; LedgerUnavailable otherwise."""
    await store.run(_PROBE, [keys.PROBE], [keys.WAKE_CHANNEL])


@dataclass(slots=True)
class Watch:
    """What is known of the ledger's fitness. Readiness is answered from memory, so asking never waits."""

    store: Store
    partitions: int
    accept_loss: bool = False
    needs_replica: bool = False
    ceiling: float = 0.8
    seen: Callable[[int, int], None] = lambda _used, _limit: None
    replaced: Callable[[], None] = lambda: None
    waiting: Callable[[str], None] = lambda _reason: None
    changed: Callable[[Readiness], None] = lambda _readiness: None
    clock: Callable[[], float] = time.time
    _generation: str | None = None
    _problems: tuple[str, ...] = ("the ledger was not looked at yet",)
    _seen_at: float = field(default=0.0)
    _used: int = 0
    _limit: int = 0
    _config: dict[str, str] | None = None
    _looks: int = 0
    _was_replaced: bool = False
    _told: tuple[str, ...] = ()

    async def start(self) -> None:
        """Waits up to ten seconds for the ledger, then claims or recognises it. Misconfigured if it must not be."""
        gives_up = time.monotonic() + _START_LIMIT_S
        is_told = False
        while True:
            try:
                await probe(self.store)
                await self._recognise()
                found = broken(await self._look())
                break
            except LedgerUnavailable as error:
                if words := refusal(str(error)):
                    raise Misconfigured(words) from error
                if time.monotonic() >= gives_up:
                    raise
                if not is_told:
                    self.waiting(str(error))
                    is_told = True
                await asyncio.sleep(0.2)
        if found and not self.accept_loss:
            words = "\n".join(str(problem) for problem in found)
            raise Misconfigured(f"{words}\nVOUCHPOST_ACCEPT_LOSS=true starts all the same")

    async def forever(self) -> None:
        """Looks once a second until cancelled, and tells when readiness is another than before."""
        while True:
            self._tell()
            await asyncio.sleep(_INTERVAL_S)
            with suppress(LedgerUnavailable):  # readiness goes stale by itself
                await self._look()

    def readiness(self) -> Readiness:
        """As of the last look; a ledger that has not answered for three seconds is a problem of its own."""
        if time.monotonic() - self._seen_at > _STALE_S:
            return Readiness(ready=False, problems=("the ledger does not answer",))
        return Readiness(ready=not self._problems, problems=self._problems)

    def _tell(self) -> None:
        """Compared without numbers: a clock that is 90 s off and then 91 s is no news."""
        readiness = self.readiness()
        kinds = tuple(re.sub(r"\d+", "", problem) for problem in readiness.problems)
        if kinds != self._told:
            self._told = kinds
            self.changed(readiness)

    def has_room(self) -> bool:
        """Whether the ledger's memory is below the ceiling of what it may use."""
        return self._limit == 0 or self._used < self._limit * self.ceiling

    async def _recognise(self) -> None:
        """Writes what a new ledger needs to know of itself; a ledger of other releases or settings is refused."""
        known = await self.store.call("HMGET", keys.META, *_META)
        # Written only where something is missing: a ledger that is full takes no write, and has to let a worker start,
        # which is what empties it.
        if None in known:
            values: tuple[Argument, ...] = (self.partitions, FORMAT, FORMAT, secrets.token_hex(8))
            for name, value in zip(_META, values, strict=True):
                await self.store.call("HSETNX", keys.META, name, value)
            known = await self.store.call("HMGET", keys.META, *_META)
        partitions, reader, writer, generation = known
        if int(partitions) != self.partitions:
            raise Misconfigured(f"VOUCHPOST_PARTITIONS: the ledger was made with {int(partitions)}, and keeps that")
        if max(int(reader), int(writer)) > FORMAT:
            raise Misconfigured("the ledger is written in a format that this release does not know; use a later one")
        self._generation = self._generation or generation.decode()

    async def _look(self) -> tuple[Problem, ...]:
        info = parse_info(await self.store.ask("INFO"))
        if self._looks % _CONFIG_EVERY == 0:
            self._config = await self._read_config()
        self._looks += 1
        self._used, self._limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        self.seen(self._used, self._limit)
        found = problems(info=info, config=self._config, needs_replica=self.needs_replica, ceiling=self.ceiling)
        words = [str(problem) for problem in broken(found, accept_loss=self.accept_loss)]
        words += await self._replaced()
        words += await self._clock_is_off()
        if not self.has_room():
            words.append(f"the ledger's memory is above {self.ceiling:.0%} of maxmemory")
        self._problems = tuple(words)
        self._seen_at = time.monotonic()
        return found

    async def _clock_is_off(self) -> list[str]:
        before = self.clock()
        seconds, micros = await self.store.ask("TIME")
        problem = clock_problem(int(seconds) + int(micros) / 1_000_000 - (before + self.clock()) / 2)
        return [str(problem)] if problem else []

    async def _replaced(self) -> list[str]:
        """A ledger that came back empty, or is another one, is told of until the process is started anew."""
        generation = await self.store.call("HGET", keys.META, "generation")
        if generation is not None and generation.decode() == self._generation:
            return []
        if generation is None:
            await self._recognise()
        if not self._was_replaced:
            self._was_replaced = True
            self.replaced()
        return ["the ledger came back empty or is another one: what was accepted before is not in it"]

    async def _read_config(self) -> dict[str, str] | None:
        try:
            replies = [await self.store.ask("CONFIG", "GET", name) for name in CONFIG_NAMES]
        except LedgerRefused:
            return None
        return parse_config([part for reply in replies for part in reply])
