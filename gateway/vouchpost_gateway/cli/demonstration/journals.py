"""What the subscribers wrote down: what came, and what was applied. Read only; they own their files."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Applied:
    """A verdict as one subscriber applied it."""

    subscriber: str
    event_id: str
    verification_id: str
    status: str
    reason_code: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Push:
    """A push as it came to one subscriber, whatever became of it."""

    subscriber: str
    event_id: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class Journal:
    """One subscriber's files."""

    subscriber: str
    directory: Path

    def applied(self) -> list[Applied]:
        with closing(self._open()) as database:
            return [Applied(self.subscriber, *row) for row in database.execute("SELECT * FROM applied")]

    def applied_count(self) -> int:
        with closing(self._open()) as database:
            (count,) = database.execute("SELECT count(DISTINCT event_id) FROM applied").fetchone()
            return int(count)

    def pushes(self) -> list[Push]:
        return list(self._pushes())

    def _pushes(self) -> Iterator[Push]:
        """A line that is still being written is left for the next time."""
        text = (self.directory / "pushes.log").read_text(encoding="ascii")
        for line in text[: text.rfind("\n") + 1].splitlines():
            event_id, at_ms = line.split()
            yield Push(self.subscriber, event_id, int(at_ms))

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.directory / 'journal.sqlite'}?mode=ro", uri=True, timeout=5)
