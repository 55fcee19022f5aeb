"""Plain ASGI: `Webhook(receiver)` is an application that answers POST on any path; mount it where you like."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from vouchpost.answer import WRONG_METHOD, Answer
from vouchpost.errors import BodyTooLargeError
from vouchpost.receiver import BodyBuffer, Receiver

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Webhook:
    """An ASGI application. It knows no lifespan: servers take that for an answer."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"a webhook answers http, not {scope['type']}")
        answer = await self._answer(scope, receive) if scope["method"] == "POST" else WRONG_METHOD
        if answer is None:
            return
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        headers.append((b"content-length", b"%d" % len(answer.body)))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer | None:
        """None when the client left: nobody is there to be answered."""
        buffer = BodyBuffer(self._receiver.body_limit)
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return None
            try:
                buffer.feed(event.get("body", b""))
            except BodyTooLargeError as error:
                return self._receiver.refuse(error)
            more = event.get("more_body", False)
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        return await self._receiver.answer_async(headers=headers, body=buffer.body)
