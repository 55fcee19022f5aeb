"""What a subscriber can do to the one who pushes to it: each ends in a bounded answer, never in an exception."""

import asyncio
import gzip
import os
import struct
import time
from socket import SO_LINGER, SOL_SOCKET

import pytest

from tests.gateway.transport.senders import answer_to, opened
from tests.gateway.transport.servers import Reply, serving
from vouchpost_gateway.domain.outcome import Answer, Failure
from vouchpost_gateway.transport.connection import MAX_BODY_BYTES, MAX_HEAD_BYTES

CHUNKED = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def dripping(*parts: bytes, every_s: float = 0.05) -> Reply:
    """Sends the parts one after the other, then one byte at a time for ever."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(every_s)

    return reply


def endless(head: bytes, chunk: bytes) -> Reply:
    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)

    return reply


async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.sleep(3600)


async def resetting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    linger_for_nothing = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger_for_nothing)
    writer.transport.abort()
    await asyncio.sleep(3600)


def half(part: bytes) -> Reply:
    """Sends these bytes and closes."""

    async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(part)
        writer.close()
        await asyncio.sleep(3600)

    return reply


class TestTime:
    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(silent, id="no answer"),
            pytest.param(dripping(b"HTTP/1.1 200 "), id="a dripping status line"),
            pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX-A: "), id="a dripping header"),
        ],
    )
    def test_no_head_in_time_is_a_time_out_at_the_total_limit(self, reply: Reply) -> None:
        answer = answer_to(reply, timeout_s=0.3)

        assert answer.status_code is None
        assert answer.failure is Failure.TIMED_OUT
        assert answer.duration_s < 0.9

    @pytest.mark.parametrize("status_code", [200, 500])
    def test_a_dripping_body_changes_nothing_once_the_status_is_known_and_is_cut_off(self, status_code: int) -> None:
        answer = answer_to(dripping(b"HTTP/1.1 %d X\r\nContent-Length: 9999\r\n\r\n" % status_code), timeout_s=0.3)

        assert answer.status_code == status_code
        assert answer.duration_s < 0.9

    def test_a_body_nobody_needs_does_not_hold_the_slot_until_the_total_limit(self) -> None:
        answer = answer_to(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"), timeout_s=30)

        assert answer.status_code == 200
        assert answer.duration_s < 3

    def test_a_server_that_does_not_read_is_a_time_out(self) -> None:
        async def main() -> Answer:
            async with serving(silent, reading=False) as server, opened(timeout_s=0.3) as sender:
                return await sender.post(url=server.url(), headers={}, body=bytes(900_000), allow_loopback=True)

        assert asyncio.run(main()).failure is Failure.TIMED_OUT


class TestSize:
    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="until close"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", id="a length"),
        ],
    )
    def test_an_endless_body_is_cut_off_at_sixteen_kilobytes(self, head: bytes) -> None:
        sent = 0

        async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(head)
            while True:
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536

        answer = answer_to(reply)

        assert answer.status_code == 200
        assert answer.duration_s < 2
        assert sent < 64_000_000  # what the kernel's buffers swallow before the connection is cut

    @pytest.mark.parametrize(
        ("start", "piece"),
        [
            pytest.param(b"0\r\n", b"X-A: a\r\n" * 1000, id="trailers"),
            pytest.param(b"0\r\nX-A: ", b"a" * 8000, id="one trailer"),
            pytest.param(b"1;a=", b"a" * 8000, id="an extension"),
            pytest.param(b"", (b"1;a=" + b"a" * 800 + b"\r\nx\r\n") * 10, id="an extension of each chunk"),
        ],
    )
    def test_what_is_no_body_between_and_after_chunks_is_cut_off(self, start: bytes, piece: bytes) -> None:
        sent = 0

        async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n" + start)
            while True:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
                await asyncio.sleep(0.01)

        answer = answer_to(reply)

        assert answer.status_code == 503
        assert sent < 10 * (MAX_HEAD_BYTES + MAX_BODY_BYTES)

    def test_endless_chunks_are_cut_off(self) -> None:
        head = b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n"

        answer = answer_to(endless(head, b"400\r\n" + b"a" * 1024 + b"\r\n"))

        assert answer.status_code == 503
        assert answer.excerpt == "a" * 512

    def test_a_compressed_body_is_not_decompressed(self) -> None:
        bomb = gzip.compress(bytes(50_000_000))
        head = b"HTTP/1.1 500 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

        answer = answer_to(head + bomb)

        assert answer.status_code == 500
        assert answer.excerpt == ""

    @pytest.mark.parametrize(
        "flood",
        [
            pytest.param(b"X-A: " + b"a" * 1_000_000 + b"\r\n", id="one huge header"),
            pytest.param(b"X-A: b\r\n" * 100_000, id="many headers"),
            pytest.param(b"a" * 1_000_000, id="a header without an end"),
        ],
    )
    def test_a_flood_of_headers_is_a_protocol_error(self, flood: bytes) -> None:
        answer = answer_to(b"HTTP/1.1 200 OK\r\n" + flood + b"\r\n")

        assert answer.failure is Failure.PROTOCOL_ERROR

    @pytest.mark.parametrize(
        "interim",
        [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"],
    )
    def test_endless_interim_answers_are_a_protocol_error(self, interim: bytes) -> None:
        answer = answer_to(endless(b"", interim))

        assert answer.failure is Failure.PROTOCOL_ERROR
        assert answer.duration_s < 1

    @pytest.mark.parametrize("size", [0, 511, 512, 513, 16 * 1024, 16 * 1024 + 1, 100_000])
    def test_an_excerpt_is_the_first_512_bytes_of_a_failed_answer(self, size: int) -> None:
        body = (b"0123456789" * 10_000)[:size]

        failed = answer_to(b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n%b" % (size, body))
        delivered = answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body))

        assert failed.excerpt.encode() == body[:512]
        assert delivered.excerpt == ""

    @pytest.mark.parametrize(
        "body",
        [
            b"\x00\x1b[31m\r\n\x7f\x9b",
            "\u202e\u2028\u200b\ufeff\x85".encode(),
            b"\xff\xfe" * 512,
            "é€😀".encode() * 200,
        ],
    )
    def test_an_excerpt_is_one_printable_line_of_at_most_512_bytes(self, body: bytes) -> None:
        answer = answer_to(b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        assert answer.status_code == 500
        assert answer.excerpt.isprintable()
        assert len(answer.excerpt.encode()) <= 512

    def test_a_retry_after_is_kept_to_64_characters(self) -> None:
        answer = answer_to(b"HTTP/1.1 429 X\r\nRetry-After: %b\r\nContent-Length: 0\r\n\r\n" % (b"9" * 5000))

        assert answer.retry_after == "9" * 64


class TestProtocol:
    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(b"\r\n\r\n\r\n" + os.urandom(64) + b"\r\n\r\n", id="noise"),
            pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="another protocol"),
            pytest.param(b"-ERR unknown command 'POST'\r\n\r\n", id="redis"),
            pytest.param(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", id="two digits"),
            pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", id="four digits"),
            pytest.param(b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n", id="a negative status"),
            pytest.param(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", id="a word for a status"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n", id="a length in hexadecimal"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n", id="two lengths"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX-A\x00: b\r\n\r\n", id="NUL in a header"),
            pytest.param(b"HTTP/1.1 200 OK\r\n: b\r\n\r\n", id="a header without a name"),
        ],
    )
    def test_what_is_not_http_is_a_protocol_error(self, reply: bytes) -> None:
        answer = answer_to(reply, timeout_s=2)

        assert answer == Answer(duration_s=answer.duration_s, failure=Failure.PROTOCOL_ERROR)

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(closing, id="closed"),
            pytest.param(resetting, id="reset"),
            pytest.param(half(b"HTTP/1.1 200 OK\r\nContent-Le"), id="half a head"),
        ],
    )
    def test_a_connection_that_ends_before_the_head_does_has_failed(self, reply: Reply) -> None:
        answer = answer_to(reply)

        assert answer.failure is Failure.CONNECTION_FAILED

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(half(b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\noops"), id="too short"),
            pytest.param(half(CHUNKED + b"4\r\noops\r\nzz\r\n"), id="a bad chunk"),
            pytest.param(half(CHUNKED + b"4\r\noo"), id="half a chunk"),
            pytest.param(half(b"HTTP/1.1 500 X\r\n\r\noops"), id="until close"),
            pytest.param(half(b"HTTP/1.0 500 X\r\n\r\noops"), id="HTTP/1.0"),
        ],
    )
    def test_a_body_that_breaks_off_leaves_the_status_as_it_was(self, reply: Reply) -> None:
        answer = answer_to(reply)

        assert answer.status_code == 500
        assert "oops".startswith(answer.excerpt)
        assert answer.excerpt != ""
        assert answer.duration_s < 0.5

    def test_interim_answers_are_passed_over(self) -> None:
        answer = answer_to(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)

        assert answer.status_code == 200

    @pytest.mark.parametrize("status_code", [204, 304])
    def test_an_answer_that_has_no_body_is_not_waited_for(self, status_code: int) -> None:
        answer = answer_to(b"HTTP/1.1 %d X\r\n\r\n" % status_code)

        assert answer.status_code == status_code
        assert answer.duration_s < 0.5

    def test_switching_protocols_is_a_status_like_any_other(self) -> None:
        answer = answer_to(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nnoise", timeout_s=2
        )

        assert answer.status_code == 101
        assert answer.duration_s < 0.5

    def test_cookies_are_not_kept(self) -> None:
        async def main() -> bytes:
            reply = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
            async with serving(reply) as server, opened() as sender:
                for _ in range(2):
                    await sender.post(url=server.url(), headers={}, body=b"", allow_loopback=True)
                return server.requests[1]

        assert b"cookie" not in asyncio.run(main()).lower()

    def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(self) -> None:
        """Two answers in one go: the second belongs to no request."""

        async def main() -> list[int | None]:
            statuses = iter([OK + OK, b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"])

            async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                writer.write(next(statuses))

            async with serving(reply) as server, opened() as sender:
                answers = []
                for _ in range(2):
                    answers.append(await sender.post(url=server.url(), headers={}, body=b"", allow_loopback=True))
                    await asyncio.sleep(0.05)
                return [answer.status_code for answer in answers]

        assert asyncio.run(main()) == [200, 500]


class TestRedirects:
    @pytest.mark.parametrize("status_code", [300, 301, 302, 303, 307, 308])
    def test_a_redirect_is_never_followed(self, status_code: int) -> None:
        async def main() -> tuple[Answer, int]:
            async with serving(OK) as target, opened() as sender:
                head = b"HTTP/1.1 %d X\r\nLocation: %b\r\nRefresh: 0; url=%b\r\nContent-Length: 0\r\n\r\n"
                url = target.url().encode()
                async with serving(head % (status_code, url, url)) as server:
                    answer = await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True)
                    await asyncio.sleep(0.05)
                    return answer, len(target.connections)

        answer, followed = asyncio.run(main())
        assert answer.status_code == status_code
        assert followed == 0


class TestRequest:
    @pytest.mark.parametrize(
        ("url", "headers"),
        [
            pytest.param("/a\r\nX-Evil: 1", {}, id="a line break in the URL"),
            pytest.param("/a b", {}, id="a space in the URL"),
            pytest.param("/é", {}, id="a URL that is not ASCII"),
            pytest.param("/", {"X-A": "b\r\nX-Evil: 1"}, id="a line break in a value"),
            pytest.param("/", {"X-A": "b\nX-Evil: 1"}, id="a line feed in a value"),
            pytest.param("/", {"X-A": "b\x00"}, id="NUL in a value"),
            pytest.param("/", {"X-A\r\nX-Evil": "1"}, id="a line break in a name"),
            pytest.param("/", {"X-A: b\r\nX-Evil": "1"}, id="a colon in a name"),
            pytest.param("/", {"X-A:": "1"}, id="a colon at the end of a name"),
            pytest.param("/", {"": "1"}, id="no name"),
            pytest.param("/", {"X-A": "é"}, id="a value that is not ASCII"),
            pytest.param("/", {"Content-Length": "0"}, id="a length of its own"),
            pytest.param("/", {"transfer-encoding": "chunked"}, id="an encoding of its own"),
            pytest.param("/", {"HOST": "internal"}, id="a host of its own"),
        ],
    )
    def test_a_request_that_would_hold_another_header_is_not_sent(self, url: str, headers: dict[str, str]) -> None:
        async def main() -> tuple[Answer, list[bytes]]:
            async with serving(OK) as server, opened(timeout_s=2) as sender:
                answer = await sender.post(url=server.url(url), headers=headers, body=b"{}", allow_loopback=True)
                return answer, server.requests

        answer, requests = asyncio.run(main())
        assert answer.failure is Failure.PROTOCOL_ERROR
        assert requests == []

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "x",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "//example.com/",
            "https://[::1",
            "\x00",
        ],
    )
    def test_what_is_not_a_registered_url_is_a_failure_and_no_exception(self, url: str) -> None:
        async def main() -> Answer:
            async with opened(timeout_s=2) as sender:
                return await sender.post(url=url, headers={}, body=b"{}", allow_loopback=True)

        assert asyncio.run(main()).failure in {Failure.PROTOCOL_ERROR, Failure.ADDRESS_REFUSED}


def test_three_hundred_hanging_subscribers_do_not_slow_down_a_healthy_one() -> None:
    async def main() -> tuple[float, list[Answer]]:
        async with serving(silent) as tarpit, serving(OK) as healthy, opened(timeout_s=3, connections=310) as sender:

            def post(url: str) -> "asyncio.Task[Answer]":
                return asyncio.create_task(sender.post(url=url, headers={}, body=b"{}", allow_loopback=True))

            hanging = [post(tarpit.url(f"/{n}")) for n in range(300)]
            await asyncio.sleep(0.5)
            started = time.monotonic()
            answers = [await post(healthy.url()) for _ in range(20)]
            took = time.monotonic() - started
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            return took, answers

    took, answers = asyncio.run(main())
    assert [answer.status_code for answer in answers] == [200] * 20
    assert took < 1


def test_cancellation_passes_through() -> None:
    async def main() -> None:
        async with serving(silent) as server, opened() as sender:
            task = asyncio.create_task(sender.post(url=server.url(), headers={}, body=b"", allow_loopback=True))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
