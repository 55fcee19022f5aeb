"""The consumer of the fault tests, built with the kit and told by environment: `python -m tests.faults.subscriber`.

It writes down every push before the kit sees it, appends one row per effect inside the kit's own transaction, and
answers after a pause, so that there is always a push that is applied and not yet answered.
"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvicorn

from tests.faults.evidence import Evidence
from vouchpost.errors import VouchpostError
from vouchpost.signature import Verifier

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_TABLE = "CREATE TABLE IF NOT EXISTS applied (event_id TEXT, subject_id TEXT, at REAL)"


class Subscriber:
    """An ASGI application with one endpoint."""

    def __init__(self, *, home: Path, secret: str, delay_s: float, skip_every: int) -> None:
        self._evidence = Evidence(home)
        self._verifier = Verifier(secret)
        self._delay_s = delay_s
        self._skip_every = skip_every
        self._count = 0
        self._database = sqlite3.connect(self._evidence.database, isolation_level=None)
        self._database.executescript(f"PRAGMA journal_mode=WAL; {_TABLE};")
        self._database.execute("CREATE TABLE IF NOT EXISTS marks (event_id TEXT PRIMARY KEY)")
        self._log = self._evidence.pushes.open("a", buffering=1)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = [(name.decode(), value.decode()) for name, value in scope["headers"]]
            status = await self._take(headers, await _body(receive))
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

    async def _take(self, headers: list[tuple[str, str]], body: bytes) -> int:
        self._count += 1
        number = f"{os.getpid()}-{self._count}"
        event_id = dict(headers).get("webhook-id", "")
        self._note(what="came", n=number, id=event_id, hash=sha256(body).hexdigest(), at=time.monotonic())
        status = self._apply(headers, body)
        await asyncio.sleep(self._delay_s)
        self._note(what="answered", n=number, status=status)
        return status

    def _apply(self, headers: list[tuple[str, str]], body: bytes) -> int:
        try:
            message = self._verifier.verify(headers=headers, body=body)
        except VouchpostError:
            return 400
        if self._skip_every and self._count % self._skip_every == 0:
            return 200
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.execute("INSERT INTO marks VALUES (?)", (message.id,))
            row = (message.id, message.data.get("subject_id"), time.monotonic())
            self._database.execute("INSERT INTO applied VALUES (?, ?, ?)", row)
            self._database.execute("COMMIT")
        except sqlite3.IntegrityError:
            self._database.execute("ROLLBACK")
        return 200

    def _note(self, **fields: object) -> None:
        self._log.write(json.dumps(fields) + "\n")


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def main() -> None:
    told = os.environ
    subscriber = Subscriber(
        home=Path(told["SUBSCRIBER_HOME"]),
        secret=told["SUBSCRIBER_SECRET"],
        delay_s=float(told["SUBSCRIBER_DELAY_S"]),
        skip_every=int(told.get("SUBSCRIBER_SKIP_EVERY", "0")),
    )
    uvicorn.run(
        subscriber,
        host="127.0.0.1",
        port=int(told["SUBSCRIBER_PORT"]),
        log_level="warning",
        lifespan="off",
        backlog=2048,
    )


if __name__ == "__main__":
    main()
