"""A worker as a process runs it, here within the test's own: what it does beside answering bells."""

import asyncio
import base64
import time
from collections.abc import Callable

import pytest
import redis
from pydantic import SecretStr

from tests.gateway.ledger.bench import MASTER_KEY, PARTITIONS, Bench
from vouchpost_gateway.domain.lane import Lane, Ring, fan_outs
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.bells import Queue
from vouchpost_gateway.roles import AnswerHere, room_of, serve_worker
from vouchpost_gateway.settings import Settings, load_settings


@pytest.fixture
def settings(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    monkeypatch.setattr("vouchpost_gateway.wiring._JANITOR_INTERVAL_S", 0.05)
    key = base64.b64encode(MASTER_KEY).decode()
    return load_settings(
        ledger_url=redis_url, master_keys=key, partitions=PARTITIONS, metrics_port=0, dns_servers="127.0.0.1:1"
    )


def _served_until(settings: Settings, role: str, holds: Callable[[], bool]) -> bool:
    async def main() -> bool:
        serving = asyncio.create_task(serve_worker(settings, role))
        gives_up = time.monotonic() + 10
        while not holds() and not serving.done() and time.monotonic() < gives_up:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        held = holds()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        return held

    return asyncio.run(main())


def test_a_verify_worker_cleans_up(settings: Settings, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert _served_until(settings, "verify", lambda: bool(client.exists(keys.JANITOR)))


@pytest.mark.parametrize(
    ("role", "drained", "left"),
    [
        ("verify", {"01.0001l.v", "01.0001l.r", "01.0001l.f"}, {"01.0001l.d.0001"}),
        ("deliver", {"01.0001l.d.0001"}, {"01.0001l.v", "01.0001l.r", "01.0001l.f"}),
    ],
)
def test_every_worker_sweeps_the_lanes_that_it_drains(
    settings: Settings, redis_url: str, role: str, drained: set[str], left: set[str]
) -> None:
    """One alone is enough for those whose bell was lost; any other it would keep from whoever can drain it."""
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(keys.due_lanes(1), dict.fromkeys(drained | left, 1))

        def rung() -> set[str]:
            return {lane.decode() for lane in client.hkeys(keys.bells(1))}

        assert _served_until(settings, role, lambda: rung() >= drained)
        assert rung() == drained


def test_without_the_redis_of_the_bells_work_is_done_all_the_same(settings: Settings, redis_url: str) -> None:
    """Bells are how workers share, not how they live: one that cannot ring drains what it finds."""
    with Bench(redis_url) as bench, redis.Redis.from_url(redis_url) as client:
        record = keys.record(bench.world, bench.accept("a@example").stem)
        bench.lose_bell(bench.lane())
        before = client.strlen(record)

        assert _served_until(_alone(settings), "verify", lambda: client.strlen(record) > before), (
            "it has a verdict, or a check"
        )


def test_without_the_redis_of_the_bells_lanes_that_hang_keep_none_of_the_others_waiting() -> None:
    drained: list[str] = []

    async def at_once(lane: Lane, _generation: int) -> None:
        drained.append(lane.id)

    async def hangs(lane: Lane, _generation: int) -> None:
        drained.append(lane.id)
        await asyncio.sleep(3600)

    async def main() -> None:
        answer = AnswerHere({Queue.DELIVER: at_once, Queue.SLOW: hangs})
        for number in range(100):
            answer(Ring(f"01.0001l.d.{number:04}", 1, slow=True))
        answer(Ring("01.0001l.v", 1, slow=False))
        answer(Ring("01.0001l.d.00zz", 1, slow=False))
        await asyncio.sleep(0.01)

    asyncio.run(main())

    assert "01.0001l.d.00zz" in drained
    assert "01.0001l.v" not in drained, "another role's"
    assert len(drained) < 100, "a bounded number"


def test_a_verify_worker_serves_crowds(settings: Settings, redis_url: str) -> None:
    with Bench(redis_url, deliver_at_once=1) as bench:
        crowd = [bench.subscribe() for _ in range(3)]
        event = bench.delivered_to(*crowd)
        bench.lose_bell(fan_outs(bench.world))

        def all_have_it() -> bool:
            return all(event.item in bench.waiting(bench.lane_of(subscription)) for subscription in crowd)

        assert not all_have_it()
        assert _served_until(_alone(settings), "verify", all_have_it)


def _alone(settings: Settings) -> Settings:
    """The same without the Redis of the bells."""
    return settings.model_copy(update={"bells_url": SecretStr("redis://127.0.0.1:1/0")})


@pytest.mark.parametrize(("role", "slots"), [("verify", "verify_slots"), ("deliver", "deliver_slots")])
def test_slices_that_linger_leave_half_of_the_slots_to_lanes_with_work(
    settings: Settings, role: str, slots: str
) -> None:
    """Or the next of many quiet tenants would wait until one of those before it has lingered."""
    assert room_of(settings.model_copy(update={slots: 10}), role).lingering == 5
