"""A process killed between verify and commit, on every store that promises exactly once: redelivery applies it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, NullPool, Table, Text, create_engine, func, select

from vouchpost.stores.sql import metadata

ROOT = Path(__file__).parents[3]
own = MetaData()
effects = Table("effects", own, Column("id", Integer, primary_key=True), Column("text", Text))


def deliver(kind: str, place: str, *how: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.consumers.stores.one_delivery", kind, place, *how]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def emptied(url: str) -> Engine:
    """The shared database of a server, or a file, with the tables of the kit and one for effects."""
    engine = create_engine(url, poolclass=NullPool)
    for tables in (metadata, own):
        tables.drop_all(engine)
        tables.create_all(engine)
    return engine


@pytest.mark.parametrize(
    ("kind", "server", "drivers"),
    [
        pytest.param("plain", None, ("sqlite", "sqlite"), id="SQLite"),
        pytest.param("awaited", None, ("sqlite", "sqlite+aiosqlite"), id="SQLite, async"),
        pytest.param("plain", "postgres", ("postgresql+psycopg", "postgresql+psycopg"), id="PostgreSQL"),
        pytest.param("awaited", "postgres", ("postgresql+psycopg", "postgresql+psycopg"), id="PostgreSQL, async"),
        pytest.param("plain", "mariadb", ("mysql+pymysql", "mysql+pymysql"), id="MariaDB"),
        pytest.param("awaited", "mariadb", ("mysql+pymysql", "mysql+aiomysql"), id="MariaDB, async"),
    ],
)
def test_it_is_applied_once_after_redelivery(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, server: str | None, drivers: tuple[str, str]
) -> None:
    place = request.getfixturevalue(server) if server else f"/{tmp_path / 'db'}"
    engine, url = emptied(f"{drivers[0]}://{place}"), f"{drivers[1]}://{place}"

    killed = deliver(kind, url, "die")
    with engine.connect() as connection:
        left = connection.scalar(select(func.count()).select_from(effects))
    outcomes = [deliver(kind, url).stdout.strip() for _ in range(2)]

    assert (killed.returncode, left) == (-signal.SIGKILL, 0)
    assert outcomes == ["applied", "duplicate"]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(effects)) == 1


def test_it_is_applied_once_after_redelivery_with_django(tmp_path: Path) -> None:
    place = str(tmp_path / "db")
    engine = create_engine(f"sqlite:///{place}", poolclass=NullPool)
    own.create_all(engine)

    killed = deliver("django", place, "die")
    outcomes = [deliver("django", place).stdout.strip() for _ in range(2)]

    assert killed.returncode == -signal.SIGKILL
    assert outcomes == ["applied", "duplicate"]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(effects)) == 1
