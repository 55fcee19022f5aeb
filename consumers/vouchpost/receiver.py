"""The ladder: signature ▶ replay ▶ apply. No I/O of its own: it waits for the store and the handler, for nothing else.

`receive` raises the kit's errors; `answer` turns outcomes and errors alike into what the sender is told.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

from vouchpost.answer import Answer, accepted, refused
from vouchpost.apply import AsyncStore, Store, apply, apply_async, park, park_async
from vouchpost.errors import (
    ApplyError,
    BodyTooLargeError,
    ConfigurationError,
    HandlerError,
    ParkError,
    StoreUnavailableError,
    VouchpostError,
)
from vouchpost.message import Message
from vouchpost.replay import DEFAULT_RETENTION, Claim, Expectation, Outcome, checked_name, checked_retention, claim_of
from vouchpost.router import Handler, Router, is_plain, run, run_async
from vouchpost.signature import DEFAULT_BODY_LIMIT, DEFAULT_TOLERANCE_S, Headers, Verifier

_FORGET_EVERY_S: Final = 3600
_FORGET_LIMIT: Final = 10_000
_FORGET_PAUSE_S: Final = 1
"""Between two full steps, so that most events pay for none; no process takes events as fast as these steps remove."""


class Receiver:
    """Receives the events of one subscription and applies each of them once.

    `name` is part of what marks are kept under: it must stay the same over restarts, and differ between receivers that
    share a database. `handler_limit_s` bounds async handlers and lies below the gateway's own limit of 15 seconds.
    """

    def __init__(
        self,
        *,
        secrets: str | Sequence[str],
        store: Store | AsyncStore,
        router: Router,
        name: str = "default",
        tolerance_s: int = DEFAULT_TOLERANCE_S,
        retention: timedelta = DEFAULT_RETENTION,
        body_limit: int = DEFAULT_BODY_LIMIT,
        handler_limit_s: float = 10,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = Verifier(secrets, tolerance_s=tolerance_s, body_limit=body_limit, clock=clock)
        self._plain = store if isinstance(store, Store) else None
        self._async = store if isinstance(store, AsyncStore) else None
        self._router = router
        self.name = checked_name(name)
        self._retention_s = int(checked_retention(retention).total_seconds())
        self._handler_limit_s = handler_limit_s
        self._clock = clock
        self._forget_at_s = clock()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        """How often each outcome, or each reason of an error, was answered by this process."""

    @property
    def body_limit(self) -> int:
        """How many bytes of a body are worth reading."""
        return self._verifier.body_limit

    def answer(self, *, headers: Headers, body: bytes) -> Answer:
        """What to tell the sender, whatever it sent."""
        try:
            return self._counted(accepted(self.receive(headers=headers, body=body)))
        except VouchpostError as error:
            return self.refuse(error)

    async def answer_async(self, *, headers: Headers, body: bytes) -> Answer:
        """`answer`, for servers that await; a plain store, or MemoryStore's plain handler, is driven from a thread."""
        try:
            return self._counted(accepted(await self.receive_async(headers=headers, body=body)))
        except VouchpostError as error:
            return self.refuse(error)

    def refuse(self, error: VouchpostError) -> Answer:
        """The answer to an error, counted and logged; that of a handler with its traceback, as that of the set-up."""
        if isinstance(error, StoreUnavailableError):
            _warn("event.refused %s receiver=%s cause=%s", error.reason, self.name, _causes(error))
        else:
            told = error if isinstance(error, ConfigurationError) else None
            cause = error.__cause__ if isinstance(error, HandlerError) else told
            _warn("event.refused %s receiver=%s", error.reason, self.name, error=cause)
        return self._counted(refused(error))

    def receive(self, *, headers: Headers, body: bytes) -> Outcome:
        """Verifies and applies one delivery."""
        if self._plain is None:
            raise ConfigurationError("this store is async: await receive_async, or answer_async")
        message, handler = self._opened(headers, body)
        return Outcome.IGNORED if handler is None else self._applied(self._plain, message, handler)

    def _applied(self, store: Store, message: Message, handler: Handler) -> Outcome:
        claim = self._claim(message)
        try:
            outcome = apply(store, claim, partial(run, handler, message))
        except ParkError as error:
            self._tell_parked(message, error)
            outcome = park(store, claim)
        if self._is_time_to_forget():
            self.forget()
        return outcome

    async def receive_async(self, *, headers: Headers, body: bytes) -> Outcome:
        """Verifies and applies one delivery, awaiting the store and the handler; a plain one of them in a thread."""
        message, handler = self._opened(headers, body)
        if handler is None:
            return Outcome.IGNORED
        if self._plain is not None and (self._async is None or is_plain(handler)):
            import asyncio  # noqa: PLC0415 - a plain consumer never pays for it

            return await asyncio.to_thread(self._applied, self._plain, message, handler)
        assert self._async is not None
        claim, effect = self._claim(message), partial(run_async, handler, message)
        try:
            outcome = await apply_async(self._async, claim, effect, limit_s=self._handler_limit_s)
        except ParkError as error:
            self._tell_parked(message, error)
            outcome = await park_async(self._async, claim)
        if self._is_time_to_forget():
            await self.forget_async()
        return outcome

    def expect(self, handle: Any, *, subject_id: str, sequence: int) -> None:
        """Call it where a subject's address changes, with the sequence of the new verification, before the commit.

        And before the row is written that handlers write: a verdict moves the guard first too, and two that take their
        locks in different orders wait for each other, until the database fails one.
        """
        if self._plain is None:
            raise ConfigurationError("this store is async: await expect_async")
        self._plain.expect(handle, self._expectation(subject_id, sequence))

    async def expect_async(self, handle: Any, *, subject_id: str, sequence: int) -> None:
        """`expect`, awaited."""
        if self._async is None:
            raise ConfigurationError("this store is not async: call expect")
        await self._async.expect_async(handle, self._expectation(subject_id, sequence))

    def unpark(self, event_id: str) -> bool:
        """Lets a parked event in again, once its handler is mended: then have the gateway resend it."""
        if self._plain is None:
            raise ConfigurationError("this store is async: await unpark_async")
        return self._plain.unpark(receiver=self.name, event_id=event_id)

    async def unpark_async(self, event_id: str) -> bool:
        """`unpark`, awaited."""
        if self._async is None:
            raise ConfigurationError("this store is not async: call unpark")
        return await self._async.unpark_async(receiver=self.name, event_id=event_id)

    def forget(self) -> None:
        """Removes a step of its marks past their retention. A failure costs nothing but room: the event was applied."""
        assert self._plain is not None
        with suppress(ApplyError):
            count = self._plain.forget(receiver=self.name, before_s=self._retained_from_s(), limit=_FORGET_LIMIT)
            self._go_on_forgetting(count)

    async def forget_async(self) -> None:
        """`forget`, awaited."""
        assert self._async is not None
        with suppress(ApplyError):
            before_s = self._retained_from_s()
            count = await self._async.forget_async(receiver=self.name, before_s=before_s, limit=_FORGET_LIMIT)
            self._go_on_forgetting(count)

    def _retained_from_s(self) -> int:
        return int(self._clock()) - self._retention_s

    def _tell_parked(self, message: Message, error: ParkError) -> None:
        _warn("event.parked %s receiver=%s", message.id, self.name, error=error)

    def _opened(self, headers: Headers, body: bytes) -> tuple[Message, Handler | None]:
        message = self._verifier.verify(headers=headers, body=body)
        return message, self._router.handler_for(message.type)

    def _claim(self, message: Message) -> Claim:
        return claim_of(message, receiver=self.name, now_s=self._clock())

    def _expectation(self, subject_id: str, sequence: int) -> Expectation:
        return Expectation(self.name, subject_id, sequence, int(self._clock()))

    def _is_time_to_forget(self) -> bool:
        """At the first event, and once an hour after; soon again when that left some."""
        now_s = self._clock()
        with self._lock:
            due = now_s >= self._forget_at_s
            if due:
                self._forget_at_s = now_s + _FORGET_EVERY_S
        return due

    def _go_on_forgetting(self, count: int) -> None:
        if count >= _FORGET_LIMIT:
            with self._lock:
                self._forget_at_s = self._clock() + _FORGET_PAUSE_S

    def _counted(self, answer: Answer) -> Answer:
        with self._lock:
            self.counts[answer.outcome] += 1
        return answer


def _causes(error: BaseException) -> str:
    """What the database's library raised, and its driver before it, by type: their words may hold an address."""
    kinds, cause = [], error.__cause__
    while cause is not None:
        kinds.append(f"{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__
    return ",".join(kinds)


def _warn(line: str, *fields: str, error: BaseException | None = None) -> None:
    import logging  # noqa: PLC0415 - a fifth of what importing the kit would cost

    logging.getLogger("vouchpost").warning(line, *fields, exc_info=error)


class BodyBuffer:
    """Collects a body chunk by chunk, and gives up as soon as it is too large."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit:
            raise BodyTooLargeError
        self._chunks.append(chunk)

    @property
    def body(self) -> bytes:
        return b"".join(self._chunks)
