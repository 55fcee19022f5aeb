import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.gateway.transport.servers import serving
from vouchpost_gateway.domain.outcome import Answer, Failure
from vouchpost_gateway.transport.sender import Sender

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def opened(*, timeout_s: float = 5.0) -> AsyncIterator[Sender]:
    sender = await Sender.open(timeout_s=timeout_s, connections=64)
    try:
        yield sender
    finally:
        await sender.aclose()


def answer_to(reply: bytes, *, timeout_s: float = 5.0) -> Answer:
    """What one post to a server that replies this gives."""

    async def main() -> Answer:
        async with serving(reply) as server, opened(timeout_s=timeout_s) as sender:
            return await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True)

    return asyncio.run(main())


def test_the_subscriber_gets_exactly_these_bytes_and_headers() -> None:
    async def main() -> bytes:
        async with serving(OK) as server, opened() as sender:
            headers = {"Content-Type": "application/json", "webhook-id": "evt_1", "X-Team": "crm"}
            await sender.post(url=server.url("/a?b=%2Fc"), headers=headers, body=b'{"a":1}', allow_loopback=True)
            return server.requests[0]

    head, _, body = asyncio.run(main()).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert body == b'{"a":1}'
    assert lines[0] == b"POST /a?b=%2Fc HTTP/1.1"
    assert {b"Content-Type: application/json", b"webhook-id: evt_1", b"X-Team: crm"} <= set(lines)
    assert {b"Accept-Encoding: identity", b"Content-Length: 7"} <= set(lines)


@pytest.mark.parametrize("status_code", [200, 204, 301, 307, 400, 410, 429, 500, 503])
def test_the_status_code_is_the_answer(status_code: int) -> None:
    answer = answer_to(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nLocation: /elsewhere\r\n\r\n" % status_code)

    assert answer.status_code == status_code
    assert answer.failure is None


def test_a_healthy_subscriber_keeps_its_connection() -> None:
    async def main() -> int:
        async with serving(OK) as server, opened() as sender:
            for _ in range(5):
                await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True)
            return len(server.connections)

    assert asyncio.run(main()) == 1


def test_loopback_is_refused_outside_of_test_mode_even_on_a_connection_that_is_already_there() -> None:
    async def main() -> Answer:
        async with serving(OK) as server, opened() as sender:
            await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True)
            return await sender.post(url=server.url(), headers={}, body=b"{}")

    assert asyncio.run(main()).failure is Failure.ADDRESS_REFUSED
