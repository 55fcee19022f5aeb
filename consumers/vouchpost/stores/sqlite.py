"""Marks in the consumer's own SQLite database, with nothing but the standard library. Exactly once.

A handler gets the `sqlite3.Connection` of the running transaction. It cannot end that transaction by itself: a COMMIT
in the middle would part the effect from its mark, so it is refused and everything is rolled back.
"""

import sqlite3
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from os import PathLike
from typing import Final

from vouchpost.errors import ConfigurationError, InFlightError, StoreUnavailableError
from vouchpost.replay import VERIFICATION_GUARD, Claim, Expectation, Outcome

_FORGETTABLE: Final = f"guard >= '{VERIFICATION_GUARD}' AND guard < '{VERIFICATION_GUARD}~'"
_SCHEMA: Final = (
    """
    CREATE TABLE IF NOT EXISTS vouchpost_marks (
        receiver TEXT NOT NULL, event_id TEXT NOT NULL, outcome TEXT NOT NULL, at_s INTEGER NOT NULL,
        PRIMARY KEY (receiver, event_id)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX IF NOT EXISTS vouchpost_marks_by_age ON vouchpost_marks (at_s)",
    """
    CREATE TABLE IF NOT EXISTS vouchpost_guards (
        receiver TEXT NOT NULL, guard TEXT NOT NULL,
        sequence INTEGER NOT NULL, revision INTEGER NOT NULL, at_s INTEGER NOT NULL,
        PRIMARY KEY (receiver, guard)
    ) WITHOUT ROWID
    """,
    f"CREATE INDEX IF NOT EXISTS vouchpost_guards_by_age ON vouchpost_guards (at_s) WHERE {_FORGETTABLE}",
)
_MARK: Final = "INSERT INTO vouchpost_marks VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_MARK_STALE: Final = "UPDATE vouchpost_marks SET outcome = 'stale' WHERE receiver = ? AND event_id = ?"
_UNPARK: Final = "DELETE FROM vouchpost_marks WHERE receiver = ? AND event_id = ? AND outcome = 'parked'"
_ADVANCE: Final = """
INSERT INTO vouchpost_guards AS latest VALUES (?, ?, ?, ?, ?) ON CONFLICT (receiver, guard) DO UPDATE
SET sequence = excluded.sequence, revision = excluded.revision, at_s = excluded.at_s
WHERE (excluded.sequence, excluded.revision) > (latest.sequence, latest.revision)
"""
# The plus keeps SQLite from reading all that the receiver has: an index by age leads to the old ones.
_FORGET_MARKS: Final = """
DELETE FROM vouchpost_marks WHERE (receiver, event_id) IN
    (SELECT receiver, event_id FROM vouchpost_marks WHERE +receiver = ? AND at_s < ? LIMIT ?)
"""
_FORGET_GUARDS: Final = f"""
DELETE FROM vouchpost_guards WHERE (receiver, guard) IN
    (SELECT receiver, guard FROM vouchpost_guards WHERE +receiver = ? AND at_s < ? AND {_FORGETTABLE} LIMIT ?)
"""  # noqa: S608 - of constants


class SqliteStore:
    """Opens a connection per transaction: to the named file, or by calling `database`, which may set it up as it likes.

    `busy_s` is how long a delivery waits for the database's one writer before it is told to come back.
    """

    exactly_once = True

    def __init__(self, database: str | PathLike[str] | Callable[[], sqlite3.Connection], *, busy_s: float = 5) -> None:
        if database == ":memory:":
            raise ConfigurationError("an SQLite database in memory has one connection only; use MemoryStore")
        self._connect = database if callable(database) else _opener(database)
        self._busy_ms = int(busy_s * 1000)
        self._lock = threading.Lock()
        self._ready = False

    @contextmanager
    def transaction(self) -> Generator["_Transaction", None, None]:
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")  # the one writer from here on: claims never interleave
            try:
                yield _Transaction(connection)
                connection.set_authorizer(None)
                connection.execute("COMMIT")  # `commit()` would not tell of a transaction that is over already
            finally:
                connection.set_authorizer(None)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        with self._opened() as connection:
            count = connection.execute(_FORGET_MARKS, (receiver, before_s, limit)).rowcount
            connection.execute(_FORGET_GUARDS, (receiver, before_s, limit))
            return count

    def expect(self, handle: sqlite3.Connection, expectation: Expectation) -> None:
        self._prepare(handle)
        at = (expectation.position.sequence, expectation.position.revision, expectation.at_s)
        handle.execute(_ADVANCE, (expectation.receiver, expectation.guard, *at))

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        with self._opened() as connection:
            return connection.execute(_UNPARK, (receiver, event_id)).rowcount > 0

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection, None, None]:
        with self._errors_told(), closing(self._connect()) as connection:
            if sys.version_info >= (3, 12):
                connection.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL
            connection.isolation_level = None  # transactions begin and end where this file says so
            connection.execute(f"PRAGMA busy_timeout = {self._busy_ms}")
            connection.execute("PRAGMA synchronous = FULL")  # a 2xx is said after the commit is on the disk
            self._prepare(connection)
            yield connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Once a process. Statement by statement: `executescript` would commit the caller's transaction."""
        with self._lock:
            if not self._ready:
                for statement in _SCHEMA:
                    connection.execute(statement)
                self._ready = not connection.in_transaction

    @contextmanager
    def _errors_told(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            raise (InFlightError if busy else StoreUnavailableError) from error
        except sqlite3.Error as error:
            raise StoreUnavailableError from error


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.handle = connection

    def claim(self, claim: Claim) -> Outcome:
        outcome = self._marked(claim)
        self.handle.set_authorizer(_refuse_to_end_the_transaction)
        return outcome

    def _marked(self, claim: Claim) -> Outcome:
        mark = (claim.receiver, claim.event_id)
        if not self.handle.execute(_MARK, (*mark, claim.outcome.value, claim.at_s)).rowcount:
            return Outcome.DUPLICATE
        if claim.guard is None or claim.position is None:
            return claim.outcome
        at = (claim.position.sequence, claim.position.revision, claim.at_s)
        if self.handle.execute(_ADVANCE, (claim.receiver, claim.guard, *at)).rowcount:
            return Outcome.APPLIED
        self.handle.execute(_MARK_STALE, mark)
        return Outcome.STALE


def _opener(path: str | PathLike[str]) -> Callable[[], sqlite3.Connection]:
    return lambda: sqlite3.connect(path, check_same_thread=False)


def _refuse_to_end_the_transaction(action: int, *_: object) -> int:
    """SAVEPOINT and RELEASE have a code of their own and stay allowed."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK
