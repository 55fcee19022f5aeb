"""What every outbox promises: nothing that waits is lost, in its order, and a key waits once."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, NullPool, create_engine, inspect, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from vouchpost import ConfigurationError
from vouchpost.async_outbox import AsyncOutbox
from vouchpost.outbox import Outbox, Submission
from vouchpost.stores.sql import metadata
from vouchpost.stores.sql_outbox import AsyncSqlOutbox, SqlOutbox
from vouchpost.stores.sqlite_outbox import SqliteOutbox


class Bench:
    """Opens outboxes on one database, and runs a transaction of the application's own on it."""

    def open(self) -> Outbox:
        raise NotImplementedError

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        raise NotImplementedError


class Sqlite(Bench):
    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> Outbox:
        return SqliteOutbox(self.path)

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("BEGIN")
            work(connection)
            connection.commit() if commit else connection.rollback()


class SqlAlchemy(Bench):
    """On a file, or on a server's database: emptied for each test, as it is shared by all of a run."""

    def __init__(self, place: str) -> None:
        self.url = place
        metadata.drop_all(self._engine())
        metadata.create_all(self._engine())

    def _engine(self) -> Engine:
        return create_engine(self.url, poolclass=NullPool)

    def open(self) -> Outbox:
        return SqlOutbox(self._engine())

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        with Session(self._engine()) as session:
            work(session)
            session.commit() if commit else session.rollback()


class Driven:
    """An async outbox, called by tests that await nothing: in a loop of its own, or in that of the transaction."""

    def __init__(self, outbox: AsyncOutbox) -> None:
        self._outbox = outbox

    def add(self, submission: Submission, *, handle: Any = None) -> None:
        if handle is None:
            asyncio.run(self._add(submission))
        else:
            await_only(self._outbox.add_async(submission, handle=handle))

    async def _add(self, submission: Submission) -> None:
        await self._outbox.add_async(submission)

    def oldest(self, limit: int) -> Sequence[Submission]:
        async def main() -> Sequence[Submission]:
            return await self._outbox.oldest_async(limit)

        return asyncio.run(main())

    def remove(self, key: str) -> None:
        async def main() -> None:
            await self._outbox.remove_async(key)

        asyncio.run(main())


class AsyncSqlAlchemy(SqlAlchemy):
    def __init__(self, place: str, driver: str) -> None:
        super().__init__(place)
        self.driver = driver

    def _async_engine(self) -> AsyncEngine:
        url = make_url(self.url)
        return create_async_engine(url.set(drivername=f"{url.get_backend_name()}+{self.driver}"), poolclass=NullPool)

    def open(self) -> Outbox:
        return Driven(AsyncSqlOutbox(self._async_engine()))

    def rolled_back(self, work: Callable[[Any], None], *, commit: bool) -> None:
        async def main() -> None:
            async with AsyncSession(self._async_engine()) as session:
                await session.run_sync(lambda _: work(session))
                await (session.commit() if commit else session.rollback())

        asyncio.run(main())


class Django(Bench):
    """One database for all tests of a process, as Django is configured once; emptied for each."""

    def __init__(self, _: Path) -> None:
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


BENCHES: dict[str, tuple[str, Callable[[Any], Bench]]] = {
    "SQLite": ("tmp_path", lambda folder: Sqlite(folder / "db")),
    "SQLAlchemy": ("tmp_path", lambda folder: SqlAlchemy(f"sqlite:///{folder / 'db'}")),
    "async SQLAlchemy": ("tmp_path", lambda folder: AsyncSqlAlchemy(f"sqlite:///{folder / 'db'}", "aiosqlite")),
    "Django": ("tmp_path", Django),
    "PostgreSQL": ("postgres", lambda address: SqlAlchemy(f"postgresql+psycopg://{address}")),
    "async PostgreSQL": ("postgres", lambda address: AsyncSqlAlchemy(f"postgresql+psycopg://{address}", "psycopg")),
    "MariaDB": ("mariadb", lambda address: SqlAlchemy(f"mysql+pymysql://{address}")),
    "async MariaDB": ("mariadb", lambda address: AsyncSqlAlchemy(f"mysql+pymysql://{address}", "aiomysql")),
}
"""Which fixture says where the database is, and the bench on it."""


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Bench:
    place, opened = BENCHES[request.param]
    return opened(request.getfixturevalue(place))


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


def test_keys_that_differ_in_case_are_two(bench: Bench) -> None:
    outbox, waiting = bench.open(), [Submission("ann@example.com", key=key) for key in ("user:Ab", "user:aB")]

    for submission in waiting:
        outbox.add(submission)

    assert list(outbox.oldest(10)) == waiting
    outbox.remove("user:Ab")
    assert list(outbox.oldest(10)) == waiting[1:]


@pytest.mark.parametrize("commit", [True, False])
def test_it_joins_the_transaction_of_the_application(bench: Bench, *, commit: bool) -> None:
    outbox, submission = bench.open(), Submission("ann@example.com")

    bench.rolled_back(lambda handle: outbox.add(submission, handle=handle), commit=commit)

    assert list(outbox.oldest(10)) == ([submission] if commit else [])


def test_a_submission_that_waits_already_leaves_the_transaction_of_the_application_whole(bench: Bench) -> None:
    outbox, first, second = bench.open(), Submission("ann@example.com"), Submission("bob@example.com")
    outbox.add(first)

    def work(handle: Any) -> None:
        outbox.add(first, handle=handle)
        outbox.add(second, handle=handle)

    bench.rolled_back(work, commit=True)

    assert list(outbox.oldest(10)) == [first, second]


def test_an_async_session_takes_part_by_run_sync_and_is_told_so(tmp_path: Path) -> None:
    """Left to itself it would give back a coroutine, and nothing would be stored."""
    bench, submission = SqlAlchemy(f"sqlite:///{tmp_path / 'db'}"), Submission("ann@example.com")
    outbox = bench.open()

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'db'}", poolclass=NullPool)
        async with AsyncSession(engine) as session, session.begin():
            with pytest.raises(ConfigurationError, match="run_sync"):
                outbox.add(submission, handle=session)
            await session.run_sync(lambda plain: outbox.add(submission, handle=plain))
        await engine.dispose()

    asyncio.run(main())

    assert list(outbox.oldest(10)) == [submission]


def test_an_async_outbox_makes_its_table_where_there_is_none(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'db'}"

    async def main() -> bool:
        engine = create_async_engine(url, poolclass=NullPool)
        for _ in range(2):
            await AsyncSqlOutbox(engine).create_tables()
        async with engine.connect() as connection:
            return await connection.run_sync(lambda plain: inspect(plain).has_table("vouchpost_outbox"))

    assert asyncio.run(main())


def test_djangos_outbox_is_awaited_too(tmp_path: Path) -> None:
    from asgiref.sync import async_to_sync

    Django(tmp_path)
    from vouchpost.integrations.django.outbox import DjangoOutbox

    outbox, submission = DjangoOutbox(), Submission("ann@example.com")

    async def main() -> Sequence[Submission]:
        await outbox.add_async(submission)
        waiting = await outbox.oldest_async(10)
        await outbox.remove_async(submission.key)
        return waiting

    assert list(async_to_sync(main)()) == [submission]
    assert list(outbox.oldest(10)) == []
