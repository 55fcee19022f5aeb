"""Hostile bytes on a real socket: each ends in one clear refusal, or in a closed connection, in bounded time."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore
from tests.gateway.api.running_server import connected, read_all, send, serving
from tests.gateway.collector import no_collection
from vouchpost_gateway.api.connection import Limits

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /v1/verifications HTTP/1.1\r\nHost: x\r\n"
QUICK = Limits(receipt_s=0.3, head_bytes=2_000, connections_per_ip=20, linger_s=0.05, flush_s=0.5)


def on_server(app: ASGIApp, talk: Callable[[int], Awaitable[object]], limits: Limits = QUICK) -> None:
    async def main() -> None:
        async with serving(app, limits) as port:
            await talk(port)
            assert (await send(port, GET)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(main())


UNCLEAR = {
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "two Hosts that agree": b"GET /healthz HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
    "an empty Host": b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host with a path": b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a Host with a user": b"GET /healthz HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a Host with a space": b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    "a length and a coding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding and a length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths that agree": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": POST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a signed length": POST + b"Content-Length: +2\r\n\r\n{}",
    "a length past all numbers": POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding nobody knows": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding after chunked": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /healthz HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare CR in a value": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\rb\r\n\r\n",
    "a folded line": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b\r\n\r\n",
    "NUL in a value": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
    "NUL in a name": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX\x00A: b\r\n\r\n",
    "a control character in a value": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: a\x1bb\r\n\r\n",
    "a header without a name": b"GET /healthz HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
    "a space in the path": b"GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version of its own": b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a tunnel": b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "another protocol": b"\r\nEHLO x\r\n",
}


@pytest.mark.parametrize("data", UNCLEAR.values(), ids=UNCLEAR)
def test_what_two_servers_could_read_differently_is_refused(app: ASGIApp, data: bytes) -> None:
    async def talk(port: int) -> None:
        answer = await send(port, data)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"application/problem+json" in answer
        assert answer.count(b"HTTP/1.1 ") == 1

    on_server(app, talk)


@pytest.mark.parametrize(
    "chunk", [b"5;\x00=x\r\n", b"g\r\n", b"-1\r\n", b"5 \r\n{}\r\n", b"fffffffffffffffff\r\n", b"2\r\n{}x\r\n"]
)
def test_a_bad_chunk_ends_the_connection(caller: Caller, chunk: bytes) -> None:
    key = b"Authorization: Bearer " + (caller.key or "").encode()

    async def talk(port: int) -> None:
        head = POST + key + b"\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
        answer = await send(port, head + chunk)
        assert answer.startswith(b"HTTP/1.1 400 ")

    on_server(caller.app, talk)


CLOSE = b"Connection: close\r\n"
CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"1b\r\n" + b'{"email":"ada@example.org"}' + b"\r\n0\r\n"


@pytest.mark.parametrize(
    "trailer", [b"Authorization: Bearer x", b"Host: evil.example", b"Content-Encoding: gzip", b"Idempotency-Key: a b"]
)
def test_a_trailer_is_no_header(caller: Caller, trailer: bytes) -> None:
    key = b"Authorization: Bearer " + (caller.key or "").encode() + b"\r\n"

    async def talk(port: int) -> None:
        answer = await send(port, POST + CLOSE + key + CHUNKED + LAST_CHUNK + trailer + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 202 ")

    on_server(caller.app, talk)


def test_a_key_in_a_trailer_is_none(caller: Caller) -> None:
    trailer = b"Authorization: Bearer " + (caller.key or "").encode() + b"\r\n\r\n"

    async def talk(port: int) -> None:
        answer = await send(port, POST + CLOSE + CHUNKED + LAST_CHUNK + trailer)
        assert answer.startswith(b"HTTP/1.1 401 ")

    on_server(caller.app, talk)


ENDLESS = {
    "trailers": (LAST_CHUNK, b"X-A: a\r\n" * 100),
    "one trailer": (LAST_CHUNK + b"X-A: ", b"a" * 800),
    "an extension": (b"1;a=", b"a" * 800),
    "an extension of each chunk": (b"", b"1;a=" + b"a" * 800 + b"\r\nx\r\n"),
}


@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("known", [True, False], ids=["with a key", "without a key"])
def test_what_is_no_body_between_and_after_chunks_is_cut_off(
    caller: Caller, start: bytes, piece: bytes, *, known: bool
) -> None:
    """Long before the deadline, for all of it would be kept until then."""
    key = b"Authorization: Bearer " + (caller.key or "").encode() + b"\r\n" if known else b""

    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            reading = asyncio.create_task(read_all(reader))
            writer.write(POST + key + CHUNKED + start)
            while not reading.done():
                writer.write(piece)
                await asyncio.sleep(0.005)
            answer = await reading
        assert answer.startswith(b"HTTP/1.1 431 " if known else b"HTTP/1.1 401 ")

    on_server(caller.app, talk, Limits(receipt_s=10, head_bytes=2_000, linger_s=0.2, flush_s=0.5))


def test_a_body_may_come_a_byte_at_a_time(caller: Caller) -> None:
    key = b"Authorization: Bearer " + (caller.key or "").encode() + b"\r\n"
    body = b'{"email":"ada@example.org","metadata":{"a":"' + b"b" * 500 + b'"}}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"

    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            writer.write(POST + key + CHUNKED)
            for start in range(0, len(chunks), 7):
                writer.write(chunks[start : start + 7])
                await asyncio.sleep(0)
            assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")

    on_server(caller.app, talk, Limits(receipt_s=5, head_bytes=500))


def test_the_target_may_be_absolute_and_leads_nowhere_else(app: ASGIApp) -> None:
    """RFC 9112 section 3.2.2: a server has to accept the absolute form; nothing here is made from its host."""

    async def talk(port: int) -> None:
        answer = await send(port, GET.replace(b"/healthz", b"http://evil.example/healthz"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"evil" not in answer

    on_server(app, talk)


@pytest.mark.parametrize(
    "path",
    [b"/v1/verifications/..%2f..%2fkeys", b"//v1/keys", b"/v1/keys%00", b"/%2e%2e/healthz", b"/v1/../healthz", b"*"],
)
def test_tricks_in_the_path_lead_nowhere(app: ASGIApp, path: bytes) -> None:
    async def talk(port: int) -> None:
        answer = await send(port, GET.replace(b"/healthz", path))
        assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))

    on_server(app, talk)


@pytest.mark.parametrize("split", [False, True], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 5_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * 1_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-" + b"a" * 5_000 + b": b\r\n\r\n",
    ],
    ids=["path", "value", "many", "name"],
)
def test_a_head_of_any_size_is_cut_off(app: ASGIApp, head: bytes, *, split: bool) -> None:
    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            reading = asyncio.create_task(read_all(reader))
            for start in range(0, len(head), 500 if split else len(head)):
                writer.write(head[start : start + (500 if split else len(head))])
                await asyncio.sleep(0.001)
            assert (await reading).startswith(b"HTTP/1.1 431 ")

    on_server(app, talk, Limits(receipt_s=10, head_bytes=2_000, linger_s=0.2, flush_s=0.5))


async def drip(port: int, data: bytes, *, pause_s: float = 0.02) -> tuple[bytes, float]:
    """Sends byte by byte until the server has had enough; its answer, and how long that took."""
    started = time.monotonic()
    async with connected(port) as (reader, writer):
        reading = asyncio.create_task(read_all(reader))
        for byte in data:
            if reading.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(pause_s)
        answer = await reading
    return answer, time.monotonic() - started


@pytest.mark.parametrize(
    "start", [b"", POST + b"Content-Length: 1000\r\n\r\n"[:-1]], ids=["a head", "a head that almost ends"]
)
def test_a_head_that_drips_is_cut_off_at_the_deadline(app: ASGIApp, start: bytes) -> None:
    async def talk(port: int) -> None:
        answer, took_s = await drip(port, start + b"X-A: " + b"a" * 1_000, pause_s=0.01)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))
        assert took_s < 2

    on_server(app, talk)


def test_a_body_that_drips_is_cut_off_at_the_deadline(caller: Caller) -> None:
    head = POST + f"Authorization: Bearer {caller.key}\r\n".encode()
    head += b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"

    async def talk(port: int) -> None:
        started = time.monotonic()
        async with connected(port) as (reader, writer):
            writer.write(head)
            reading = asyncio.create_task(read_all(reader))
            while not reading.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)
            assert (await reading).startswith(b"HTTP/1.1 408 ")
            assert 0.25 < time.monotonic() - started < 2

    on_server(caller.app, talk)


def test_the_rest_of_a_body_nobody_wants_is_not_read_for_ever(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            writer.write(POST + b"Content-Length: 1000000000\r\n\r\n")
            reading = asyncio.create_task(read_all(reader))
            started = time.monotonic()
            while not reading.done():
                writer.write(b"x" * 1000)
                await asyncio.sleep(0.01)
            answer = await reading
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert answer.count(b"HTTP/1.1 ") == 1
            assert time.monotonic() - started < 2

    on_server(app, talk)


def test_a_silent_connection_is_closed_at_the_deadline_without_a_word(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        started = time.monotonic()
        assert await send(port, b"") == b""
        assert 0.25 < time.monotonic() - started < 2

    on_server(app, talk)


def test_silent_connections_do_not_keep_others_waiting(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        async with AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(connected(port)) for _ in range(200)]
            started = time.monotonic()
            assert (await send(port, GET)).startswith(b"HTTP/1.1 200 ")
            assert time.monotonic() - started < 0.25
            assert all([await read_all(reader) == b"" for reader, _ in silent])

    on_server(app, talk, Limits(receipt_s=0.5))


def test_one_address_cannot_take_all_connections(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        async with AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(connected(port))
            refused = await send(port, GET)
            assert refused.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 1\r\n" in refused
        await asyncio.sleep(0.05)

    on_server(app, talk, Limits(receipt_s=5, connections_per_ip=20))


def test_requests_in_one_go_are_answered_in_order(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        keep = GET.replace(b"Connection: close\r\n", b"")
        answer = await send(port, keep + keep.replace(b"healthz", b"nowhere") + GET)
        assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]

    on_server(app, talk)


def test_more_requests_in_one_go_than_are_kept_end_the_connection(app: ASGIApp) -> None:
    """For uvicorn keeps them all, and reads on with every answer that it gives."""

    async def talk(port: int) -> None:
        keep = GET.replace(b"Connection: close\r\n", b"")
        async with connected(port) as (reader, writer):
            reading = asyncio.create_task(read_all(reader))
            writer.write(keep * 30)
            answer = await reading
        assert answer.count(b"HTTP/1.1 200 ") <= 11
        assert b"HTTP/1.1 4" not in answer

    on_server(app, talk, Limits(receipt_s=10, requests_in_line=10, linger_s=0.2, flush_s=0.5))


def test_a_client_that_leaves_is_missed_though_it_left_a_request_behind(caller: Caller, store: MemoryStore) -> None:
    """Else a place among those who wait would be taken for as long as it was asked for."""
    identifier = caller.post("/v1/verifications", {"email": "a@b.org"}).json()["id"]
    waiting = f"GET /v1/verifications/{identifier}?wait=30 HTTP/1.1\r\nHost: x\r\n".encode()
    waiting += f"Authorization: Bearer {caller.key}\r\n\r\n".encode()

    async def talk(port: int) -> None:
        async with connected(port) as (_reader, writer):
            writer.write(waiting + GET)
            async with asyncio.timeout(3):
                await store.waiter_came.wait()
        async with asyncio.timeout(3):
            while store.waiters:  # noqa: ASYNC110 -- the store tells when one comes, not when one goes
                await asyncio.sleep(0.01)

    on_server(caller.app, talk)


def test_garbage_behind_a_request_is_never_taken_for_its_answer(caller: Caller) -> None:
    identifier = caller.post("/v1/verifications", {"email": "a@b.org"}).json()["id"]
    waiting = f"GET /v1/verifications/{identifier}?wait=1 HTTP/1.1\r\nHost: x\r\n".encode()
    waiting += f"Authorization: Bearer {caller.key}\r\n\r\n".encode()

    async def talk(port: int) -> None:
        answer = await send(port, waiting + b"garbage\r\n\r\n")
        assert answer == b""

    on_server(caller.app, talk)


def test_an_idle_connection_may_be_used_again_after_the_deadline_of_its_first_request(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            for request in (GET.replace(b"Connection: close\r\n", b""), GET):
                writer.write(request)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                await reader.readuntil(b"}")
                await asyncio.sleep(QUICK.receipt_s + 0.1)

    on_server(app, talk)


@pytest.mark.parametrize("wish", [b"websocket", b"h2c"])
def test_a_wish_for_another_protocol_is_ignored(caller: Caller, wish: bytes) -> None:
    """RFC 9110 section 7.8. The body, whole or late, and the request behind it are read as if nothing was wished."""
    key = b"Authorization: Bearer " + (caller.key or "").encode() + b"\r\nContent-Type: application/json\r\n"
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + wish + b"\r\nHTTP2-Settings: AAMAAABk\r\n"
    body = b'{"email":"ada@example.org"}'
    head = POST + upgrade + key + b"Content-Length: 27\r\n\r\n"

    async def talk(port: int) -> None:
        for pieces in ([head + body + GET], [head, body, GET], [head[:40], head[40:] + body[:5], body[5:] + GET]):
            async with connected(port) as (reader, writer):
                for piece in pieces:
                    writer.write(piece)
                    await asyncio.sleep(0.02)
                answers = await read_all(reader)
            assert answers.startswith(b"HTTP/1.1 202 ")
            assert answers.count(b"HTTP/1.1 ") == 2
            assert b"\r\n\r\n{" in answers.rpartition(b"HTTP/1.1 200 ")[2]
        chunked = POST + upgrade + key + b"Transfer-Encoding: chunked\r\n\r\n" + LAST_CHUNK + b"\r\n" + GET
        assert (await send(port, chunked)).startswith(b"HTTP/1.1 202 ")
        again = GET.replace(b"Connection: close", b"Connection: Upgrade\r\nUpgrade: " + wish)
        assert (await send(port, again * 3 + GET)).count(b"HTTP/1.1 200 ") == 4

    on_server(caller.app, talk)


@pytest.mark.parametrize(
    "start", [b"", GET.replace(b"Connection: close\r\n", b"")], ids=["at first", "after an answer"]
)
@pytest.mark.parametrize("blank", [b"\r\n", b"\r\n" * 50])
def test_blank_lines_hold_no_connection_open(app: ASGIApp, start: bytes, blank: bytes) -> None:
    """RFC 9112 section 2.2 has them ignored before a request; the deadline of that request runs all the same."""

    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            writer.write(start)
            await asyncio.sleep(0.1)
            began = time.monotonic()
            writer.write(blank)
            answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 200 " if start else b"")
        assert time.monotonic() - began < QUICK.receipt_s + 0.5

    on_server(app, talk)


def test_a_peer_that_has_said_all_still_gets_its_answer(caller: Caller) -> None:
    """As `nc -N` sends: its side of the connection ends with the request."""
    key = b"Authorization: Bearer " + (caller.key or "").encode() + b"\r\nContent-Type: application/json\r\n"
    request = POST + key + b"Content-Length: 27\r\n\r\n" + b'{"email":"ada@example.org"}'

    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            writer.write(request * 2)
            writer.write_eof()
            began = time.monotonic()
            answer = await read_all(reader)
        assert answer.count(b"HTTP/1.1 202 ") == 2
        assert time.monotonic() - began < 1

    on_server(caller.app, talk)


def test_an_answer_to_head_ends_with_its_head(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        answer = await send(port, GET.replace(b"GET", b"HEAD"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\ncontent-length: 18\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")

    on_server(app, talk)


def test_the_server_says_nothing_of_itself(app: ASGIApp) -> None:
    async def talk(port: int) -> None:
        assert b"server:" not in (await send(port, GET)).lower()

    on_server(app, talk)


def test_a_body_too_large_is_told_so_over_the_wire(caller: Caller) -> None:
    head = POST + f"Authorization: Bearer {caller.key}\r\nContent-Type: application/json\r\n".encode()

    async def talk(port: int) -> None:
        for framing, body in (
            (b"Content-Length: 100000\r\n\r\n", b"x" * 100_000),
            (b"Content-Length: 100000\r\n\r\n", b""),
            (b"Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n", b""),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b"x" * 10_000 + b"\r\n"),
        ):
            async with connected(port) as (reader, writer):
                writer.write(head + framing + body * (1 if b"Length" in framing else 8))
                assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")

    on_server(caller.app, talk)


def test_a_body_is_asked_for_only_after_its_head_was_good(caller: Caller) -> None:
    """RFC 9110 section 10.1.1: `100 Continue` once the body is wanted, a final answer when it is not."""
    expecting = b"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 27\r\n"
    key = f"Authorization: Bearer {caller.key}\r\n\r\n".encode()

    async def talk(port: int) -> None:
        async with connected(port) as (reader, writer):
            writer.write(POST + expecting + key)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(b'{"email":"ada@example.org"}')
            assert (await reader.readline()).startswith(b"HTTP/1.1 202 ")
        refused = await send(port, POST + expecting + b"\r\n")
        assert refused.startswith(b"HTTP/1.1 401 ")

    on_server(caller.app, talk)


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_a_peer_that_never_reads_its_answer_is_not_waited_for(connection: bytes) -> None:
    """The answer is larger than all buffers on the way, so closing alone would wait for ever."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        body = b"x" * 20_000_000
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        async with serving(large, QUICK) as port, connected(port) as (_reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined] # a read transport it is
            writer.write(GET.replace(b"close", connection) * 2)
            async with asyncio.timeout(3):
                while not writer.transport.is_closing():
                    await asyncio.sleep(0.05)
                    writer.write(b"\r\n")  # between two requests it means nothing

    asyncio.run(main())


