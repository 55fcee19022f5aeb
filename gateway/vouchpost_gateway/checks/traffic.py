"""How much of us a mail operator sees at once, how often, and when we leave it alone; and what hosts taught us.

What is decided here holds for all workers: `Shared` is kept where they all can see it. In front of it each process
keeps a short line of its own per operator, so that a crowd here does not ask there in a crowd.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.traffic import Admission, Admittance, Limits

_MOST_OPERATORS: Final = 10_000
_MOST_CATCH_ALLS: Final = 50_000
_SILENT_OPERATORS: Final = 3
_DAY_S: Final = 86_400
_CATCH_ALL_KEPT_S: Final = 3600.0


class Shared(Protocol):
    """What all workers must agree on. A turn that was never left ends by itself when its lease does."""

    async def enter(self, operator: str, turn: str, limits: Limits) -> Admission: ...

    async def leave(self, operator: str, turn: str, limits: Limits, *, good: bool | None) -> None:
        """`good` None: nothing was learnt of the operator."""

    async def catch_all(self, place: str) -> bool | None: ...

    async def learn_catch_all(self, place: str, *, takes_all: bool, seconds: float) -> None: ...


class NoTurn(Exception):  # noqa: N818  it says what there was
    """Nobody was asked; `admission` says why, and when it is worth coming again."""

    def __init__(self, admission: Admission) -> None:
        super().__init__(admission.answer.value)
        self.admission = admission


@dataclass(slots=True)
class Turn:
    """Leave to have one conversation. `good` says what came of it; it stays None where nothing was learnt."""

    good: bool | None = None


@dataclass(slots=True)
class _Line:
    slots: asyncio.Semaphore
    waiting: int = 0


@dataclass(slots=True)
class Traffic:
    """Turns at operators, for one process, by the limits that hold for all."""

    shared: Shared
    limits: Limits = field(default_factory=Limits)
    patience_s: float = 5.0
    _lines: OrderedDict[str, _Line] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def turn(self, operator: str, *, at_once: int | None = None) -> AsyncIterator[Turn]:
        """Raises NoTurn where there is none within `patience_s`."""
        limits = self.limits if at_once is None else replace(self.limits, at_once=at_once)
        line = self._line(operator, limits.at_once)
        gives_up = asyncio.get_running_loop().time() + self.patience_s
        await self._stand_in(line, gives_up)
        try:
            name = secrets.token_hex(8)
            await self._enter(operator, name, limits, gives_up)
            turn = Turn()
            try:
                yield turn
            finally:
                await self._leave(operator, name, limits, turn)
        finally:
            line.slots.release()

    async def _stand_in(self, line: _Line, gives_up: float) -> None:
        line.waiting += 1
        try:
            async with asyncio.timeout_at(gives_up):
                await line.slots.acquire()
        except TimeoutError as error:
            raise NoTurn(Admission(Admittance.BUSY, self.patience_s)) from error
        finally:
            line.waiting -= 1

    async def known_catch_all(self, place: str) -> bool | None:
        """Whether the hosts of a domain take everybody; None where nobody knows."""
        try:
            return await self.shared.catch_all(place)
        except LedgerUnavailable:
            return None

    async def learn_catch_all(self, place: str, *, takes_all: bool) -> None:
        with suppress(LedgerUnavailable):
            await self.shared.learn_catch_all(place, takes_all=takes_all, seconds=_CATCH_ALL_KEPT_S)

    def is_wanted(self, operator: str) -> bool:
        """Whether somebody here waits for a turn at the operator."""
        line = self._lines.get(operator)
        return line is not None and line.waiting > 0

    async def _enter(self, operator: str, name: str, limits: Limits, gives_up: float) -> None:
        while True:
            try:
                admission = await self.shared.enter(operator, name, limits)
            except LedgerUnavailable:
                return  # our own line still keeps its measure
            if admission.answer is Admittance.GO:
                return
            left = gives_up - asyncio.get_running_loop().time()
            if admission.answer is not Admittance.BUSY or admission.wait_s > left:
                raise NoTurn(admission)
            await asyncio.sleep(admission.wait_s)

    async def _leave(self, operator: str, name: str, limits: Limits, turn: Turn) -> None:
        with suppress(LedgerUnavailable):  # its lease ends by itself
            await self.shared.leave(operator, name, limits, good=turn.good)

    def _line(self, operator: str, at_once: int) -> _Line:
        line = self._lines.get(operator)
        if line is None:
            line = self._lines[operator] = _Line(asyncio.Semaphore(at_once))
            if len(self._lines) > _MOST_OPERATORS:
                self._lines.popitem(last=False)
        return line


@dataclass(slots=True)
class _Seen:
    """What is known of an operator."""

    turns: dict[str, float] = field(default_factory=dict)
    failures: int = 0
    closed_until: float = 0.0
    next_at: float = 0.0
    day: int = 0
    used: int = 0


@dataclass(slots=True)
class OneProcess:
    """`Shared` where there is only one process: the command line, the sandbox, and tests."""

    now: Callable[[], float] = time.monotonic
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _total: tuple[int, int] = (0, 0)
    _catch_alls: OrderedDict[str, tuple[float, bool]] = field(default_factory=OrderedDict)

    async def enter(self, operator: str, turn: str, limits: Limits) -> Admission:
        now, seen = self.now(), self._of(operator)
        if seen.closed_until > now:
            return Admission(Admittance.RESTING, seen.closed_until - now)
        if self._is_spent(seen, now, limits):
            return Admission(Admittance.CAPPED, _DAY_S - now % _DAY_S)
        seen.turns = {name: ends for name, ends in seen.turns.items() if ends > now}
        if len(seen.turns) >= limits.at_once:
            return Admission(Admittance.BUSY, 0.1)
        interval = 60 / limits.per_minute
        next_at = max(seen.next_at, now)
        ahead = next_at - now - limits.at_once * interval
        if ahead > 0:
            return Admission(Admittance.BUSY, ahead)
        seen.next_at = next_at + interval
        seen.turns[turn] = now + limits.lease_s
        seen.used += 1
        self._total = (self._total[0], self._total[1] + 1)
        return Admission(Admittance.GO)

    def _is_spent(self, seen: _Seen, now: float, limits: Limits) -> bool:
        day = int(now // _DAY_S)
        if seen.day != day:
            seen.day, seen.used = day, 0
        if self._total[0] != day:
            self._total = (day, 0)
        return bool(
            (limits.daily_cap and seen.used >= limits.daily_cap)
            or (limits.total_daily_cap and self._total[1] >= limits.total_daily_cap)
        )

    async def leave(self, operator: str, turn: str, limits: Limits, *, good: bool | None) -> None:
        seen = self._of(operator)
        seen.turns.pop(turn, None)
        if good is None:
            return
        seen.failures = 0 if good else seen.failures + 1
        if seen.failures >= limits.patience:
            # One more failure after the rest is enough to rest again.
            seen.failures = limits.patience - 1
            seen.closed_until = self.now() + limits.rest_s

    async def catch_all(self, place: str) -> bool | None:
        held = self._catch_alls.get(place)
        return held[1] if held and self.now() < held[0] else None

    async def learn_catch_all(self, place: str, *, takes_all: bool, seconds: float) -> None:
        self._catch_alls[place] = (self.now() + seconds, takes_all)
        if len(self._catch_alls) > _MOST_CATCH_ALLS:
            self._catch_alls.popitem(last=False)

    def _of(self, operator: str) -> _Seen:
        if len(self._seen) > _MOST_OPERATORS:
            self._seen.clear()
        return self._seen.setdefault(operator, _Seen())


@dataclass(slots=True)
class Egress:
    """Tells "port 25 is closed here" from "that host does not answer": several operators in a row, and silence only.

    A refused connection, or any greeting, proves that the port is open.
    """

    now: Callable[[], float]
    rest_s: float = 600.0
    _silent: set[str] = field(default_factory=set)
    _closed_until: float = 0.0

    @property
    def closed(self) -> bool:
        return self.now() < self._closed_until

    def reached(self) -> None:
        self._silent.clear()
        self._closed_until = 0.0

    def silent(self, operator: str) -> None:
        self._silent.add(operator)
        if len(self._silent) >= _SILENT_OPERATORS:
            self.close()

    def close(self) -> None:
        """For a while nobody is asked."""
        self._silent.clear()
        self._closed_until = self.now() + self.rest_s
