import asyncio

import pytest

from tests.gateway.transport.senders import answer_to, opened
from tests.gateway.transport.servers import serving
from vouchpost_gateway.domain.outcome import Answer, Failure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


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


def test_a_connection_that_ends_in_the_moment_of_its_re_use_costs_no_attempt() -> None:
    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if first.is_set():
            writer.close()
            first.clear()
            await asyncio.sleep(3600)
        first.set()
        writer.write(OK)

    async def main() -> tuple[list[int | None], int]:
        async with serving(reply) as server, opened() as sender:
            answers = [
                await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True) for _ in range(2)
            ]
            return [answer.status_code for answer in answers], len(server.connections)

    first = asyncio.Event()
    assert asyncio.run(main()) == ([200, 200], 2)


def test_a_connection_that_always_ends_is_tried_once_and_no_more() -> None:
    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await asyncio.sleep(3600)

    async def main() -> tuple[Answer, int]:
        async with serving(reply) as server, opened() as sender:
            answer = await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True)
            return answer, len(server.requests)

    answer, requests = asyncio.run(main())
    assert answer.failure is Failure.CONNECTION_FAILED
    assert requests == 1
