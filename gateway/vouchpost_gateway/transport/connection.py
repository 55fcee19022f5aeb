"""One HTTP/1.1 connection to a subscriber: a request out, an answer back (RFC 9112), bounded in size and time.

The status counts as soon as the head is complete: a slow, endless or broken body changes nothing about it and only
costs the connection. What an answer means, and where the connection came from, is not known here.
"""

import asyncio
from dataclasses import dataclass
from enum import IntEnum
from typing import cast

import httptools

from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.transport.failed import AttemptFailed

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 16 * 1024
MAX_KEPT_BYTES = 512
# Chunk extensions and trailers are no body, and the parser keeps a trailer until it ends.
_MAX_BYTES = MAX_HEAD_BYTES + MAX_BODY_BYTES
# What is left of a body once the status is known may take this long; then the connection is given up.
DRAIN_S = 1.0


@dataclass(slots=True)
class Reply:
    """What is kept of an answer: its status, two headers, and the first bytes of its body."""

    status_code: int = 0
    retry_after: bytes | None = None
    encoded: bool = False
    body: bytes = b""


class _Stage(IntEnum):
    """How much of the answer is here; what comes after COMPLETE belongs to no request."""

    HEAD = 0
    BODY = 1
    COMPLETE = 2


class Connection(asyncio.Protocol):
    """One request at a time. `is_open` after an exchange says whether it can carry another one.

    A lost connection refers to nothing that refers to it: hundreds that hang would be work for the garbage collector.
    """

    _transport: asyncio.Transport
    _limit: asyncio.TimerHandle
    _deadline: float
    _reply: Reply
    _stage: _Stage
    _received: int
    _body_bytes: int
    _reusable: bool

    def __init__(self) -> None:
        self.is_open = False
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Reply | Failure] = self._loop.create_future()
        self._waiter.cancel()
        self._begin()

    async def exchange(self, request: bytes, *, deadline: float) -> Reply:
        """The answer to this request; AttemptFailed when its head is not complete by then, on the loop's clock."""
        self._begin()
        self._deadline = deadline
        self._limit = self._loop.call_at(deadline, self._out_of_time)
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        try:
            found = await self._waiter
        finally:
            self._limit.cancel()
            if not self._reusable:
                self.abort()
        if isinstance(found, Failure):
            raise AttemptFailed(found)
        return found

    @property
    def is_untouched(self) -> bool:
        """Whether not a single byte has come back for the last request."""
        return self._received == 0

    def abort(self) -> None:
        """Drops the connection at once: a farewell would wait for the other side."""
        self.is_open = False
        self._transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self._waiter.done():
            self.abort()  # nobody asked for this
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end(Failure.PROTOCOL_ERROR)
        else:
            self._look()

    def eof_received(self) -> None:
        self._end(Failure.CONNECTION_FAILED)

    def connection_lost(self, _: Exception | None) -> None:
        self._end(Failure.CONNECTION_FAILED)
        del self._parser

    # What the parser tells.

    def on_message_begin(self) -> None:
        if self._stage is _Stage.COMPLETE:
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._stage is not _Stage.HEAD:
            return
        if len(name) == 11 and name.lower() == b"retry-after":
            self._reply.retry_after = value
        elif len(name) == 16 and name.lower() == b"content-encoding":
            self._reply.encoded = True

    def on_headers_complete(self) -> None:
        if self._stage is not _Stage.HEAD:
            return
        status_code = self._parser.get_status_code()
        if 100 <= status_code < 200 and status_code != 101:
            self._reply = Reply()  # an interim answer (RFC 9110, 15.2)
            return
        self._reply.status_code = status_code
        self._stage = _Stage.BODY

    def on_body(self, data: bytes) -> None:
        if self._stage is _Stage.BODY:
            self._body_bytes += len(data)
            self._reply.body += data[: MAX_KEPT_BYTES - len(self._reply.body)]

    def on_message_complete(self) -> None:
        if self._stage is _Stage.BODY:
            self._stage = _Stage.COMPLETE
            self._reusable = self._parser.should_keep_alive()

    # What follows from it.

    def _begin(self) -> None:
        self._reply = Reply()
        self._stage = _Stage.HEAD
        self._received = self._body_bytes = 0
        self._reusable = False

    def _look(self) -> None:
        """Whether all that is wanted of the answer is here, or as much as is ever taken."""
        if self._stage is _Stage.HEAD:
            if self._received > MAX_HEAD_BYTES:
                self._end(Failure.PROTOCOL_ERROR)
        elif self._stage is _Stage.COMPLETE or self._body_bytes > MAX_BODY_BYTES or self._received > _MAX_BYTES:
            self._waiter.set_result(self._reply)
        elif not self._is_draining:
            self._limit.cancel()
            self._limit = self._loop.call_at(min(self._loop.time() + DRAIN_S, self._deadline), self._out_of_time)

    @property
    def _is_draining(self) -> bool:
        """Whether the limit is already the shorter one, of what is left of a body."""
        return self._limit.when() != self._deadline

    def _out_of_time(self) -> None:
        self._end(Failure.TIMED_OUT)

    def _end(self, failure: Failure) -> None:
        """No more will come: the failure, unless the status is known by now."""
        self.is_open = self._reusable = False
        if self._waiter.done():
            return
        if self._stage is _Stage.HEAD:
            self._waiter.set_result(failure)
        else:
            self._waiter.set_result(self._reply)
