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
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import uvicorn

from tests.faults.evidence import Evidence
from vouchpost.message import Message as Event
from vouchpost.receiver import Receiver
from vouchpost.router import Router
from vouchpost.stores.sqlite import SqliteStore

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_TABLE = "CREATE TABLE IF NOT EXISTS applied (event_id TEXT, subject_id TEXT, at REAL)"


class Subscriber:
    """An ASGI application with one endpoint."""

    def __init__(self, *, home: Path, secret: str, delay_s: float, skip_every: int) -> None:
        evidence = Evidence(home)
        router = Router()
        router.on_verdict(self._apply)
        self._receiver = Receiver(secrets=secret, store=SqliteStore(evidence.database), router=router)
        self._delay_s = delay_s
        self._skip_every = skip_every
        self._count = 0
        self._effects = 0
        self._log = evidence.pushes.open("a", buffering=1)

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
        status = (await self._receiver.answer_async(headers=headers, body=body)).status
        await asyncio.sleep(self._delay_s)
        self._note(what="answered", n=number, status=status)
        return status

    def _apply(self, event: Event, database: sqlite3.Connection) -> None:
        """The effect: one more row, in the transaction of the mark."""
        self._effects += 1
        if not self._skip_every or self._effects % self._skip_every:
            row = (event.id, event.data.get("subject_id"), time.monotonic())
            database.execute("INSERT INTO applied VALUES (?, ?, ?)", row)

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
    with closing(sqlite3.connect(Evidence(Path(told["SUBSCRIBER_HOME"])).database)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(_TABLE)
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
