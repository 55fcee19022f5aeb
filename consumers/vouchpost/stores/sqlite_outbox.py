"""An outbox in the application's own SQLite database, with nothing but the standard library."""

import json
import sqlite3
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from typing import Final

from vouchpost.outbox import Submission

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS vouchpost_outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, email TEXT NOT NULL, details TEXT NOT NULL
)
"""
_ADD: Final = "INSERT INTO vouchpost_outbox (key, email, details) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_OLDEST: Final = "SELECT key, email, details FROM vouchpost_outbox ORDER BY number LIMIT ?"
_REMOVE: Final = "DELETE FROM vouchpost_outbox WHERE key = ?"


class SqliteOutbox:
    """Opens a connection for each call, unless it is given the one of a running transaction."""

    def __init__(self, path: str | PathLike[str], *, busy_s: float = 5) -> None:
        self._connect: Callable[[], sqlite3.Connection] = lambda: sqlite3.connect(path, timeout=busy_s)
        self._lock = threading.Lock()
        self._ready = False

    def add(self, submission: Submission, *, handle: sqlite3.Connection | None = None) -> None:
        row = (submission.key, submission.email, json.dumps(submission.details()))
        if handle is not None:
            self._prepare(handle)
            handle.execute(_ADD, row)
            return
        with self._opened() as connection:
            connection.execute(_ADD, row)

    def oldest(self, limit: int) -> Sequence[Submission]:
        with self._opened() as connection:
            return [
                Submission(email, key=key, **json.loads(details))
                for key, email, details in connection.execute(_OLDEST, (limit,))
            ]

    def remove(self, key: str) -> None:
        with self._opened() as connection:
            connection.execute(_REMOVE, (key,))

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection, None, None]:
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA synchronous = FULL")
            self._prepare(connection)
            with connection:
                yield connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._ready:
                connection.execute(_SCHEMA)
                self._ready = not connection.in_transaction
