"""Submits addresses to the gateway: `Client` blocks, `AsyncClient` is awaited. Both only send, sleep and stop in time.

What is said, and when again, is in `conversation`. Every call has one limit over everything it does, retries included.
"""

import asyncio
import os
import random
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self

import httpx

from vouchpost.conversation import Chances, Conversations, NoReply, Reply, Result, Send, Steps
from vouchpost.errors import ConfigurationError
from vouchpost.resources import Subscription, Verification

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TOTAL_S: Final = 10.0
_CONNECT_S: Final = 3.0
_ANSWER_LIMIT: Final = 1024 * 1024


class Client:
    """Blocking. Threads may share one; it keeps its connections open until `close`."""

    def __init__(
        self,
        *,
        key: str | None = None,
        url: str | None = None,
        total_s: float = DEFAULT_TOTAL_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._conversations = _conversations(key, total_s)
        self._http = httpx.Client(base_url=_url(url), transport=transport, limits=_limits())

    def submit(
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
        content = _submission(email, subject_id, depth, priority, metadata)
        return self._run(self._conversations.submit(content, idempotency_key=idempotency_key))

    def get(self, verification_id: str) -> Verification:
        return self._run(self._conversations.get(verification_id))

    def wait(self, verification_id: str, *, seconds: float = 30) -> Verification:
        """As soon as there is a verdict, or still pending after `seconds`."""
        return self._run(self._conversations.wait(verification_id, seconds=seconds))

    def subscribe(
        self, url: str, *, event_types: Sequence[str] = (), description: str = "", include_address: bool = False
    ) -> Subscription:
        """No event types means all of them. `include_address` puts the address itself into each event."""
        return self._run(self._conversations.subscribe(_subscription(url, event_types, description, include_address)))

    def unsubscribe(self, subscription_id: str) -> None:
        self._run(self._conversations.unsubscribe(subscription_id))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, steps: Steps[Result]) -> Result:
        reply: Reply | NoReply | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: Result = done.value
                return result
            reply = None
            if isinstance(step, Send):
                reply = self._send(step)
            else:
                time.sleep(step.seconds)

    def _send(self, step: Send) -> Reply | NoReply:
        """In a thread that can be left behind: httpx limits each read, but neither their sum nor a name server."""
        answer: Future[Reply | NoReply] = Future()
        threading.Thread(target=self._exchange, args=(step, answer), daemon=True).start()
        try:
            return answer.result(timeout=step.limit_s)
        except TimeoutError:
            return NoReply("The time limit of the call is over.")

    def _exchange(self, step: Send, answer: "Future[Reply | NoReply]") -> None:
        try:
            answer.set_result(self._read(step))
        except httpx.HTTPError as error:
            answer.set_result(_no_reply(error))
        except BaseException as error:  # noqa: BLE001 - a thread hands over whatever happens in it
            answer.set_exception(error)

    def _read(self, step: Send) -> Reply | NoReply:
        until = time.monotonic() + step.limit_s
        chunks, size = [], 0
        with self._http.stream(step.method, step.path, **_request(step)) as response:
            if "content-encoding" in response.headers:
                return NoReply("The answer is compressed, unasked.")
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > _ANSWER_LIMIT or time.monotonic() > until:
                    return NoReply("The answer is too long.")
            return Reply(response.status_code, b"".join(chunks), response.headers.get("retry-after"))


class AsyncClient:
    """Awaited; otherwise as `Client`."""

    def __init__(
        self,
        *,
        key: str | None = None,
        url: str | None = None,
        total_s: float = DEFAULT_TOTAL_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._conversations = _conversations(key, total_s)
        self._http = httpx.AsyncClient(base_url=_url(url), transport=transport, limits=_limits())

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
        content = _submission(email, subject_id, depth, priority, metadata)
        return await self._run(self._conversations.submit(content, idempotency_key=idempotency_key))

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
            self._conversations.subscribe(_subscription(url, event_types, description, include_address))
        )

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
            return _no_reply(error)

    async def _read(self, step: Send) -> Reply | NoReply:
        chunks, size = [], 0
        async with self._http.stream(step.method, step.path, **_request(step)) as response:
            if "content-encoding" in response.headers:
                return NoReply("The answer is compressed, unasked.")
            async for chunk in response.aiter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > _ANSWER_LIMIT:
                    return NoReply("The answer is too long.")
            return Reply(response.status_code, b"".join(chunks), response.headers.get("retry-after"))


def _conversations(key: str | None, total_s: float) -> Conversations:
    found = key or os.environ.get("VOUCHPOST_API_KEY", "")
    if not found:
        raise ConfigurationError("no API key: give key=, or set VOUCHPOST_API_KEY")
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise ConfigurationError("this is not an API key: it has characters that no header takes")
    chances = Chances(monotonic=time.monotonic, uniform=random.random, new_key=lambda: uuid.uuid4().hex)
    return Conversations(key=found, total_s=total_s, chances=chances)


def _url(url: str | None) -> str:
    return url or os.environ.get("VOUCHPOST_URL") or DEFAULT_URL


def _limits() -> httpx.Limits:
    return httpx.Limits(max_connections=100, max_keepalive_connections=20)


def _request(step: Send) -> dict[str, Any]:
    timeout = httpx.Timeout(step.limit_s, connect=min(_CONNECT_S, step.limit_s))
    return {"headers": dict(step.headers), "content": step.body, "timeout": timeout}


def _no_reply(error: httpx.HTTPError) -> NoReply:
    """The name of what happened, not its text: that may hold the URL."""
    never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return NoReply(f"{type(error).__name__}.", was_sent=not never_sent)


def _submission(
    email: str, subject_id: str | None, depth: str | None, priority: str | None, metadata: Mapping[str, str] | None
) -> dict[str, Any]:
    kept = None if metadata is None else dict(metadata)
    return {"email": email, "subject_id": subject_id, "depth": depth, "priority": priority, "metadata": kept}


def _subscription(
    url: str,
    event_types: Sequence[str],
    description: str,
    include_address: bool,  # noqa: FBT001 - private, with two callers
) -> dict[str, Any]:
    include = {"include": ["address"]} if include_address else {}
    return {"url": url, "event_types": list(event_types), "description": description, **include}
