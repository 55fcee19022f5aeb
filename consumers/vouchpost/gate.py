"""Lets a request through on the address it brings, and never holds it up because of us.

An address that is certainly wrong is turned away with words for the person who typed it. Everything else goes through:
verified where there was time, `pending` where the verdict will come as an event, `unverified` where the gateway could
not be reached, and then the submission waits in the application's own database.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from vouchpost.address import is_plausible
from vouchpost.async_client import AsyncClient
from vouchpost.async_outbox import AsyncOutbox
from vouchpost.breaker import Breaker
from vouchpost.client import Client
from vouchpost.errors import ApiError, ConfigurationError, InvalidAddressError, RequestRefusedError
from vouchpost.outbox import Outbox, Submission
from vouchpost.resources import Verification
from vouchpost.verdict import Status

_log: Final = logging.getLogger("vouchpost")


class State(StrEnum):
    """What is known of the address of a request that went through."""

    PENDING = "pending"
    VALID = "valid"
    RISKY = "risky"
    UNKNOWN = "unknown"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Gated:
    """An address that was let through. `verification` is None where the gateway has not taken it yet."""

    email: str = field(repr=False)
    state: State
    verification: Verification | None = None


class Gate:
    """The rules of `Gate.check`, for both clients. `wait_s` 0 accepts now and verifies later; else it is a budget.

    Give the client a short `total_s`: it is the longest that a gateway in trouble can hold a request up, and only until
    the breaker opens.
    """

    def __init__(
        self,
        *,
        outbox: Outbox | AsyncOutbox,
        client: Client | None = None,
        async_client: AsyncClient | None = None,
        wait_s: int = 0,
        depth: str | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        if client is None and async_client is None:
            raise ConfigurationError("a gate needs a client, an async_client, or both")
        if client is not None and not isinstance(outbox, Outbox):
            raise ConfigurationError("this outbox is async: it goes with an async_client alone")
        self._plain = outbox if isinstance(outbox, Outbox) else None
        self._async = outbox if isinstance(outbox, AsyncOutbox) else None
        self._client = client
        self._async_client = async_client
        self._wait_s = wait_s
        self._depth = depth
        self._breaker = breaker or Breaker()

    @property
    def is_awaited(self) -> bool:
        """Whether `check_async` is there to be awaited."""
        return self._async_client is not None

    def check(self, email: str, *, subject_id: str | None = None, metadata: Mapping[str, str] | None = None) -> Gated:
        """Lets through or raises InvalidAddressError; nothing else."""
        if self._client is None:
            raise ConfigurationError("this gate was made for AsyncClient: await check_async")
        submission = self._submission(email, subject_id, metadata)
        if not self._breaker.allows():
            return self._kept(submission)
        verification: Verification | None = None
        try:
            verification = self._client.submit(email, **submission.options())
            if self._wait_s:
                verification = self._client.wait(verification.id, seconds=self._wait_s)
        except ApiError as error:
            self._failed(error)
            return self._taken(email, verification) or self._kept(submission)
        return self._passed(email, verification)

    async def check_async(
        self, email: str, *, subject_id: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Gated:
        """`check`, awaited."""
        if self._async_client is None:
            raise ConfigurationError("this gate has no AsyncClient: give it one as async_client, or call check")
        submission = self._submission(email, subject_id, metadata)
        if not self._breaker.allows():
            return await self._kept_async(submission)
        verification: Verification | None = None
        try:
            verification = await self._async_client.submit(email, **submission.options())
            if self._wait_s:
                verification = await self._async_client.wait(verification.id, seconds=self._wait_s)
        except ApiError as error:
            self._failed(error)
            return self._taken(email, verification) or await self._kept_async(submission)
        return self._passed(email, verification)

    def later(
        self,
        handle: Any,
        email: str,
        *,
        subject_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Gated:
        """Verifies later, whatever happens: the submission is kept in the caller's own transaction, with the account.

        Costs no round trip at all. A `Submitter` does the rest.
        """
        return self._kept(self._submission(email, subject_id, metadata), handle)

    async def later_async(
        self,
        handle: Any,
        email: str,
        *,
        subject_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Gated:
        """`later`, awaited, for an outbox that is."""
        if self._async is None:
            raise ConfigurationError("this outbox is not async: call later")
        return await self._kept_async(self._submission(email, subject_id, metadata), handle)

    def _submission(self, email: str, subject_id: str | None, metadata: Mapping[str, str] | None) -> Submission:
        if not is_plausible(email):
            raise InvalidAddressError
        return Submission(email, subject_id=subject_id, depth=self._depth, metadata=metadata or {})

    def _passed(self, email: str, verification: Verification) -> Gated:
        self._breaker.succeeded()
        if verification.status == Status.INVALID:
            raise InvalidAddressError
        known = verification.status in set(State)
        return Gated(email, State(verification.status) if known else State.UNKNOWN, verification)

    def _failed(self, error: ApiError) -> None:
        """A refusal too is an answer of a gateway that works."""
        if isinstance(error, RequestRefusedError):
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        if _is_about_the_address(error):
            raise InvalidAddressError from error
        _log.warning("gate.unverified %s", error.reason)

    def _taken(self, email: str, verification: Verification | None) -> Gated | None:
        """A submission that was taken is safe with the gateway; the others wait in the outbox."""
        return Gated(email, State.PENDING, verification) if verification is not None else None

    def _kept(self, submission: Submission, handle: Any = None) -> Gated:
        if self._plain is None:
            raise ConfigurationError("this outbox is async: await later_async")
        self._plain.add(submission, handle=handle)
        return Gated(submission.email, State.UNVERIFIED)

    async def _kept_async(self, submission: Submission, handle: Any = None) -> Gated:
        """A plain outbox is driven from a thread."""
        import asyncio  # noqa: PLC0415 - a plain application never pays for it

        if self._async is None:
            return await asyncio.to_thread(self._kept, submission)
        await self._async.add_async(submission, handle=handle)
        return Gated(submission.email, State.UNVERIFIED)


def _is_about_the_address(error: ApiError) -> bool:
    """A subject id that is too long, say, is the application's fault, and nothing to tell the visitor about."""
    if not isinstance(error, RequestRefusedError) or error.status != 422:
        return False
    return not error.fields or any(field.field == "email" for field in error.fields)
