"""What only the Redis store promises: leases that end by themselves, and are let go only by who holds them."""

import time

import pytest
import redis

from tests.consumers.deliveries import NOW
from vouchpost import InFlightError, Outcome, StoreUnavailableError
from vouchpost.replay import Claim
from vouchpost.stores.redis import RedisStore

CLAIM = Claim("crm", "evt_1", NOW)


def test_a_claim_of_a_process_that_died_is_free_again_after_its_lease(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    store = RedisStore(client, lease_s=0.2)
    store.take(CLAIM, "died")

    with pytest.raises(InFlightError):
        store.take(CLAIM, "next")
    time.sleep(0.25)

    assert store.take(CLAIM, "next") is Outcome.APPLIED
    store.let_go(CLAIM, "died")
    with pytest.raises(InFlightError):
        store.take(CLAIM, "third")
    client.close()


def test_a_process_forgets_what_others_have_marked(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    RedisStore(client).keep(CLAIM, Outcome.APPLIED, "token")

    assert RedisStore(client).forget(receiver="crm", before_s=NOW + 1, limit=10) == 1
    client.close()


def test_a_redis_that_is_away_is_told_as_such() -> None:
    store = RedisStore(redis.Redis(port=1, socket_timeout=0.2))

    with pytest.raises(StoreUnavailableError):
        store.take(CLAIM, "token")
