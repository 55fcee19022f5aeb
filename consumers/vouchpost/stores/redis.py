"""Marks in Redis, for effects that live elsewhere. At least once, not exactly once.

The effect cannot share a transaction with a mark in Redis: a process that dies between the two runs it again after
redelivery. So a handler must bear to be repeated. What still holds: no two deliveries of an event run at the same
time while the lease lasts, and no older verdict follows a newer one.
"""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import uuid4

import redis

from vouchpost.errors import InFlightError, StoreUnavailableError
from vouchpost.replay import VERIFICATION_GUARD, Claim, Expectation, Outcome, Position

_CLAIM: Final = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'duplicate' end
for number = 4, #KEYS do
  local held = redis.call('GET', KEYS[number])
  if held and held ~= ARGV[2] then return 'in_flight' end
end
for number = 4, #KEYS do redis.call('SET', KEYS[number], ARGV[2], 'PX', ARGV[3]) end
local latest = redis.call('HGET', KEYS[3], ARGV[4])
if latest and ARGV[5] <= latest then return 'stale' end
return ARGV[6]
"""
_COMMIT: Final = """
if ARGV[1] ~= '' then redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
if ARGV[6] ~= 'applied' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[6]) end
if ARGV[6] == 'applied' and ARGV[4] ~= '' then
  local latest = redis.call('HGET', KEYS[3], ARGV[4])
  if not latest or ARGV[5] > latest then
    redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
    if ARGV[7] == '1' then redis.call('ZADD', KEYS[4], ARGV[3], ARGV[4]) end
  end
end
for number = 5, #KEYS do
  if redis.call('GET', KEYS[number]) == ARGV[2] then redis.call('DEL', KEYS[number]) end
end
"""
_RELEASE: Final = """
for number = 1, #KEYS do
  if redis.call('GET', KEYS[number]) == ARGV[1] then redis.call('DEL', KEYS[number]) end
end
"""
_UNPARK: Final = """
if redis.call('HGET', KEYS[2], ARGV[1]) ~= 'parked' then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""
_FORGET: Final = """
local function sweep(times, details)
  local old = redis.call('ZRANGEBYSCORE', times, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
  for _, name in ipairs(old) do
    redis.call('ZREM', times, name)
    redis.call('HDEL', details, name)
  end
  return #old
end
sweep(KEYS[4], KEYS[3])
return sweep(KEYS[1], KEYS[2])
"""


class RedisStore:
    """On a plain `redis.Redis`, which handlers are given too. The lease must outlive the slowest handler."""

    exactly_once = False

    def __init__(self, client: "redis.Redis", *, lease_s: float = 60, prefix: str = "vouchpost") -> None:
        self._client = client
        self._lease_ms = int(lease_s * 1000)
        self._prefix = prefix
        self._claim = client.register_script(_CLAIM)
        self._commit = client.register_script(_COMMIT)
        self._release = client.register_script(_RELEASE)
        self._unpark = client.register_script(_UNPARK)
        self._forget = client.register_script(_FORGET)

    @contextmanager
    def transaction(self) -> Generator["_Transaction", None, None]:
        transaction = _Transaction(self, self._client)
        try:
            yield transaction
        except BaseException:
            transaction.release()
            raise
        transaction.commit()

    def take(self, claim: Claim, token: str) -> Outcome:
        """Leases the event and its subject, and says what is to become of the claim.

        Once more with the same token is harmless: clients send again what they have no answer to.
        """
        position = "" if claim.position is None else _text(claim.position)
        keys = [*self._keys(claim.receiver)[:3], *self._leases(claim)]
        values: list[str | int] = [
            claim.event_id,
            token,
            self._lease_ms,
            claim.guard or "",
            position,
            claim.outcome.value,
        ]
        with _errors_told():
            answer = _decoded(self._claim(keys=keys, args=values))
        if answer == "in_flight":
            raise InFlightError
        return Outcome(answer)

    def keep(self, claim: Claim, outcome: Outcome, token: str) -> None:
        """Sets the mark, moves the guard, ends the leases: one step."""
        position = "" if claim.position is None else _text(claim.position)
        forgettable = int((claim.guard or "").startswith(VERIFICATION_GUARD))
        values: list[str | int] = [
            claim.event_id,
            token,
            claim.at_s,
            claim.guard or "",
            position,
            outcome.value,
            forgettable,
        ]
        with _errors_told():
            self._commit(keys=[*self._keys(claim.receiver), *self._leases(claim)], args=values)

    def let_go(self, claim: Claim, token: str) -> None:
        """Only our own leases: one that ran out may be somebody else's by now."""
        with _errors_told():
            self._release(keys=self._leases(claim), args=[token])

    def expect(self, handle: Any, expectation: Expectation) -> None:  # noqa: ARG002 - there is no transaction to join
        """At once: Redis knows nothing of the application's transaction."""
        place = [expectation.guard, _text(expectation.position)]
        with _errors_told():
            self._commit(
                keys=self._keys(expectation.receiver),
                args=["", "", expectation.at_s, *place, Outcome.APPLIED.value, 0],  # no event, hence no mark
            )

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        with _errors_told():
            return bool(self._unpark(keys=self._keys(receiver)[:2], args=[event_id]))

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        with _errors_told():
            return int(self._forget(keys=self._keys(receiver), args=[before_s, limit]))

    def _keys(self, receiver: str) -> list[str]:
        """One hash tag for all keys of a receiver, so that they share a slot of a cluster."""
        stem = f"{self._prefix}:{{{receiver}}}"
        return [f"{stem}:marks", f"{stem}:outcomes", f"{stem}:guards", f"{stem}:guard-times"]

    def _leases(self, claim: Claim) -> list[str]:
        stem = f"{self._prefix}:{{{claim.receiver}}}:lease"
        guarded = [] if claim.guard is None else [f"{stem}:{claim.guard}"]
        return [f"{stem}:event:{claim.event_id}", *guarded]


class _Transaction:
    def __init__(self, store: RedisStore, client: "redis.Redis") -> None:
        self._store = store
        self._token = uuid4().hex
        self._taken: tuple[Claim, Outcome] | None = None
        self.handle = client

    def claim(self, claim: Claim) -> Outcome:
        try:
            outcome = self._store.take(claim, self._token)
        except StoreUnavailableError:
            with suppress(StoreUnavailableError):  # only the answer may be lost, and the leases taken
                self._store.let_go(claim, self._token)
            raise
        if outcome is not Outcome.DUPLICATE:
            self._taken = (claim, outcome)
        return outcome

    def commit(self) -> None:
        if self._taken is not None:
            self._store.keep(*self._taken, self._token)

    def release(self) -> None:
        if self._taken is not None:
            self._store.let_go(self._taken[0], self._token)


def _text(position: Position) -> str:
    """Sorts as the position does: a sequence is too large for the numbers of Lua."""
    return f"{position.sequence:020d}.{position.revision:020d}"


def _decoded(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


@contextmanager
def _errors_told() -> Generator[None, None, None]:
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailableError from error
