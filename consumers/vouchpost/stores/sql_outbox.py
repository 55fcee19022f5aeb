"""An outbox in any database that SQLAlchemy 2 speaks to. Its table is in `sql.metadata`, with those of the marks."""

import inspect
import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, Column, Engine, Insert, Integer, String, Table, Text, delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from vouchpost.errors import ConfigurationError
from vouchpost.outbox import Submission
from vouchpost.stores.sql import metadata

waiting: Final = Table(
    "vouchpost_outbox",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("key", String(255), nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("details", Text, nullable=False),
)


class SqlOutbox:
    """A connection of the engine for each call, unless it is given the session of a running transaction.

    With an async engine, give it a plain engine on the same database; with an `AsyncSession`, add by `run_sync`:
    `await session.run_sync(lambda plain: gate.later(plain, email))`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_tables(self) -> None:
        """Makes the tables of this outbox and of the stores where they are not there yet."""
        metadata.create_all(self._engine)

    def add(self, submission: Submission, *, handle: Session | None = None) -> None:
        statement = insert(waiting).values(
            key=submission.key, email=submission.email, details=json.dumps(submission.details())
        )
        if handle is not None:
            _execute_within(handle, statement)
            return
        try:
            with self._engine.begin() as connection:
                connection.execute(statement)
        except IntegrityError:
            return  # it waits already

    def oldest(self, limit: int) -> Sequence[Submission]:
        with self._engine.connect() as connection:
            rows = connection.execute(select(waiting).order_by(waiting.c.number).limit(limit))
            return [Submission(row.email, key=row.key, **json.loads(row.details)) for row in rows]

    def remove(self, key: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(delete(waiting).where(waiting.c.key == key))


def _execute_within(session: Session, statement: Insert) -> None:
    """An `AsyncSession` would give back a coroutine that nobody awaits, and the submission would be lost."""
    result = session.execute(statement)
    if inspect.iscoroutine(result):
        result.close()
        raise ConfigurationError("this session is async: await session.run_sync(lambda plain: …) and give on `plain`")
