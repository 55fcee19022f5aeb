"""One pipelined connection: in order, limited in time, opened again, and never confused by what a peer sends."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.redis_servers import running
from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured
from vouchpost_gateway.ledger.connection import Address, Connection, LedgerRefused


def _with(url: str, work: Callable[[Connection], Coroutine[Any, Any, None]], **limits: float) -> None:
    async def main() -> None:
        connection = Connection(Address.parse(url), **limits)
        try:
            await work(connection)
        finally:
            await connection.aclose()

    asyncio.run(main())


def test_replies_come_to_whoever_asked_for_them(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        replies = await asyncio.gather(*(connection.call("ECHO", number) for number in range(5000)))
        assert replies == [str(number).encode() for number in range(5000)]

    _with(redis_url, work)


def test_a_thousand_cancelled_calls_leave_the_others_their_replies(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        await connection.call("PING")
        calls = [asyncio.create_task(connection.call("ECHO", number)) for number in range(2000)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        replies = await asyncio.gather(*calls, return_exceptions=True)
        assert replies[1::2] == [str(number).encode() for number in range(1, 2000, 2)]
        assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])
        assert await connection.call("ECHO", "after") == b"after"

    _with(redis_url, work)


def test_a_server_that_has_become_a_replica_is_left(tmp_path: Path) -> None:
    """It keeps its connections, while its name may lead to the new primary already: only a new one finds out."""

    async def work(connection: Connection) -> None:
        await connection.call("SET", "k", "v")
        with redis.Redis.from_url(server.url) as client:
            client.replicaof("127.0.0.1", "1")
            with pytest.raises(LedgerRefused, match="READONLY"):
                await connection.call("SET", "k", "v")
            before = client.info("stats")["total_connections_received"]
            await connection.call("PING")
            assert client.info("stats")["total_connections_received"] == before + 1

    with running(tmp_path) as server:
        _with(server.url, work)


def test_a_call_cancelled_while_the_connection_opens_spoils_it_for_nobody(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        first = asyncio.create_task(connection.call("PING"))
        second = asyncio.create_task(connection.call("ECHO", "here"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == b"here"

    _with(redis_url, work)


def test_an_error_reply_is_one_callers_error(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        good, bad = await asyncio.gather(
            connection.call("ECHO", "x"), connection.call("NOSUCHCOMMAND"), return_exceptions=True
        )
        assert good == b"x"
        assert isinstance(bad, LedgerRefused)
        assert bad.code == "ERR"

    _with(redis_url, work)


def test_values_are_bytes_and_come_back_as_they_were(redis_url: str) -> None:
    hostile = [b"", b"\r\n", b"*1\r\n$4\r\nQUIT\r\n", bytes(range(256)), "\u202eé".encode(), b"x" * 1_000_000]

    async def work(connection: Connection) -> None:
        assert await asyncio.gather(*(connection.call("ECHO", value) for value in hostile)) == hostile

    _with(redis_url, work)


def test_a_hung_redis_is_unavailable_within_the_limit_and_back_again_afterwards(tmp_path: Path) -> None:
    with running(tmp_path) as server:

        async def work(connection: Connection) -> None:
            await connection.call("PING")
            os.kill(server.pid, signal.SIGSTOP)
            started = time.monotonic()
            try:
                answers = await asyncio.gather(*(connection.call("PING") for _ in range(10)), return_exceptions=True)
                took = time.monotonic() - started
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert all(isinstance(answer, LedgerUnavailable) for answer in answers)
            assert 0.25 < took < 0.9
            assert await connection.call("PING") == b"PONG"

        _with(server.url, work, reply_limit_s=0.3)


@asynccontextmanager
async def _mute() -> AsyncIterator[str]:
    """A server that takes connections and never says a word: a Redis that hangs, as its kernel goes on without it."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _reader, writer: connections.append(writer), "127.0.0.1", 0)
    try:
        yield f"redis://:password@127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for connection in connections:
            connection.close()


def test_all_who_wait_for_a_hung_redis_to_take_them_in_are_told_at_the_same_time() -> None:
    async def main() -> None:
        async with _mute() as url:
            connection = Connection(Address.parse(url), connect_limit_s=0.3)
            started = time.monotonic()
            answers = await asyncio.gather(*(connection.call("PING") for _ in range(50)), return_exceptions=True)
            took = time.monotonic() - started
            await connection.aclose()
        assert all(isinstance(answer, LedgerUnavailable) for answer in answers)
        assert 0.25 < took < 1.5

    asyncio.run(main())


