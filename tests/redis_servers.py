"""Real Redis servers for tests: private, durable, on a free port, gone with the test process."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from vouchpost_gateway.embedded.redis_server import EmbeddedRedis
from vouchpost_gateway.embedded.server_binary import ServerBinary, find_server, installed_servers


@cache
def servers() -> dict[str, ServerBinary]:
    """Every server this machine has, one per label (`redis-6.2`, `redis-8.2`, `valkey-9.1`), the preferred first."""
    found: dict[str, ServerBinary] = {}
    for server in installed_servers():
        found.setdefault(server.label, server)
    return found


@contextmanager
def running(data_dir: Path, label: str | None = None) -> Iterator[EmbeddedRedis]:
    """A server with this label, or the one that `vouchpost up` would take."""
    binary = servers()[label] if label else find_server()
    with EmbeddedRedis.start(data_dir, binary=binary) as server:
        yield server
