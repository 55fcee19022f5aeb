import asyncio
import base64
import signal
from contextlib import AsyncExitStack

import pytest
import redis

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.settings import load_settings
from vouchpost_gateway.wiring import now_ms, opened, own_ports, owned


async def start(url: str, *master_keys: bytes, tenant: str | None = None) -> None:
    keys = ",".join(base64.b64encode(key).decode() for key in master_keys)
    async with opened(load_settings(ledger_url=url, master_keys=keys)) as gateway:
        if tenant:
            await gateway.tenants.create(tenant, now_ms=now_ms())


@pytest.fixture
def url(redis_url: str) -> str:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    asyncio.run(start(redis_url, b"a" * 32, tenant="acme"))
    return redis_url


def test_no_process_starts_with_master_keys_that_open_nothing_in_the_ledger(url: str) -> None:
    with pytest.raises(Misconfigured, match="VOUCHPOST_MASTER_KEYS"):
        asyncio.run(start(url, b"b" * 32))


def test_a_process_starts_when_any_of_its_master_keys_opens_the_ledger(url: str) -> None:
    asyncio.run(start(url, b"b" * 32, b"a" * 32))


@pytest.mark.parametrize("role", [0, 1, 2], ids=["api", "verify", "deliver"])
def test_no_push_goes_to_a_port_of_our_own_whichever_process_sends_it(role: int) -> None:
    """`up` gives its three processes three ports in a row for their metrics."""
    settings = load_settings(
        ledger_url="redis://127.0.0.1:7001/0",
        bells_url="redis://127.0.0.1:7002/0",
        api_port=7003,
        sandbox_dns="127.0.0.1:7004",
        metrics_port=9464 + role,
    )

    assert own_ports(settings) >= {7001, 7002, 7003, 7004, 9464, 9465, 9466}


def test_a_process_that_lost_one_of_its_tasks_ends_in_good_order() -> None:
    """Without its sweeper, or its watch, it would look alive and keep no promise; started again, it has them."""

    async def main() -> bool:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        async with AsyncExitStack() as stack:
            await owned(stack, _fails())
            async with asyncio.timeout(2):
                await told.wait()
        return told.is_set()

    assert asyncio.run(main())


def test_a_task_that_is_ended_with_its_owner_ends_nothing_else() -> None:
    async def main() -> bool:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        async with AsyncExitStack() as stack:
            await owned(stack, asyncio.sleep(60))
        await asyncio.sleep(0.05)
        return told.is_set()

    assert not asyncio.run(main())


async def _fails() -> None:
    await asyncio.sleep(0)
    raise RuntimeError("unforeseen")
