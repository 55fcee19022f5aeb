"""A subscriber that writes every verdict down once: `python -m vouchpost.journal --directory crm --port 8091`.

The smallest whole consumer: `vouchpost demo` runs three of them. `pushes.log` has a line for each push as it came,
before anything judges it; `journal.sqlite` has a row for each verdict applied, in one transaction with the kit's mark.
Needs `vouchpost[starlette]` and uvicorn; the signing secret comes in VOUCHPOST_SIGNING_SECRET.
"""

import argparse
import asyncio
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vouchpost.integrations.starlette import endpoint
from vouchpost.message import Message
from vouchpost.receiver import Receiver
from vouchpost.router import Router
from vouchpost.stores.sqlite import SqliteStore

# No uniqueness on purpose: what was applied twice is there twice.
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS applied (
    event_id TEXT NOT NULL, verification_id TEXT NOT NULL, status TEXT NOT NULL, reason_code TEXT NOT NULL,
    at_ms INTEGER NOT NULL
)
"""


def write_down(message: Message, database: sqlite3.Connection) -> None:
    """The effect of a verdict: one more row."""
    verdict = message.verdict
    row = (message.id, verdict.verification_id, verdict.status, verdict.reason_code, _now_ms())
    database.execute("INSERT INTO applied VALUES (?, ?, ?, ?, ?)", row)


def application(*, directory: Path, name: str, secret: str, pause_s: float) -> Starlette:
    """Answers `pause_s` after it applied, so that there is a moment in which a crash leaves work half told."""
    router = Router()
    router.on_verdict(write_down)
    receive = endpoint(Receiver(secrets=secret, store=_store(directory), router=router, name=name))

    async def take(request: Request) -> Response:
        _note(directory, request.headers.get("webhook-id", "-"))
        response = await receive(request)
        await asyncio.sleep(pause_s)
        return response

    return Starlette(routes=[Route("/", take, methods=["POST"])])


def _note(directory: Path, event_id: str) -> None:
    with (directory / "pushes.log").open("a", encoding="ascii", errors="backslashreplace") as pushes:
        pushes.write(f"{event_id.partition(' ')[0]} {_now_ms()}\n")


def _store(directory: Path) -> SqliteStore:
    path = directory / "journal.sqlite"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(path, check_same_thread=False)

    database = connect()
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(_TABLE)
    database.close()
    return SqliteStore(connect)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description="A subscriber that writes every verdict down once.")
    parser.add_argument("--directory", type=Path, required=True, help="where its two files are kept")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--name", default="journal", help="what its marks are kept under")
    parser.add_argument("--pause-s", type=float, default=0.0, help="between applying an event and answering")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    secret = os.environ["VOUCHPOST_SIGNING_SECRET"]
    app = application(directory=given.directory, name=given.name, secret=secret, pause_s=given.pause_s)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
