"""What each process does: the API serves, a worker answers bells. Both run until they are told to stop."""

import asyncio
import gc
import hmac
import resource
import signal
from contextlib import AsyncExitStack, suppress

from arq.connections import ArqRedis

from vouchpost_gateway import logs
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.lane import Lane, LaneKind, Ring
from vouchpost_gateway.domain.url import UrlPolicy
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.bells import Queue, queue_of
from vouchpost_gateway.ledger.listening import Listener, Wakes
from vouchpost_gateway.pipeline.attempt import SLOW_AFTER_S
from vouchpost_gateway.pipeline.drain import Drain
from vouchpost_gateway.pipeline.fan_out import FanOut
from vouchpost_gateway.pipeline.resend import Recover
from vouchpost_gateway.pipeline.sweep import Sweep
from vouchpost_gateway.pipeline.work import Pace, Room, Work
from vouchpost_gateway.setting_types import HostPort
from vouchpost_gateway.settings import Settings
from vouchpost_gateway.wiring import ROOM, Gateway, deliver_work, janitor, now_ms, opened, owned, verify_work
from vouchpost_gateway.worker import BellWorker, DrainLane, arq_pool, make_worker

_ARQ_CONNECTIONS = 64
_BATCH = 32
_ANSWERED_HERE = 64
_MEASURE_S = 5.0
_OPEN_FILES = 65_536
_KINDS = {
    "verify": (LaneKind.VERIFICATIONS, LaneKind.RECOVERIES, LaneKind.FAN_OUTS),
    "deliver": (LaneKind.DELIVERIES,),
}
_COLLECT_AFTER = 20_000


async def serve_api(settings: Settings) -> None:
    """The API, until it is told to stop."""
    # Only here: building the API's schemas is half of a process's start, and a worker needs none of them.
    from vouchpost_gateway.api.app import create_app  # noqa: PLC0415
    from vouchpost_gateway.api.rate import Rate  # noqa: PLC0415
    from vouchpost_gateway.api.server import build_server  # noqa: PLC0415

    _raise_open_files()
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(opened(settings, reply_limit_s=1.0))
        await owned(stack, gateway.verdicts.listener.forever())
        _serve_metrics(stack, gateway)
        app = create_app(
            gateway.services,
            cursor_key=_cursor_key(settings),
            body_limit_bytes=settings.body_limit_bytes,
            wait_max_s=settings.wait_max_s,
            rotation_overlap_s=settings.rotation_overlap_s,
            rate=Rate.of_key(settings.key_requests_per_s),
            url_policy=UrlPolicy(allow_networks=settings.push_allow_networks),
            observe=gateway.metrics.http_request,
        )
        _calm_collector()
        server = build_server(
            app,
            host=settings.api_host,
            port=settings.api_port,
            started=lambda host, port: gateway.report.started(listens_on=str(HostPort(host, port))),
            stopping=gateway.verdicts.release,
        )
        await server.serve()
        gateway.report.stopped()


async def serve_worker(settings: Settings, role: str) -> None:
    """A worker of one role, until it is told to stop: then it finishes what it has begun and claims nothing more."""
    _raise_open_files()
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(opened(settings))
        wakes = Wakes()
        listener = Listener(settings.ledger_url.get_secret_value(), wakes.hear)
        listener.subscribe(keys.WAKE_CHANNEL)
        await owned(stack, listener.forever())
        if role == "verify":
            await owned(stack, janitor(gateway).forever(now_ms))
            await owned(stack, _measure_lanes(gateway))
        _serve_metrics(stack, gateway)
        room = room_of(settings, role)
        drains = await _drains(stack, gateway, wakes, room, role)
        gateway.bells.answer_here = AnswerHere(drains)
        await owned(stack, _sweep(gateway, role).forever())
        pool = arq_pool(settings.ring_url.get_secret_value(), connections=_ARQ_CONNECTIONS)
        stack.push_async_callback(pool.aclose, close_connection_pool=True)
        workers = _workers(pool, settings, drains)
        _calm_collector()
        gateway.report.started()
        await _run_workers(settings, workers, room)
        gateway.report.stopped()


def _sweep(gateway: Gateway, role: str) -> Sweep:
    settings, kinds = gateway.settings, _KINDS[role]
    return Sweep(
        gateway.lanes, kinds, gateway.bells.ring, gateway.report, settings.partitions, settings.sweep_interval_s
    )


