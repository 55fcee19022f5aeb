"""One connection, held to what uvicorn leaves open: receipt in time, a head of bounded size, one Host, one length.

uvicorn with httptools has no deadline for receiving a request, takes heads of any size, keeps trailers without end and
among the headers, loses the body of a request that would rather speak another protocol, and lets requests with no Host,
two Hosts, or both Content-Length and Transfer-Encoding through. An ASGI middleware is too late for all of these.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httptools
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from vouchpost_gateway.api.wire_problems import BAD_REQUEST, TOO_LATE, TOO_LONG, TOO_MANY

# RFC 3986 section 3.2: the characters of a host and port; user information has no place in Host (RFC 9110 7.2).
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]{1,259}")
# RFC 9110 sections 5.6.2 and 5.5: a token, then what is no control character but a tab.
_HEADER_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
_LENGTHS = frozenset({b"content-length", b"transfer-encoding"})
# One byte of a body may come as a chunk of its own, `1 CRLF x CRLF`; chunk extensions and trailers are what is above.
_BYTES_PER_BODY_BYTE = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection, and one address, may take."""

    receipt_s: float = 10
    head_bytes: int = 16_384
    connections_per_ip: int = 2_000
    requests_in_line: int = 100  # sent in one go, behind the one that is being answered
    linger_s: float = 1  # for a peer to read its answer, though it was refused or has ended its side
    flush_s: float = 30  # for a peer to take what it was sent


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits of one server, and how many connections each address has open."""

    limits: Limits = field(default_factory=Limits)
    open: Counter[str] = field(default_factory=Counter)


class GuardedConfig(Config):
    """uvicorn's configuration, with the guard that its connections share."""

    def __init__(self, app: ASGIApp, *, guard: Guard, **options: Any) -> None:
        super().__init__(app, http=GuardedConnection, **options)
        self.guard = guard


class BadFramingError(Exception):
    """The head says something that two servers could read differently."""


class TooManyInLineError(Exception):
    """More requests were sent without waiting for an answer than are kept."""


class HeadTooLargeError(Exception):
    """The head has more bytes than are read."""


