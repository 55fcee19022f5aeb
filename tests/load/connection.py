"""A keep-alive HTTP/1.1 client connection with as little in it as load needs, so that it does not eat the machine.

One request at a time, answers with a Content-Length only: this talks to our own API, not to the internet.
"""

import asyncio
from collections.abc import Callable
from typing import cast


class Connection(asyncio.Protocol):
    """Tells `answered(connection, status, body)` for each answer, and `lost(connection)` when it ends."""

    def __init__(
        self, *, answered: Callable[["Connection", int, bytes], None], lost: Callable[["Connection"], None]
    ) -> None:
        self._answered = answered
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.request = -1

    def send(self, data: bytes, *, request: int) -> None:
        """Writes one request; `request` is the caller's number of it and free again after the answer."""
        self.request = request
        if self._transport is None or self._transport.is_closing():
            self._lost(self)
        else:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        end = head_end + 4 + content_length(self._buffer[:head_end])
        if len(self._buffer) < end:
            return
        status, body = int(self._buffer[9:12]), self._buffer[head_end + 4 : end]
        self._buffer = self._buffer[end:]
        self._answered(self, status, body)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._transport = None
        self._lost(self)


def content_length(head: bytes) -> int:
    """The Content-Length of a message's head in any case of letters; 0 when there is none."""
    at = head.find(b"ontent-length:")
    if at < 0:
        at = head.find(b"ontent-Length:")
    if at < 0:
        return 0
    end = head.find(b"\r\n", at)
    return int(head[at + 14 : end if end >= 0 else len(head)])
