"""The outbox for async applications: what waits, awaited, and a submitter that is a task of the event loop.

What it promises is what `outbox` promises: a submission keeps its idempotency key, so that it may be sent twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol, Self, runtime_checkable

from vouchpost.async_client import AsyncClient
from vouchpost.errors import ApiError, RequestRefusedError
from vouchpost.outbox import is_refused_for_good
from vouchpost.resources import Verification
from vouchpost.submission import Submission

_log: Final = logging.getLogger("vouchpost")


@runtime_checkable
class AsyncOutbox(Protocol):
    """`Outbox`, awaited."""

    async def add_async(self, submission: Submission, *, handle: Any = None) -> None: ...

    async def oldest_async(self, limit: int) -> Sequence[Submission]: ...

    async def remove_async(self, key: str) -> None: ...


async def _nobody_is_told(*_: object) -> None: ...


class AsyncSubmitter:
    """`Submitter`, awaited. `run_once` for a job or a test; `async with` for a task that ends with its block.

    In FastAPI that block is the lifespan: `async with AsyncSubmitter(client=client, outbox=outbox): yield`.
    """

    def __init__(
        self,
        *,
        client: AsyncClient,
        outbox: AsyncOutbox,
        submitted: Callable[[Submission, Verification], Awaitable[None]] = _nobody_is_told,
        refused: Callable[[Submission, RequestRefusedError], Awaitable[None]] = _nobody_is_told,
        every_s: float = 5,
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._submitted = submitted
        self._refused = refused
        self._every_s = every_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def run_once(self, *, limit: int = 100) -> int:
        """Sends the oldest ones and returns how many are done. It ends at the first that the gateway cannot take."""
        taken = 0
        for submission in await self._outbox.oldest_async(limit):
            if self._stopping or not await self._send(submission):
                break
            taken += 1
        return taken

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="vouchpost-submitter")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the one submission under way. What is left in the outbox is sent after the next start."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
        self._stopping = False

    async def _run(self) -> None:
        while not self._stopping:
            try:
                busy = await self.run_once() > 0
            except Exception as error:  # noqa: BLE001 - the application's database or callback; the next turn tries again
                busy = False
                _log.warning("outbox.failed %s", type(error).__name__)
            if not busy:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._every_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _send(self, submission: Submission) -> bool:
        """Whether to go on. A submission that the gateway refuses for good is dropped, or it would block the rest."""
        try:
            verification = await self._client.submit(submission.email, **submission.options())
        except ApiError as error:
            if not is_refused_for_good(error, submission):
                return False
            await self._refused(submission, error)
        else:
            await self._submitted(submission, verification)
        await self._outbox.remove_async(submission.key)
        return True
