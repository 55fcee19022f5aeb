"""Applies an event: its mark and its effect become true in one transaction of the consumer's database, or neither.

What a second run of the same event meets is the mark: it is then a duplicate, and the effect is not run again.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from vouchpost.errors import HandlerError, ParkError
from vouchpost.replay import Claim, Expectation, Outcome


class Transaction(Protocol):
    """A running transaction. `handle` is what the handler writes its effect with; it never commits by itself."""

    handle: Any

    def claim(self, claim: Claim) -> Outcome:
        """Sets the mark and moves the guard; the claim's own outcome, DUPLICATE or STALE.

        InFlightError when another holds it.
        """


@runtime_checkable
class Store(Protocol):
    """Where marks and guards live. `exactly_once` says whether the effect can share their transaction."""

    exactly_once: bool

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Commits at the end of the block, rolls back when it raises; StoreUnavailableError when it cannot."""

    def expect(self, handle: Any, expectation: Expectation) -> None:
        """Moves the guard, in the caller's own transaction, so that verdicts from before it are stale."""

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        """Removes the mark of a parked event, so that it is applied when it is resent; whether there was one."""

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        """Removes marks of the receiver from before that time, and guards of verifications: a step of `limit` of each.

        How many marks it removed; `limit` or more when some may be left.
        """


class AsyncTransaction(Protocol):
    """`Transaction`, awaited."""

    handle: Any

    async def claim(self, claim: Claim) -> Outcome: ...


@runtime_checkable
class AsyncStore(Protocol):
    """`Store`, awaited."""

    exactly_once: bool

    def transaction_async(self) -> AbstractAsyncContextManager[AsyncTransaction]: ...

    async def expect_async(self, handle: Any, expectation: Expectation) -> None: ...

    async def unpark_async(self, *, receiver: str, event_id: str) -> bool: ...

    async def forget_async(self, *, receiver: str, before_s: int, limit: int) -> int: ...


def apply(store: Store, claim: Claim, effect: Callable[[Any], None]) -> Outcome:
    """Runs the effect if, and only if, the claim is new; HandlerError when the effect raises, ParkError as it is."""
    with store.transaction() as transaction:
        outcome = transaction.claim(claim)
        if outcome is Outcome.APPLIED:
            try:
                effect(transaction.handle)
            except ParkError:
                raise
            except Exception as error:  # whatever a handler raises rolls back and is answered 5xx
                raise HandlerError from error
    return outcome


async def apply_async(
    store: AsyncStore, claim: Claim, effect: Callable[[Any], Awaitable[None]], *, limit_s: float
) -> Outcome:
    """`apply`, with a limit on the effect; HandlerError when it takes longer."""
    import asyncio  # noqa: PLC0415 - a plain consumer never pays for it

    async with store.transaction_async() as transaction:
        outcome = await transaction.claim(claim)
        if outcome is Outcome.APPLIED:
            try:
                async with asyncio.timeout(limit_s):
                    await effect(transaction.handle)
            except ParkError:
                raise
            except Exception as error:
                raise HandlerError from error
    return outcome


def park(store: Store, claim: Claim) -> Outcome:
    """Sets the event aside, in a transaction of its own: that of the effect was rolled back."""
    with store.transaction() as transaction:
        return transaction.claim(claim.parked())


async def park_async(store: AsyncStore, claim: Claim) -> Outcome:
    """`park`, awaited."""
    async with store.transaction_async() as transaction:
        return await transaction.claim(claim.parked())
