"""Both shells, the plain one and the awaited one, each held to the same promises."""

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from tests.consumers.gateways import REFUSED
from vouchpost import ConfigurationError, RequestRefusedError, Submission, UnreachableError
from vouchpost.async_client import AsyncClient
from vouchpost.breaker import Breaker
from vouchpost.client import Client
from vouchpost.testing import FrozenClock

KEY = "vp_test_00abc"
ACCEPTED = {"id": "vrf_1", "status": "pending", "sequence": 7}
Answer = Callable[[httpx.Request], httpx.Response]


class Plain:
    """`Client`, called as it is."""

    def __init__(self, **options: Any) -> None:
        self.client = Client(key=KEY, **options)

    def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        with self.client:
            return getattr(self.client, name)(*args, **options)


class Awaited:
    """`AsyncClient`, in a loop of its own."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        async def main() -> Any:
            async with AsyncClient(key=KEY, **self.options) as client:
                return await getattr(client, name)(*args, **options)

        return asyncio.run(main())


@pytest.fixture(params=[Plain, Awaited])
def shell(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends one byte of its answer's head every 50 ms and never ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
                while not stopped.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stopped.set()
    listener.close()
    thread.join(timeout=5)


def test_submitting_sends_the_key_and_gives_the_sequence_back(shell: Any) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=ACCEPTED)

    client = shell(url="http://gateway", transport=httpx.MockTransport(answer))
    verification = client("submit", "ann@example.com", subject_id="user_42", metadata={"plan": "pro"})

    assert verification.sequence == 7
    assert str(seen[0].url) == "http://gateway/v1/verifications"
    assert seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert seen[0].content == b'{"email": "ann@example.com", "subject_id": "user_42", "metadata": {"plan": "pro"}}'


def test_a_gateway_that_comes_back_gets_one_submission_under_one_key(shell: Any) -> None:
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            raise httpx.ReadError("cut off")
        return httpx.Response(503 if len(keys) == 2 else 202, json=ACCEPTED)

    shell(url="http://gateway", transport=httpx.MockTransport(answer))("submit", "ann@example.com")

    assert len(keys) == 3
    assert len(set(keys)) == 1


def test_subscribing_waiting_and_unsubscribing(shell: Any) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        match request.method:
            case "POST":
                return httpx.Response(201, json={"id": "sub_1", "secret": "whsec_x"})
            case "DELETE":
                return httpx.Response(204)
            case _:
                return httpx.Response(200, json=ACCEPTED | {"status": "valid"})

    def client() -> Any:
        return shell(url="http://gateway", transport=httpx.MockTransport(answer))

    assert client()("subscribe", "http://127.0.0.1:1/", description="mine").secret == "whsec_x"
    assert client()("wait", "vrf_1", seconds=1).status == "valid"
    assert client()("get", "vrf_1").status == "valid"
    assert client()("unsubscribe", "sub_1") is None


PAGES: dict[str | None, dict[str, Any]] = {
    None: {"items": [{"id": "sub_2", "url": "https://b.example", "enabled": False}], "next_cursor": "more"},
    "more": {"items": [], "next_cursor": "last"},
    "last": {"items": [{"id": "sub_1", "event_types": ["verification.completed"]}], "next_cursor": None},
}
DELIVERY = {"id": "dlv_1", "event_id": "evt_1", "state": "dead", "attempt_count": 3, "subscription_id": "sub_1"}


def everything(shell: Any, name: str, *args: Any, transport: httpx.MockTransport, **options: Any) -> list[Any]:
    """What a listing call gives, to its end, from either shell."""
    if shell is Plain:
        with Client(key=KEY, url="http://gateway", transport=transport) as client:
            return list(getattr(client, name)(*args, **options))

    async def main() -> list[Any]:
        async with AsyncClient(key=KEY, url="http://gateway", transport=transport) as client:
            return [one async for one in getattr(client, name)(*args, **options)]

    return asyncio.run(main())


def test_subscriptions_are_listed_page_by_page_and_an_empty_page_is_not_the_end(shell: Any) -> None:
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, json=PAGES[asked.url.params.get("cursor")]))

    listed = everything(shell, "subscriptions", transport=transport)

    assert [(one.id, one.url, one.enabled) for one in listed] == [
        ("sub_2", "https://b.example", False),
        ("sub_1", "", True),
    ]
    assert listed[1].event_types == ("verification.completed",)


def test_deliveries_are_listed_by_their_state(shell: Any) -> None:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, json={"items": [DELIVERY], "next_cursor": None})

    (one,) = everything(shell, "deliveries", "sub_1", state="dead", transport=httpx.MockTransport(answer))

    assert (one.id, one.event_id, one.state, one.attempt_count) == ("dlv_1", "evt_1", "dead", 3)
    assert (asked[0].path, asked[0].params["state"]) == ("/v1/subscriptions/sub_1/deliveries", "dead")


@pytest.mark.parametrize(
    ("name", "id_", "asked_for", "answer"),
    [
        ("subscription", "sub_1", "GET /v1/subscriptions/sub_1", {}),
        ("rotate_secret", "sub_1", "POST /v1/subscriptions/sub_1/rotate-secret", {"secret": "whsec_new"}),
        ("delivery", "dlv_1", "GET /v1/deliveries/dlv_1", DELIVERY),
        ("resend", "dlv_1", "POST /v1/deliveries/dlv_1/resend", DELIVERY),
    ],
)
def test_one_thing_is_asked_for_by_its_id(
    shell: Any, name: str, id_: str, asked_for: str, answer: dict[str, Any]
) -> None:
    asked: list[str] = []

    def take(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json=answer | {"id": id_})

    found = shell(url="http://gateway", transport=httpx.MockTransport(take))(name, id_)

    assert asked == [asked_for]
    assert found.id == id_
    assert "whsec_new" not in f"{found!r} {found.raw}"


@pytest.mark.parametrize(
    "answer", [{"items": {}}, {"items": [], "next_cursor": 7}, {"items": [{}], "next_cursor": None}]
)
def test_a_list_that_is_none_is_no_gateways(shell: Any, answer: dict[str, Any]) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer))

    with pytest.raises(UnreachableError, match="not a gateway"):
        everything(shell, "subscriptions", transport=transport)


def test_many_are_submitted_a_few_at_a_time_and_each_is_told_what_became_of_it(shell: Any) -> None:
    busy = threading.Lock()
    going, most = 0, 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal going, most
        with busy:
            going += 1
            most = max(most, going)
        time.sleep(0.002)
        with busy:
            going -= 1
        refused = b"bad" in request.content
        return httpx.Response(422 if refused else 202, json=REFUSED if refused else ACCEPTED)

    many = (Submission(f"{'bad' if number == 5 else 'ann'}{number}@example.com") for number in range(20))

    became = everything(shell, "submit_many", many, at_once=4, transport=httpx.MockTransport(answer))

    assert [one.submission.email[:3] for one in became] == ["ann"] * 5 + ["bad"] + ["ann"] * 14
    assert [one.error is None for one in became] == [True] * 5 + [False] + [True] * 14
    assert {one.verification.sequence for one in became if one.verification} == {7}
    assert most <= 4


def test_leaving_early_sends_no_more(shell: Any) -> None:
    """A stream that nobody reads on is not submitted to its end."""
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(202, json=ACCEPTED)

    many = (Submission(f"ann{number}@example.com") for number in range(1000))
    transport = httpx.MockTransport(answer)
    if shell is Plain:
        with Client(key=KEY, url="http://gateway", transport=transport) as client:
            next(client.submit_many(many, at_once=3))
    else:

        async def main() -> None:
            async with (
                AsyncClient(key=KEY, url="http://gateway", transport=transport) as client,
                aclosing(client.submit_many(many, at_once=3)) as became,
            ):
                await anext(became)

        asyncio.run(main())

    assert len(sent) <= 3


def test_a_gateway_that_is_not_there_is_said_to_be_out_of_reach_and_where(shell: Any) -> None:
    """It is no time-out; and a password in the URL stays where it is."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(UnreachableError) as failed:
        shell(url=f"http://user:hunter2@127.0.0.1:{port}/path", total_s=0.3)("get", "vrf_1")

    assert str(failed.value) == f"Cannot reach http://127.0.0.1:{port}: connection refused."


