"""The body of a request: read whole, counted as it streams, JSON only."""

from starlette.types import Receive

from vouchpost_gateway.api.headers import RequestHeaders
from vouchpost_gateway.api.refusals import BodyTooLarge, ClientLeft, UnsupportedMediaType

_JSON_TYPES = {b"application/json", b"application/json;charset=utf-8"}


async def read_body(receive: Receive, headers: RequestHeaders, *, limit_bytes: int) -> bytes:
    """All bytes of the body; BodyTooLarge as soon as there are too many, or Content-Length says that there will be."""
    if headers.content_encoding is not None:
        raise UnsupportedMediaType("a body with a Content-Encoding is not read")
    if _says_more_than(limit_bytes, headers.content_length):
        raise BodyTooLarge(limit_bytes)
    body = await _collect(receive, limit_bytes)
    if body:
        _check_type(headers.content_type)
    return body


def _says_more_than(limit_bytes: int, length: bytes | None) -> bool:
    """Lengths are compared first: Python refuses to read a number of thousands of digits."""
    if length is None or not length.isdigit():
        return False
    digits, most = length.lstrip(b"0"), b"%d" % limit_bytes
    return (len(digits), digits) > (len(most), most)


async def _collect(receive: Receive, limit_bytes: int) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        if not message.get("more_body", False):
            return body


def _check_type(content_type: bytes | None) -> None:
    plain = (content_type or b"").lower().replace(b" ", b"").replace(b'"', b"")
    if plain not in _JSON_TYPES:
        raise UnsupportedMediaType("Content-Type must be application/json")
