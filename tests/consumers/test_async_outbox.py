"""The awaited submitter, and a FastAPI application whose gateway is away: a restart loses nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from tests.consumers.gateways import FakeGateway
from vouchpost import RequestRefusedError, Verification
from vouchpost.async_outbox import AsyncSubmitter
from vouchpost.gate import Gate, Gated
from vouchpost.integrations.starlette import verified_email
from vouchpost.outbox import Submission
from vouchpost.stores.sql_outbox import AsyncSqlOutbox

ANN, BOB = Submission("ann@example.com", subject_id="user_1"), Submission("bob@example.com")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'db'}"


async def opened(url: str) -> AsyncSqlOutbox:
    outbox = AsyncSqlOutbox(create_async_engine(url, poolclass=NullPool))
    await outbox.create_tables()
    return outbox


def with_ann_and_bob(url: str, work: Callable[[AsyncSqlOutbox], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        outbox = await opened(url)
        await outbox.add_async(ANN)
        await outbox.add_async(BOB)
        await work(outbox)

    asyncio.run(main())


async def waiting(outbox: AsyncSqlOutbox) -> list[str]:
    return [submission.email for submission in await outbox.oldest_async(100)]


async def until_nothing_waits(outbox: AsyncSqlOutbox) -> None:
    for _ in range(1000):
        if not await waiting(outbox):
            return
        await asyncio.sleep(0.01)
    pytest.fail("something waits still")


def test_what_waits_is_sent_under_its_own_key_and_told_of(url: str) -> None:
    gateway, told = FakeGateway(), list[tuple[str, int]]()

    async def submitted(submission: Submission, verification: Verification) -> None:
        told.append((submission.email, verification.sequence))

    async def work(outbox: AsyncSqlOutbox) -> None:
        submitter = AsyncSubmitter(client=gateway.async_client(), outbox=outbox, submitted=submitted)
        assert await submitter.run_once() == 2
        assert await waiting(outbox) == []

    with_ann_and_bob(url, work)

    assert list(gateway.taken) == [ANN.key, BOB.key]
    assert told == [("ann@example.com", 7), ("bob@example.com", 7)]


def test_while_the_gateway_is_down_everything_waits(url: str) -> None:
    gateway = FakeGateway(up=False)

    async def work(outbox: AsyncSqlOutbox) -> None:
        submitter = AsyncSubmitter(client=gateway.async_client(), outbox=outbox)
        assert await submitter.run_once() == 0
        gateway.up = True
        assert await submitter.run_once() == 2

    with_ann_and_bob(url, work)


@pytest.mark.parametrize(
    ("status", "left"),
    [
        pytest.param(422, 0, id="an address for the bin"),
        pytest.param(401, 2, id="a key that will be mended"),
    ],
)
def test_only_what_can_never_be_taken_is_dropped_and_told(url: str, status: int, left: int) -> None:
    gateway, told = FakeGateway(refuse_with=status), list[tuple[str, int]]()

    async def refused(submission: Submission, error: RequestRefusedError) -> None:
        told.append((submission.email, error.status))

    async def work(outbox: AsyncSqlOutbox) -> None:
        await AsyncSubmitter(client=gateway.async_client(), outbox=outbox, refused=refused).run_once()
        assert len(await waiting(outbox)) == left

    with_ann_and_bob(url, work)

    assert told == [("ann@example.com", status), ("bob@example.com", status)][left:]


def test_a_crash_between_sending_and_removing_makes_no_second_verification(url: str) -> None:
    gateway = FakeGateway()

    async def crash(*_: object) -> None:
        raise ZeroDivisionError

    async def work(outbox: AsyncSqlOutbox) -> None:
        with pytest.raises(ZeroDivisionError):
            await AsyncSubmitter(client=gateway.async_client(), outbox=outbox, submitted=crash).run_once()
        await AsyncSubmitter(client=gateway.async_client(), outbox=outbox).run_once()
        assert await waiting(outbox) == []

    with_ann_and_bob(url, work)

    assert list(gateway.taken) == [ANN.key, BOB.key]


def test_a_task_sends_what_comes_in_outlives_failures_and_ends_with_its_block(url: str) -> None:
    gateway, failures = FakeGateway(), [True]

    async def fails_once(*_: object) -> None:
        if failures and failures.pop():
            raise OSError("the database is away")

    async def work(outbox: AsyncSqlOutbox) -> None:
        client = gateway.async_client()
        async with AsyncSubmitter(client=client, outbox=outbox, submitted=fails_once, every_s=0.01):
            await until_nothing_waits(outbox)
        assert len(asyncio.all_tasks()) == 1

    with_ann_and_bob(url, work)

    assert gateway.emails == ["ann@example.com", "bob@example.com"]


def test_a_task_that_was_woken_does_not_sleep_on(url: str) -> None:
    gateway = FakeGateway()

    async def work(outbox: AsyncSqlOutbox) -> None:
        async with AsyncSubmitter(client=gateway.async_client(), outbox=outbox, every_s=3600) as submitter:
            await until_nothing_waits(outbox)
            await outbox.add_async(Submission("cem@example.com"))
            submitter.wake()
            await until_nothing_waits(outbox)

    with_ann_and_bob(url, work)

    assert gateway.emails[-1] == "cem@example.com"


def test_a_task_that_has_ended_can_be_begun_again_and_a_job_after_it_sends_too(url: str) -> None:
    gateway = FakeGateway()

    async def work(outbox: AsyncSqlOutbox) -> None:
        submitter = AsyncSubmitter(client=gateway.async_client(), outbox=outbox, every_s=0.01)
        for _ in range(2):
            async with submitter:
                await until_nothing_waits(outbox)
            await outbox.add_async(Submission("cem@example.com"))
        assert await submitter.run_once() == 1

    with_ann_and_bob(url, work)

    assert gateway.emails == ["ann@example.com", "bob@example.com", "cem@example.com", "cem@example.com"]


class Asked(AsyncSqlOutbox):
    times = 0

    async def oldest_async(self, limit: int) -> Sequence[Submission]:
        self.times += 1
        return await super().oldest_async(limit)


def test_a_task_that_was_woken_for_nothing_sleeps_again(url: str) -> None:
    async def work(_: AsyncSqlOutbox) -> None:
        outbox = Asked(create_async_engine(url, poolclass=NullPool))
        async with AsyncSubmitter(client=FakeGateway().async_client(), outbox=outbox, every_s=3600) as submitter:
            await until_nothing_waits(AsyncSqlOutbox(create_async_engine(url, poolclass=NullPool)))
            submitter.wake()
            await asyncio.sleep(0.3)
        assert outbox.times <= 5

    with_ann_and_bob(url, work)


@pytest.mark.parametrize("commit", [True, False])
def test_a_gate_keeps_the_submission_in_the_transaction_of_the_account(url: str, *, commit: bool) -> None:
    async def main() -> list[str]:
        outbox = await opened(url)
        gate = Gate(async_client=FakeGateway().async_client(), outbox=outbox)
        async with AsyncSession(create_async_engine(url, poolclass=NullPool)) as session:
            await gate.later_async(session, "ann@example.com", subject_id="user_1")
            await (session.commit() if commit else session.rollback())
        return await waiting(outbox)

    assert asyncio.run(main()) == (["ann@example.com"] if commit else [])


def sign_up_service(url: str, gateway: FakeGateway) -> FastAPI:
    engine = create_async_engine(url, poolclass=NullPool)
    outbox = AsyncSqlOutbox(engine)
    client = gateway.async_client()
    gate = Gate(async_client=client, outbox=outbox)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        await outbox.create_tables()
        async with client, AsyncSubmitter(client=client, outbox=outbox, every_s=0.01):
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/signup")
    async def sign_up(gated: Annotated[Gated, Depends(verified_email(gate))]) -> str:
        return gated.state

    return app


async def signed_up(app: FastAPI, email: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as browser:
        return await browser.post("/signup", json={"email": email})


def test_a_fastapi_application_restarted_while_the_gateway_is_away_loses_nobody(url: str) -> None:
    gateway = FakeGateway(up=False)

    async def first() -> list[str]:
        app = sign_up_service(url, gateway)
        async with app.router.lifespan_context(app):
            return [(await signed_up(app, f"{name}@example.com")).json() for name in ("ann", "bob")]

    async def restarted() -> None:
        app = sign_up_service(url, gateway)
        async with app.router.lifespan_context(app):
            await until_nothing_waits(await opened(url))

    assert asyncio.run(first()) == ["unverified", "unverified"]
    gateway.up = True
    asyncio.run(restarted())

    assert gateway.emails == ["ann@example.com", "bob@example.com"]
