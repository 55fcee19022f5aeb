"""An answer before it is sent: status, headers as the bytes they go out as, and the whole body."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json
from starlette.types import Send

from vouchpost_gateway.domain.value import value

Header = tuple[bytes, bytes]

_JSON: Header = (b"content-type", b"application/json")
# On every answer: it is data for one caller, and never a page.
_SAFETY: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@value(frozen=True, slots=True)
class Answer:
    """A complete answer; the request's id and the headers every answer has are added as it is sent."""

    status: int
    body: bytes = b""
    headers: Sequence[Header] = ()


def json_answer(document: Any, *, status: int = 200, headers: Sequence[Header] = ()) -> Answer:
    """A JSON answer, compact and in UTF-8."""
    return Answer(status, to_json(document), (_JSON, *headers))


def stored_json(body: bytes) -> Answer:
    """Bytes that are JSON already, exactly as stored."""
    return Answer(200, body, (_JSON,))


NO_CONTENT = Answer(204)


async def send_answer(send: Send, answer: Answer, *, request_id: bytes, headers: Sequence[Header] = ()) -> None:
    """Sends the head and the body; RFC 9110 section 8.6: no Content-Length with 204."""
    head = [(b"x-request-id", request_id), *_SAFETY, *headers, *answer.headers]
    if answer.status != 204:
        head.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": head})
    await send({"type": "http.response.body", "body": answer.body})
