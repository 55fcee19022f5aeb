"""What is degraded is looked at again as often as was planned: on a real ledger, with checks that follow a script."""

import asyncio
import base64
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest
import redis

from vouchpost_gateway.domain.lane import verifications
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.tenant_policy import TenantPolicy
from vouchpost_gateway.domain.verification import (
    Depth,
    Flags,
    NewVerification,
    Priority,
    ReasonCode,
    Status,
    Verdict,
    Verification,
)
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.pipeline.verify import Verify
from vouchpost_gateway.settings import load_settings
from vouchpost_gateway.wiring import Gateway, now_ms, opened, verify_work

COULD_NOT_TELL = Verdict(
    status=Status.UNKNOWN,
    reason_code=ReasonCode.DNS_FAILURE,
    score=0.0,
    flags=Flags(),
    findings=(),
    normalised="a@example.com",
    domain="example.com",
    policy_version="1",
    temporary=True,
)
VALID = replace(COULD_NOT_TELL, status=Status.VALID, reason_code=ReasonCode.DOMAIN_ACCEPTS_MAIL, temporary=False)


@dataclass
class Script:
    """Checks that say what the test wants, one verdict after the other, and the last one for ever."""

    verdicts: list[Verdict]
    asked: int = 0

    def policy_version(self, _tenant: TenantPolicy) -> str:
        return "1"

    def judge_again(self, verdict: Verdict, _tenant: TenantPolicy) -> Verdict:
        return verdict

    def normalised(self, address: str) -> str | None:
        return address

    async def verify(self, _question: Question) -> Verdict:
        self.asked += 1
        return self.verdicts[min(self.asked, len(self.verdicts)) - 1]


@dataclass
class Line:
    """One verification and the worker that works on it, turn by turn."""

    gateway: Gateway
    work: Verify
    world: World
    stem: str

    async def work_for(self, seconds: float) -> None:
        lane, until = verifications(self.world), time.monotonic() + seconds
        while time.monotonic() < until:
            turn = await self.gateway.lanes.turn(lane, 1, limits=await self.work.limits(lane), want=1)
            for claim in turn.claims:
                done = await self.work(lane, claim, turn)
                if done.settlement:
                    await self.gateway.lanes.turn(
                        lane, 0, limits=await self.work.limits(lane), settlements=[done.settlement]
                    )
            await asyncio.sleep(0.01)

    async def seen(self) -> Verification:
        return await self.gateway.services.verifications.get(self.world, self.stem)


async def line(stack: AsyncExitStack, url: str, script: Script, **settings: object) -> Line:
    master_keys = base64.b64encode(b"m" * 32).decode()
    gateway = await stack.enter_async_context(
        opened(load_settings(ledger_url=url, master_keys=master_keys, checks_max=1, checks_window_s=0.2, **settings))
    )
    work = replace(await stack.enter_async_context(verify_work(gateway)), verifier=script)
    world = (await gateway.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
    new = NewVerification("a@example.com", Depth.DOMAIN, Priority.NORMAL, None, {})
    accepted = await gateway.services.verifications.accept(world, new, idempotency_key=None, body=b"{}")
    return Line(gateway, work, world, accepted.stem)


@pytest.fixture
def url(redis_url: str) -> str:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


def test_a_recheck_that_could_not_tell_is_followed_by_the_next_one(url: str) -> None:
    script = Script([COULD_NOT_TELL, COULD_NOT_TELL, VALID])

    async def main() -> Verification:
        async with AsyncExitStack() as stack:
            one = await line(stack, url, script, recheck_delays_s="0.3,0.3")
            await one.work_for(1.5)
            return await one.seen()

    seen = asyncio.run(main())

    assert (seen.status, seen.revision, len(seen.runs)) == (Status.VALID, 2, 3)
    assert not seen.dead


def test_rechecks_come_to_an_end(url: str) -> None:
    script = Script([COULD_NOT_TELL])

    async def main() -> Verification:
        async with AsyncExitStack() as stack:
            one = await line(stack, url, script, recheck_delays_s="0.2,0.2")
            await one.work_for(1.5)
            return await one.seen()

    seen = asyncio.run(main())

    assert (seen.status, seen.revision, len(seen.runs)) == (Status.UNKNOWN, 1, 3)
    assert seen.dead
