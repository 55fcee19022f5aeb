"""Asking together: what is asked while an earlier lot is on its way leaves in the next one, as one script.

Alone, an ask leaves at once. Under load, lots grow until they carry what comes, and the fixed cost of a script is
paid once a lot; so lots keep a little apart, which costs an ask up to 3 ms and saves Redis scripts.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.ledger.connection import LedgerRefused

Place = TypeVar("Place", bound=Hashable)
Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

_APART_S = 0.003
"""From one lot of a place to the next, at least."""


class Lots(Generic[Place, Ask, Answer]):
    """One lot at a time per place, of `most` asks at most. `send` answers each ask of a lot, in order."""

    def __init__(self, send: Callable[[Place, Sequence[Ask]], Awaitable[Sequence[Answer]]], *, most: int) -> None:
        self._send = send
        self._most = most
        self._lines: dict[Place, deque[tuple[Ask, asyncio.Future[Answer]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, place: Place, ask: Ask) -> Answer:
        """The answer to this ask. Raises what `send` raised for its lot."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        line = self._lines.get(place)
        if line is None:
            line = self._lines[place] = deque()
            # Ends by itself: each lot has the time limit of its script.
            task = asyncio.create_task(self._work_off(place, line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        line.append((ask, answer))
        return await answer

    def waiting(self, place: Place) -> int:
        """How many have asked at this place since its lot left."""
        return len(self._lines.get(place, ()))

    async def _work_off(self, place: Place, line: deque[tuple[Ask, asyncio.Future[Answer]]]) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while line:
                leaves = clock()
                lot = [line.popleft() for _ in range(min(len(line), self._most))]
                await self._ask_together(place, lot, line)
                if len(line) < self._most:
                    await asyncio.sleep(max(0.0, leaves + _APART_S - clock()))
        finally:
            del self._lines[place]
            _fail((answer for _, answer in line), LedgerUnavailable("the process is ending"))

    async def _ask_together(
        self,
        place: Place,
        lot: Sequence[tuple[Ask, asyncio.Future[Answer]]],
        line: deque[tuple[Ask, asyncio.Future[Answer]]],
    ) -> None:
        try:
            answers = await self._send(place, [ask for ask, _ in lot])
        except LedgerRefused as error:
            _fail((answer for _, answer in lot), error)
        except LedgerUnavailable as error:
            # Whoever came meanwhile has waited too: a second wait of that length would break the limit of an answer.
            _fail((answer for _, answer in (*lot, *line)), error)
            line.clear()
        except BaseException:
            _fail((answer for _, answer in lot), LedgerUnavailable("the ledger was not asked"))
            raise
        else:
            for (_, answer), found in zip(lot, answers, strict=True):
                if not answer.done():  # its caller was cancelled
                    answer.set_result(found)


def _fail(answers: Iterable[asyncio.Future[Answer]], error: LedgerUnavailable) -> None:
    """Each gets an error of its own: one that is raised in several tasks would gather their traces."""
    for answer in answers:
        if not answer.done():
            answer.set_exception(type(error)(*error.args))
