"""The plugin as its users meet it: in a test suite of their own, found without being asked for."""

import subprocess
import sys
from pathlib import Path

SUITE = """
import sqlite3
import pytest
from vouchpost import Receiver, Router
from vouchpost.stores.memory import MemoryStore

def remember(message, seen):
    seen.append((message.verdict.subject_id, message.verdict.status))

def test_a_handler_in_three_lines(vouchpost_event):
    seen = []
    remember(vouchpost_event(status="invalid", subject_id="user_7").message, seen)
    assert seen == [("user_7", "invalid")]

def test_a_receiver_with_time_held_still(vouchpost_event, vouchpost_clock, vouchpost_secret):
    receiver = Receiver(secrets=vouchpost_secret, store=MemoryStore(), router=Router(), clock=vouchpost_clock)
    event = vouchpost_event()
    vouchpost_clock.advance(301)
    assert receiver.answer(headers=event.headers, body=event.body).outcome == "timestamp_too_old"

class TestOwnSecret:
    @pytest.fixture
    def vouchpost_secret(self):
        return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    def test_a_secret_of_ones_own(self, vouchpost_event, vouchpost_secret):
        assert vouchpost_event().secret == vouchpost_secret
"""


def test_the_fixtures_are_there_in_a_suite_that_does_nothing_for_it(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(SUITE)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "3 passed" in run.stdout, run.stdout + run.stderr
