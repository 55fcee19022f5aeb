import asyncio
import base64

import pytest
import redis

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.settings import load_settings
from vouchpost_gateway.wiring import now_ms, opened


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
