"""Starlette and FastAPI: `Route("/webhooks/vouchpost", endpoint(receiver), methods=["POST"])`."""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from vouchpost.errors import BodyTooLargeError
from vouchpost.receiver import BodyBuffer, Receiver


def endpoint(receiver: Receiver) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that answers for the receiver."""

    async def receive(request: Request) -> Response:
        buffer = BodyBuffer(receiver.body_limit)
        try:
            async for chunk in request.stream():
                buffer.feed(chunk)
        except ClientDisconnect:
            return Response(status_code=400)
        except BodyTooLargeError as error:
            answer = receiver.refuse(error)
        else:
            answer = await receiver.answer_async(headers=request.headers.items(), body=buffer.body)
        return Response(answer.body, answer.status, dict(answer.headers))

    return receive
