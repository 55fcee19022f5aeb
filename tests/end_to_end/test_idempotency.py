"""A request with an idempotency key is carried out once, by real processes, whoever asks at once and whatever dies."""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import eventually
from tests.end_to_end.machine import Machine

PATH = "/v1/subscriptions"
NEW = {"url": "https://example.com/", "enabled": False}  # of enabled ones there may be a hundred


def create(tenant: Account, key: str) -> httpx.Response:
    return tenant.ask("POST", PATH, json=NEW, headers={"idempotency-key": key})


def created_in_the_end(tenant: Account, key: str) -> httpx.Response:
    """As a client does it: it comes again when it is told to, with the same key."""
    deadline = time.monotonic() + 20
    while (answer := create(tenant, key)).status_code in {409, 503} and time.monotonic() < deadline:
        time.sleep(float(answer.headers["retry-after"]))
    return answer


def test_of_many_at_once_one_is_carried_out_and_all_are_answered_the_same(tenant: Account) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: created_in_the_end(tenant, "once"), range(8)))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert [item["id"] for item in tenant.items(PATH)] == [answers[0].json()["id"]]


@pytest.fixture
def crashing(machine: Machine) -> Iterator[Machine]:
    """Whose API is back when the test is over."""
    yield machine
    if not machine.children["api-1"].running:
        machine.children["api-1"].start()
    assert eventually(machine.is_ready, limit_s=30)


def test_an_api_that_dies_half_way_has_made_nothing_twice(crashing: Machine, tenant: Account) -> None:
    """Killed among requests; then every one of them is sent again, until it is answered."""
    api, keys = crashing.children["api-1"], [f"order-{number}" for number in range(60)]
    with ThreadPoolExecutor(8) as threads:
        asked = {key: threads.submit(create, tenant, key) for key in keys}
        assert eventually(lambda: sum(future.done() for future in asked.values()) >= len(keys) // 4)
        api.kill()
        before = {key: answer.content for key, future in asked.items() if (answer := answer_of(future))}
    api.start()
    assert eventually(crashing.is_ready, limit_s=30)

    with ThreadPoolExecutor(8) as threads:
        after = dict(zip(keys, threads.map(lambda key: created_in_the_end(tenant, key), keys), strict=True))

    assert 0 < len(before) < len(keys), "the kill came too early, or too late, to prove anything"
    assert {answer.status_code for answer in after.values()} == {201}
    assert {key: after[key].content for key in before} == before
    made = {str(item["id"]) for item in all_subscriptions(tenant)}
    assert made == {str(answer.json()["id"]) for answer in after.values()}
    assert len(made) == len(keys)


def answer_of(future: Future[httpx.Response]) -> httpx.Response | None:
    """None where the connection ended before the answer."""
    try:
        return future.result()
    except httpx.TransportError:
        return None


def all_subscriptions(tenant: Account) -> Iterator[dict[str, object]]:
    page = tenant.get(f"{PATH}?limit=100")
    while True:
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        page = tenant.get(f"{PATH}?limit=100&cursor={page['next_cursor']}")
