"""Bells: the arq jobs that ask a worker to drain a lane. A lost bell costs a moment, never an item.

A ring is written as arq itself would write it, without arq's look whether the job exists: the job's id is
`lane:generation`, and each generation is rung once. It takes the place of the ring before it, which nobody needs any
more: while workers are away a lane is rung again and again, and its jobs must not fill the Redis that they lie in.
The write is followed by a PUBLISH, so that an idle worker looks at its queue at once instead of at its next poll.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from arq.constants import job_key_prefix
from arq.jobs import serialize_job

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.lane import Lane, LaneKind, Ring
from vouchpost_gateway.ledger.store import Store

JOB = "drain"
_EXPIRES_MS = 3_600_000
_RING_LIMIT_S = 2.0
_CLOCKS_APART_MS = 60_000
_MAX_WAITING = 10_000


class Queue(StrEnum):
    """The arq queues: one kind of work each, so that none waits behind another."""

    VERIFY = "arq:vouchpost:verify"
    DELIVER = "arq:vouchpost:deliver"
    SLOW = "arq:vouchpost:slow"

    @property
    def channel(self) -> str:
        """Where a worker of this queue is told that something was rung."""
        return f"vp:bell:{self.name.lower()}"


def queue_of(ring: Ring) -> Queue:
    """The queue that the ring goes to: the last of those it may go to when its lane is slow, else the first."""
    return _queues(ring)[-1 if ring.slow else 0]


def _queues(ring: Ring) -> tuple[Queue, ...]:
    """All queues in which bells of this lane are rung, whatever its class at the moment."""
    is_delivery = Lane.parse(ring.lane_id).kind is LaneKind.DELIVERIES
    return (Queue.DELIVER, Queue.SLOW) if is_delivery else (Queue.VERIFY,)


def dumps(value: Any) -> bytes:
    """Serializes for arq as JSON, because whoever can write a pickle into a queue can run code."""
    return json.dumps(value, default=str).encode()


def loads(text: bytes) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("not an arq job")
    return value


class Bells:
    """Rings bells in the background. `ring` never waits and never fails."""

    def __init__(self, store: Store, *, rung: Callable[[int], None] = lambda _count: None) -> None:
        self._store = store
        self._rung = rung
        self.answer_here: Callable[[Ring], None] = lambda _ring: None
        """What to do with a ring that arq's Redis does not take, full or away: a worker drains the lane itself."""
        self._waiting: list[Ring] = []
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, rings: Sequence[Ring]) -> None:
        """Rings soon. What finds no room, or no Redis, is left to the sweeper."""
        if not rings:
            return
        self._waiting += rings[: _MAX_WAITING - len(self._waiting)]
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.get_running_loop().create_task(self._ring_waiting())

    async def _ring_waiting(self) -> None:
        while self._waiting:
            rings, self._waiting = self._waiting, []
            try:
                async with asyncio.timeout(_RING_LIMIT_S):
                    await asyncio.gather(*(self._ring(ring) for ring in rings))
                    await asyncio.gather(*(self._tell(queue) for queue in {queue_of(ring) for ring in rings}))
            except (LedgerUnavailable, TimeoutError):
                for ring in rings:
                    self.answer_here(ring)
                continue
            self._rung(len(rings))

    async def _ring(self, ring: Ring) -> None:
        job_id = f"{ring.lane_id}:{ring.generation}"
        now_ms = int(time.time() * 1000)
        job = serialize_job(JOB, (ring.lane_id, ring.generation), {}, None, now_ms, serializer=dumps)
        assert job is not None
        before = f"{ring.lane_id}:{ring.generation - 1}"
        await asyncio.gather(
            self._store.call("DEL", job_key_prefix + before),
            *(self._store.call("ZREM", queue.value, before) for queue in _queues(ring)),
            self._store.call("PSETEX", job_key_prefix + job_id, _EXPIRES_MS, job),
            self._store.call("ZADD", queue_of(ring).value, now_ms - _CLOCKS_APART_MS, job_id),
        )

    async def _tell(self, queue: Queue) -> None:
        await self._store.call("PUBLISH", queue.channel, "")

    async def aclose(self) -> None:
        if self._ringing is not None:
            await asyncio.wait([self._ringing], timeout=_RING_LIMIT_S)
