"""Fixtures of all tests: a real Redis, started once and shared. Whoever needs an empty one flushes it first."""

import signal
from collections.abc import Iterator

import pytest

from tests.redis_servers import running, servers
from vouchpost_gateway.embedded.redis_server import EmbeddedRedis


def pytest_configure() -> None:
    """A shell's background job ignores SIGINT, and one under nohup SIGHUP; its children would ignore them with it."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The server that `vouchpost up` would take. Shared: a test that kills one starts its own with `running`."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(redis_server: EmbeddedRedis) -> str:
    return redis_server.url


@pytest.fixture(scope="session", params=list(servers()))
def every_redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """Runs the test on every server this machine has: 6.2, 8.2, Valkey, and PATH's own."""
    with running(tmp_path_factory.mktemp("redis"), request.param) as server:
        yield server


@pytest.fixture(scope="session")
def every_redis_url(every_redis: EmbeddedRedis) -> str:
    return every_redis.url
