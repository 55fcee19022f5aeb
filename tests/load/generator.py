"""Sends at a constant arrival rate from a process of its own: `python -m tests.load.generator PLAN.json`.

Latency counts from the time a request was meant to leave, so a server that stalls cannot hide the requests that its
stall delayed (https://github.com/giltene/wrk2 explains coordinated omission).
"""

import json
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.load.connection import Connection
from tests.load.plan import Plan, Stream

_STEM = slice(4, 23)
_ID_MARK = b'"id":'


class Generator:
    """Keeps the schedule, the connections and the log of one run.

    One thread and one epoll, for what the generator takes of the machine it takes from what it measures.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._poll = select.epoll()
        self._of: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._nonce = os.urandom(6).hex()
        self.streams: list[int] = []
        self.intended: list[float] = []
        self.answered: list[float] = []
        self.status: list[int] = []
        self.stems: list[str] = []
        self.latest_send = 0.0
        self._outstanding = 0

    def run(self) -> None:
        for _ in range(self._plan.connections):
            self._connect()
        start = time.monotonic() + 0.1
        for due, stream, number in arrivals(self._plan):
            while (early := start + due - time.monotonic()) > 0:
                self._hear(early)
            self.latest_send = max(self.latest_send, -early)
            self._send(start + due, stream, number)
        deadline = time.monotonic() + self._plan.grace_s
        while self._outstanding and time.monotonic() < deadline:
            self._hear(0.02)

    def _send(self, intended: float, stream: int, number: int) -> None:
        request = len(self.intended)
        self.streams.append(stream)
        self.intended.append(intended)
        self.answered.append(0.0)
        self.status.append(0)
        self.stems.append("")
        self._outstanding += 1
        self._waiting.append((request, encode(self._plan.streams[stream], nonce=self._nonce, number=number)))
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting and self._idle:
            connection = self._idle.pop()
            connection.request, data = self._waiting.popleft()
            if not connection.send(data):
                self._lost(connection)

    def _hear(self, limit_s: float) -> None:
        """Reads what has come, or waits that long for something to come."""
        for descriptor, _ in self._poll.poll(limit_s):
            connection = self._of[descriptor]
            answer = connection.receive()
            if answer is None:
                self._lost(connection)
            elif answer:
                self._take(connection, *answer)
        self._send_waiting()

    def _take(self, connection: Connection, status: int, body: bytes) -> None:
        request, connection.request = connection.request, -1
        if request < 0:
            return  # an answer to nothing: not ours to count
        self.answered[request] = time.monotonic()
        self.status[request] = status
        self.stems[request] = stem_of(body) if status < 300 else ""
        self._outstanding -= 1
        self._idle.append(connection)

    def _lost(self, connection: Connection) -> None:
        """A lost connection is a failed request, and is replaced."""
        if connection.request >= 0:
            self._outstanding -= 1
        elif connection in self._idle:
            self._idle.remove(connection)
        del self._of[connection.descriptor]
        connection.close()
        self._connect()

    def _connect(self) -> None:
        for _ in range(200):
            try:
                connection = Connection(self._plan.port)
            except OSError:
                time.sleep(0.05)
                continue
            self._of[connection.descriptor] = connection
            self._poll.register(connection.descriptor, select.EPOLLIN)
            self._idle.append(connection)
            return


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
    log = _measured(plan)
    Path(plan.out).write_text(json.dumps(log))


def _measured(plan: Plan) -> dict[str, Any]:
    generator = Generator(plan)
    started, cpu = time.monotonic(), time.process_time()
    generator.run()
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