def test_with_a_breaker_a_gateway_that_is_away_is_not_asked_by_every_call() -> None:
    calls, clock = 0, FrozenClock(0)

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ConnectError("down")

    breaker = Breaker(failures=2, open_s=10, clock=clock)
    with Client(
        key=KEY, url="http://gateway", total_s=0.01, breaker=breaker, transport=httpx.MockTransport(answer)
    ) as client:

        def ask() -> int:
            before = calls
            with pytest.raises(UnreachableError):
                client.submit("ann@example.com")
            return calls - before

        asked = [ask() > 0 for _ in range(4)]
        clock.advance(11)
        asked += [ask() > 0 for _ in range(2)]

    assert asked == [True, True, False, False, True, False]


def test_a_refusal_opens_no_breaker() -> None:
    breaker = Breaker(failures=1)
    transport = httpx.MockTransport(lambda _: httpx.Response(401, json=REFUSED))

    with Client(key=KEY, url="http://gateway", breaker=breaker, transport=transport) as client:
        for _ in range(3):
            with pytest.raises(RequestRefusedError):
                client.get("vrf_1")

    assert breaker.allows()


def test_a_refusal_is_raised_with_its_fields(shell: Any) -> None:
    problem = REFUSED | {"status": 422, "errors": [{"field": "email", "reason": "is too long"}]}
    transport = httpx.MockTransport(lambda _: httpx.Response(422, json=problem))

    with pytest.raises(RequestRefusedError) as refused:
        shell(url="http://gateway", transport=transport)("submit", "x" * 300)

    assert refused.value.fields[0].field == "email"


