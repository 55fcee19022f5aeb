"""Problems that end a connection before there is a request to answer, as the bytes that go out."""

from http import HTTPStatus

from vouchpost_gateway.api.problems import (
    HEAD_TOO_LARGE,
    PROBLEM_JSON,
    RECEIPT_TIMEOUT,
    TOO_MANY_CONNECTIONS,
    UNREADABLE,
    Kind,
    render,
)


def _on_the_wire(kind: Kind, *, retry_after_s: int | None = None) -> bytes:
    answer = render(kind, detail=kind.detail or "")
    lines = [
        b"HTTP/1.1 %d %b" % (kind.status, HTTPStatus(kind.status).phrase.encode()),
        b"%b: %b" % PROBLEM_JSON,
        b"content-length: %d" % len(answer.body),
        b"cache-control: no-store",
        b"x-content-type-options: nosniff",
        b"connection: close",
    ]
    if retry_after_s is not None:
        lines.append(b"retry-after: %d" % retry_after_s)
    return b"\r\n".join([*lines, b"", answer.body])


BAD_REQUEST = _on_the_wire(UNREADABLE)
TOO_LATE = _on_the_wire(RECEIPT_TIMEOUT)
TOO_LONG = _on_the_wire(HEAD_TOO_LARGE)
TOO_MANY = _on_the_wire(TOO_MANY_CONNECTIONS, retry_after_s=1)
