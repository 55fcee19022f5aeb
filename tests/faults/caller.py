"""The signup service of the fault tests: keeps asking, and remembers exactly what it was promised.

Every request has an idempotency key and is repeated until it is answered 202, as a careful caller would. So every
address that was attempted is acknowledged in the end, and no address may be verified under two ids.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

_ANSWER_LIMIT_S = 6.0
_STEM = slice(4, 23)


@dataclass(slots=True)
class Promise:
    """One acknowledged request. Times are CLOCK_MONOTONIC."""

    stem: str
    subject_id: str
    at: float


@dataclass
class Asked:
    """What the caller knows: the oracle's left side."""

    attempted: dict[str, float] = field(default_factory=dict)
    promised: dict[str, Promise] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    replayed: int = 0
    slowest_answer_s: float = 0.0
    refusals_without_retry_after: int = 0


class Caller(threading.Thread):
    """Asks at a constant rate in a thread of its own until stopped; `join` returns when all is answered."""

    def __init__(self, *, ports: Sequence[int], key: str, name: str, rate: float = 50, depth: str = "syntax") -> None:
        super().__init__(name=name, daemon=True)
        self.asked = Asked()
        self._ports = ports
        self._key = key
        self._rate = rate
        self._depth = depth
        self._stopping = threading.Event()
        self._give_up = threading.Event()

    def stop(self, *, patience_s: float = 30) -> Asked:
        """Asks nothing new; what is under way is asked again until it is answered, or patience ends."""
        self._stopping.set()
        self.join(timeout=patience_s)
        self._give_up.set()
        self.join(timeout=_ANSWER_LIMIT_S + 2)
        return self.asked

    def run(self) -> None:
        asyncio.run(self._load())

    async def _load(self) -> None:
        start, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while not self._stopping.is_set():
                tasks.create_task(self._insist(number))
                number += 1
                await asyncio.sleep(max(0.0, start + number / self._rate - time.monotonic()))

    async def _insist(self, number: int) -> None:
        key = f"{self.name}-{number}"
        self.asked.attempted[key] = time.monotonic()
        for turn in range(10_000):
            if await self._ask(key, self._ports[(number + turn) % len(self._ports)]) or self._give_up.is_set():
                return
            await asyncio.sleep(min(0.1 * (turn + 1), 0.5))

    async def _ask(self, key: str, port: int) -> bool:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                status, head, body = await self._exchange(key, port)
        except (OSError, TimeoutError, EOFError, ValueError):
            self.asked.unanswered += 1
            return False
        self.asked.answers[status] += 1
        self.asked.slowest_answer_s = max(self.asked.slowest_answer_s, time.monotonic() - started)
        if status == 503 and b"retry-after" not in head.lower():
            self.asked.refusals_without_retry_after += 1
        if status != 202:
            return False
        self.asked.replayed += b"idempotency-replayed" in head.lower()
        self.asked.promised[key] = Promise(json.loads(body)["id"][_STEM], key, time.monotonic())
        return True

    async def _exchange(self, key: str, port: int) -> tuple[int, bytes, bytes]:
        """One request on a connection of its own, read to its end; ValueError for anything but a whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(self._request(key))
            answer = await reader.read(-1)
        finally:
            writer.transport.abort()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head[9:12]), head, body

    def _request(self, key: str) -> bytes:
        asked = {"email": f"{key}@fault-mail.org", "depth": self._depth, "subject_id": key}
        body = json.dumps(asked).encode()
        head = (
            "POST /v1/verifications HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
            f"authorization: Bearer {self._key}\r\nidempotency-key: {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
