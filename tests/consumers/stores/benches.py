"""Every store on a bench of its own: a database to write effects into, and a way to read what was committed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import Column, Integer, MetaData, NullPool, Table, Text, create_engine, make_url, select, text
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
    return _on_server(f"postgresql+psycopg://{address}")


def postgresql_async(address: str) -> Bench:
    return _on_server_async(f"postgresql+psycopg://{address}", "psycopg")


def mariadb_plain(address: str) -> Bench:
    return _on_server(f"mysql+pymysql://{address}")


def mariadb_async(address: str) -> Bench:
    return _on_server_async(f"mysql+pymysql://{address}", "aiomysql")


def _on_server(url: str) -> Bench:
    return Bench(SqlStore(create_engine(url, poolclass=NullPool)), _write, _server_effects(url))


def _on_server_async(url: str, driver: str) -> Bench:
    engine = create_async_engine(
        make_url(url).set(drivername=f"{make_url(url).get_backend_name()}+{driver}"), poolclass=NullPool
    )
    return Bench(AsyncSqlStore(engine), _write_async, _server_effects(url))


def _server_effects(url: str) -> Callable[[], list[str]]:
    """Empties the database first: it is shared by all tests of a run."""
    engine = create_engine(url, poolclass=NullPool)
    own = MetaData()
    effects_table = Table("effects", own, Column("id", Integer, primary_key=True), Column("text", Text))
    for tables in (metadata, own):
        tables.drop_all(engine)
        tables.create_all(engine)

    def effects() -> list[str]:
        with engine.connect() as connection:
            return list(connection.scalars(select(effects_table.c.text).order_by(effects_table.c.id)))

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


ON_SERVERS: dict[Callable[[str], Bench], str] = {
    postgresql_plain: "postgres",
    postgresql_async: "postgres",
    mariadb_plain: "mariadb",
    mariadb_async: "mariadb",
}
"""Which fixture starts the server of a bench."""

BENCHES: list[Callable[[Path], Bench]] = [memory, sqlite, sqlalchemy_plain, sqlalchemy_async, django]
