"""Both shells, the plain one and the awaited one, each held to the same promises."""

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from vouchpost import ConfigurationError, RequestRefusedError, UnreachableError
from vouchpost.client import AsyncClient, Client

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


def test_a_refusal_is_raised_with_its_fields(shell: Any) -> None:
    problem = {"title": "no", "status": 422, "errors": [{"field": "email", "reason": "is too long"}]}
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