Message = dict[str, object]
LENGTH = (b"content-length", b"2")
HEAD: Message = {"type": "http.response.start", "status": 200, "headers": [LENGTH]}
BODY: Message = {"type": "http.response.body", "body": b"ok"}


def _head(*headers: tuple[bytes, bytes]) -> Message:
    return {**HEAD, "headers": list(headers)}


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([_head(LENGTH, (b"x-note", b"a\r\nset-cookie: b")), BODY], id="a header of two lines"),
        pytest.param([_head(LENGTH, (b"x-note", b"a\nb")), BODY], id="LF in a header"),
        pytest.param([_head(LENGTH, (b"x-note", b"a\rb")), BODY], id="CR in a header"),
        pytest.param([_head(LENGTH, (b"x-note", b"a\0b")), BODY], id="NUL in a header"),
        pytest.param([_head(LENGTH, (b"x note", b"a")), BODY], id="a name of two words"),
        pytest.param([_head(LENGTH, (b"x:y", b"a")), BODY], id="a name with a colon"),
        pytest.param([_head((b"content-length", b"3")), BODY], id="too short a body"),
        pytest.param([_head((b"content-length", b"1")), BODY], id="too long a body"),
        pytest.param([_head(), BODY], id="no length"),
        pytest.param([HEAD, {**BODY, "more_body": True}], id="a body in pieces"),
        pytest.param([HEAD, HEAD], id="two heads"),
        pytest.param([BODY], id="a body first"),
    ],
)
def test_an_answer_that_breaks_its_framing_is_never_sent(messages: list[Message]) -> None:
    """Whatever the application does, no bytes leave that a reader could take for another answer."""

    async def careless(scope: Scope, _receive: Receive, send: Send) -> None:
        for message in [HEAD, BODY] if scope["path"] == "/healthz" else messages:
            await send(message)

    async def talk(port: int) -> None:
        answer = await send(port, GET.replace(b"/healthz", b"/other"))
        assert answer == b"" or answer.startswith(b"HTTP/1.1 500 "), answer

    on_server(careless, talk)


def test_nothing_follows_a_complete_answer() -> None:
    async def talkative(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in (HEAD, BODY, BODY):
            await send(message)

    async def talk(port: int) -> None:
        kept = GET.replace(b"Connection: close\r\n", b"")
        assert (await send(port, kept)).count(b"HTTP/1.1 ") == 1

    on_server(talkative, talk)


def test_a_request_leaves_nothing_to_the_garbage_collector(app: ASGIApp) -> None:
    """Its passes stop everything, for as long as there is much to look through."""

    async def talk(port: int) -> None:
        kept = GET.replace(b"Connection: close\r\n", b"")
        await send(port, kept * 5 + GET)
        gc.collect()
        with no_collection():
            await send(port, kept * 50 + GET)
            assert sum(issubclass(type(found), RequestResponseCycle) for found in gc.get_objects()) < 5

    on_server(app, talk)
