"""What only the SQLite store promises: a transaction that nobody can tear, not even SIGKILL."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import ConfigurationError, InFlightError, Message, Outcome, Receiver, Router
from vouchpost.stores.sqlite import SqliteStore

Effect = Callable[[Message, sqlite3.Connection], None]


def receiver(store: SqliteStore, effect: Effect) -> Receiver:
    router = Router()
    router.on_verdict(effect)
    return Receiver(secrets=SECRET, store=store, router=router, clock=lambda: NOW)


def insert(message: Message, db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE IF NOT EXISTS effects (text TEXT)")
    db.execute("INSERT INTO effects VALUES (?)", (message.id,))


def rows(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        return count


def commit_inside(message: Message, db: sqlite3.Connection) -> None:
    insert(message, db)
    db.commit()


def commit_by_context(message: Message, db: sqlite3.Connection) -> None:
    with db:
        insert(message, db)


def roll_back_inside(message: Message, db: sqlite3.Connection) -> None:
    db.execute("ROLLBACK")


@pytest.mark.parametrize("effect", [commit_inside, commit_by_context, roll_back_inside])
def test_a_handler_cannot_part_its_effect_from_the_mark(tmp_path: Path, effect: Effect) -> None:
    body = event()

    answer = receiver(SqliteStore(tmp_path / "db"), effect).answer(headers=headers(body), body=body)

    assert answer.outcome == "handler_failed"
    assert rows(tmp_path / "db", "vouchpost_marks") == 0
    assert rows(tmp_path / "db", "sqlite_master WHERE name = 'effects'") == 0


def test_a_transaction_that_ended_within_the_handler_is_not_told_as_applied(tmp_path: Path) -> None:
    """SQLite ends it by itself on ON CONFLICT ROLLBACK, however the handler takes the error."""

    def effect(message: Message, db: sqlite3.Connection) -> None:
        insert(message, db)
        db.execute("CREATE UNIQUE INDEX once ON effects (text)")
        with suppress(sqlite3.IntegrityError):
            db.execute("INSERT OR ROLLBACK INTO effects VALUES (?)", (message.id,))

    body = event()

    answer = receiver(SqliteStore(tmp_path / "db"), effect).answer(headers=headers(body), body=body)

    assert answer.status == 503
    assert rows(tmp_path / "db", "vouchpost_marks") == 0


def test_what_is_written_before_the_rest_of_a_handler_does_not_run_is_undone(tmp_path: Path) -> None:
    def effect(message: Message, db: sqlite3.Connection) -> Any:
        insert(message, db)
        return (message.id for _ in range(1))

    body = event()

    answer = receiver(SqliteStore(tmp_path / "db"), effect).answer(headers=headers(body), body=body)

    assert answer.outcome == "handler_failed"
    assert rows(tmp_path / "db", "vouchpost_marks") == 0
    assert rows(tmp_path / "db", "sqlite_master WHERE name = 'effects'") == 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="connections have no autocommit")
@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_may_come_with_any_autocommit(tmp_path: Path, *, autocommit: bool) -> None:
    connect = partial(sqlite3.connect, tmp_path / "db", autocommit=autocommit)
    subject, body = receiver(SqliteStore(connect), insert), event()

    outcomes = [subject.receive(headers=headers(body), body=body) for _ in range(2)]

    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE]
    assert rows(tmp_path / "db", "effects") == 1


def test_a_handler_may_use_savepoints(tmp_path: Path) -> None:
    def effect(message: Message, db: sqlite3.Connection) -> None:
        db.execute("SAVEPOINT half")
        insert(message, db)
        db.execute("RELEASE half")

    body = event()

    assert receiver(SqliteStore(tmp_path / "db"), effect).answer(headers=headers(body), body=body).status == 200


def test_a_database_that_stays_locked_is_answered_come_back(tmp_path: Path) -> None:
    subject = receiver(SqliteStore(tmp_path / "db", busy_s=0.05), insert)
    first, second = event(), event(event_id="evt_2")
    assert subject.receive(headers=headers(first), body=first) is Outcome.APPLIED

    with closing(sqlite3.connect(tmp_path / "db")) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = subject.answer(headers=headers(second, event_id="evt_2"), body=second)
        with pytest.raises(InFlightError):
            subject.receive(headers=headers(second, event_id="evt_2"), body=second)

    assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "1")


def test_a_file_that_is_no_database_is_answered_503(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    body = event()

    answer = receiver(SqliteStore(tmp_path / "db"), insert).answer(headers=headers(body), body=body)

    assert (answer.status, answer.outcome) == (503, "store_unavailable")


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        SqliteStore(":memory:")


def test_expecting_joins_the_transaction_of_the_application(tmp_path: Path) -> None:
    """On a database that has no marks yet, and rolled back as a whole."""
    subject = receiver(SqliteStore(tmp_path / "db"), insert)
    body = event(data={"sequence": 1})

    with closing(sqlite3.connect(tmp_path / "db")) as own:
        own.execute("BEGIN")
        subject.expect(own, subject_id="user_42", sequence=2)
        own.rollback()

    assert subject.receive(headers=headers(body), body=body) is Outcome.APPLIED


def test_forgetting_takes_no_longer_for_all_the_subjects_that_are_kept(tmp_path: Path) -> None:
    """The database has one writer: while it looks for what is old, nothing else is applied."""
    thousands_of_steps: list[None] = []

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "db")
        connection.set_progress_handler(lambda: thousands_of_steps.append(None), 1000)
        return connection

    store = SqliteStore(connect)
    store.forget(receiver="crm", before_s=NOW, limit=100)
    guards = [("crm", f"{kind}:{number}", 1, 1, 1) for kind in ("subject", "verification") for number in range(20_000)]
    with closing(sqlite3.connect(tmp_path / "db")) as own, own:
        own.executemany("INSERT INTO vouchpost_guards VALUES (?, ?, ?, ?, ?)", guards)
    thousands_of_steps.clear()

    store.forget(receiver="crm", before_s=NOW, limit=100)

    assert len(thousands_of_steps) < 20
    assert rows(tmp_path / "db", "vouchpost_guards") == len(guards) - 100


KILLED = """
import os, signal, sys
sys.path[:0] = [{root!r}]
from tests.consumers.deliveries import event, headers
from tests.consumers.stores.test_sqlite import insert, receiver
from vouchpost.stores.sqlite import SqliteStore

def effect(message, db):
    insert(message, db)
    os.kill(os.getpid(), signal.SIGKILL)

body = event()
receiver(SqliteStore({path!r}), effect).answer(headers=headers(body), body=body)
"""


def test_a_process_killed_between_verify_and_commit_applies_once_after_redelivery(tmp_path: Path) -> None:
    path, body, root = tmp_path / "db", event(), Path(__file__).parents[3]

    killed = subprocess.run([sys.executable, "-c", KILLED.format(root=str(root), path=str(path))], check=False)
    assert killed.returncode == -signal.SIGKILL
    after_kill = rows(path, "vouchpost_marks"), rows(path, "sqlite_master WHERE name = 'effects'")

    subject = receiver(SqliteStore(path), insert)
    outcomes = [subject.receive(headers=headers(body), body=body) for _ in range(2)]

    assert after_kill == (0, 0)
    assert outcomes == [Outcome.APPLIED, Outcome.DUPLICATE]
    assert rows(path, "effects") == 1
