import asyncio

import pytest
from starlette.types import Message

from vouchpost_gateway.api.disconnect import unless_client_leaves
from vouchpost_gateway.api.refusals import ClientLeft


async def stays() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def leaves() -> Message:
    return {"type": "http.disconnect"}


def test_the_result_of_the_work_is_the_result() -> None:
    async def work() -> int:
        return 42

    assert asyncio.run(unless_client_leaves(stays, work())) == 42


def test_the_error_of_the_work_is_the_error() -> None:
    async def work() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(unless_client_leaves(stays, work()))


def test_the_work_has_let_go_of_everything_when_the_client_left() -> None:
    ended = False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            ended = True

    with pytest.raises(ClientLeft):
        asyncio.run(unless_client_leaves(leaves, work()))
    assert ended


def test_a_cancelled_call_leaves_no_task_behind() -> None:
    async def main() -> int:
        call = asyncio.create_task(unless_client_leaves(stays, asyncio.sleep(60)))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
