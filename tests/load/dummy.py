"""A stand-in for the whole product, to prove the instruments: accepts, and pushes each accepted id at once.

`python -m tests.load.dummy PORT RECEIVER_PORT DROP_EVERY`: every DROP_EVERY-th push is dropped, 0 drops none.
"""

import asyncio
import itertools
import sys
from typing import cast

import uvloop

from tests.load.connection import content_length


class Dummy(asyncio.Protocol):
    """Answers 202 with a fresh id, and hands the id to the pusher."""

    numbers = itertools.count(1)

    def __init__(self, push: "Pusher") -> None:
        self._push = push
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0 or len(self._buffer) < head_end + 4 + content_length(self._buffer[:head_end]):
            return
        self._buffer = b""
        stem = f"{next(self.numbers):019d}"
        body = b'{"id":"vrf_%b0000000"}' % stem.encode()
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 202 -\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        self._push.send(stem)


class Pusher:
    """One connection to the receiver; pushes in the order they came."""

    def __init__(self, drop_every: int) -> None:
        self._drop_every = drop_every
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def send(self, stem: str) -> None:
        if not self._drop_every or int(stem) % self._drop_every:
            self._waiting.put_nowait(stem)

    async def run(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            stem = await self._waiting.get()
            head = f"POST /ok/1 HTTP/1.1\r\nwebhook-id: evt_{stem}0010000\r\ncontent-length: 0\r\n\r\n"
            writer.write(head.encode())
            await reader.readuntil(b"\r\n\r\n")  # an answer to a push has no body


async def main(port: int, receiver_port: int, drop_every: int) -> None:
    pusher = Pusher(drop_every)
    await asyncio.get_running_loop().create_server(lambda: Dummy(pusher), "127.0.0.1", port, backlog=2048)
    await pusher.run(receiver_port)


if __name__ == "__main__":
    uvloop.run(main(*(int(argument) for argument in sys.argv[1:4])))
