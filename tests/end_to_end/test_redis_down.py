"""A ledger that is away, or hangs, is said to be away, soon; when it is back, so is everything that was promised."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, eventually
from tests.end_to_end.machine import Machine

_LIMIT_S = 3.0


@contextmanager
def killed(machine: Machine) -> Iterator[None]:
    machine.redis.kill()
    try:
        yield
    finally:
        machine.redis.start_again()


@contextmanager
def hung(machine: Machine) -> Iterator[None]:
    pid = machine.redis.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("away", [killed, hung])
def test_a_redis_that_is_away_is_a_503_within_3_s_and_loses_nothing(
    machine: Machine, tenant: Account, consumer: Consumer, away: Callable[[Machine], "AbstractContextManager[None]"]
) -> None:
    tenant.subscribe(consumer)
    consumer.status = 500
    promised = tenant.submit("zep@valid.example")
    assert eventually(lambda: consumer.about(promised))

    with away(machine):
        started = time.monotonic()
        answer = tenant.ask("POST", "/v1/verifications", json={"email": "zep@valid.test"})
        took_s = time.monotonic() - started
        shown = tenant.ask("GET", f"/v1/verifications/{promised}")

    assert took_s < _LIMIT_S
    assert (answer.status_code, shown.status_code) == (503, 503)
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert eventually(machine.is_ready, limit_s=30)
    consumer.status = None
    # What was answered 503 may have been done all the same: a hung Redis reads on from its socket when it wakes.
    assert eventually(lambda: promised in _applied(consumer), limit_s=40)
    assert _applied(consumer).count(promised) == 1


def _applied(consumer: Consumer) -> list[str]:
    return [event["data"]["verification_id"] for event in consumer.applied()]
