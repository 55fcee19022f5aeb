import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from tests.gateway.api.caller import Caller
from vouchpost_gateway.api.body import read_body
from vouchpost_gateway.api.headers import RequestHeaders
from vouchpost_gateway.api.refusals import BodyTooLarge

PATH = "/v1/verifications"
LIMIT = 65_536


def padded(length: int) -> bytes:
    return b'{"email":"ada@example.org"' + b" " * (length - 27) + b"}"


def test_a_body_is_read_up_to_the_limit(caller: Caller) -> None:
    assert caller.post(PATH, content=padded(LIMIT)).status == 202


@pytest.mark.parametrize("claimed", ["1", str(LIMIT + 1), "nonsense"])
def test_one_byte_too_many_is_413_whatever_the_length_claims(caller: Caller, claimed: str) -> None:
    response = caller.post(PATH, content=padded(LIMIT + 1), headers={"content-length": claimed})

    assert response.status == 413


def test_bytes_are_counted_as_they_stream_and_the_rest_is_left_unread() -> None:
    def endless() -> Iterator[Message]:
        while True:
            yield {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    messages = endless()
    received = []

    async def receive() -> Message:
        received.append(next(messages))
        return received[-1]

    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(receive, RequestHeaders(), limit_bytes=10_000))
    assert len(received) == 11


@pytest.mark.parametrize("length", [b"65537", b"100000", b"0000065537", b"9" * 5000])
def test_a_body_that_says_it_is_too_large_is_not_waited_for(length: bytes) -> None:
    async def receive() -> Message:
        raise AssertionError("nothing was to be read")

    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(receive, RequestHeaders(content_length=length), limit_bytes=LIMIT))


@pytest.mark.parametrize("length", [b"65536", b"0065536", b"2", b"99x", b"-99999", b""])
def test_a_length_within_the_limit_or_none_at_all_is_left_to_the_count(length: bytes) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}"}

    headers = RequestHeaders(content_type=b"application/json", content_length=length)
    assert asyncio.run(read_body(receive, headers, limit_bytes=LIMIT)) == b"{}"


def test_a_body_may_arrive_in_pieces(caller: Caller) -> None:
    whole = padded(100)

    assert caller.post(PATH, chunks=[bytes([byte]) for byte in whole]).status == 202


def test_a_client_that_leaves_in_the_middle_gets_no_answer(caller: Caller) -> None:
    async def main() -> None:
        gone = asyncio.Event()
        gone.set()
        with pytest.raises(ConnectionAbortedError):
            await caller.request_async("POST", PATH, chunks=[b"{"], gone=gone)

    asyncio.run(main())


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "identity", ""])
def test_a_body_with_a_content_encoding_is_not_read(caller: Caller, coding: str) -> None:
    response = caller.post(PATH, {"email": "ada@example.org"}, headers={"content-encoding": coding})

    assert response.status == 415


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-16",
        "application/jsonx",
        "application/json, text/plain",
        "multipart/form-data; boundary=x",
    ],
)
def test_a_body_of_another_type_is_refused(caller: Caller, media_type: str) -> None:
    response = caller.post(PATH, {"email": "ada@example.org"}, headers={"content-type": media_type})

    assert response.status == 415


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'])
def test_json_is_json_however_it_is_spelt(caller: Caller, media_type: str) -> None:
    response = caller.post(PATH, {"email": "ada@example.org"}, headers={"content-type": media_type})

    assert response.status == 202


def test_two_content_types_are_refused(caller: Caller) -> None:
    again = ("content-type", "text/plain")

    assert caller.post(PATH, {"email": "ada@example.org"}, more_headers=[again]).status == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff"])
def test_a_body_that_is_no_json_object_is_a_400(caller: Caller, body: bytes) -> None:
    response = caller.post(PATH, content=body, headers={"content-type": "application/json"})

    assert response.status == 400
    assert response.json()["type"].endswith(":malformed-json")