class GuardedConnection(HttpToolsProtocol):
    """uvicorn's connection with the rules of the module."""

    config: GuardedConfig

    def __init__(
        self,
        config: GuardedConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._guard = config.guard
        self._head_limit = config.guard.limits.head_bytes
        self._ip: str | None = None
        self._receipt: asyncio.TimerHandle | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_head = True
        self._in_message = False
        self._upgrade_wished = False
        self._said_all = False
        self._head_bytes = 0
        self._framing_bytes = 0
        self._refusal = BAD_REQUEST
        self._refused = False
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        self._begin_receipt()
        if self.client is not None:
            self._ip = self.client[0]
            self._guard.open[self._ip] += 1
            if self._guard.open[self._ip] > self._guard.limits.connections_per_ip:
                self._refuse(TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_receipt()
        for timer in (self._flush, self._unread):
            if timer is not None:
                timer.cancel()
        self._tell_the_application()
        if self._ip is not None:
            self._guard.open[self._ip] -= 1
            if self._guard.open[self._ip] <= 0:
                del self._guard.open[self._ip]
            self._ip = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """The deadline runs from the start, or the first byte after an answer, to the last byte of the request."""
        if self._refused or self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal)
            return
        if self._in_message and max(self._head_bytes, self._framing_bytes) > self._head_limit:
            self._refuse(TOO_LONG)
        elif self._in_message or not self._is_answering():
            self._begin_receipt()
        else:
            self._end_receipt()

    def _feed(self, data: bytes) -> None:
        """The parser takes a head that wishes for another protocol for the last it has to read. We go on without."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as told:
                data = self._head_without_upgrade() + data[told.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
                self._upgrade_wished = False
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """RFC 9110 section 7.8: a server may ignore Upgrade, and then reads the request as if it were not there."""
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(lines))

    def eof_received(self) -> bool:  # type: ignore[override] # as asyncio has it
        """A peer that has said all may still listen. One that has left looks just the same: both get a moment."""
        if self._refused or self._in_message or not self._is_answering():
            return False
        self._said_all = True
        self._flush = self.loop.call_later(self._guard.limits.linger_s, self._leave)
        return True

    def _leave(self) -> None:
        self._tell_the_application()
        self._close()

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= self._guard.limits.requests_in_line:
            raise TooManyInLineError
        super().on_message_begin()
        self._in_message = self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A trailer is no header (RFC 9110 section 6.5.1): it comes when those were checked, or even acted upon."""
        if self._in_head:
            name = name.lower()
            self.headers.append((name, value))
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        if len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers]) > self._head_limit:
            self._refusal = TOO_LONG  # in one piece; a head in pieces is cut off as it comes
            raise HeadTooLargeError
        check_framing(self.headers, http_version=self.parser.get_http_version())
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadFramingError("this is no proxy")
            self._upgrade_wished = True
            return
        super().on_headers_complete()
        self._in_head = False
        self._head_bytes = self._framing_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = max(0, self._framing_bytes - _BYTES_PER_BODY_BYTE * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrade_wished:
            return
        self._in_message = False
        self._in_head = True
        self._framing_bytes = 0
        super().on_message_complete()

    def _receipt_over(self) -> None:
        self._receipt = None
        if self._in_message:
            self._refuse(TOO_LATE)
        else:
            self._close()

    def _begin_receipt(self) -> None:
        if self._receipt is None and not self._refused:
            self._receipt = self.loop.call_later(self._guard.limits.receipt_s, self._receipt_over)

    def _end_receipt(self) -> None:
        if self._receipt is not None:
            self._receipt.cancel()
            self._receipt = None

    def _refuse(self, answer: bytes) -> None:
        """Answers and ends the connection; an answer that is given, or under way, is never mixed with another.

        The peer may still be sending: closing at once would make its TCP throw our answer away, so we linger.
        """
        if self._refused:
            return
        self._refused = True
        self._end_receipt()
        owes_no_other = self._owes_no_other()
        self._tell_the_application()
        if owes_no_other and not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.write_eof()
            self._flush = self.loop.call_later(self._guard.limits.linger_s, self._close)
        else:
            self._close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        cycle.__class__ = WholeAnswer  # uvicorn names the class of its cycles itself
        super()._start_asgi_task(cycle, app)

    def _tell_the_application(self) -> None:
        """For the request that is being handled, if any, the client is gone. uvicorn tells the last in line only."""
        self.pipeline.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _owes_no_other(self) -> bool:
        if self.cycle is None:
            return True
        return self.cycle.response_complete if self._in_head else not self.cycle.response_started

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or (self._said_all and not self._is_answering()):
            self._close()

    def pause_writing(self) -> None:
        """An answer waits for the peer to take the one before, but not for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(self._guard.limits.flush_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        """Closing waits until the peer has taken what was sent; a peer that never does is not waited for."""
        self.transport.close()
        if self._flush is not None:
            self._flush.cancel()
        self._flush = self.loop.call_later(self._guard.limits.flush_s, self.transport.abort)


class WholeAnswer(RequestResponseCycle):
    """Writes an answer whole, head and body at once, where uvicorn writes each and looks twice at every header.

    The application sends every answer in two messages, the body in one piece, its length in the head. Nothing here
    refers to itself: one circle in every request kept the garbage collector busy for 10 to 50 ms every few seconds.
    """

    _head: Any = None

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self._head is None:
            _expect(message, "http.response.start")
            self._head = message
            self.response_started = True
            self.waiting_for_100_continue = False
            return
        _expect(message, "http.response.body")
        if self.response_complete or message.get("more_body", False):
            raise RuntimeError("an answer has one body, in one piece")
        self._write(self._head["status"], self._head["headers"], message["body"])
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _write(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        if status != 204 and (b"content-length", b"%d" % len(body)) not in headers:
            raise RuntimeError("the length of this answer is not that of its body")
        lines = [b"%b: %b\r\n" % header for header in (*self.default_headers, *headers)]
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) or not _HEADER_LINES.fullmatch(head):
            raise RuntimeError("a header of this answer is more, or other, than one line")
        whole = b"%b%b\r\n%b" % (STATUS_LINE[status], head, b"" if self.scope["method"] == "HEAD" else body)
        self.transport.write(whole)


def _expect(message: Any, kind: str) -> None:
    if message["type"] != kind:
        raise RuntimeError(f"the application sent {message['type']} where {kind} was due")


def check_framing(headers: list[tuple[bytes, bytes]], *, http_version: str) -> None:
    """RFC 9112 sections 3.2 and 6.1: one Host, and one way to tell how long the body is."""
    hosts: list[bytes] = []
    lengths: list[bytes] = []
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name in _LENGTHS:
            lengths.append(value)
            if name == b"transfer-encoding" and (value.lower() != b"chunked" or http_version == "1.0"):
                raise BadFramingError("the only transfer coding is chunked, and HTTP/1.0 has none")
    if len(lengths) > 1:
        raise BadFramingError("there must be one length")
    if len(hosts) > 1 or (not hosts and http_version != "1.0"):
        raise BadFramingError("there must be one Host")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise BadFramingError("the Host is not one")
