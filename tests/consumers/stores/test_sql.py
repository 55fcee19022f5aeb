"""What only the SQLAlchemy stores promise: whose fault an error is, and tables that every database takes."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, NullPool, String, create_engine, text
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.event import listens_for
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.schema import CreateTable

from tests.consumers.deliveries import NOW, SECRET, event, headers
from tests.consumers.test_readme import CHANGE_AT_ONCE
from vouchpost import ConfigurationError, Message, Receiver, Router, Verification
from vouchpost.answer import Answer
from vouchpost.stores.sql import AsyncSqlStore, SqlStore, metadata

SEQUENCE = 1_795_341_600_123_456
"""Of the event that is delivered where nothing else is said."""


ASYNC_DRIVERS: dict[str, str] = {"sqlite": "aiosqlite", "postgresql": "psycopg", "mysql": "aiomysql"}


class Base(DeclarativeBase):
    pass


class Contact(Base):
    __tablename__ = "contacts"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    status: Mapped[str] = mapped_column(String(64))
    email: Mapped[str | None] = mapped_column(String(255))


class OwnSession(Session):
    """A session class of the application's own."""


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = create_engine(f"sqlite:///{tmp_path / 'db'}", poolclass=NullPool)
    Base.metadata.create_all(made)
    return made


def deliver(store: SqlStore, effect: Callable[..., Any], event_id: str = "evt_1", **data: Any) -> Answer:
    body = event(event_id=event_id, data=data)
    return receiver(store, effect).answer(headers=headers(body, event_id=event_id), body=body)


def deliver_async(store: AsyncSqlStore, effect: Callable[..., Any]) -> Answer:
    body = event()
    return asyncio.run(receiver(store, effect).answer_async(headers=headers(body), body=body))


def receiver(store: SqlStore | AsyncSqlStore, effect: Callable[..., Any]) -> Receiver:
    router = Router()
    router.on_verdict(effect)
    return Receiver(secrets=SECRET, store=store, router=router, clock=lambda: NOW)


def keep(message: Message, session: Session | AsyncSession) -> None:
    session.add(Contact(id="user_42", status=message.verdict.status))


async def keep_async(message: Message, session: AsyncSession) -> None:
    keep(message, session)


def keep_and_fail(message: Message, session: Session) -> None:
    keep(message, session)
    session.flush()
    raise RuntimeError


def test_objects_left_in_the_session_are_stored_with_the_mark(engine: Engine) -> None:
    store = SqlStore(engine)
    store.create_tables()

    deliver(store, lambda message, session: session.add(Contact(id="user_42", status=message.verdict.status)))

    with Session(engine) as session:
        assert session.get_one(Contact, "user_42").status == "valid"
        assert session.scalar(text("SELECT outcome FROM vouchpost_marks")) == "applied"


def test_a_constraint_that_the_effect_breaks_at_the_end_is_the_handlers_fault_and_leaves_no_mark(
    engine: Engine,
) -> None:
    store = SqlStore(engine)
    store.create_tables()

    answer = deliver(store, lambda _, session: session.add_all([Contact(id="a", status=None)]))

    assert answer.outcome == "handler_failed"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM vouchpost_marks")) == 0


def test_tables_that_nobody_made_are_answered_503(engine: Engine) -> None:
    assert deliver(SqlStore(engine), lambda *_: None).outcome == "store_unavailable"


