"""Commands run in this process: logging is put back as it was, and no variable of the shell counts."""

import base64
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import structlog

from vouchpost_gateway.embedded.redis_server import EmbeddedRedis


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("VOUCHPOST_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def logging_put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def ledger(redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """An empty ledger that the settings point at, with a master key."""
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", redis_server.url)
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS", base64.b64encode(b"m" * 32).decode())
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        client.flushall()
        yield client
