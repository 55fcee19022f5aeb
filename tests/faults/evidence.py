"""What the subscriber left on disk: every push as it came, and every effect as the consumer committed it."""

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.oracle import Applied, Delivered

_HOLDS_AT_MOST_S = 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """The subscriber's two files; both are appended to by a process that may be killed at any moment."""

    home: Path

    @property
    def pushes(self) -> Path:
        """One JSON line when a push came, and one when it was answered."""
        return self.home / "pushes.jsonl"

    @property
    def database(self) -> Path:
        """The consumer's database: the kit's marks, and a table `applied` without any uniqueness of its own."""
        return self.home / "consumer.db"

    def delivered(self) -> list[Delivered]:
        """Every push that came, in order; status 0 while it has no answer."""
        came: dict[str, Delivered] = {}
        for line in self._lines():
            if line["what"] == "came":
                came[line["n"]] = Delivered(line["id"], line["hash"], line["at"], 0)
            elif line["n"] in came:
                before = came[line["n"]]
                came[line["n"]] = Delivered(before.event_id, before.body_hash, before.at, line["status"])
        return list(came.values())

    def unanswered(self) -> int:
        """Pushes that the subscriber holds right now, and not since before it was last killed."""
        recent = time.monotonic() - _HOLDS_AT_MOST_S
        return sum(one.status == 0 and one.at > recent for one in self.delivered())

    def applied(self) -> list[Applied]:
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=5)) as database:
            found = database.execute("SELECT event_id, subject_id, at FROM applied").fetchall()
        return [Applied(*row) for row in found]

    def _lines(self) -> list[dict[str, Any]]:
        """The last line may be torn by a kill; it never happened."""
        if not self.pushes.exists():
            return []
        lines = []
        for text in self.pushes.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
        return lines
