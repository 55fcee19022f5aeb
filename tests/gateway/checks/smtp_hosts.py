"""Mail hosts that do as a test wants, on loopback, at every phase: raw streams, so that nothing keeps them polite."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HANG_UP = ""
"""In place of a reply: the connection is closed."""


@dataclass(slots=True)
class MailHost:
    """What it says, by command; `recipient` decides by address. Keeps every line it was sent."""

    greeting: str = "220 mx.test ESMTP"
    hello: str = "250-mx.test\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES"
    sender: str = "250 2.1.0 Ok"
    recipient: Callable[[str], str] = lambda _: "250 2.1.5 Ok"
    starttls: str = "220 2.0.0 Ready"
    tls: ssl.SSLContext | None = None
    silent_at: str = ""
    drip_s: float = 0.0
    port: int = 0
    lines: list[str] = field(default_factory=list)
    connections: int = 0
    encrypted: int = 0

    def reply_to(self, line: str) -> str:
        verb = line[:4].upper()
        if verb == "RCPT":
            return self.recipient(line[9:-1])
        replies = {
            "EHLO": self.hello,
            "HELO": "250 mx.test",
            "MAIL": self.sender,
            "STAR": self.starttls,
            "QUIT": "221 bye",
        }
        return replies.get(verb, "502 what")


async def serve_mail(host: MailHost, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host.connections += 1
    with suppress(OSError, EOFError, ssl.SSLError):
        await _say(host, writer, host.greeting)
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            host.lines.append(line)
            if host.silent_at and line.startswith(host.silent_at):
                await asyncio.sleep(60)
            await _say(host, writer, host.reply_to(line))
            if line == "STARTTLS" and host.starttls.startswith("220") and host.tls:
                await writer.start_tls(host.tls)
                host.encrypted += 1
            if line == "QUIT" or host.reply_to(line) == HANG_UP:
                break
    writer.close()


async def _say(host: MailHost, writer: asyncio.StreamWriter, text: str) -> None:
    if not text:
        return
    data = f"{text}\r\n".encode()
    if not host.drip_s:
        writer.write(data)
        await writer.drain()
        return
    for byte in data:
        writer.write(bytes([byte]))
        await asyncio.sleep(host.drip_s)


@asynccontextmanager
async def mail_host(host: MailHost) -> AsyncIterator[MailHost]:
    """Serves until the block ends, and then hangs up on whoever is left."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # only ever cancelled below, to end
            await serve_mail(host, reader, writer)
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host.port = server.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        server.close()
        if left := list(tasks):
            await asyncio.wait(left, timeout=0.1)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
