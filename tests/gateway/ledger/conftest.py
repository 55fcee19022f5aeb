"""Every test of the ledger runs on every server there is, each on an empty one."""

from collections.abc import Iterator

import pytest
import redis

from tests.gateway.ledger.bench import Bench
from vouchpost_gateway.embedded.redis_server import EmbeddedRedis


@pytest.fixture
def quick_redis(every_redis: EmbeddedRedis) -> Iterator[str]:
    """A server that does not wait for its disk: what these tests ask does not depend on it."""
    with redis.Redis.from_url(every_redis.url) as client:
        client.config_set("appendfsync", "no")
        yield every_redis.url
        client.config_set("appendfsync", "always")


@pytest.fixture
def empty_redis(quick_redis: str) -> str:
    with redis.Redis.from_url(quick_redis) as client:
        client.flushall()
    return quick_redis


@pytest.fixture
def bench(empty_redis: str) -> Iterator[Bench]:
    with Bench(empty_redis) as made:
        yield made
