"""One connection to one Redis, on which everything a process asks is pipelined.

Commands of one turn of the event loop leave in one write; replies come back in order. A connection that leaves a
command unanswered for longer than its limit is given up, with every command on it: the caller is told
`LedgerUnavailable`, which means "it may or may not have happened".
"""

import asyncio
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured

Argument = bytes | str | int | float
Reply = Any

_CLOSED = "the ledger's connection is closed"


class LedgerRefused(LedgerUnavailable):
    """Redis answered a command with an error."""

    @property
    def code(self) -> str:
        """The first word of the error, such as `OOM`, `NOSCRIPT` or `MOVED`."""
        return str(self).split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is, and how to sign in; the parts of a `redis://`, `rediss://` or `unix://` URL."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str | None = None
    username: str | None = None
    password: str | None = None
    database: int = 0
    tls: bool = False

    def __repr__(self) -> str:
        return f"Address({self})"

    def __str__(self) -> str:
        """Where it is, without the password."""
        return f"{self.path or f'{self.host}:{self.port}'}/{self.database}"

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Misconfigured for a URL that names no Redis; the message never holds the password."""
        try:
            return cls._parse(url)
        except ValueError:
            raise Misconfigured("a ledger URL is redis://host:port/number, rediss:// or unix://") from None

    @classmethod
    def _parse(cls, url: str) -> "Address":
        parts = urlsplit(url)
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        if parts.scheme == "unix":
            database = int(parse_qs(parts.query).get("db", ["0"])[0])
            return cls(path=parts.path, username=username, password=password, database=database)
        if parts.scheme not in {"redis", "rediss"}:
            raise Misconfigured("a ledger URL starts with redis://, rediss:// or unix://")
        return cls(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 6379,
            username=username,
            password=password,
            database=int(parts.path.strip("/") or 0),
            tls=parts.scheme == "rediss",
        )


class Connection:
    """A pipelined connection that opens itself when it is first needed, and again after it was lost."""

    def __init__(self, address: Address, *, reply_limit_s: float = 2.0, connect_limit_s: float = 1.0) -> None:
        self.address = address
        self._reply_limit_s = reply_limit_s
        self._connect_limit_s = connect_limit_s
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._closed = False

    async def call(self, *command: Argument) -> Reply:
        """One command, one reply. Raises LedgerRefused for an error reply, LedgerUnavailable when none came."""
        link = self._link
        if link is None or link.lost:
            link = await self._open()
        return await link.send(command)

    async def call_both(self, first: tuple[Argument, ...], second: tuple[Argument, ...]) -> tuple[Reply, Reply]:
        """Two commands, the second right behind the first: not even a new connection comes between them."""
        link = await self._open()
        return await asyncio.gather(link.send(first), link.send(second))

    async def call_asking(self, *command: Argument) -> Reply:
        """One command to a node that is about to own its slot."""
        _, reply = await self.call_both(("ASKING",), command)
        return reply

    async def _open(self) -> "Link":
        """All who need the connection wait for one attempt to open it, and are told the same of it.

        One after the other, they would each wait for a Redis that hangs, the last one for minutes.
        """
        if self._link is not None and not self._link.lost:
            return self._link
        if self._closed:
            raise LedgerUnavailable(_CLOSED)
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.cancelled():
                raise LedgerUnavailable(_CLOSED) from None
            raise

    def _opened(self, opening: "asyncio.Task[Link]") -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._link = opening.result()

    async def _connect(self) -> "Link":
        try:
            async with asyncio.timeout(self._connect_limit_s):
                return await self._greeted(await open_link(self.address, reply_limit_s=self._reply_limit_s))
        except (OSError, TimeoutError) as error:
            raise LedgerUnavailable(
                f"cannot reach the ledger at {self.address}: {_reason(error, tls=self.address.tls)}"
            ) from error

    async def _greeted(self, link: "Link") -> "Link":
        try:
            for command in greeting(self.address):
                await link.send(command)
        except BaseException:
            link.abort("signing in to the ledger failed")
            raise
        return link

    async def aclose(self) -> None:
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._link is not None:
            self._link.abort(_CLOSED)


def _reason(error: OSError | TimeoutError, *, tls: bool) -> str:
    """Why a connection could not be opened, for whoever set its URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted, {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if tls and isinstance(error, ssl.SSLError | ConnectionResetError | ConnectionAbortedError | TimeoutError):
        return "it does not speak the TLS that rediss:// asks for"
    if isinstance(error, TimeoutError):
        return "nothing answers"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


async def open_link(
    address: Address, *, reply_limit_s: float | None, on_push: Callable[[Reply], None] | None = None
) -> "Link":
    """A connected link. With `on_push`, every reply goes there instead: a link that listens."""
    loop = asyncio.get_running_loop()

    def factory() -> Link:
        return Link(loop, reply_limit_s, on_push)

    if address.path:
        _, link = await loop.create_unix_connection(factory, address.path)
    else:
        context = ssl.create_default_context() if address.tls else None
        _, link = await loop.create_connection(factory, address.host, address.port, ssl=context)
    return link


def greeting(address: Address) -> list[tuple[Argument, ...]]:
    commands: list[tuple[Argument, ...]] = []
    if address.password:
        commands.append(("AUTH", *([address.username] if address.username else []), address.password))
    if address.database:
        commands.append(("SELECT", address.database))
    return commands


class Link(asyncio.Protocol):
    """An open socket: commands out in batches, replies in order, one clock for the oldest unanswered command."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, reply_limit_s: float | None, on_push: Callable[[Reply], None] | None
    ) -> None:
        self._loop = loop
        self._reply_limit_s = reply_limit_s
        self._on_push = on_push
        self._reader = hiredis.Reader(replyError=LedgerRefused)
        self._waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.lost = False
        self.when_lost = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its ancestry

    def send(self, command: tuple[Argument, ...]) -> "asyncio.Future[Reply]":
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self.lost:
            future.set_exception(LedgerUnavailable("the connection to the ledger was lost"))
            return future
        self._waiting.append((future, self._loop.time()))
        self.write(command)
        if self._watch is None and self._reply_limit_s is not None:
            self._watch = self._loop.call_later(self._reply_limit_s, self._look_at_oldest)
        return future

    def write(self, command: tuple[Argument, ...]) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub says one-tuple

    def _flush(self) -> None:
        if self._transport is not None and not self.lost:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while not self.lost and (reply := self._reader.gets()) is not False:
                self._deliver(reply)
        except hiredis.ProtocolError:
            self.abort("the ledger broke the protocol")

    def _deliver(self, reply: Reply) -> None:
        if self._on_push is not None:
            self._on_push(reply)
            return
        if not self._waiting:
            self.abort("the ledger answered what it was not asked")
            return
        future, _ = self._waiting.popleft()
        if future.done():
            return  # its caller was cancelled; the reply still had to be taken out of the line
        if isinstance(reply, LedgerRefused):
            future.set_exception(reply)
            if "READONLY " in str(reply):
                self.abort("this server is a replica now")  # the next connection may lead to the new primary
        else:
            future.set_result(reply)

    def _look_at_oldest(self) -> None:
        self._watch = None
        if not self._waiting or self._reply_limit_s is None:
            return
        remaining = self._waiting[0][1] + self._reply_limit_s - self._loop.time()
        if remaining <= 0:
            self.abort("the ledger did not answer in time")
        else:
            self._watch = self._loop.call_later(remaining, self._look_at_oldest)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the reason makes no difference
        self._end("the connection to the ledger was lost")

    def abort(self, why: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._end(why)

    def _end(self, why: str) -> None:
        if self.lost:
            return
        self.lost = True
        self.when_lost.set_result(None)
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(LedgerUnavailable(why))
