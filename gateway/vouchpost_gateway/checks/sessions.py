"""Conversations with mail hosts that go on: one connection, several recipients, where somebody else is waiting to ask.

A greeting, a hello and a handshake are most of what a question costs. A conversation is kept for a moment only, and
only as many recipients are named in it as the operator takes without holding it against us.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from vouchpost_gateway.checks.operators import Operator
from vouchpost_gateway.checks.replies import Meaning, Reading, Reply, read_reply
from vouchpost_gateway.checks.smtp import Dialogue
from vouchpost_gateway.checks.syntax import Mailbox

_KEPT_S: Final = 1.0


@dataclass(slots=True)
class Session:
    """A dialogue, and how many recipients it has named. `utf8` is how its transaction was opened; None before that."""

    dialogue: Dialogue
    operator: Operator
    utf8: bool | None = None
    recipients: int = 0

    def takes(self, mailbox: Mailbox) -> bool:
        """Whether one more may be named, under the parameters that the transaction was opened with."""
        same = self.utf8 is None or self.utf8 is mailbox.needs_smtputf8
        return same and self.has_room

    @property
    def has_room(self) -> bool:
        return self.recipients < self.operator.recipients

    async def ask(self, mailbox: Mailbox) -> tuple[Reading, Reply]:
        """What the host says to this recipient. Raises Refused and DialogueEnded."""
        if mailbox.needs_smtputf8 and not self.dialogue.takes_utf8:
            return Reading(Meaning.UTF8_UNSUPPORTED, "not-offered"), Reply(0, None, "")
        if self.utf8 is None:
            await self.dialogue.sender(utf8=mailbox.needs_smtputf8)
            self.utf8 = mailbox.needs_smtputf8
        self.recipients += 1
        reply = await self.dialogue.recipient(mailbox.address)
        return read_reply(reply, operator=self.operator.name), reply


@dataclass(slots=True)
class Parking:
    """Sessions between two questions, by the address of their host; each is closed when nobody took it in time."""

    _parked: dict[str, list[Session]] = field(default_factory=dict)
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)
    _closing: set[asyncio.Task[None]] = field(default_factory=set)

    def take(self, address: str, mailbox: Mailbox) -> Session | None:
        """The one that was parked last and may name this recipient."""
        sessions = self._parked.get(address, [])
        for place in reversed(range(len(sessions))):
            if sessions[place].takes(mailbox):
                return sessions.pop(place)
        return None

    def keep(self, address: str, session: Session) -> None:
        self._parked.setdefault(address, []).append(session)
        _own(self._waiting, self._expire(address, session))

    def close(self, session: Session) -> None:
        """Ends it without keeping anybody waiting."""
        _own(self._closing, session.dialogue.aclose())

    async def aclose(self) -> None:
        """Ends all that is parked, and returns when nothing is open."""
        for sessions in self._parked.values():
            for session in sessions:
                self.close(session)
        self._parked.clear()
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, *self._closing, return_exceptions=True)

    async def _expire(self, address: str, session: Session) -> None:
        await asyncio.sleep(_KEPT_S)
        parked = self._parked.get(address, [])
        if any(session is other for other in parked):
            self._parked[address] = [other for other in parked if other is not session]
            if not self._parked[address]:
                del self._parked[address]
            self.close(session)


def _own(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
