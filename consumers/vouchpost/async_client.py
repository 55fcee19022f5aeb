"""The client, awaited. It only sends, sleeps and stops in time; what is said, and when again, is in `conversation`."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from vouchpost.breaker import Breaker
from vouchpost.conversation import SUBSCRIPTIONS, NoReply, Reply, Result, Send, Steps, deliveries_of
from vouchpost.errors import ApiError
from vouchpost.resources import Delivery, Subscription, Verification
from vouchpost.shell import (
    ANSWER_LIMIT,
    DEFAULT_TOTAL_S,
    conversations,
    limits,
    no_reply,
    request_of,
    submission_of,
    subscription_of,
    url_of,
)
from vouchpost.submission import Submission, Submitted


class AsyncClient:
    """Awaited; otherwise as `Client`."""

    def __init__(
        self,
        *,
        key: str | None = None,
        url: str | None = None,
        total_s: float = DEFAULT_TOTAL_S,
        breaker: Breaker | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._conversations = conversations(key, total_s, breaker)
        self._http = httpx.AsyncClient(base_url=url_of(url), transport=transport, limits=limits())

    async def submit(
        self,
        email: str,
        *,
        subject_id: str | None = None,
        depth: str | None = None,
        priority: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Verification:
        """Accepted: the gateway promises a verdict. Keep `sequence` beside the address it belongs to."""
        content = submission_of(email, subject_id, depth, priority, metadata)
        return await self._run(self._conversations.submit(content, idempotency_key=idempotency_key))

    async def submit_many(
        self, submissions: Iterable[Submission], *, at_once: int = 8
    ) -> AsyncGenerator[Submitted, None]:
        """Each with what became of it, in their order, never more than `at_once` on the way: any number will do."""
        going: deque[asyncio.Task[Submitted]] = deque()
        try:
            for submission in submissions:
                going.append(asyncio.ensure_future(self._submitted(submission)))
                if len(going) >= at_once:
                    yield await going.popleft()
            while going:
                yield await going.popleft()
        finally:
            for left in going:
                left.cancel()

    async def _submitted(self, submission: Submission) -> Submitted:
        try:
            return Submitted(submission, await self.submit(submission.email, **submission.options()))
        except ApiError as error:
            return Submitted(submission, error)

    async def get(self, verification_id: str) -> Verification:
        return await self._run(self._conversations.get(verification_id))

    async def wait(self, verification_id: str, *, seconds: float = 30) -> Verification:
        """As soon as there is a verdict, or still pending after `seconds`."""
        return await self._run(self._conversations.wait(verification_id, seconds=seconds))

    async def subscribe(
        self, url: str, *, event_types: Sequence[str] = (), description: str = "", include_address: bool = False
    ) -> Subscription:
        """No event types means all of them. `include_address` puts the address itself into each event."""
        return await self._run(
            self._conversations.subscribe(subscription_of(url, event_types, description, include_address))
        )

    async def subscriptions(self) -> AsyncGenerator[Subscription, None]:
        """All of them, newest first."""
        async for item in self._listed(SUBSCRIPTIONS):
            yield Subscription.from_answer(item)

    async def subscription(self, subscription_id: str) -> Subscription:
        return await self._run(self._conversations.subscription(subscription_id))

    async def rotate_secret(self, subscription_id: str) -> Subscription:
        """With its new secret. The one before goes on signing as well, for as long as the gateway says in `raw`."""
        return await self._run(self._conversations.rotate_secret(subscription_id))

    async def deliveries(self, subscription_id: str, *, state: str | None = None) -> AsyncGenerator[Delivery, None]:
        """What was sent to a subscription, newest first."""
        async for item in self._listed(deliveries_of(subscription_id), state=state):
            yield Delivery.from_answer(item)

    async def delivery(self, delivery_id: str) -> Delivery:
        return await self._run(self._conversations.delivery(delivery_id))

    async def resend(self, delivery_id: str) -> Delivery:
        """Once more, whether it has ended or not."""
        return await self._run(self._conversations.resend(delivery_id))

    async def _listed(self, path: str, **filters: str | None) -> AsyncGenerator[Mapping[str, Any], None]:
        """Page by page, each asked for when it is needed."""
        cursor = None
        while True:
            page = await self._run(self._conversations.page(path, cursor=cursor, **filters))
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def unsubscribe(self, subscription_id: str) -> None:
        await self._run(self._conversations.unsubscribe(subscription_id))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[Result]) -> Result:
        reply: Reply | NoReply | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: Result = done.value
                return result
            reply = None
            if isinstance(step, Send):
                reply = await self._send(step)
            else:
                await asyncio.sleep(step.seconds)

    async def _send(self, step: Send) -> Reply | NoReply:
        try:
            async with asyncio.timeout(step.limit_s):
                return await self._read(step)
        except TimeoutError:
            return NoReply("The time limit of the call is over.")
        except httpx.HTTPError as error:
            return no_reply(error)

    async def _read(self, step: Send) -> Reply | NoReply:
        chunks, size = [], 0
        async with self._http.stream(step.method, step.path, **request_of(step)) as response:
            if "content-encoding" in response.headers:
                return NoReply("The answer is compressed, unasked.")
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > ANSWER_LIMIT:
                    return NoReply("The answer is too long.")
            return Reply(response.status_code, b"".join(chunks), response.headers.get("retry-after"))
