"""The sandbox's mail host: a real SMTP host on loopback, so that test keys get every answer a mailbox can have.

`SANDBOX_MAILBOXES` is the one table of what it says. It never takes a message: DATA is refused.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, cast

from vouchpost_gateway.domain.verification import ReasonCode, Status

_LONGEST_LINE: Final = 1024
_PATIENCE_S: Final = 30.0
_MOST_COMMANDS: Final = 100


@dataclass(frozen=True, slots=True)
class SandboxMailbox:
    """What the host says to the recipient, and what a verification at depth `mailbox` ends with. No reply: hangs up."""

    status: Status
    reason: ReasonCode
    about: str
    reply: str = ""
    delay_s: float = 0.0
    refusals_first: int = 0


_EXISTS = (Status.VALID, ReasonCode.MAILBOX_EXISTS)
_NOBODY = "550 5.1.1 User unknown"
_BUSY = "450 4.2.1 The user is receiving mail at a rate that prevents additional messages"
_LATER = "450 4.2.0 Greylisted, try again in 60 seconds"

SANDBOX_MAILBOXES: Mapping[str, SandboxMailbox] = MappingProxyType(
    {
        "exists@mailbox.example": SandboxMailbox(*_EXISTS, "a mailbox", "250 2.1.5 Ok"),
        "slow@mailbox.example": SandboxMailbox(*_EXISTS, "answered after a second", "250 2.1.5 Ok", delay_s=1.0),
        "busy@mailbox.example": SandboxMailbox(*_EXISTS, "busy, so it exists", _BUSY),
        "patient@mailbox.example": SandboxMailbox(
            *_EXISTS, "greylisted twice, in turn: valid at the third check", "250 2.1.5 Ok", refusals_first=2
        ),
        "missing@mailbox.example": SandboxMailbox(
            Status.INVALID, ReasonCode.MAILBOX_NOT_FOUND, "no such mailbox, like any other name here", _NOBODY
        ),
        "disabled@mailbox.example": SandboxMailbox(
            Status.INVALID, ReasonCode.MAILBOX_DISABLED, "a closed mailbox", "550 5.2.1 The account is disabled"
        ),
        "full@mailbox.example": SandboxMailbox(
            Status.RISKY, ReasonCode.MAILBOX_FULL, "a full mailbox", "452 4.2.2 Mailbox full"
        ),
        "moved@mailbox.example": SandboxMailbox(
            Status.RISKY, ReasonCode.MAILBOX_MOVED, "moved to another address", "551 User not local"
        ),
        "*@catchall.example": SandboxMailbox(
            Status.RISKY, ReasonCode.CATCH_ALL, "a domain that takes mail for any name", "250 2.1.5 Ok"
        ),
        "greylisted@mailbox.example": SandboxMailbox(
            Status.UNKNOWN, ReasonCode.GREYLISTED, "come back later, for ever", _LATER
        ),
        "blocked@mailbox.example": SandboxMailbox(
            Status.UNKNOWN, ReasonCode.BLOCKED_BY_POLICY, "we are refused", "554 5.7.1 Client host blocked using a list"
        ),
        "unseen@mailbox.example": SandboxMailbox(
            Status.UNKNOWN, ReasonCode.NOT_PROBATIVE, "taken without a look", "252 2.0.0 Cannot verify, will try"
        ),
        "confused@mailbox.example": SandboxMailbox(
            Status.UNKNOWN, ReasonCode.PROTOCOL_ERROR, "not to the protocol", "503 5.5.1 Bad sequence of commands"
        ),
        "dropped@mailbox.example": SandboxMailbox(
            Status.UNKNOWN, ReasonCode.CONNECTION_DROPPED, "the host hangs up"
        ),
        "*@blanket.example": SandboxMailbox(
            Status.UNKNOWN, ReasonCode.BLANKET_REJECT, "a domain that refuses every name alike", "550 Rejected"
        ),
    }
)  # fmt: skip


@dataclass(slots=True)
class _Host:
    """Conversations under way, and the refusals already played."""

    open: set[asyncio.Task[None]] = field(default_factory=set)
    played: Counter[str] = field(default_factory=Counter)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.open.add(task)
        # Cancelled by `aclose` alone, to end; Python 3.11 would log that as an error.
        with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError, asyncio.CancelledError):
            await self._converse(reader, writer)
        self.open.discard(task)
        writer.close()

    async def aclose(self) -> None:
        tasks = list(self.open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients = 0
        await _say(writer, "220 sandbox.example ESMTP")
        for _ in range(_MOST_COMMANDS):
            async with asyncio.timeout(_PATIENCE_S):
                line = (await reader.readline()).decode("utf-8", "replace").strip()
            verb = line[:4].upper()
            if verb in ("", "QUIT"):
                return
            reply = _REPLIES.get(verb, "502 5.5.1 Not in the sandbox")
            if verb == "RCPT":
                reply = await self._recipient(line[8:].strip("<> "), first=recipients == 0)
                recipients += 1
            if not reply:
                return
            await _say(writer, reply)

    async def _recipient(self, address: str, *, first: bool) -> str:
        """By the table; at domains that are not in it the first one asked about exists, and nobody else."""
        domain = address.rpartition("@")[2]
        mailbox = SANDBOX_MAILBOXES.get(address) or SANDBOX_MAILBOXES.get(f"*@{domain}")
        if mailbox is None:
            return "250 2.1.5 Ok" if first and domain != "mailbox.example" else _NOBODY
        await asyncio.sleep(mailbox.delay_s)
        if not mailbox.refusals_first:
            return mailbox.reply
        turn = self.played[address] % (mailbox.refusals_first + 1)
        self.played[address] += 1
        return _LATER if turn < mailbox.refusals_first else mailbox.reply


_REPLIES = {
    "EHLO": "250-sandbox.example\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES",
    "HELO": "250 sandbox.example",
    "MAIL": "250 2.1.0 Ok",
    "RSET": "250 2.0.0 Ok",
    "NOOP": "250 2.0.0 Ok",
}


async def _say(writer: asyncio.StreamWriter, text: str) -> None:
    writer.write(f"{text}\r\n".encode())
    await writer.drain()


@asynccontextmanager
async def serve(*, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serves on a port, which it yields, until the block ends."""
    mail = _Host()
    server = await asyncio.start_server(mail.connected, host, port, limit=_LONGEST_LINE)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await mail.aclose()