def test_what_the_database_raised_is_logged_by_type_and_never_in_its_words(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(SqlStore(engine), lambda *_: None)

    assert "cause=sqlalchemy.exc.OperationalError,sqlite3.OperationalError" in caplog.text
    assert "vouchpost_marks" not in caplog.text


def unreachable() -> Any:
    """As asyncpg says it of a server that is down."""
    raise ConnectionRefusedError


async def unreachable_async() -> Any:
    unreachable()


def test_a_database_that_is_down_is_answered_503() -> None:
    plain = SqlStore(create_engine("sqlite://", creator=unreachable))
    awaited = AsyncSqlStore(create_async_engine("sqlite+aiosqlite://", async_creator=unreachable_async))

    answers = [deliver(plain, keep), deliver_async(awaited, keep_async)]

    assert [(answer.status, answer.outcome) for answer in answers] == [(503, "store_unavailable")] * 2


def test_an_os_error_of_the_handler_is_the_handlers_fault(engine: Engine) -> None:
    metadata.create_all(engine)

    assert deliver(SqlStore(engine), lambda *_: unreachable()).outcome == "handler_failed"


def test_handlers_get_sessions_of_ones_own_class(engine: Engine) -> None:
    store = SqlStore(engine, sessions=sessionmaker(class_=OwnSession))
    store.create_tables()
    seen: list[object] = []

    deliver(store, lambda _, session: seen.append(session))

    assert isinstance(seen[0], OwnSession)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_sessions_write_to_the_engine_of_the_store_whatever_they_are_bound_to(
    engine: Engine, tmp_path: Path, kind: str
) -> None:
    metadata.create_all(engine)
    if kind == "plain":
        elsewhere = create_engine(f"sqlite:///{tmp_path / 'elsewhere'}", poolclass=NullPool)
        deliver(SqlStore(engine, sessions=sessionmaker(binds={Base: elsewhere})), keep)
    else:
        here, there = (
            create_async_engine(f"sqlite+aiosqlite:///{tmp_path / name}", poolclass=NullPool)
            for name in ("db", "elsewhere")
        )
        deliver_async(AsyncSqlStore(here, sessions=async_sessionmaker(binds={Base: there})), keep_async)

    with Session(engine) as session:
        assert session.get_one(Contact, "user_42").status == "valid"


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def any_engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "sqlite":
        made: Engine = request.getfixturevalue("engine")
    else:
        driver = {"postgres": "postgresql+psycopg", "mariadb": "mysql+pymysql"}[request.param]
        made = create_engine(f"{driver}://{request.getfixturevalue(request.param)}", poolclass=NullPool)
    for tables in (metadata, Base.metadata):
        tables.drop_all(made)
        tables.create_all(made)
    return made


def test_expecting_waits_for_the_first_verdict_of_a_subject_that_is_being_applied(any_engine: Engine) -> None:
    """And leaves the application's own transaction whole."""
    store, applying = SqlStore(any_engine), Event()

    def effect(*_: object) -> None:
        applying.set()
        time.sleep(0.3)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(deliver, store, effect)
        applying.wait(10)
        with Session(any_engine) as session, session.begin():
            receiver(store, keep).expect(session, subject_id="user_42", sequence=SEQUENCE + 2)
            session.add(Contact(id="user_42", status="changed"))

    assert first.result().outcome == "applied"
    assert deliver(store, keep, "evt_2", sequence=SEQUENCE + 1).outcome == "stale"
    with Session(any_engine) as session:
        assert session.get_one(Contact, "user_42").status == "changed"


class Db:
    """What the README calls `db`: a transaction of the application's own."""

    def __init__(self, engine: Engine) -> None:
        self.session = Session(engine)

    def __enter__(self) -> None:
        self.session.begin()

    def __exit__(self, *_: object) -> None:
        self.session.commit()
        self.session.close()

    def execute(self, statement: str, values: tuple[str, ...]) -> None:
        self.session.connection().exec_driver_sql(statement.replace("?", "%s"), values)


@pytest.mark.parametrize("any_engine", ["postgres"], indirect=True)
def test_an_address_changed_as_the_readme_says_waits_for_a_verdict_and_neither_fails(any_engine: Engine) -> None:
    store, applying = SqlStore(any_engine), Event()
    with Session(any_engine) as session, session.begin():
        session.add(Contact(id="user_42", status="pending", email="old@example.com"))

    def effect(message: Message, session: Session) -> None:
        applying.set()
        time.sleep(0.3)
        session.get_one(Contact, "user_42").status = message.verdict.status

    class Application:
        def submit(self, *_: object, **__: object) -> Verification:
            return Verification("vrf_1", "pending", SEQUENCE + 1)

        def expect(self, db: Db, **expected: Any) -> None:
            receiver(store, keep).expect(db.session, **expected)

    with ThreadPoolExecutor(1) as pool:
        verdict = pool.submit(deliver, store, effect)
        applying.wait(10)
        names = {"client": Application(), "receiver": Application(), "db": Db(any_engine)}
        exec(compile(CHANGE_AT_ONCE, "change.py", "exec"), names)  # noqa: S102 - as it stands

    assert verdict.result().outcome == "applied"
    with Session(any_engine) as session:
        contact = session.get_one(Contact, "user_42")
        assert (contact.status, contact.email) == ("valid", "new@example.com")


def test_the_first_verdicts_of_many_subjects_at_once_are_all_applied(any_engine: Engine) -> None:
    def apply(number: int) -> str:
        effect = lambda *_: time.sleep(0.2)  # noqa: E731 - long enough for all of them to be under way
        return deliver(SqlStore(any_engine), effect, f"evt_{number}", subject_id=f"user_{number}").outcome

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(apply, range(8))) == ["applied"] * 8


