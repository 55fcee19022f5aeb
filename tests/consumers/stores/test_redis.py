"""What only the Redis store promises: leases that end by themselves, and are let go only by who holds them."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

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


class LossyConnection(redis.Connection):
    """Loses the connection where the next answer should come, when Redis has done what it was asked."""

    loses = False

    def read_response(self, *args: Any, **options: Any) -> Any:
        answer = super().read_response(*args, **options)  # type: ignore[no-untyped-call]
        if LossyConnection.loses:
            LossyConnection.loses = False
            self.disconnect()  # type: ignore[no-untyped-call]
            raise redis.ConnectionError
        return answer


@pytest.fixture
def lossy(redis_url: str) -> Iterator[Callable[..., RedisStore]]:
    """Makes a store whose client is given these options; what it asks next has no answer."""
    with ExitStack() as opened:

        def make(**options: Any) -> RedisStore:
            pool = redis.ConnectionPool.from_url(redis_url, connection_class=LossyConnection, **options)
            client = opened.enter_context(redis.Redis(connection_pool=pool))
            opened.callback(pool.disconnect)
            client.flushall()
            store = RedisStore(client)
            store.take(Claim("other", "evt_1", NOW), "loads the script")
            LossyConnection.loses = True
            return store

        yield make


def test_a_claim_that_the_client_sends_again_is_taken_once_and_not_in_its_own_way(
    lossy: Callable[..., RedisStore],
) -> None:
    store = lossy(retry=Retry(NoBackoff(), 1), retry_on_error=[redis.ConnectionError])

    with store.transaction() as transaction:
        assert transaction.claim(CLAIM) is Outcome.APPLIED
        with pytest.raises(InFlightError):
            store.take(CLAIM, "another")

    assert store.take(CLAIM, "another") is Outcome.DUPLICATE


def test_a_claim_whose_answer_was_lost_shuts_nobody_out(lossy: Callable[..., RedisStore]) -> None:
    store = lossy()

    with pytest.raises(StoreUnavailableError), store.transaction() as transaction:
        transaction.claim(CLAIM)

    assert not LossyConnection.loses
    assert store.take(CLAIM, "the next delivery") is Outcome.APPLIED


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
