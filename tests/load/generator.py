"""Sends at a constant arrival rate from a process of its own: `python -m tests.load.generator PLAN.json`.

Latency counts from the time a request was meant to leave, so a server that stalls cannot hide the requests that its
stall delayed (https://github.com/giltene/wrk2 explains coordinated omission).
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from tests.load.connection import Connection
from tests.load.plan import Plan, Stream

_TICK_S = 0.001
_STEM = slice(4, 23)
_ID_MARK = b'"id":'


class Generator:
    """Keeps the schedule, the connections and the log of one run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._idle: deque[Connection] = deque()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._nonce = os.urandom(6).hex()
        self.streams: list[int] = []
        self.intended: list[float] = []
        self.answered: list[float] = []
        self.status: list[int] = []
        self.stems: list[str] = []
        self.latest_send = 0.0
        self._outstanding = 0

    async def run(self) -> None:
        await asyncio.gather(*(self._connect() for _ in range(self._plan.connections)))
        start = time.monotonic() + 0.1
        for due, stream, number in arrivals(self._plan):
            while (now := time.monotonic()) < start + due:  # noqa: ASYNC110 - nothing to wait for but time
                await asyncio.sleep(min(_TICK_S, start + due - now))
            self.latest_send = max(self.latest_send, now - start - due)
            self._send(start + due, stream, number)
        await self._finish()

    def _send(self, intended: float, stream: int, number: int) -> None:
        request = len(self.intended)
        self.streams.append(stream)
        self.intended.append(intended)
        self.answered.append(0.0)
        self.status.append(0)
        self.stems.append("")
        self._outstanding += 1
        data = encode(self._plan.streams[stream], nonce=self._nonce, number=number)
        if self._idle:
            self._idle.pop().send(data, request=request)
        else:
            self._waiting.append((request, data))

    def _on_answer(self, connection: Connection, status: int, body: bytes) -> None:
        request = connection.request
        connection.request = -1
        self.answered[request] = time.monotonic()
        self.status[request] = status
        self.stems[request] = stem_of(body) if status < 300 else ""
        self._outstanding -= 1
        self._next(connection)

    def _next(self, connection: Connection) -> None:
        if self._waiting:
            request, data = self._waiting.popleft()
            connection.send(data, request=request)
        else:
            self._idle.append(connection)

    def _on_lost(self, connection: Connection) -> None:
        """A lost connection is a failed request, and is replaced."""
        if connection.request >= 0:
            connection.request = -1
            self._outstanding -= 1
        elif connection in self._idle:
            self._idle.remove(connection)
        else:
            return
        task = asyncio.ensure_future(self._connect())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(200):
            try:
                _, connection = await loop.create_connection(self._new, "127.0.0.1", self._plan.port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                self._next(connection)
                return

    def _new(self) -> Connection:
        return Connection(answered=self._on_answer, lost=self._on_lost)

    async def _finish(self) -> None:
        deadline = time.monotonic() + self._plan.grace_s
        while self._outstanding and time.monotonic() < deadline:  # noqa: ASYNC110 - an event would cost each answer
            await asyncio.sleep(0.02)


def arrivals(plan: Plan) -> Iterator[tuple[float, int, int]]:
    """Every request as (seconds after the start, stream, number), in the order of time."""
    due = []
    for index, stream in enumerate(plan.streams):
        seconds = plan.seconds if stream.seconds is None else stream.seconds
        due += [(stream.start_s + n / stream.rate, index, n) for n in range(int(seconds * stream.rate))]
    return iter(sorted(due))


def encode(stream: Stream, *, nonce: str, number: int) -> bytes:
    body = stream.body.replace("%d", str(number)).encode()
    key = f"idempotency-key: {nonce}-{stream.name}-{number}\r\n" if stream.idempotent else ""
    head = (
        f"POST {stream.path.replace('%d', str(number))} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"authorization: Bearer {stream.key}\r\n{key}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def stem_of(body: bytes) -> str:
    """The stem of the id in an answer: the 19 characters that a verification shares with its event."""
    at = body.find(_ID_MARK)
    if at < 0:
        return ""
    start = body.find(b'"', at + len(_ID_MARK)) + 1
    return body[start : start + 30].decode("ascii", "replace")[_STEM]


def main(path: Path) -> None:
    plan = Plan.read(path)
    log = uvloop.run(_measured(plan))
    Path(plan.out).write_text(json.dumps(log))


async def _measured(plan: Plan) -> dict[str, Any]:
    generator = Generator(plan)
    started, cpu = time.monotonic(), time.process_time()
    await generator.run()
    took = time.monotonic() - started
    return {
        "names": [stream.name for stream in plan.streams],
        "streams": generator.streams,
        "intended": generator.intended,
        "answered": generator.answered,
        "status": generator.status,
        "stems": generator.stems,
        "cpu_share": (time.process_time() - cpu) / took,
        "took_s": took,
        "latest_send_s": generator.latest_send,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
