"""The steps run on a real ledger, emptied for each test."""

from collections.abc import Iterator

import pytest
import redis

from tests.gateway.ledger.bench import Bench


@pytest.fixture
def bench(redis_url: str) -> Iterator[Bench]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    with Bench(redis_url) as made:
        yield made