def room_of(settings: Settings, role: str) -> Room:
    """The room of a worker: in half of its slots slices may linger, the others are for lanes with work."""
    return Room(ROOM, lingering=(settings.verify_slots if role == "verify" else settings.deliver_slots) // 2)


async def _drains(
    stack: AsyncExitStack, gateway: Gateway, wakes: Wakes, room: Room, role: str
) -> dict[Queue, DrainLane]:
    """What this role does with a lane, by the queue that its bells ring in."""
    settings = gateway.settings

    def drain(work: Work, *, slow_after_s: float | None = None, batch: int = _BATCH) -> Drain:
        pace = _pace(settings, slow_after_s=slow_after_s, batch=batch)
        return Drain(gateway.lanes, work, wakes, gateway.bells.ring, gateway.report, room, pace)

    if role == "verify":
        verify = drain(await stack.enter_async_context(verify_work(gateway)), batch=settings.verify_in_flight)
        of_kind = {
            LaneKind.VERIFICATIONS: verify,
            LaneKind.RECOVERIES: drain(
                Recover(gateway.deliveries, gateway.verifications, gateway.subscribe, gateway.bells.ring)
            ),
            LaneKind.FAN_OUTS: drain(FanOut(gateway.fanning)),
        }

        async def drain_of_kind(lane: Lane, generation: int) -> None:
            await of_kind[lane.kind](lane, generation, slow=False)

        return {Queue.VERIFY: drain_of_kind}

    deliver = drain(await stack.enter_async_context(deliver_work(gateway)), slow_after_s=SLOW_AFTER_S)

    async def drain_fast(lane: Lane, generation: int) -> None:
        await deliver(lane, generation, slow=False)

    async def drain_slow(lane: Lane, generation: int) -> None:
        await deliver(lane, generation, slow=True)

    return {Queue.DELIVER: drain_fast, Queue.SLOW: drain_slow}


def _workers(pool: ArqRedis, settings: Settings, drains: dict[Queue, DrainLane]) -> dict[Queue, BellWorker]:
    slots = {
        Queue.VERIFY: settings.verify_slots,
        Queue.DELIVER: settings.deliver_slots,
        Queue.SLOW: settings.slow_slots,
    }
    return {
        queue: make_worker(pool, queue, drain, slots=slots[queue], job_timeout_s=settings.job_timeout_s)
        for queue, drain in drains.items()
    }


class AnswerHere:
    """Drains lanes without arq, while its Redis takes no bell: it is away, or full, and draining frees memory.

    So many lanes at a time of each queue, so that those whose subscribers hang keep none of the others waiting.
    """

    def __init__(self, drains: dict[Queue, DrainLane]) -> None:
        self._drains = drains
        self._running: dict[Queue, set[asyncio.Task[None]]] = {queue: set() for queue in drains}

    def __call__(self, ring: Ring) -> None:
        queue = queue_of(ring)
        if queue not in self._drains or len(running := self._running[queue]) >= _ANSWERED_HERE:
            return  # the next sweep, here or elsewhere, rings again
        task = asyncio.get_running_loop().create_task(_drained(self._drains[queue], ring))
        running.add(task)
        task.add_done_callback(running.discard)


async def _drained(drain: DrainLane, ring: Ring) -> None:
    await drain(Lane.parse(ring.lane_id), ring.generation)


async def _run_workers(settings: Settings, workers: dict[Queue, BellWorker], room: Room) -> None:
    """Runs the workers and listens for their bells; on SIGTERM claims nothing more and waits for what runs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    by_channel = {queue.channel: worker for queue, worker in workers.items()}
    bells = Listener(settings.ring_url.get_secret_value(), lambda channel, _: by_channel[channel].rung.set())
    for channel in by_channel:
        bells.subscribe(channel)
    listening = asyncio.create_task(bells.forever())
    running = [asyncio.create_task(worker.main()) for worker in workers.values()]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([*running, stopping], return_when=asyncio.FIRST_COMPLETED)
    room.stopping = True
    for worker in workers.values():
        worker.allow_pick_jobs = False
    with suppress(TimeoutError):
        async with asyncio.timeout(settings.job_completion_wait_s):
            await _quiet(workers, room)
    for task in [listening, stopping, *running]:
        task.cancel()
    for outcome in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def _quiet(workers: dict[Queue, BellWorker], room: Room) -> None:
    """Returns when no drain runs and all work is settled."""
    while jobs := [task for worker in workers.values() for task in worker.tasks.values() if not task.done()]:
        await asyncio.wait(jobs)
    await room.empty()


async def _measure_lanes(gateway: Gateway) -> None:
    """Keeps the gauges of lanes up to date, for the whole ledger."""
    while True:
        await asyncio.sleep(_MEASURE_S)
        with suppress(LedgerUnavailable):
            partitions = range(gateway.settings.partitions)
            seen = await asyncio.gather(*(gateway.lanes.overview(p, now_ms=now_ms()) for p in partitions))
            for kind in LaneKind:
                lanes = [(items, age) for found in seen for lane, items, age in found if lane.kind is kind]
                gateway.metrics.lanes(
                    kind,
                    items=sum(items for items, _ in lanes),
                    oldest_due_s=max((age for _, age in lanes), default=0) / 1000,
                )


def _calm_collector() -> None:
    """What was made at start lives on and need not be looked through; what comes and goes is, but in larger lots."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


def _raise_open_files() -> None:
    """As many open files as the system allows: each subscriber that hangs holds one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _serve_metrics(stack: AsyncExitStack, gateway: Gateway) -> None:
    settings = gateway.settings
    gateway.metrics.follow(is_ready=lambda: gateway.watch.readiness().ready, dropped_lines=logs.dropped_lines)
    if settings.metrics_port:
        stack.enter_context(gateway.metrics.served(host=settings.metrics_host, port=settings.metrics_port))


def _cursor_key(settings: Settings) -> bytes:
    """The same for all processes with the same master key, so that a cursor of one works with another."""
    return hmac.digest(settings.sealing_keys()[0], b"vouchpost/cursor", "sha256")


def _pace(settings: Settings, *, slow_after_s: float | None, batch: int) -> Pace:
    return Pace(slice_s=settings.slice_s, linger_s=settings.linger_s, slow_after_s=slow_after_s, batch=batch)
