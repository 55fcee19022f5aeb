"""Durability `replica` on a real primary with a real replica: no 202 before the replica has it, whoever answers."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.gateway.ledger.bench import Bench
from tests.redis_servers import running
from vouchpost_gateway.domain.errors import LedgerUnavailable, NotReplicated
from vouchpost_gateway.embedded.redis_server import EmbeddedRedis


@contextmanager
def _replicated(tmp_path: Path) -> Iterator[tuple[EmbeddedRedis, EmbeddedRedis]]:
    with running(tmp_path / "primary") as primary, running(tmp_path / "replica") as replica:
        with redis.Redis.from_url(replica.url) as there, redis.Redis.from_url(primary.url) as here:
            there.replicaof("127.0.0.1", primary.plan.port)
            deadline = time.monotonic() + 20
            while int(here.execute_command("WAIT", 1, 100)) < 1:
                assert time.monotonic() < deadline, "the replica never followed"
        yield primary, replica


def _waiting_for_a_replica(bench: Bench) -> Bench:
    bench.verifications = replace(bench.verifications, replicas=1)
    return bench


def test_no_process_answers_202_for_what_another_one_wrote_and_no_replica_has(tmp_path: Path) -> None:
    """WAIT looks at the writes of its own connection, and a repeat writes nothing: it must not be taken at its word."""
    with _replicated(tmp_path) as (primary, replica), Bench(primary.url) as made:
        first = _waiting_for_a_replica(made)
        with Bench(primary.url, world=first.world) as other:
            second = _waiting_for_a_replica(other)
            assert first.accept()
            assert second.accept(), "a replica that follows is waited for"
            os.kill(replica.pid, signal.SIGSTOP)
            for bench in (first, second):
                with pytest.raises(NotReplicated):
                    bench.accept(key="k")
            os.kill(replica.pid, signal.SIGCONT)

            assert second.accept(key="k").repeated


def test_what_was_promised_is_there_when_the_replica_takes_over(tmp_path: Path) -> None:
    """Record, place in line and idempotency entry, each of them: the primary and its disk are gone for good."""
    with _replicated(tmp_path) as (primary, replica), Bench(primary.url) as made:
        bench = _waiting_for_a_replica(made)
        promised = [bench.accept(key=f"k{number}").stem for number in range(50)]
        primary.kill()
        with redis.Redis.from_url(replica.url) as there:
            there.replicaof("NO", "ONE")

        with Bench(replica.url, world=bench.world) as after:
            assert set(after.waiting(after.lane())) == set(promised)
            again = [after.accept(key=f"k{number}") for number in range(50)]

        assert [accepted.stem for accepted in again] == promised


def test_a_replica_that_hangs_holds_up_nothing_but_promises(tmp_path: Path) -> None:
    with _replicated(tmp_path) as (primary, replica), Bench(primary.url) as made:
        bench = _waiting_for_a_replica(made)
        stem = bench.accept().stem
        os.kill(replica.pid, signal.SIGSTOP)
        refused: list[LedgerUnavailable] = []

        async def main() -> float:
            accepting = bench.verifications.accept(
                bench.world, bench.stem(), bench.new(), idempotency_key=None, body=b""
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_refused(accepting, refused))
                await asyncio.sleep(0.1)
                started = time.monotonic()
                assert await bench.verifications.view(bench.world, stem) is not None
                return time.monotonic() - started

        assert bench.run(main()) < 0.5
        assert len(refused) == 1
        os.kill(replica.pid, signal.SIGCONT)


async def _refused(accepting: Coroutine[Any, Any, object], refused: list[LedgerUnavailable]) -> None:
    try:
        await accepting
    except LedgerUnavailable as error:
        refused.append(error)
