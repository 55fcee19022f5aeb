"""Receives pushes in a process of its own, as cheaply as it can: `python -m tests.load.receiver PORT`.

The first part of the path says how to behave: `/ok/…`, `/delay/MS/…`, `/status/CODE/…`, `/flap/SECONDS/…`, `/hang/…`.
What came is kept as (path, webhook-id, CLOCK_MONOTONIC), a clock that all processes of a machine share, and is read
back from `/-/records`.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from tests.load.connection import content_length

Record = tuple[str, str, float]


class Log:
    """What came so far."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def answer(self, path: str) -> bytes:
        """The control side: how many records there are, the records from a position, or a fresh start."""
        what, _, position = path.removeprefix("/-/").partition("/")
        if what == "reset":
            self.records.clear()
        if what == "records":
            return json.dumps(self.records[int(position or 0) :]).encode()
        answered = sum(path.startswith("/ok/") for path, _, _ in self.records)
        return json.dumps({"count": len(self.records), "ok": answered, "cpu_s": time.process_time()}).encode()


class Subscriber(asyncio.Protocol):
    """One connection of a sender: every complete request is recorded, then answered as its path asks."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio names it
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:head_end].lower()
            end = head_end + 4 + content_length(head)
            if len(self._buffer) < end:
                return
            path = self._buffer.split(b" ", 2)[1].decode("ascii", "replace")
            self._buffer = self._buffer[end:]
            self._take(path, head)

    def _take(self, path: str, head: bytes) -> None:
        if path.startswith("/-/"):
            self._write(200, self._log.answer(path))
            return
        self._log.records.append((path, header(head, b"webhook-id"), time.monotonic()))
        self._behave(path)

    def _behave(self, path: str) -> None:
        behaviour, _, rest = path[1:].partition("/")
        number = rest.partition("/")[0]
        if behaviour == "delay":
            asyncio.get_running_loop().call_later(int(number) / 1000, self._write, 200)
        elif behaviour == "status":
            self._write(int(number))
        elif behaviour == "flap":
            self._write(200 if int(time.monotonic() / float(number)) % 2 else 503)
        elif behaviour != "hang":
            self._write(200)

    def _write(self, status: int, body: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(b"HTTP/1.1 %d -\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))


def header(head: bytes, name: bytes) -> str:
    """A header's value from a head in lower case; empty when it is not there."""
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return ""
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip().decode("ascii", "replace")


async def main(port: int) -> None:
    log = Log()
    server = await asyncio.get_running_loop().create_server(lambda: Subscriber(log), "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