def test_the_limit_holds_over_the_whole_call_even_when_every_byte_is_in_time(shell: Any, dripping: str) -> None:
    started = time.monotonic()

    with pytest.raises(UnreachableError):
        shell(url=dripping, total_s=0.4)("submit", "ann@example.com")

    assert 0.3 < time.monotonic() - started < 2


def test_nobody_listening_is_unreachable_within_the_limit_and_says_no_address(shell: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with pytest.raises(UnreachableError) as unreachable:
        shell(url=f"http://127.0.0.1:{port}", total_s=0.3)("submit", "ann@example.com")

    assert "ann@" not in str(unreachable.value)


def test_an_endless_answer_is_given_up(shell: Any) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b" " * (2 * 1024 * 1024)))

    with pytest.raises(UnreachableError, match="too long"):
        shell(url="http://gateway", transport=transport, total_s=0.1)("get", "vrf_1")


def test_an_answer_compressed_unasked_is_not_unpacked(shell: Any) -> None:
    bomb = gzip.compress(b" " * (2 * 1024 * 1024))
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(bomb))
    )

    with pytest.raises(UnreachableError, match="compressed"):
        shell(url="http://gateway", transport=transport, total_s=0.1)("get", "vrf_1")


def test_key_and_url_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(202, json=ACCEPTED)

    monkeypatch.setenv("VOUCHPOST_API_KEY", "vp_live_1")
    monkeypatch.setenv("VOUCHPOST_URL", "https://gateway.example")
    with Client(transport=httpx.MockTransport(answer)) as client:
        client.submit("ann@example.com")

    assert str(seen[0].url) == "https://gateway.example/v1/verifications"
    assert seen[0].headers["authorization"] == "Bearer vp_live_1"


@pytest.mark.parametrize("key", ["", "vp live", "vp\r\nx: y", "vp_é"])
def test_without_a_usable_key_there_is_no_client(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.delenv("VOUCHPOST_API_KEY", raising=False)

    with pytest.raises(ConfigurationError) as refused:
        Client(key=key)
    assert len(key) == 0 or key not in str(refused.value)


@pytest.mark.parametrize("url", ["gateway.example", "ftp://gateway.example", "http://", "http://[::1", "http://a:b"])
def test_a_url_that_is_no_gateways_is_said_at_once(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigurationError, match="VOUCHPOST_URL"):
            kind(key=KEY, url=url)
