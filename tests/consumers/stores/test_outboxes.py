"""What every outbox promises: nothing that waits is lost, in its order, and a key waits once."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import Session

from vouchpost.outbox import Outbox, Submission
from vouchpost.stores.sql_outbox import SqlOutbox
from vouchpost.stores.sqlite_outbox import SqliteOutbox


class Bench:
    """Opens outboxes on one database, and runs a transaction of the application's own on it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> Outbox:
        raise NotImplementedError

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        raise NotImplementedError


class Sqlite(Bench):
    def open(self) -> Outbox:
        return SqliteOutbox(self.path)

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("BEGIN")
            work(connection)
            connection.commit() if commit else connection.rollback()


class SqlAlchemy(Bench):
    def open(self) -> Outbox:
        outbox = SqlOutbox(create_engine(f"sqlite:///{self.path}", poolclass=NullPool))
        outbox.create_tables()
        return outbox

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        with Session(create_engine(f"sqlite:///{self.path}", poolclass=NullPool)) as session:
            work(session)
            session.commit() if commit else session.rollback()


class Django(Bench):
    """One database for all tests of a process, as Django is configured once; emptied for each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from tests.consumers.django_project import empty_database

        empty_database()

    def open(self) -> Outbox:
        from vouchpost.integrations.django.outbox import DjangoOutbox

        return DjangoOutbox()

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        from django.db import transaction

        with transaction.atomic():
            work("default")
            transaction.set_rollback(not commit)


@pytest.fixture(params=[Sqlite, SqlAlchemy, Django])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    made: Bench = request.param(tmp_path / "db")
    return made


def test_what_waits_survives_a_restart_in_its_order(bench: Bench) -> None:
    first = Submission("ann@example.com", subject_id="user_1", depth="domain", metadata={"plan": "pro"})
    second = Submission("bob@example.com", priority="low")
    for submission in (first, second):
        bench.open().add(submission)

    assert list(bench.open().oldest(10)) == [first, second]
    assert list(bench.open().oldest(1)) == [first]


def test_what_was_sent_waits_no_longer_and_may_be_removed_twice(bench: Bench) -> None:
    outbox, submission = bench.open(), Submission("ann@example.com")
    outbox.add(submission)

    outbox.remove(submission.key)
    outbox.remove(submission.key)

    assert list(outbox.oldest(10)) == []


def test_the_same_submission_waits_once(bench: Bench) -> None:
    outbox, submission = bench.open(), Submission("ann@example.com")

    outbox.add(submission)
    outbox.add(submission)

    assert list(outbox.oldest(10)) == [submission]


@pytest.mark.parametrize("commit", [True, False])
def test_it_joins_the_transaction_of_the_application(bench: Bench, *, commit: bool) -> None:
    outbox, submission = bench.open(), Submission("ann@example.com")

    bench.rolled_back(lambda handle: outbox.add(submission, handle=handle), commit=commit)

    assert list(outbox.oldest(10)) == ([submission] if commit else [])
