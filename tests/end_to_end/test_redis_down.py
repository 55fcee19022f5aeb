"""A ledger that is away, or hangs, is said to be away, soon; when it is back, so is everything that was promised."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from tests.contract.contract import Promised, answer_faults, promised
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


ID = "_" + "0" * 26
IDS = {
    "verifications": f"vrf{ID}",
    "subscriptions": f"sub{ID}",
    "deliveries": f"dlv{ID}",
    "events": f"evt{ID}",
    "partners": f"prt{ID}",
    "keys": "vp_test_00000000000000",
}
BODIES: dict[str, object] = {
    "POST /v1/verifications": {"email": "zep@valid.example"},
    "POST /v1/subscriptions": {"url": "https://example.com/"},
    "PATCH /v1/subscriptions/{id}": {"enabled": False},
    "POST /v1/subscriptions/{id}/recover": {"since": datetime.now(UTC).isoformat()},
    "POST /v1/keys": {"scopes": ["admin"]},
    "POST /v1/partners": {"name": "Acme"},
}
QUERIES = {"/v1/dead-letters": "?kind=delivery", "/v1/verifications/{id}": "?wait=30"}


def _request(client: httpx.AsyncClient, operation: Promised) -> Awaitable[httpx.Response]:
    noun = operation.path.split("/")[2]
    path = operation.path.replace("{id}", IDS.get(noun, "x"))
    query = QUERIES.get(operation.path, "") if operation.method == "GET" else ""
    return client.request(operation.method, path + query, json=BODIES.get(operation.name))


async def _all_at_once(tenant: Account, operations: Sequence[Promised]) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {tenant.key}"}
    async with httpx.AsyncClient(base_url=tenant.url, headers=headers, timeout=40, trust_env=False) as client:
        return await asyncio.gather(*(_request(client, operation) for operation in operations))


@pytest.mark.parametrize("away", [killed, hung])
def test_every_operation_says_so_within_3_s_however_many_ask_at_once(
    machine: Machine, tenant: Account, away: Callable[[Machine], "AbstractContextManager[None]"]
) -> None:
    """One after the other, those who ask would each wait for the one before. `Retry-After` is part of the promise."""
    operations = [operation for operation in promised() if operation.path.startswith("/v1/")] * 2

    with away(machine):
        time.sleep(2.1)  # by now nobody remembers who the key belongs to
        answers = asyncio.run(_all_at_once(tenant, operations))

    for operation, answer in zip(operations, answers, strict=True):
        found = answer_faults(operation, status=answer.status_code, headers=answer.headers, body=answer.content)
        assert (operation.name, answer.status_code, found) == (operation.name, 503, [])
    assert max(answer.elapsed.total_seconds() for answer in answers) < _LIMIT_S
    assert eventually(machine.is_ready, limit_s=30)


def _applied(consumer: Consumer) -> list[str]:
    return [event["data"]["verification_id"] for event in consumer.applied()]
