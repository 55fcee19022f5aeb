"""A subscriber of the tests: keeps every push as it came, and has the kit apply what it may, in a real database."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from vouchpost import Message, Receiver, Router
from vouchpost.stores.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Push:
    """One request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Consumer:
    """Answers `status` while one is set, without asking the kit; otherwise the kit decides."""

    directory: Path
    secrets: list[str] = field(default_factory=list)
    status: int | None = None
    answer: bytes = b""
    pushes: list[Push] = field(default_factory=list)

    def __post_init__(self) -> None:
        with closing(sqlite3.connect(self._database)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE applied (event_id TEXT, type TEXT, body BLOB)")
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.take = self._take
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/events"

    def applied(self, kind: str = "verification.completed") -> list[dict[str, Any]]:
        """The events of this type that had an effect."""
        with closing(sqlite3.connect(self._database, timeout=5)) as database:
            rows = database.execute("SELECT body FROM applied WHERE type = ? ORDER BY rowid", (kind,)).fetchall()
        return [json.loads(body) for (body,) in rows]

    def about(self, verification_id: str) -> list[Push]:
        """The pushes of one verification's events."""
        return [push for push in self.pushes if push.event["data"].get("verification_id") == verification_id]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def _database(self) -> Path:
        return self.directory / "consumer.sqlite"

    def _take(self, headers: list[tuple[str, str]], body: bytes) -> tuple[int, bytes]:
        self.pushes.append(Push({name.lower(): value for name, value in headers}, body))
        if self.status is not None:
            return self.status, self.answer
        receiver = Receiver(secrets=self.secrets, store=SqliteStore(self._database), router=self._router(), name="e2e")
        answer = receiver.answer(headers=headers, body=body)
        return answer.status, answer.body

    def _router(self) -> Router:
        router = Router()

        @router.on("verification.completed", "verification.updated", "subscription.disabled", "subscription.test")
        def append(message: Message, database: sqlite3.Connection) -> None:
            database.execute("INSERT INTO applied VALUES (?, ?, ?)", (message.id, message.type, message.body))

        return router


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    take: Callable[[list[tuple[str, str]], bytes], tuple[int, bytes]]

    def handle_error(self, *_: object) -> None:
        """A worker that was killed leaves a broken connection; a push that failed here shows in the test."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, answer = self.server.take(self.headers.items(), body)
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """What came is in `pushes`."""


def eventually(holds: Callable[[], object], *, limit_s: float = 20) -> bool:
    """Whether it held before the time was over."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True
