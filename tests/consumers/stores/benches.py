"""Every store on a bench of its own: a database to write effects into, and a way to read what was committed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from vouchpost.apply import AsyncStore, Store
from vouchpost.stores.memory import MemoryStore
from vouchpost.stores.redis import RedisStore
from vouchpost.stores.sql import AsyncSqlStore, SqlStore, metadata
from vouchpost.stores.sqlite import SqliteStore

INSERT = text("INSERT INTO effects (text) VALUES (:text)")


@dataclass(frozen=True, slots=True)
class Bench:
    """`write` is the effect of a handler; `effects` reads what is committed, by another connection."""

    store: Store | AsyncStore
    write: Callable[[Any, str], Any]
    effects: Callable[[], list[str]]


def memory(_: Path) -> Bench:
    written: list[str] = []
    return Bench(MemoryStore(), lambda _, text: written.append(text), lambda: list(written))


def sqlite(folder: Path) -> Bench:
    path, effects = _sql_file(folder)

    def write(handle: sqlite3.Connection, text: str) -> None:
        handle.execute("INSERT INTO effects VALUES (?)", (text,))

    return Bench(SqliteStore(path, busy_s=30), write, effects)


def _sql_file(folder: Path) -> tuple[Path, Callable[[], list[str]]]:
    path = folder / "consumer.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE effects (text TEXT)")

    def effects() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return [text for (text,) in connection.execute("SELECT text FROM effects ORDER BY rowid")]

    return path, effects


def sqlalchemy_plain(folder: Path) -> Bench:
    path, effects = _sql_file(folder)
    store = SqlStore(create_engine(f"sqlite:///{path}", connect_args={"timeout": 30}, poolclass=NullPool))
    store.create_tables()

    return Bench(store, _write, effects)


def sqlalchemy_async(folder: Path) -> Bench:
    path, effects = _sql_file(folder)
    metadata.create_all(create_engine(f"sqlite:///{path}", poolclass=NullPool))
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 30}, poolclass=NullPool)

    return Bench(AsyncSqlStore(engine), _write_async, effects)


def django(folder: Path) -> Bench:
    """One file for all tests of a process, as Django is configured once; emptied for each."""
    from tests.consumers.django_project import Closing, empty_database

    effects = empty_database()

    def write(using: str, value: str) -> None:
        from django.db import connections as opened

        with opened[using].cursor() as cursor:
            cursor.execute("INSERT INTO effects (text) VALUES (%s)", [value])

    return Bench(Closing(), write, effects)


def postgresql_plain(address: str) -> Bench:
    engine = create_engine(f"postgresql+psycopg://{address}", poolclass=NullPool)
    store = SqlStore(engine)
    return Bench(store, _write, _postgresql_effects(address))


def postgresql_async(address: str) -> Bench:
    engine = create_async_engine(f"postgresql+psycopg://{address}", poolclass=NullPool)
    return Bench(AsyncSqlStore(engine), _write_async, _postgresql_effects(address))


def _postgresql_effects(address: str) -> Callable[[], list[str]]:
    """Empties the database first: it is shared by all tests of a run."""
    engine = create_engine(f"postgresql+psycopg://{address}", poolclass=NullPool)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS effects"))
        connection.execute(text("CREATE TABLE effects (text TEXT, id SERIAL)"))

    def effects() -> list[str]:
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT text FROM effects ORDER BY id")))

    return effects


def _write(session: Session, value: str) -> None:
    session.execute(INSERT, {"text": value})
    session.commit()


async def _write_async(session: AsyncSession, value: str) -> None:
    await session.execute(INSERT, {"text": value})
    await session.commit()


def on_redis(url: str) -> Bench:
    client = redis.Redis.from_url(url)
    client.flushall()
    written: list[str] = []
    return Bench(RedisStore(client), lambda _, value: written.append(value), lambda: list(written))


ON_POSTGRESQL: list[Callable[[str], Bench]] = [postgresql_plain, postgresql_async]
BENCHES: list[Callable[[Path], Bench]] = [memory, sqlite, sqlalchemy_plain, sqlalchemy_async, django]
