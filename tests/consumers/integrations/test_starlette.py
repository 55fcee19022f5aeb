"""Starlette, through its own ASGI client: the answer, the cap while streaming, and a client that leaves."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from tests.consumers.deliveries import NOW, SECRET, event, headers
from tests.consumers.gateways import FakeGateway
from vouchpost import InvalidAddressError, Receiver, Router
from vouchpost.gate import Gate, Gated
from vouchpost.integrations.starlette import endpoint, verified_email
from vouchpost.stores.memory import MemoryStore
from vouchpost.stores.sqlite_outbox import SqliteOutbox


def receiver() -> Receiver:
    router = Router()
    router.on_verdict(lambda *_: None)
    return Receiver(secrets=SECRET, store=MemoryStore(), router=router, clock=lambda: NOW)


async def post(subject: Receiver, *, headers: Any, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    app = Starlette(routes=[Route("/hook", endpoint(subject), methods=["POST"])])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://consumer") as client:
        return await client.post("/hook", headers=headers, content=content)


def test_an_event_is_applied_and_answered_2xx() -> None:
    body = event()

    answer = asyncio.run(post(receiver(), headers=headers(body), content=body))

    assert (answer.status_code, answer.json()) == (200, {"outcome": "applied"})


def test_two_headers_of_one_name_are_seen_as_two() -> None:
    body = event()

    answer = asyncio.run(post(receiver(), headers=[*headers(body).items(), ("webhook-id", "evt_1")], content=body))

    assert (answer.status_code, answer.json()["reason"]) == (400, "duplicate_header")


def test_a_body_without_end_is_read_no_further_than_its_limit() -> None:
    subject, sent = receiver(), []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1024)
            yield b" " * 1024

    async def main() -> int:
        app, told = endpoint(subject), []
        chunks = endless()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": await anext(chunks), "more_body": True}

        async def send(message: Any) -> None:
            told.append(message)

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        response = await app(Request(scope, receive))
        await response(scope, receive, send)
        return int(told[0]["status"])

    assert asyncio.run(main()) == 413
    assert sum(sent) <= subject.body_limit + 1024
    assert subject.counts == {"body_too_large": 1}


def test_a_client_that_leaves_in_the_middle_is_no_crash() -> None:
    async def main() -> int:
        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        return (await endpoint(receiver())(Request(scope, receive))).status_code

    assert asyncio.run(main()) == 400


def gated_application(gateway: FakeGateway, folder: Path) -> FastAPI:
    gate = Gate(async_client=gateway.async_client(), outbox=SqliteOutbox(folder / "db"))
    app = FastAPI()
    guard = verified_email(gate)

    @app.post("/signup")
    async def signup(gated: Annotated[Gated, Depends(guard)]) -> dict[str, str]:
        return {"state": gated.state}

    return app


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        pytest.param({"json": {"email": "ann@example.com"}}, 200, {"state": "pending"}, id="good"),
        pytest.param({"data": {"email": "ann@example.com"}}, 200, {"state": "pending"}, id="form"),
        pytest.param({"files": {"email": (None, "ann@example.com")}}, 200, {"state": "pending"}, id="multipart"),
        pytest.param({"data": {"mail": "ann@"}}, 422, {"detail": InvalidAddressError.__doc__}, id="no such field"),
        pytest.param({"content": b"ann"}, 415, {"detail": "The body is neither JSON nor a form."}, id="no type"),
        pytest.param(
            {"content": b"", "headers": {"content-type": "text/plain"}},
            415,
            {"detail": "The body is neither JSON nor a form."},
            id="another type",
        ),
        pytest.param({"json": {"email": "ann@"}}, 422, {"detail": InvalidAddressError.__doc__}, id="mistake"),
        pytest.param({"json": {"email": 7}}, 422, {"detail": InvalidAddressError.__doc__}, id="no text"),
        pytest.param({"json": ["ann@example.com"]}, 422, {"detail": InvalidAddressError.__doc__}, id="no object"),
        pytest.param(
            {"content": b"{", "headers": {"content-type": "application/json"}},
            400,
            {"detail": "The body is not JSON."},
            id="no JSON",
        ),
    ],
)
def test_a_fastapi_route_is_gated_by_a_dependency(
    tmp_path: Path, sent: dict[str, Any], status: int, told: dict[str, str]
) -> None:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(gated_application(FakeGateway(), tmp_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.post("/signup", **sent)

    answer = asyncio.run(main())

    assert (answer.status_code, answer.json()) == (status, told)
