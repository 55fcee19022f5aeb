"""Waiting for a verdict, told by a real ledger."""

import asyncio
import base64
import time
from contextlib import AsyncExitStack

import pytest

from vouchpost_gateway.domain.errors import NotFound
from vouchpost_gateway.domain.verification import Depth, NewVerification, Priority
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.settings import load_settings
from vouchpost_gateway.wiring import now_ms, opened, owned

_LIMIT_S = 5


def test_a_wait_ends_when_what_it_waits_for_is_erased(redis_url: str) -> None:
    settings = load_settings(ledger_url=redis_url, master_keys=base64.b64encode(b"m" * 32).decode())
    new = NewVerification("a@example.com", Depth.DOMAIN, Priority.NORMAL, None, {})

    async def main() -> float:
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(opened(settings))
            await owned(stack, gateway.verdicts.listener.forever())
            world = (await gateway.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
            asked = gateway.services.verifications
            stem = (await asked.accept(world, new, idempotency_key=None, body=b"{}")).stem
            started = time.monotonic()
            waiting = asyncio.ensure_future(asked.wait(world, stem, seconds=30))
            await asyncio.sleep(1)
            await asked.erase(world, stem)
            with pytest.raises(NotFound):
                await asyncio.wait_for(waiting, _LIMIT_S)
            return time.monotonic() - started

    assert asyncio.run(main()) < _LIMIT_S
