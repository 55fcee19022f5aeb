"""One SMTP dialogue as far as RCPT TO, with a host that may do anything: RFC 5321, and QUIT before DATA, always.

Bounded in everything: a line, a reply, the wait for one. Connects to the address that was checked, never to a name.
Plain text that comes between STARTTLS and the handshake ends the dialogue (CVE-2011-0411 and its kin).
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self, TypeVar, cast

from vouchpost_gateway.checks.replies import Phase, Reply
from vouchpost_gateway.checks.socks import HostRefused, HostSilent, ProxyFailed, Socks
from vouchpost_gateway.checks.syntax import Malformed, is_one_line, normalise
from vouchpost_gateway.domain.errors import Misconfigured

_LONGEST_LINE: Final = 4096
_LONGEST_REPLY: Final = 16_384
_MOST_LINES: Final = 64
_PARTING_S: Final = 1.0

T = TypeVar("T")


class Trouble(StrEnum):
    """Why a dialogue ended without the reply that was waited for. None of them says anything about a mailbox."""

    CONNECTION_REFUSED = "connection_refused"
    CONNECT_TIMED_OUT = "connect_timed_out"
    UNREACHABLE = "unreachable"
    PROXY_FAILED = "proxy_failed"
    DROPPED = "dropped"
    REPLY_TIMED_OUT = "reply_timed_out"
    REPLY_TOO_LONG = "reply_too_long"
    NOT_SMTP = "not_smtp"
    OUT_OF_STEP = "out_of_step"
    TLS_FAILED = "tls_failed"
    TLS_INJECTION = "tls_injection"


class DialogueEnded(Exception):  # noqa: N818  it says what happened
    """The dialogue ended before its reply."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


class Refused(Exception):  # noqa: N818
    """The host refused to go on to RCPT."""

    def __init__(self, phase: Phase, reply: Reply) -> None:
        super().__init__(phase.value)
        self.phase = phase
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Manners:
    """Who we say we are, and how long we wait."""

    helo_name: str
    mail_from: str
    port: int = 25
    connect_s: float = 5.0
    reply_s: float = 10.0
    source_address: str | None = None
    proxy: Socks | None = None

    @classmethod
    def introduced(
        cls,
        *,
        mail_from: str,
        helo_name: str | None = None,
        source_address: str | None = None,
        proxy_url: str | None = None,
    ) -> Self:
        """With a sender and a host name that are at least written as such; Misconfigured when one is not."""
        sender = normalise(mail_from)
        if isinstance(sender, Malformed):
            raise Misconfigured("the sender that asks mail hosts is not an address")
        name = normalise(f"postmaster@{helo_name or sender.domain}")
        if isinstance(name, Malformed):
            raise Misconfigured("the name said to mail hosts is not a host name")
        if source_address and proxy_url:
            raise Misconfigured("mail hosts are asked through a proxy or from an address of this machine, not both")
        proxy = Socks.parse(proxy_url) if proxy_url else None
        return cls(name.domain, sender.address, source_address=source_address, proxy=proxy)


class Dialogue:
    """A connection on which recipients may be asked about. Made by `open`; ended by `aclose`."""

    def __init__(self, lines: "_Lines", manners: Manners) -> None:
        self._lines = lines
        self._manners = manners
        self._offers: frozenset[str] = frozenset()

    @classmethod
    async def open(cls, address: str, *, host: str, manners: Manners, tls: bool = True) -> "Dialogue":
        """Connected, greeted and, where the host offers it, encrypted. Raises DialogueEnded or Refused."""
        dialogue = cls(await _connect(address, manners), manners)
        try:
            dialogue._expect(Phase.GREETING, await dialogue._reply(), 220)
            await dialogue._hello()
            if tls and "STARTTLS" in dialogue._offers:
                await dialogue._start_tls(host)
                await dialogue._hello()
        except BaseException:
            await dialogue.aclose()
            raise
        return dialogue

    @property
    def takes_utf8(self) -> bool:
        """RFC 6531 3.1: without the offer, an address beyond ASCII cannot even be asked about."""
        return "SMTPUTF8" in self._offers

    async def sender(self, *, utf8: bool) -> None:
        """Opens the transaction. Raises DialogueEnded or Refused."""
        extension = " SMTPUTF8" if utf8 else ""
        self._expect(Phase.SENDER, await self._command(f"MAIL FROM:<{self._manners.mail_from}>{extension}"), 250)

    async def recipient(self, address: str) -> Reply:
        """What the host says to this recipient. Raises DialogueEnded."""
        return await self._command(f"RCPT TO:<{address}>")

    async def aclose(self) -> None:
        """QUIT, without waiting for the answer: no message is ever sent."""
        await self._lines.quit()

    async def _hello(self) -> None:
        reply = await self._command(f"EHLO {self._manners.helo_name}")
        if reply.code in (500, 501, 502, 504):  # RFC 5321 3.2: a host from before EHLO
            reply = await self._command(f"HELO {self._manners.helo_name}")
        self._expect(Phase.HELLO, reply, 250)
        lines = reply.text.upper().split("\n")[1:]
        self._offers = frozenset(line[4:].split()[0] for line in lines if line[4:].split())

    async def _start_tls(self, host: str) -> None:
        reply = await self._command("STARTTLS")
        if reply.code != 220:
            return  # opportunistic: it offered, it declined, we go on
        if self._lines.buffer:
            raise DialogueEnded(Trouble.TLS_INJECTION)
        try:
            await self._in_time(self._lines.encrypt(host), self._manners.reply_s, Trouble.TLS_FAILED)
        except DialogueEnded as ended:  # broken TLS often just hangs up
            raise DialogueEnded(Trouble.TLS_FAILED) from ended

    async def _command(self, line: str) -> Reply:
        if not is_one_line(line):
            raise ValueError("a command is one line")
        if self._lines.buffer:  # a reply to nothing: the next would be taken for that to this command
            raise DialogueEnded(Trouble.OUT_OF_STEP)
        self._lines.write(line)
        return await self._reply()

    async def _reply(self) -> Reply:
        return await self._in_time(self._lines.reply(), self._manners.reply_s, Trouble.REPLY_TIMED_OUT)

    async def _in_time(self, waiting: Awaitable[T], seconds: float, trouble: Trouble) -> T:
        """One limit for the whole of it, so that a host that drips gains nothing."""
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except (TimeoutError, ssl.SSLError) as error:
            raise DialogueEnded(trouble) from error
        except OSError as error:
            raise DialogueEnded(Trouble.DROPPED) from error

    def _expect(self, phase: Phase, reply: Reply, code: int) -> None:
        if reply.code != code:
            raise Refused(phase, reply)


