"""Every store on a bench of its own: a database to write effects into, and a way to read what was committed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vouchpost.apply import AsyncStore, Store
from vouchpost.stores.memory import MemoryStore
from vouchpost.stores.sqlite import SqliteStore


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
    path = folder / "consumer.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE effects (text TEXT)")

    def write(handle: sqlite3.Connection, text: str) -> None:
        handle.execute("INSERT INTO effects VALUES (?)", (text,))

    def effects() -> list[str]:
        with closing(sqlite3.connect(path)) as connection:
            return [text for (text,) in connection.execute("SELECT text FROM effects ORDER BY rowid")]

    return Bench(SqliteStore(path, busy_s=30), write, effects)


BENCHES: list[Callable[[Path], Bench]] = [memory, sqlite]
