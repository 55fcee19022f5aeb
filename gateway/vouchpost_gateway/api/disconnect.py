"""A wait that ends when the client leaves: nobody works, or holds a place, for a closed connection."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from vouchpost_gateway.api.refusals import ClientLeft

Result = TypeVar("Result")


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`; ClientLeft, with the work cancelled, when the client goes first."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        await _end(working)
        await _end(leaving)


async def _left(receive: Receive) -> None:
    """Returns at `http.disconnect`; what there is of a body is nobody's business here."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(task: asyncio.Task[Any]) -> None:
    """Cancels the task and waits until it has let go of everything."""
    task.cancel()
    await asyncio.wait({task})
