"""The one door to Redis: what it repeats, what it gives up, and when."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.gateway.ledger.bench import Bench
from tests.redis_servers import running
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.ledger.connection import LedgerRefused
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store


def test_a_script_whose_reply_was_lost_is_sent_once_more_and_happens_once(bench: Bench) -> None:
    stem = bench.stem()

    async def main() -> str:
        await bench.tenants.seal(bench.world)
        accepting = asyncio.create_task(
            bench.verifications.accept(bench.world, stem, bench.new(), idempotency_key="k", body=b"")
        )
        link = bench.store._seed._link
        assert link is not None
        while not link._waiting:  # noqa: ASYNC110  until the command is on its way
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        link.abort("lost")
        accepted, _ = await accepting
        return accepted.stem

    assert bench.run(main()) == stem
    assert list(bench.waiting(bench.lane())) == [stem]


def test_a_script_that_was_refused_is_not_sent_again(bench: Bench) -> None:
    async def main() -> None:
        await bench.store.run(load("look"), ["k"], ["stem"])  # an argument is missing

    before = bench.raw.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0)
    with pytest.raises(LedgerRefused):
        bench.run(main())

    assert bench.raw.info("commandstats")["cmdstat_evalsha"]["calls"] - before <= 1


def test_a_redis_that_hangs_is_unavailable_within_three_seconds(tmp_path: Path) -> None:
    """With the limit that the API sets: a 503 within 3 s, the one repeat included."""
    with running(tmp_path) as server:

        async def main() -> float:
            store = Store(server.url, reply_limit_s=1.0)
            await store.ask("PING")
            os.kill(server.pid, signal.SIGSTOP)
            started = time.monotonic()
            try:
                with pytest.raises(LedgerUnavailable):
                    await store.run(load("sweep"), ["{p00}:due", "{p00}:bell"], [1, 1, 1, "v"])
                return time.monotonic() - started
            finally:
                os.kill(server.pid, signal.SIGCONT)
                await store.aclose()

        assert asyncio.run(main()) < 2.9


def test_a_redis_that_is_down_is_unavailable_at_once() -> None:
    async def main() -> float:
        store = Store("redis://127.0.0.1:1/0")
        started = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            await store.call("GET", "x")
        return time.monotonic() - started

    assert asyncio.run(main()) < 1
