import pytest

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore, memory_services
from vouchpost_gateway.api.app import create_app
from vouchpost_gateway.api.rate import Buckets, Rate
from vouchpost_gateway.api.refusals import RateLimited
from vouchpost_gateway.domain.world import Scope


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def headers_of(pairs: object) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in pairs}  # type: ignore[attr-defined]


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_second=2, burst=3), name="key", clock=clock)
    for _ in range(3):
        buckets.take("a")

    with pytest.raises(RateLimited) as refused:
        buckets.take("a")
    clock.now += 0.5
    buckets.take("a")

    assert refused.value.retry_after_s == 1


def test_the_headers_tell_quota_window_remaining_and_reset() -> None:
    """Draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4: q and w of the policy, r and t of the standing."""
    buckets = Buckets(Rate(per_second=2, burst=5), name="key", clock=Clock())

    headers = headers_of(buckets.take("a"))

    assert headers == {"ratelimit-policy": '"key";q=5;w=3', "ratelimit": '"key";r=4;t=1'}


def test_keys_do_not_share_a_bucket() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1), name="key", clock=Clock())
    buckets.take("a")

    assert headers_of(buckets.take("b"))["ratelimit"] == '"key";r=0;t=1'


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    buckets = Buckets(Rate(per_second=1, burst=2), name="key", clock=clock)
    buckets.take("a")
    clock.now += 1e6

    assert headers_of(buckets.take("a"))["ratelimit"] == '"key";r=1;t=1'


def test_memory_is_bounded_whoever_asks() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1), name="key", clock=Clock())

    for number in range(10_100):
        buckets.take(str(number))

    assert len(buckets._levels) == 10_000


def test_too_many_requests_are_429_and_told_when_to_come_back(store: MemoryStore) -> None:
    app = create_app(memory_services(store), cursor_key=b"k", rate=Rate(per_second=0.1, burst=2), clock=Clock())
    caller = Caller(app, store.issue_key(Scope.ADMIN)[1])

    allowed, _, refused = (caller.get("/v1/verifications") for _ in range(3))

    assert (allowed.status, allowed.headers["ratelimit"]) == (200, '"key";r=1;t=10')
    assert (refused.status, refused.headers["retry-after"]) == (429, "10")
    assert refused.headers["ratelimit"] == '"key";r=0;t=20'
    assert Caller(app, store.issue_key(Scope.ADMIN)[1]).get("/v1/verifications").status == 200


def test_answers_that_refuse_tell_the_standing_too(caller: Caller) -> None:
    response = caller.get("/v1/verifications/nothing")

    assert response.status == 404
    assert response.headers["ratelimit"].startswith('"key";r=9999')
