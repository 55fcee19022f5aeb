"""Functions behind an HTTP gateway, as AWS Lambda calls them: `handler = function(receiver)`."""

import base64
from collections.abc import Callable, Mapping
from typing import Any

from vouchpost.errors import NotJsonError
from vouchpost.receiver import Receiver

Handler = Callable[[Mapping[str, Any], object], dict[str, Any]]


def function(receiver: Receiver) -> Handler:
    """A handler for payload formats 1.0 and 2.0 of API Gateway, and for function URLs."""

    def handle(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 - how Lambda calls
        try:
            body = _body(event)
        except ValueError:
            answer = receiver.refuse(NotJsonError("the body is not what its encoding says"))
        else:
            answer = receiver.answer(headers=_headers(event), body=body)
        return {"statusCode": answer.status, "headers": dict(answer.headers), "body": answer.body.decode()}

    return handle


def _body(event: Mapping[str, Any]) -> bytes:
    text = event.get("body") or ""
    return base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()


def _headers(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Format 1.0 keeps repeated headers apart; 2.0 joins them with a comma, which no good header survives."""
    several = event.get("multiValueHeaders")
    if several:
        return [(name, value) for name, values in several.items() for value in values]
    return list((event.get("headers") or {}).items())
