"""Plain WSGI: `Webhook(receiver)` is an application that answers POST on any path."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from vouchpost.answer import WRONG_METHOD, Answer
from vouchpost.errors import BodyTooLargeError
from vouchpost.receiver import Receiver

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    405: "Method Not Allowed",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Webhook:
    """A WSGI application. Servers join repeated headers with a comma, which no good header survives."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer = self._answer(environ) if environ["REQUEST_METHOD"] == "POST" else WRONG_METHOD
        headers = [*answer.headers, ("content-length", str(len(answer.body)))]
        start_response(f"{answer.status} {_REASONS[answer.status]}", headers)
        return [answer.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        try:
            body = _body(environ, self._receiver.body_limit)
        except BodyTooLargeError as error:
            return self._receiver.refuse(error)
        headers = [(name[5:].replace("_", "-"), value) for name, value in environ.items() if name.startswith("HTTP_")]
        return self._receiver.answer(headers=headers, body=body)


def _body(environ: dict[str, Any], limit: int) -> bytes:
    """At most `limit` bytes. PEP 3333: without a length there is no body, unless the server marks its end itself."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        if len(length) > 9 or int(length) > limit:
            raise BodyTooLargeError
        return _read(environ["wsgi.input"], int(length))
    if not environ.get("wsgi.input_terminated"):
        return b""
    body = _read(environ["wsgi.input"], limit + 1)
    if len(body) > limit:
        raise BodyTooLargeError
    return body


def _read(stream: Any, size: int) -> bytes:
    """A read may return less than it was asked for, and nothing only at the end."""
    chunks: list[bytes] = []
    while size > 0 and (chunk := stream.read(size)):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)
