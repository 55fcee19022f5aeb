import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable

import pytest

from tests.gateway.collector import no_collection
from tests.gateway.transport.servers import Reply as ServerReply
from tests.gateway.transport.servers import serving
from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.transport.connection import Connection, Reply
from vouchpost_gateway.transport.failed import AttemptFailed

REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Use = Callable[[Connection], Awaitable[None]]


def with_connection(reply: bytes | ServerReply, use: Use) -> None:
    async def main() -> None:
        async with serving(reply) as server:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(Connection, "127.0.0.1", server.port)
            await use(connection)
            connection.abort()
            await asyncio.sleep(0)

    asyncio.run(main())


async def exchange(connection: Connection, *, within_s: float = 2) -> Reply:
    return await connection.exchange(REQUEST, deadline=asyncio.get_running_loop().time() + within_s)


def test_one_connection_carries_one_request_after_the_other() -> None:
    async def use(connection: Connection) -> None:
        for _ in range(3):
            assert await exchange(connection) == Reply(200, body=b"ok")
            assert connection.is_open

    with_connection(OK, use)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", id="it says so"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="HTTP/1.0"),
        pytest.param(OK + b"HTTP/1.1 200 OK\r\n", id="another answer begins"),
        pytest.param(OK + b"\x00", id="something else follows"),
        pytest.param(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nnoise", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="a broken body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1000000), id="a long body"),
    ],
)
def test_after_such_an_answer_the_connection_is_not_used_again(reply: bytes) -> None:
    async def use(connection: Connection) -> None:
        assert (await exchange(connection)).status_code in {101, 200}
        assert not connection.is_open

    with_connection(reply, use)


def test_what_comes_between_two_requests_ends_the_connection() -> None:
    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    async def use(connection: Connection) -> None:
        await exchange(connection)
        assert connection.is_open
        await asyncio.sleep(0.15)
        assert not connection.is_open

    with_connection(reply, use)


def test_headers_of_interim_answers_and_trailers_are_not_those_of_the_answer() -> None:
    interim = b"HTTP/1.1 103 X\r\nRetry-After: 1\r\nContent-Encoding: x\r\n\r\n"
    chunked = b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nRetry-After: 2\r\n\r\n"

    async def use(connection: Connection) -> None:
        assert await exchange(connection) == Reply(503)

    with_connection(interim + chunked, use)


def test_an_answer_may_come_byte_by_byte() -> None:
    answer = b"HTTP/1.1 429 Slow\r\nRETRY-AFTER: 7\r\ncontent-length: 4\r\n\r\nbusy"

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in answer:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async def use(connection: Connection) -> None:
        assert await exchange(connection) == Reply(429, retry_after=b"7", body=b"busy")

    with_connection(reply, use)


def test_a_request_that_is_given_up_gives_up_the_connection() -> None:
    """Otherwise its answer would be taken for that of the next request."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK)

    async def use(connection: Connection) -> None:
        task = asyncio.create_task(exchange(connection))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.is_open

    with_connection(reply, use)


@pytest.mark.parametrize(
    ("reply", "untouched"), [(b"", True), (b"HTTP/1.1 200 OK\r\n", False)], ids=["nothing", "half a head"]
)
def test_it_is_known_whether_anything_came_back_before_the_end(*, reply: bytes, untouched: bool) -> None:
    async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        writer.close()
        await asyncio.sleep(3600)

    async def use(connection: Connection) -> None:
        with pytest.raises(AttemptFailed) as failed:
            await exchange(connection)
        assert failed.value.failure is Failure.CONNECTION_FAILED
        assert connection.is_untouched is untouched

    with_connection(closing, use)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    "reply",
    [pytest.param(silent, id="silence"), pytest.param(b"\x00", id="noise"), pytest.param(OK, id="an answer")],
)
def test_a_lost_connection_leaves_nothing_to_the_garbage_collector(reply: bytes | ServerReply) -> None:
    """Its passes stop everything, for as long as there is much to look through."""

    async def lose(port: int) -> weakref.ref[Connection]:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
        with contextlib.suppress(AttemptFailed):
            await exchange(connection, within_s=0.05)
        connection.abort()
        await asyncio.sleep(0.01)
        return weakref.ref(connection)

    async def main() -> None:
        async with serving(reply) as server:
            with no_collection():
                lost = await lose(server.port)
                assert lost() is None

    asyncio.run(main())
