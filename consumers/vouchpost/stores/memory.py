"""Marks in memory: for tests, and for effects that may be repeated after a restart. At least once, not exactly once."""

import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from vouchpost.errors import InFlightError
from vouchpost.replay import VERIFICATION_GUARD, Claim, Expectation, Outcome, Position, is_newer

_Key = tuple[str, str]


class MemoryStore:
    """Serves threads and tasks alike; forgets everything when the process ends."""

    exactly_once = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks: dict[_Key, tuple[Outcome, int]] = {}
        self._guards: dict[_Key, tuple[Position, int]] = {}
        self._held: set[_Key] = set()

    @contextmanager
    def transaction(self) -> Generator["_Transaction", None, None]:
        transaction = _Transaction(self)
        try:
            yield transaction
            transaction.commit()
        finally:
            transaction.release()

    @asynccontextmanager
    async def transaction_async(self) -> AsyncGenerator["_AsyncTransaction", None]:
        with self.transaction() as transaction:
            yield _AsyncTransaction(transaction)

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        with self._lock:
            marks = [key for key, (_, at_s) in self._marks.items() if key[0] == receiver and at_s < before_s][:limit]
            guards = [
                key
                for key, (_, at_s) in self._guards.items()
                if key[0] == receiver and at_s < before_s and key[1].startswith(VERIFICATION_GUARD)
            ][:limit]
            for key in marks:
                del self._marks[key]
            for key in guards:
                del self._guards[key]
        return len(marks)

    async def forget_async(self, *, receiver: str, before_s: int, limit: int) -> int:
        return self.forget(receiver=receiver, before_s=before_s, limit=limit)

    def expect(self, handle: Any, expectation: Expectation) -> None:  # noqa: ARG002 - there is no transaction to join
        with self._lock:
            self._advance((expectation.receiver, expectation.guard), expectation.position, expectation.at_s)

    async def expect_async(self, handle: Any, expectation: Expectation) -> None:
        self.expect(handle, expectation)

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        with self._lock:
            outcome, _ = self._marks.get((receiver, event_id), (None, 0))
            if outcome is Outcome.PARKED:
                del self._marks[receiver, event_id]
            return outcome is Outcome.PARKED

    async def unpark_async(self, *, receiver: str, event_id: str) -> bool:
        return self.unpark(receiver=receiver, event_id=event_id)

    def take(self, claim: Claim) -> Outcome:
        """Holds the claim's event and subject until its transaction ends."""
        mark, guard = (claim.receiver, claim.event_id), (claim.receiver, claim.guard or "")
        keys = {mark} if claim.guard is None else {mark, guard}
        with self._lock:
            if mark in self._marks:
                return Outcome.DUPLICATE
            if keys & self._held:
                raise InFlightError
            self._held |= keys
            latest, _ = self._guards.get(guard, (None, 0))
        if claim.position is None or is_newer(claim.position, latest):
            return claim.outcome
        return Outcome.STALE

    def keep(self, claim: Claim, outcome: Outcome) -> None:
        with self._lock:
            self._marks[claim.receiver, claim.event_id] = (outcome, claim.at_s)
            if outcome is Outcome.APPLIED and claim.guard is not None and claim.position is not None:
                self._advance((claim.receiver, claim.guard), claim.position, claim.at_s)

    def _advance(self, key: _Key, position: Position, at_s: int) -> None:
        """Whoever calls it holds the lock. A guard is moved by `expect` too, while a claim is held."""
        latest, _ = self._guards.get(key, (None, 0))
        if is_newer(position, latest):
            self._guards[key] = (position, at_s)

    def let_go(self, claim: Claim) -> None:
        with self._lock:
            self._held -= {(claim.receiver, claim.event_id), (claim.receiver, claim.guard or "")}


class _Transaction:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._taken: tuple[Claim, Outcome] | None = None
        self.handle: Any = None

    def claim(self, claim: Claim) -> Outcome:
        outcome = self._store.take(claim)
        if outcome is not Outcome.DUPLICATE:
            self._taken = (claim, outcome)
        return outcome

    def commit(self) -> None:
        if self._taken is not None:
            self._store.keep(*self._taken)

    def release(self) -> None:
        if self._taken is not None:
            self._store.let_go(self._taken[0])


class _AsyncTransaction:
    def __init__(self, transaction: _Transaction) -> None:
        self._transaction = transaction
        self.handle: Any = None

    async def claim(self, claim: Claim) -> Outcome:
        return self._transaction.claim(claim)
