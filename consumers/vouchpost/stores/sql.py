"""Marks in any database that SQLAlchemy 2 speaks to, plain and async. Exactly once.

A handler gets a session that has joined the transaction: its `commit()` releases a savepoint and no more, so that
effect and mark stay together. The tables are in `metadata`: give it to Alembic, or call `create_tables`.
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Final

from sqlalchemy import (
    VARCHAR,
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    delete,
    false,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects.mysql import insert as insert_mysql
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from vouchpost.errors import ConfigurationError, HandlerError, InFlightError, StoreUnavailableError
from vouchpost.replay import VERIFICATION_GUARD, Claim, Expectation, Outcome, Position, is_newer


def exact(length: int) -> String:
    """A text of which every letter counts: by default MySQL and MariaDB take `crm` and `CRM` for the same."""
    return String(length).with_variant(VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


metadata: Final = MetaData()
marks: Final = Table(
    "vouchpost_marks",
    metadata,
    Column("receiver", exact(64), primary_key=True),
    Column("event_id", exact(64), primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("at_s", BigInteger, nullable=False, index=True),
)
guards: Final = Table(
    "vouchpost_guards",
    metadata,
    Column("receiver", exact(64), primary_key=True),
    Column("guard", exact(80), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("at_s", BigInteger, nullable=False, index=True),
)


class SqlStore:
    """For plain engines. `sessions` makes the handlers' sessions, where they are to be of a class of your own.

    Whatever `binds` it has, its sessions write to the engine of the store: what they write elsewhere is another
    transaction, which a failing handler would not undo.
    """

    exactly_once = True

    def __init__(self, engine: Engine, *, sessions: sessionmaker[Session] | None = None) -> None:
        self._engine = _transactional(engine)
        self._sessions = sessions or sessionmaker()

    def create_tables(self) -> None:
        """Makes the two tables where they are not there yet."""
        metadata.create_all(self._engine)

    @contextmanager
    def transaction(self) -> Generator["_Transaction", None, None]:
        with _errors_told(), self._engine.begin() as connection:
            session = self._sessions(bind=connection, binds={}, join_transaction_mode="create_savepoint")
            with session, _own_errors_told():
                yield _Transaction(connection, session)
                session.commit()

    def expect(self, handle: Session, expectation: Expectation) -> None:
        _expect(handle.connection(), expectation)

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        with _errors_told(), self._engine.begin() as connection:
            return _unparked(connection, receiver, event_id)

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        with _errors_told(), self._engine.begin() as connection:
            return _forget(connection, receiver, before_s, limit)


class AsyncSqlStore:
    """For async engines; handlers are async and get an `AsyncSession`. `sessions` as with `SqlStore`."""

    exactly_once = True

    def __init__(self, engine: AsyncEngine, *, sessions: async_sessionmaker[AsyncSession] | None = None) -> None:
        _transactional(engine.sync_engine)
        self._engine = engine
        self._sessions = sessions or async_sessionmaker()

    async def create_tables(self) -> None:
        """Makes the two tables where they are not there yet."""
        async with self._engine.begin() as connection:
            await connection.run_sync(metadata.create_all)

    @asynccontextmanager
    async def transaction_async(self) -> AsyncGenerator["_AsyncTransaction", None]:
        with _errors_told():
            async with self._engine.begin() as connection:
                session = self._sessions(bind=connection, binds={}, join_transaction_mode="create_savepoint")
                async with session:
                    with _own_errors_told():
                        yield _AsyncTransaction(connection, session)
                        await session.commit()

    async def expect_async(self, handle: AsyncSession, expectation: Expectation) -> None:
        connection = await handle.connection()
        await connection.run_sync(_expect, expectation)

    async def unpark_async(self, *, receiver: str, event_id: str) -> bool:
        with _errors_told():
            async with self._engine.begin() as connection:
                return await connection.run_sync(_unparked, receiver, event_id)

    async def forget_async(self, *, receiver: str, before_s: int, limit: int) -> int:
        with _errors_told():
            async with self._engine.begin() as connection:
                return await connection.run_sync(_forget, receiver, before_s, limit)


def _transactional(engine: Engine) -> Engine:
    """With AUTOCOMMIT every statement is a transaction of its own: a mark would stay while its effect is undone."""
    at_connecting = getattr(engine.dialect, "_on_connect_isolation_level", None)  # SQLAlchemy has no better name for it
    if engine.get_execution_options().get("isolation_level", at_connecting) == "AUTOCOMMIT":
        raise ConfigurationError(
            'an engine with isolation_level="AUTOCOMMIT" has no transactions: give the store '
            "engine.execution_options(isolation_level=…), with one of your database's other levels"
        )
    return engine


class _Transaction:
    def __init__(self, connection: Connection, session: Session) -> None:
        self._connection = connection
        self.handle = session

    def claim(self, claim: Claim) -> Outcome:
        with _errors_told():
            return _claimed(self._connection, claim)


class _AsyncTransaction:
    def __init__(self, connection: AsyncConnection, session: AsyncSession) -> None:
        self._connection = connection
        self.handle = session

    async def claim(self, claim: Claim) -> Outcome:
        with _errors_told():
            return await self._connection.run_sync(_claimed, claim)


def _claimed(connection: Connection, claim: Claim) -> Outcome:
    """The mark first: its primary key lets one delivery through, and the others wait for how that one ends."""
    _check_that_it_can_roll_back(connection)
    mark = {"receiver": claim.receiver, "event_id": claim.event_id}
    try:
        connection.execute(insert(marks).values(mark | {"outcome": claim.outcome.value, "at_s": claim.at_s}))
    except IntegrityError:
        connection.rollback()
        return Outcome.DUPLICATE
    if claim.guard is None or claim.position is None:
        return claim.outcome
    if _advanced(connection, claim.receiver, claim.guard, claim.position, claim.at_s):
        return Outcome.APPLIED
    connection.execute(update(marks).filter_by(**mark).values(outcome=Outcome.STALE.value))
    return Outcome.STALE


def _check_that_it_can_roll_back(connection: Connection) -> None:
    """A driver may have been told to autocommit where SQLAlchemy does not see it, and that shows on a connection only.

    On SQLite what counts is whether a statement that writes is in a transaction: one may be begun by the driver or, as
    SQLAlchemy's documentation has it, by a listener.
    """
    if connection.dialect.name == "sqlite":
        connection.execute(delete(marks).where(false()))
        autocommits = not getattr(connection.connection.driver_connection, "in_transaction", True)
    else:
        autocommits = _is_told_to_autocommit(connection)
    if autocommits:
        raise ConfigurationError(
            "the driver of the store's engine commits every statement by itself, and nothing could be undone: "
            "look for autocommit, or isolation_level=None on SQLite, in connect_args and in listeners"
        )


def _is_told_to_autocommit(connection: Connection) -> bool:
    driver = connection.connection.dbapi_connection
    assert driver is not None
    with suppress(NotImplementedError):  # a dialect that cannot tell
        return connection.dialect.detect_autocommit_setting(driver)
    return False


def _expect(connection: Connection, expectation: Expectation) -> None:
    """A verdict may set the subject's first guard at this moment: then that guard is there to be moved."""
    place = (expectation.receiver, expectation.guard, expectation.position, expectation.at_s)
    try:
        with savepoint(connection):
            _advanced(connection, *place)
    except InFlightError:
        _advanced(connection, *place)