def test_awaiting_an_expectation_waits_for_the_first_verdict_too(postgres: str) -> None:
    url = f"postgresql+psycopg://{postgres}"
    plain = create_engine(url, poolclass=NullPool)
    metadata.drop_all(plain)
    metadata.create_all(plain)

    async def main() -> tuple[str, str]:
        engine = create_async_engine(url, poolclass=NullPool)
        applying = asyncio.Event()

        async def effect(*_: object) -> None:
            applying.set()
            await asyncio.sleep(0.3)

        subject, body = receiver(AsyncSqlStore(engine), effect), event()
        first = asyncio.create_task(subject.answer_async(headers=headers(body), body=body))
        await applying.wait()
        async with AsyncSession(engine) as session, session.begin():
            await subject.expect_async(session, subject_id="user_42", sequence=SEQUENCE + 2)
        late = event(event_id="evt_2", data={"sequence": SEQUENCE + 1})
        second = await subject.answer_async(headers=headers(late, event_id="evt_2"), body=late)
        return (await first).outcome, second.outcome

    assert asyncio.run(main()) == ("applied", "stale")


@pytest.mark.parametrize("store", [SqlStore, AsyncSqlStore])
def test_an_engine_without_transactions_is_refused(store: Callable[..., Any]) -> None:
    make, url = (create_engine, "sqlite://") if store is SqlStore else (create_async_engine, "sqlite+aiosqlite://")

    for engine in (
        make(url, isolation_level="AUTOCOMMIT"),
        make(url).execution_options(isolation_level="AUTOCOMMIT"),
    ):
        with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
            store(engine)
    store(make(url, isolation_level="AUTOCOMMIT").execution_options(isolation_level="SERIALIZABLE"))


AUTOCOMMIT: dict[str, dict[str, Any]] = {
    "sqlite": {"isolation_level": None},
    "postgresql": {"autocommit": True},
    "mysql": {"autocommit": True},
}
"""How each driver is told to autocommit, where SQLAlchemy does not see it."""


def check_that_it_is_refused(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """And so comes again, once the engine is mended. The log says what to mend, and the sender hears none of it."""
    assert (answer.status, answer.outcome) == (500, "configuration")
    assert "autocommit" in caplog.text
    assert b"autocommit" not in answer.body


def test_events_are_refused_while_the_driver_autocommits(any_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    told = AUTOCOMMIT[any_engine.dialect.name]

    answer = deliver(SqlStore(create_engine(any_engine.url, connect_args=told, poolclass=NullPool)), keep)

    check_that_it_is_refused(answer, caplog)


def test_events_are_refused_while_an_async_driver_autocommits(
    any_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    told, name = AUTOCOMMIT[any_engine.dialect.name], any_engine.dialect.name
    url = any_engine.url.set(drivername=f"{name}+{ASYNC_DRIVERS[name]}")

    answer = deliver_async(AsyncSqlStore(create_async_engine(url, connect_args=told, poolclass=NullPool)), keep_async)

    check_that_it_is_refused(answer, caplog)


def test_events_are_refused_while_a_listener_has_the_driver_autocommit(
    any_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @listens_for(any_engine, "connect")
    def set_autocommit(driver: Any, _: object) -> None:
        for name, value in AUTOCOMMIT[any_engine.dialect.name].items():
            attribute = getattr(driver, name)
            attribute(value) if callable(attribute) else setattr(driver, name, value)

    check_that_it_is_refused(deliver(SqlStore(any_engine), keep), caplog)


def test_an_engine_on_sqlite_may_begin_its_transactions_in_a_listener(engine: Engine) -> None:
    """As SQLAlchemy's documentation has it, for savepoints and for reads that are in the transaction."""
    metadata.create_all(engine)

    @listens_for(engine, "connect")
    def leave_it_to_us(driver: Any, _: object) -> None:
        driver.isolation_level = None

    @listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    outcomes = [deliver(SqlStore(engine), effect).outcome for effect in (keep_and_fail, keep, keep)]

    assert outcomes == ["handler_failed", "applied", "duplicate"]


@pytest.mark.parametrize(
    ("dialect", "text_of_64"),
    [
        pytest.param(postgresql.dialect, "VARCHAR(64) NOT NULL", id="postgresql"),
        pytest.param(mysql.dialect, "VARCHAR(64) COLLATE utf8mb4_bin NOT NULL", id="mysql"),
    ],
)
def test_the_tables_are_ones_that_the_database_takes(dialect: Any, text_of_64: str) -> None:
    """Keys of bounded length, as MySQL's indexes need them, that differ in case, and sequences that fit 64 bits."""
    for table in [table for table in metadata.sorted_tables if "receiver" in table.columns]:
        ddl = str(CreateTable(table).compile(dialect=dialect()))
        assert text_of_64 in ddl
        assert "at_s BIGINT NOT NULL" in ddl