async def _connect(address: str, manners: Manners) -> "_Lines":
    try:
        async with asyncio.timeout(manners.connect_s):
            return await _connected(address, manners)
    except (TimeoutError, HostSilent) as error:
        raise DialogueEnded(Trouble.CONNECT_TIMED_OUT) from error
    except (ConnectionRefusedError, HostRefused) as error:
        raise DialogueEnded(Trouble.CONNECTION_REFUSED) from error
    except ProxyFailed as error:
        raise DialogueEnded(Trouble.PROXY_FAILED) from error
    except OSError as error:
        raise DialogueEnded(Trouble.UNREACHABLE) from error


async def _connected(address: str, manners: Manners) -> "_Lines":
    loop = asyncio.get_running_loop()
    if manners.proxy is not None:
        sock = await manners.proxy.connect(address, manners.port)
        _, lines = await loop.create_connection(_Lines, sock=sock)
        return lines
    source = (manners.source_address, 0) if manners.source_address else None
    _, lines = await loop.create_connection(_Lines, address, manners.port, local_addr=source)
    return lines


def _lenient() -> ssl.SSLContext:
    """Opportunistic TLS (RFC 7435): mail hosts' certificates are seldom in their name, and nothing secret is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class _Lines(asyncio.Protocol):
    """Lines in and out of a connection; keeps no more than the longest reply."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self._ended = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._more: asyncio.Future[None] | None = None
        self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > _LONGEST_REPLY and self._transport:
            self._transport.abort()
        self._wake()

    def connection_lost(self, _: Exception | None) -> None:
        self._lost = True
        self._ended.set()
        self._wake()

    def write(self, line: str) -> None:
        if self._transport is None or self._transport.is_closing():
            raise DialogueEnded(Trouble.DROPPED)
        self._transport.write(f"{line}\r\n".encode())

    async def reply(self) -> Reply:
        """All lines of one reply (RFC 5321 4.2.1)."""
        lines: list[str] = []
        size = 0
        while len(lines) < _MOST_LINES:
            line = await self._line()
            size += len(line)
            if size > _LONGEST_REPLY:
                break
            if not (line[:3].isascii() and line[:3].isdigit() and line[3:4] in ("", " ", "-")):
                raise DialogueEnded(Trouble.NOT_SMTP)
            lines.append(line)
            if line[3:4] != "-":
                return Reply.parse("\n".join(lines))
        raise DialogueEnded(Trouble.REPLY_TOO_LONG)

    async def encrypt(self, host: str) -> None:
        loop = asyncio.get_running_loop()
        plain = cast("asyncio.Transport", self._transport)
        self._transport = await loop.start_tls(
            plain, self, _lenient(), server_hostname=host, ssl_shutdown_timeout=_PARTING_S
        )

    async def quit(self) -> None:
        if self._transport is None:
            return
        if not self._transport.is_closing():
            with contextlib.suppress(OSError, RuntimeError):
                self._transport.write(b"QUIT\r\n")
            self._transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARTING_S):
                await self._ended.wait()
        self._transport.abort()

    async def _line(self) -> str:
        while (end := self.buffer.find(b"\n", 0, _LONGEST_LINE)) < 0:
            if len(self.buffer) >= _LONGEST_LINE:
                raise DialogueEnded(Trouble.REPLY_TOO_LONG)
            if self._lost:
                raise DialogueEnded(Trouble.DROPPED)
            self._more = asyncio.get_running_loop().create_future()
            await self._more
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 1]
        return line.rstrip(b"\r").decode("utf-8", "replace")

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)
