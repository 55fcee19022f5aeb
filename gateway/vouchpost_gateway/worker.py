"""arq's side of the bells: a worker that looks at its queue when told, and one job function. No rules in here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix
from arq.worker import Worker, func
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from vouchpost_gateway.domain.lane import Lane
from vouchpost_gateway.ledger.bells import JOB, Queue, dumps, loads

_POLL_S = 0.5
_MAX_TRIES = 1_000_000
_FEW = 4  # jobs, whose owners arq asks for one by one, sooner than all could be asked for
_WORKERS_AHEAD = 8  # how many other workers' running jobs are looked past
_MOST_READ = 4000

if TYPE_CHECKING:
    from arq.typing import WorkerCoroutine

DrainLane = Callable[[Lane, int], Awaitable[None]]


class BellWorker(Worker):
    """An arq worker that polls when it is told of a ring, and now and then in case it was not told.

    A Redis that is away for long ends a poll or a job with an error, of redis-py's or, from a transport that is closed,
    of the event loop's; none may end the worker, which holds outcomes that are still to be settled.
    """

    rung: asyncio.Event
    ended = 0

    async def main(self) -> None:
        self.ctx["redis"] = self.pool
        while True:
            self.rung.clear()
            try:
                await self._poll_iteration()
            except Exception as error:  # noqa: BLE001  see above
                logging.getLogger(__name__).warning("arq lost its Redis: %s", type(error).__name__)
            try:
                async with asyncio.timeout(self.poll_delay_s):
                    await self.rung.wait()
            except TimeoutError:
                continue

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Jobs that run here stay in the queue until they end; each would cost a round trip at every poll.

        arq takes a slot before it asks Redis, and keeps it when Redis fails it, for then it ends. We live on, and give
        it back. Whether one was taken shows in the number of jobs ever started, which is the same when others end.
        """
        for job_id in await self._not_running(job_ids):
            started = self.job_counter + self.ended
            try:
                await super().start_jobs([job_id])
            except Exception:
                if self.job_counter + self.ended > started and job_id.decode() not in self.tasks:
                    super()._release_sem_dec_counter_on_complete()
                raise

    async def _not_running(self, job_ids: list[bytes]) -> list[bytes]:
        """Those that run nowhere. What other workers run stays in the queue too, before what is left for us."""
        job_ids = [job_id for job_id in job_ids if job_id.decode() not in self.tasks]
        if len(job_ids) <= _FEW:
            return job_ids
        running = await self.pool.mget([in_progress_key_prefix.encode() + job_id for job_id in job_ids])
        return [job_id for job_id, runs in zip(job_ids, running, strict=True) if runs is None]

    def _release_sem_dec_counter_on_complete(self) -> None:
        self.ended += 1
        super()._release_sem_dec_counter_on_complete()


def make_worker(pool: ArqRedis, queue: Queue, drain: DrainLane, *, slots: int, job_timeout_s: float) -> BellWorker:
    """A worker of one queue. Its jobs carry ids only; trying again is the ledger's business, not arq's."""

    async def drain_job(_ctx: dict[Any, Any], lane_id: object, generation: object) -> None:
        try:
            lane, generation = Lane.parse(str(lane_id)), int(str(generation))
        except ValueError:
            logging.getLogger(__name__).warning("a job of arq names no lane")
            return
        await drain(lane, generation)

    worker = BellWorker(
        functions=[
            func(
                cast("WorkerCoroutine", drain_job), name=JOB, keep_result=0, timeout=job_timeout_s, max_tries=_MAX_TRIES
            )
        ],
        queue_name=queue.value,
        redis_pool=pool,
        handle_signals=False,
        max_jobs=slots,
        poll_delay=_POLL_S,
        queue_read_limit=max(2 * slots, min(_WORKERS_AHEAD * slots, _MOST_READ)),
        max_tries=_MAX_TRIES,
        job_timeout=job_timeout_s,
        keep_result=0,
        health_check_interval=10,
        job_serializer=dumps,
        job_deserializer=loads,
        log_results=False,
    )
    worker.rung = asyncio.Event()
    return worker


def arq_pool(url: str, *, connections: int) -> ArqRedis:
    """A pool on which a Redis that restarts does not kill the worker.

    `OSError` is the one that matters: a refused connection is one, and redis-py retries it only when told.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=5,
        socket_timeout=3,
        socket_connect_timeout=2,
        socket_keepalive=True,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), 12),
        retry_on_timeout=True,
        retry_on_error=[RedisConnectionError, RedisTimeoutError, BusyLoadingError, OSError],
    )
    return _ArqRedis(pool_or_conn=pool, job_serializer=dumps, job_deserializer=loads)


class _Pipeline(Pipeline):
    """A pipeline that always gives its connection back.

    redis-py's keeps it for ever when the last word of a WATCH gets no answer in time, and each is one of a pool's.
    """

    async def reset(self) -> None:
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        finally:
            if (connection := self.connection) is not None:
                self.connection = None
                await connection.disconnect(nowait=True)
                await self.connection_pool.release(connection)


class _ArqRedis(ArqRedis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
