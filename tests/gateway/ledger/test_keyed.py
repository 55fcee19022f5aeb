"""Requests under idempotency keys, on a real Redis."""

import asyncio
import dataclasses
from itertools import count

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import IdempotencyConflict, IdempotencyPending, Overloaded
from vouchpost_gateway.domain.keyed import Begun, Keyed
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.ledger.keyed import KeyedRequests

KEYED = Keyed(caller="", path="/v1/subscriptions", key="order-1", body=b'{"a":1}')
ANSWER = b"an answer with whsec_CANARY in it"


@pytest.fixture
def requests(bench: Bench) -> KeyedRequests:
    return made(bench)


def made(bench: Bench, *, lease_ms: int = 10_000, has_room: bool = True) -> KeyedRequests:
    """Every draw is another one."""
    serial = count(1)
    return KeyedRequests(
        bench.store,
        bench.tenants,
        lambda: Draw(START_MS, next(serial).to_bytes(32)),
        lambda: has_room,
        lease_ms=lease_ms,
    )


def begun(bench: Bench, requests: KeyedRequests, keyed: Keyed = KEYED) -> Begun:
    found = bench.run(requests.begin(bench.world, keyed))
    assert isinstance(found, Begun)
    return found


def test_what_was_answered_is_answered_again(bench: Bench, requests: KeyedRequests) -> None:
    bench.run(requests.answer(bench.world, begun(bench, requests), ANSWER))

    assert [bench.run(requests.begin(bench.world, KEYED)) for _ in range(2)] == [ANSWER, ANSWER]


def test_while_the_first_is_under_way_nobody_else_begins(bench: Bench, requests: KeyedRequests) -> None:
    begun(bench, requests)

    with pytest.raises(IdempotencyPending):
        bench.run(requests.begin(bench.world, KEYED))


def test_of_many_at_once_one_begins(bench: Bench, requests: KeyedRequests) -> None:
    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(requests.begin(bench.world, KEYED) for _ in range(20)), return_exceptions=True)

    found = bench.run(all_at_once())

    assert sum(isinstance(one, Begun) for one in found) == 1
    assert sum(isinstance(one, IdempotencyPending) for one in found) == 19


@pytest.mark.parametrize("ended", ["no", "answered", "left"])
def test_another_body_is_a_conflict_whatever_became_of_the_first(
    bench: Bench, requests: KeyedRequests, ended: str
) -> None:
    first = begun(bench, requests)
    if ended == "answered":
        bench.run(requests.answer(bench.world, first, ANSWER))
    if ended == "left":
        bench.run(requests.leave(bench.world, first))

    with pytest.raises(IdempotencyConflict):
        bench.run(requests.begin(bench.world, dataclasses.replace(KEYED, body=b'{"a":2}')))


def test_what_was_left_is_begun_again_at_once_with_the_same_draw(bench: Bench, requests: KeyedRequests) -> None:
    first = begun(bench, requests)
    bench.run(requests.leave(bench.world, first))

    assert begun(bench, requests).draw == first.draw


def test_what_nobody_ended_is_begun_again_after_its_lease_with_the_same_draw(bench: Bench) -> None:
    """Its process died. Should it only have been frozen, its answer comes too late and does no harm."""
    requests = made(bench, lease_ms=1)
    first = begun(bench, requests)
    bench.run(asyncio.sleep(0.01))

    second = begun(bench, requests)
    bench.run(requests.answer(bench.world, second, ANSWER))
    bench.run(requests.answer(bench.world, first, b"late"))
    bench.run(requests.forget(bench.world, first))

    assert second.draw == first.draw
    assert bench.run(requests.begin(bench.world, KEYED)) == ANSWER


def test_what_is_forgotten_may_come_with_another_body_and_draws_anew(bench: Bench, requests: KeyedRequests) -> None:
    first = begun(bench, requests)
    bench.run(requests.forget(bench.world, first))

    assert begun(bench, requests, dataclasses.replace(KEYED, body=b"other")).draw != first.draw


def test_no_byte_of_a_digest_token_or_answer_is_special(bench: Bench, requests: KeyedRequests) -> None:
    """Of a hundred random ones, some hold a zero byte."""
    for number in range(100):
        keyed = dataclasses.replace(KEYED, key=str(number))
        first = begun(bench, requests, keyed)
        bench.run(requests.leave(bench.world, first))
        second = begun(bench, requests, keyed)
        bench.run(requests.answer(bench.world, second, bytes([number])))

        assert second.draw == first.draw
        assert bench.run(requests.begin(bench.world, keyed)) == bytes([number])


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(KEYED, caller="prt_1"),
        dataclasses.replace(KEYED, path="/v1/partners"),
        dataclasses.replace(KEYED, key="order-2"),
    ],
    ids=["caller", "path", "key"],
)
def test_another_caller_path_or_key_is_another_request(bench: Bench, requests: KeyedRequests, other: Keyed) -> None:
    bench.run(requests.answer(bench.world, begun(bench, requests), ANSWER))

    begun(bench, requests, other)


def test_another_mode_or_tenant_is_another_request(bench: Bench, requests: KeyedRequests) -> None:
    bench.run(requests.answer(bench.world, begun(bench, requests), ANSWER))

    for world in (dataclasses.replace(bench.world, mode=Mode.TEST), bench.new_world("other")):
        assert isinstance(bench.run(requests.begin(world, KEYED)), Begun)


def test_a_key_of_a_verification_is_no_key_of_anything_else(bench: Bench, requests: KeyedRequests) -> None:
    bench.accept(key=KEYED.key, body=KEYED.body)

    begun(bench, requests, dataclasses.replace(KEYED, path="/v1/verifications"))


def test_nothing_private_lies_open_and_all_of_it_expires(bench: Bench, requests: KeyedRequests) -> None:
    """Neither the key, which may be an address, nor the body, the seed that secrets are made of, or the answer."""
    keyed = dataclasses.replace(KEYED, key="ada@canary.example", body=b"CANARY body")
    before = set(bench.raw.keys("*"))
    first = begun(bench, requests, keyed)
    (name,) = set(bench.raw.keys("*")) - before
    running = bench.raw.get(name)
    bench.run(requests.answer(bench.world, first, ANSWER))
    answered = bench.raw.get(name)

    for private in (b"canary", b"CANARY", first.draw.seed, b"/v1/"):
        assert private not in name + running + answered
    assert 86_000_000 < bench.raw.pttl(name) <= 86_400_000


def test_what_is_left_expires_too(bench: Bench, requests: KeyedRequests) -> None:
    before = set(bench.raw.keys("*"))
    bench.run(requests.leave(bench.world, begun(bench, requests)))
    (name,) = set(bench.raw.keys("*")) - before

    assert bench.raw.pttl(name) > 0


def test_without_room_nothing_is_begun(bench: Bench) -> None:
    with pytest.raises(Overloaded):
        bench.run(made(bench, has_room=False).begin(bench.world, KEYED))
