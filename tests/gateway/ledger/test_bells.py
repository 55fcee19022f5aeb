"""Bells are arq jobs: arq's own client reads them, arq's own worker runs them, and never is anything unpickled."""

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable

import pytest
from arq.constants import job_key_prefix
from arq.jobs import Job
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.faults.proxy import FaultProxy, Mode
from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.domain.lane import Lane, Ring, deliveries, recoveries, verifications
from vouchpost_gateway.ledger.bells import Bells, Queue, loads, queue_of
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.worker import BellWorker, arq_pool, make_worker


async def _rung(store: Store, *rings: Ring) -> Bells:
    bells = Bells(store)
    bells.ring(rings)
    await bells.aclose()
    return bells


async def _worked(url: str, queue: Queue, until: Callable[[list[tuple[Lane, int]]], bool]) -> list[tuple[Lane, int]]:
    """What a real arq worker ran, until that is enough or a second has passed."""
    ran: list[tuple[Lane, int]] = []

    async def drain(lane: Lane, generation: int) -> None:
        ran.append((lane, generation))

    pool = arq_pool(url, connections=4)
    worker = make_worker(pool, queue, drain, slots=4, job_timeout_s=5)
    try:
        await _until(worker, lambda: until(ran))
    finally:
        await pool.aclose(close_connection_pool=True)
    return ran


async def _until(worker: BellWorker, enough: Callable[[], bool]) -> None:
    main = asyncio.create_task(worker.main())
    for _ in range(100):
        if enough() and not any(not task.done() for task in worker.tasks.values()):
            break
        await asyncio.sleep(0.01)
    main.cancel()
    await asyncio.gather(main, *worker.tasks.values(), return_exceptions=True)


def test_a_bell_is_an_arq_job_with_ids_only(bench: Bench) -> None:
    lane = verifications(bench.world)

    async def info() -> object:
        await _rung(bench.store, Ring(lane.id, 3, slow=False))
        pool = arq_pool(bench.url, connections=2)
        job = Job(f"{lane.id}:3", pool, Queue.VERIFY.value, _deserializer=loads)
        found = await job.info()
        await pool.aclose(close_connection_pool=True)
        assert found is not None
        return found.function, found.args, found.kwargs

    assert bench.run(info()) == ("drain", [lane.id, 3], {})


def test_a_real_arq_worker_runs_each_bell_once_and_leaves_nothing(bench: Bench) -> None:
    lane = verifications(bench.world)

    async def main() -> list[tuple[Lane, int]]:
        await _rung(bench.store, Ring(lane.id, 3, slow=False), Ring(recoveries(bench.world).id, 7, slow=False))
        return await _worked(bench.url, Queue.VERIFY, lambda ran: len(ran) == 2)

    assert sorted(generation for _, generation in bench.run(main())) == [3, 7]
    assert bench.raw.zcard(Queue.VERIFY.value) == 0
    assert [name for name in bench.raw.keys("arq:*") if b"health" not in name] == []


def test_however_long_no_worker_comes_a_lane_has_one_job(bench: Bench) -> None:
    """Sweepers ring a lane that nobody drains every few seconds; for days, and over changes of its class."""
    lane = deliveries(bench.world, 1)

    for generation in range(1, 60):
        bench.run(_rung(bench.store, Ring(lane.id, generation, slow=generation % 3 == 0)))

    assert bench.raw.zrange(Queue.DELIVER.value, 0, -1) == [f"{lane.id}:59".encode()]
    assert bench.raw.zcard(Queue.SLOW.value) == 0
    assert bench.raw.keys(job_key_prefix + "*") == [f"{job_key_prefix}{lane.id}:59".encode()]


def test_a_job_whose_ring_was_replaced_while_it_ran_leaves_nothing(bench: Bench) -> None:
    """A slice that hands its lane on rings for the next one before its own job has ended."""
    lane = verifications(bench.world)
    ran: list[int] = []

    async def main() -> None:
        async def drain(_lane: Lane, generation: int) -> None:
            ran.append(generation)
            if generation == 1:
                await _rung(bench.store, Ring(lane.id, 2, slow=False))

        pool = arq_pool(bench.url, connections=4)
        worker = make_worker(pool, Queue.VERIFY, drain, slots=4, job_timeout_s=5)
        await _rung(bench.store, Ring(lane.id, 1, slow=False))
        await _until(worker, lambda: len(ran) == 2)
        await pool.aclose(close_connection_pool=True)

    bench.run(main())

    assert ran == [1, 2]
    assert bench.raw.zcard(Queue.VERIFY.value) == 0
    assert [name for name in bench.raw.keys("arq:*") if b"health" not in name] == []