def savepoint(connection: Connection) -> AbstractContextManager[object]:
    """Around what may break a constraint, so that the transaction goes on.

    SQLite undoes the one statement by itself, and its driver would commit where a savepoint ends that nothing precedes.
    """
    return nullcontext() if connection.dialect.name == "sqlite" else connection.begin_nested()


def _advanced(connection: Connection, receiver: str, guard: str, position: Position, at_s: int) -> bool:
    """Whether the guard moved. Two first events of a subject at once: one of them is told to come back."""
    key = {"receiver": receiver, "guard": guard}
    values = {"sequence": position.sequence, "revision": position.revision, "at_s": at_s}
    if connection.dialect.name in {"mysql", "mariadb"}:
        # A lock on a row that is not there is one on the gap: the first events of subjects around it would deadlock.
        lowest = {"sequence": -1, "revision": -1, "at_s": at_s}
        connection.execute(insert_mysql(guards).values(key | lowest).on_duplicate_key_update(receiver=receiver))
    row = connection.execute(
        select(guards.c.sequence, guards.c.revision).filter_by(**key).with_for_update()
    ).one_or_none()
    if row is not None:
        if is_newer(position, Position(*row)):
            connection.execute(update(guards).filter_by(**key).values(values))
            return True
        return False
    try:
        connection.execute(insert(guards).values(key | values))
    except IntegrityError as error:
        raise InFlightError from error
    return True


def _unparked(connection: Connection, receiver: str, event_id: str) -> bool:
    key = {"receiver": receiver, "event_id": event_id, "outcome": Outcome.PARKED.value}
    return connection.execute(delete(marks).filter_by(**key)).rowcount > 0


def _forget(connection: Connection, receiver: str, before_s: int, limit: int) -> int:
    """The oldest first; as many as `limit`, and those of the same second."""
    count = 0
    for table, kind in ((marks, true()), (guards, guards.c.guard.startswith(VERIFICATION_GUARD))):
        old = (table.c.receiver == receiver) & (table.c.at_s < before_s) & kind
        last = connection.scalar(select(table.c.at_s).where(old).order_by(table.c.at_s).offset(limit - 1).limit(1))
        done = connection.execute(delete(table).where(old if last is None else old & (table.c.at_s <= last)))
        count += done.rowcount if table is marks else 0
    return count


@contextmanager
def _errors_told() -> Generator[None, None, None]:
    """What a handler raises is a HandlerError before it comes here; a driver that cannot connect may raise OSError."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailableError from error


@contextmanager
def _own_errors_told() -> Generator[None, None, None]:
    """What the handler left to be flushed is the handler's; a database that went away is not."""
    try:
        yield
    except OperationalError:
        raise
    except SQLAlchemyError as error:
        raise HandlerError from error
