"""The journal through its own ASGI client: what came is noted, what is new is written down, once."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

from vouchpost.journal import application
from vouchpost.testing import SECRET, EventFactory, SignedEvent


async def answers(directory: Path, events: list[SignedEvent]) -> list[int]:
    app = application(directory=directory, name="crm", secret=SECRET, pause_s=0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://journal") as client:
        return [(await client.post("/", content=e.body, headers=e.headers)).status_code for e in events]


def rows(directory: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(directory / "journal.sqlite")) as database:
        return list(database.execute("SELECT event_id, status FROM applied"))


def test_a_verdict_that_comes_twice_is_noted_twice_and_written_down_once(tmp_path: Path) -> None:
    event = EventFactory()(status="risky")

    assert asyncio.run(answers(tmp_path, [event, event.again()])) == [200, 200]

    assert rows(tmp_path) == [(event.id, "risky")]
    assert [line.split()[0] for line in (tmp_path / "pushes.log").read_text().splitlines()] == [event.id] * 2


def test_a_forged_verdict_is_noted_and_not_written_down(tmp_path: Path) -> None:
    forged = EventFactory(secret="whsec_" + "A" * 32)()

    assert asyncio.run(answers(tmp_path, [forged])) == [400]

    assert rows(tmp_path) == []