def test_connections_that_are_lost_cost_a_worker_no_slot(bench: Bench) -> None:
    """Arq takes one before it asks Redis, and counts on ending when Redis fails it; this worker lives on."""
    ran: list[int] = []

    async def main() -> int:
        async def drain(_lane: Lane, generation: int) -> None:
            ran.append(generation)

        proxy = FaultProxy(int(bench.url.rpartition(":")[2].partition("/")[0]))
        pool = arq_pool(f"redis://127.0.0.1:{proxy.port}/0", connections=8)
        worker = make_worker(pool, Queue.VERIFY, drain, slots=2, job_timeout_s=5)
        working = asyncio.create_task(worker.main())
        for generation in range(1, 400):
            lane = f"00.000{generation % 4}l.v"
            await _rung(bench.store, Ring(lane, generation, slow=False))
            worker.rung.set()
            if generation % 8 == 0:
                await asyncio.to_thread(proxy.reset)
            await asyncio.sleep(0.003)
        ran.clear()
        await _rung(bench.store, Ring("00.0007l.v", 1000, slow=False))
        gives_up = time.monotonic() + 10
        while (1000 not in ran or worker.job_counter) and time.monotonic() < gives_up:
            worker.rung.set()
            await asyncio.sleep(0.01)
        taken = worker.job_counter
        await asyncio.sleep(0.1)  # redis-py that is cancelled in the midst of a transaction leaves its connection open
        working.cancel()
        await asyncio.gather(working, *worker.tasks.values(), return_exceptions=True)
        await pool.aclose(close_connection_pool=True)
        proxy.close()
        return taken

    assert bench.run(main()) == 0
    assert 1000 in ran


