"""Plain ASGI: the same answers without any framework."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest

from vouchpost import Receiver, Router
from vouchpost.integrations.asgi import Webhook
from vouchpost.stores.memory import MemoryStore
from vouchpost.testing import SECRET, EventFactory


@pytest.fixture
def receiver() -> Receiver:
    router = Router()
    router.on_verdict(lambda *_: None)
    return Receiver(secrets=SECRET, store=MemoryStore(), router=router)


def request(receiver: Receiver, method: str = "POST", **options: Any) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(Webhook(receiver))
        async with httpx.AsyncClient(transport=transport, base_url="http://consumer") as client:
            return await client.request(method, "/", **options)

    return asyncio.run(main())


def test_an_event_is_applied_once(receiver: Receiver, vouchpost_event: EventFactory) -> None:
    event = vouchpost_event()

    answers = [request(receiver, content=event.body, headers=event.headers).json() for _ in range(2)]

    assert answers == [{"outcome": "applied"}, {"outcome": "duplicate"}]


def test_a_large_body_and_another_method_are_refused(receiver: Receiver) -> None:
    assert request(receiver, content=b" " * 70_000).status_code == 413
    assert request(receiver, "GET").status_code == 405


@pytest.mark.parametrize(
    ("events", "told"),
    [
        pytest.param([{"type": "http.disconnect"}], 0, id="at once"),
        pytest.param(
            [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}], 0, id="midway"
        ),
        pytest.param([{"type": "http.request"}], 2, id="no body at all is answered"),
    ],
)
def test_a_client_that_leaves_is_not_answered(receiver: Receiver, events: list[dict[str, Any]], told: int) -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def main() -> None:
        async def receive() -> dict[str, Any]:
            return events.pop(0)

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        await Webhook(receiver)({"type": "http", "method": "POST", "headers": []}, receive, send)

    asyncio.run(main())
    assert len(sent) == told


def test_a_websocket_is_a_mistake(receiver: Receiver) -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(Webhook(receiver)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
