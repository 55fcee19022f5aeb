"""Outboxes in any database that SQLAlchemy 2 speaks to, plain and async.

Their table is in `sql.metadata`, with those of the marks.
"""

import inspect
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    Table,
    Text,
    delete,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from vouchpost.errors import ConfigurationError
from vouchpost.stores.sql import exact, metadata, savepoint
from vouchpost.submission import Submission

waiting: Final = Table(
    "vouchpost_outbox",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("key", exact(255), nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("details", Text, nullable=False),
)


class SqlOutbox:
    """A connection of the engine for each call, unless it is given the session of a running transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_tables(self) -> None:
        """Makes the tables of this outbox and of the stores where they are not there yet."""
        metadata.create_all(self._engine)

    def add(self, submission: Submission, *, handle: Session | None = None) -> None:
        if handle is not None:
            _add(_connection_of(handle), submission)
            return
        with self._engine.begin() as connection:
            _add(connection, submission)

    def oldest(self, limit: int) -> Sequence[Submission]:
        with self._engine.connect() as connection:
            return _oldest(connection, limit)

    def remove(self, key: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(waiting).where(waiting.c.key == key))


class AsyncSqlOutbox:
    """For async engines; the session of a running transaction is an `AsyncSession`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def create_tables(self) -> None:
        """Makes the tables of this outbox and of the stores where they are not there yet."""
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    async def add_async(self, submission: Submission, *, handle: AsyncSession | None = None) -> None:
        if handle is not None:
            connection = await handle.connection(bind_arguments={"clause": waiting})
            await connection.run_sync(_add, submission)
            return
        async with self._engine.begin() as connection:
            await connection.run_sync(_add, submission)

    async def oldest_async(self, limit: int) -> Sequence[Submission]:
        async with self._engine.connect() as connection:
            return await connection.run_sync(_oldest, limit)

    async def remove_async(self, key: str) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(waiting).where(waiting.c.key == key))


def _add(connection: Connection, submission: Submission) -> None:
    row = {"key": submission.key, "email": submission.email, "details": json.dumps(submission.details())}
    with suppress(IntegrityError), savepoint(connection):  # it may wait already
        connection.execute(insert(waiting).values(row))


def _oldest(connection: Connection, limit: int) -> Sequence[Submission]:
    rows = connection.execute(select(waiting).order_by(waiting.c.number).limit(limit))
    return [Submission(row.email, key=row.key, **json.loads(row.details)) for row in rows]


def _connection_of(session: Session) -> Connection:
    """An `AsyncSession` would give back a coroutine that nobody awaits, and the submission would be lost."""
    connection = session.connection(bind_arguments={"clause": waiting})
    if inspect.iscoroutine(connection):
        connection.close()
        raise ConfigurationError(
            "this session is async: use AsyncSqlOutbox, or await session.run_sync(lambda plain: …) and give on `plain`"
        )
    return connection