def test_each_further_worker_takes_further_jobs(bench: Bench) -> None:
    """Those that run stay at the head of arq's queue, and a worker that looked no further would find nothing else."""

    async def main() -> int:
        running, most, release = 0, 0, asyncio.Event()

        async def drain(_lane: Lane, _generation: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await release.wait()
            running -= 1

        pools = [arq_pool(bench.url, connections=8) for _ in range(4)]
        workers = [make_worker(pool, Queue.VERIFY, drain, slots=2, job_timeout_s=5) for pool in pools]
        await _rung(bench.store, *(Ring(f"00.000{number}l.v", 1, slow=False) for number in range(1, 10)))
        working = [asyncio.create_task(worker.main()) for worker in workers]
        gives_up = time.monotonic() + 5
        while most < 8 and time.monotonic() < gives_up:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        release.set()
        for task in working:
            task.cancel()
        await asyncio.gather(
            *working, *(task for worker in workers for task in worker.tasks.values()), return_exceptions=True
        )
        for pool in pools:
            await pool.aclose(close_connection_pool=True)
        return most

    assert bench.run(main()) == 8


def test_a_worker_whose_clock_is_behind_hears_a_bell_at_once(bench: Bench) -> None:
    """Arq leaves a job alone until its score has come, by the worker's clock."""
    before = time.time() * 1000

    bench.run(_rung(bench.store, Ring(verifications(bench.world).id, 1, slow=False)))

    [(_, score)] = bench.raw.zrange(Queue.VERIFY.value, 0, -1, withscores=True)
    assert 0 < score < before - 30_000


def test_a_bell_rung_twice_is_one_job(bench: Bench) -> None:
    ring = Ring(verifications(bench.world).id, 1, slow=False)

    bench.run(_rung(bench.store, ring, ring))

    assert bench.raw.zcard(Queue.VERIFY.value) == 1


@pytest.mark.parametrize(
    ("lane", "slow", "queue"),
    [
        pytest.param(verifications, False, Queue.VERIFY, id="verifications"),
        pytest.param(recoveries, False, Queue.VERIFY, id="recoveries"),
        pytest.param(lambda world: deliveries(world, 1), False, Queue.DELIVER, id="deliveries"),
        pytest.param(lambda world: deliveries(world, 1), True, Queue.SLOW, id="slow"),
    ],
)
def test_each_kind_of_work_has_a_queue_of_its_own(
    bench: Bench,
    lane: Callable[[object], Lane],
    slow: bool,  # noqa: FBT001
    queue: Queue,
) -> None:
    assert queue_of(Ring(lane(bench.world).id, 1, slow)) is queue


def test_a_worker_that_waits_is_told_of_a_ring(bench: Bench) -> None:
    with bench.raw.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(Queue.VERIFY.channel)
        heard.get_message(timeout=1)

        bench.run(_rung(bench.store, Ring(verifications(bench.world).id, 1, slow=False)))

        assert heard.get_message(timeout=1)


def test_a_hang_in_the_midst_of_a_start_costs_the_pool_no_connection(bench: Bench) -> None:
    """Each would be one of a few, and once all are gone a worker looks alive and starts nothing."""

    async def main() -> bool:
        proxy = FaultProxy(int(bench.url.rpartition(":")[2].partition("/")[0]))
        pool = arq_pool(f"redis://127.0.0.1:{proxy.port}/0", connections=1)
        pool.connection_pool.connection_kwargs["socket_timeout"] = 0.1
        pipe = pool.pipeline(transaction=True)
        await pipe.watch("a job")
        proxy.mode = Mode.HOLD_REPLIES
        with pytest.raises(RedisTimeoutError):
            await pipe.reset()  # type: ignore[no-untyped-call]
        proxy.mode = Mode.PASS
        proxy.reset()
        answered = bool(await pool.ping())
        await pool.aclose(close_connection_pool=True)
        proxy.close()
        return answered

    assert bench.run(main())


@pytest.mark.parametrize("at", ["zrangebyscore", "pipeline"])
def test_an_error_that_is_none_of_redis_ends_no_worker_and_costs_no_slot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Uvloop has a RuntimeError for whoever writes to a transport that was closed a moment ago."""
    ran: list[int] = []

    async def main() -> int:
        async def drain(_lane: Lane, generation: int) -> None:
            ran.append(generation)

        pool = arq_pool(bench.url, connections=4)
        worker = make_worker(pool, Queue.VERIFY, drain, slots=1, job_timeout_s=5)
        working, failures = getattr(pool, at), [RuntimeError("the handler is closed")]

        def fails_once(*args: object, **options: object) -> object:
            if failures:
                raise failures.pop()
            return working(*args, **options)

        monkeypatch.setattr(pool, at, fails_once)
        await _rung(bench.store, Ring(verifications(bench.world).id, 3, slow=False))
        await _until(worker, lambda: bool(ran))
        await pool.aclose(close_connection_pool=True)
        return worker.job_counter

    assert bench.run(main()) == 0
    assert ran == [3]


def test_whatever_is_written_into_the_queue_a_worker_goes_on_and_unpickles_nothing(bench: Bench) -> None:
    """Whoever can write a pickle into a queue must not run code in our workers."""
    lane = verifications(bench.world)
    hostile = {
        "pickled": pickle.dumps({"t": 1, "f": "drain", "a": (_Bomb(),), "k": {}, "et": 1}),
        "no-lane": b'{"t": null, "f": "drain", "a": ["x", 1], "k": {}, "et": 1}',
        "no-world": b'{"t": null, "f": "drain", "a": ["01..v", 1], "k": {}, "et": 1}',
        "no-number": b'{"t": null, "f": "drain", "a": ["01.0001l.d.!!!!", 1], "k": {}, "et": 1}',
        "no-text": b'{"t": null, "f": "drain", "a": [{"a": 1}, []], "k": {}, "et": 1}',
        "no-generation": f'{{"t": null, "f": "drain", "a": ["{lane.id}", "x"], "k": {{}}, "et": 1}}'.encode(),
        "no-job": b"[]",
        "deep": b"[" * 5000,
    }
    for name, text in hostile.items():
        bench.raw.set(job_key_prefix + name, text)
        bench.raw.zadd(Queue.VERIFY.value, {name: 1})

    async def main() -> list[tuple[Lane, int]]:
        await _rung(bench.store, Ring(lane.id, 9, slow=False))
        return await _worked(bench.url, Queue.VERIFY, bool)

    assert bench.run(main()) == [(lane, 9)]
    assert bench.raw.zcard(Queue.VERIFY.value) == 0


class _Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return pytest.fail, ("unpickled",)


def test_without_memory_for_a_bell_the_worker_answers_it_itself(bench: Bench) -> None:
    ring = Ring(verifications(bench.world).id, 1, slow=False)
    answered: list[Ring] = []

    async def main() -> None:
        bells = Bells(bench.store)
        bells.answer_here = answered.append
        bells.ring([ring])
        await bells.aclose()

    before = bench.raw.config_get("maxmemory")["maxmemory"]
    bench.raw.config_set("maxmemory", 1)
    try:
        bench.run(main())
    finally:
        bench.raw.config_set("maxmemory", before)

    assert answered == [ring]


def test_a_redis_that_is_away_never_fails_a_ring_and_the_worker_answers_it_itself() -> None:
    ring = Ring("01.0001l.v", 1, slow=False)
    answered: list[Ring] = []

    async def main() -> None:
        store = Store("redis://127.0.0.1:1/0", connect_limit_s=0.2)
        bells = Bells(store)
        bells.answer_here = answered.append
        bells.ring([ring])
        await bells.aclose()
        bells.ring([])
        await store.aclose()

    _run(main())

    assert answered == [ring]


def _run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())