def test_one_who_gives_up_while_the_connection_opens_does_not_give_up_for_the_others(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        calls = [asyncio.create_task(connection.call("ECHO", number)) for number in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert await asyncio.gather(*calls[1:]) == [b"1", b"2"]

    _with(redis_url, work)


def test_closing_while_the_connection_opens_waits_for_nobody() -> None:
    async def main() -> None:
        async with _mute() as url:
            connection = Connection(Address.parse(url), connect_limit_s=30)
            waiting = asyncio.create_task(connection.call("PING"))
            await asyncio.sleep(0.05)
            await asyncio.wait_for(connection.aclose(), 1)
            with pytest.raises(LedgerUnavailable):
                await asyncio.wait_for(waiting, 1)

    asyncio.run(main())


def test_a_redis_that_was_killed_is_unavailable_at_once_and_found_again(tmp_path: Path) -> None:
    with running(tmp_path) as server:

        async def work(connection: Connection) -> None:
            await connection.call("SET", "kept", "1")
            server.kill()
            with pytest.raises(LedgerUnavailable):
                await connection.call("PING")
            await asyncio.to_thread(server.start_again)
            assert await connection.call("GET", "kept") == b"1"

        _with(server.url, work)


def test_where_nothing_listens_it_says_so_without_the_password() -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(LedgerUnavailable) as told:
            await connection.call("PING")
        assert "hunter2" not in str(told.value)
        assert "hunter2" not in repr(connection.address)

    _with("redis://user:hunter2@127.0.0.1:1/0", work)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("redis://127.0.0.1:1/0", "connection refused", id="nothing-listens"),
        pytest.param("unix:///nowhere/redis.sock", "no such file or directory", id="no-socket"),
        pytest.param("redis://no-such-host.invalid:1/0", "no such host|nothing answers", id="no-host"),
    ],
)
def test_why_it_cannot_be_reached_is_said(url: str, reason: str) -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(LedgerUnavailable, match=reason):
            await connection.call("PING")

    _with(url, work)


def test_tls_with_a_server_that_has_none_is_said(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        with pytest.raises(LedgerUnavailable, match="does not speak the TLS that rediss:// asks for"):
            await connection.call("PING")

    _with(redis_url.replace("redis://", "rediss://"), work)


def test_a_closed_connection_stays_closed(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        await connection.call("PING")
        await connection.aclose()
        with pytest.raises(LedgerUnavailable):
            await connection.call("PING")

    _with(redis_url, work)


@asynccontextmanager
async def _peer(answer: bytes) -> AsyncIterator[str]:
    """A server that answers whatever it is asked with these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
            writer.write(answer)
            await writer.drain()
            await reader.read(100)
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http"),
        pytest.param(b"\x16\x03\x01\x00\xa5", id="tls"),
        pytest.param(b"$-5\r\n", id="negative-length"),
        pytest.param(b"*1\r\n" * 200, id="deep"),
        pytest.param(b":not a number\r\n", id="number"),
        pytest.param(b"$4\r\nPO", id="half"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"-ERR no\r\n", id="refusal"),
    ],
)
def test_whatever_a_peer_answers_ends_as_our_own_error_in_time(answer: bytes) -> None:
    async def main() -> None:
        async with _peer(answer) as url:
            connection = Connection(Address.parse(url), reply_limit_s=0.2)
            with pytest.raises(LedgerUnavailable):
                await asyncio.wait_for(connection.call("PING"), 2)
            await connection.aclose()

    asyncio.run(main())


def test_more_replies_than_questions_end_the_connection_and_nothing_else() -> None:
    """Else the next question would be given another one's answer."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        async with _peer(b"+PONG\r\n+EVIL\r\n") as url:
            connection = Connection(Address.parse(url), reply_limit_s=0.2)
            await connection.call("PING")
            await asyncio.sleep(0.05)
            [answer] = await asyncio.gather(connection.call("GET", "secret"), return_exceptions=True)
            assert answer != b"EVIL"
            await connection.aclose()

    asyncio.run(main())
    assert complaints == []


def test_a_sign_in_that_fails_leaves_no_connection_open(redis_url: str) -> None:
    async def work(connection: Connection) -> None:
        for _ in range(5):
            with pytest.raises(LedgerUnavailable):
                await connection.call("PING")
        clients = Connection(Address.parse(redis_url))
        await asyncio.sleep(0.05)
        listed = (await clients.call("CLIENT", "LIST")).decode()
        await clients.aclose()
        assert listed.count("user=(superuser)") + listed.count("cmd=auth") == 0

    _with(redis_url.replace("redis://", "redis://nobody:wrong@"), work)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address()),
        ("redis://h:1/2", Address(host="h", port=1, database=2)),
        ("rediss://u:p%40@h", Address(host="h", username="u", password="p@", tls=True)),
        ("unix:///run/redis.sock?db=3", Address(path="/run/redis.sock", database=3)),
    ],
)
def test_a_url_says_where_redis_is(url: str, address: Address) -> None:
    assert Address.parse(url) == address


@pytest.mark.parametrize("url", ["", "http://h", "h:6379", "redis://h/x", "redis://h:99999", "redis://[::1"])
def test_a_url_that_names_no_redis_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        Address.parse(url)
