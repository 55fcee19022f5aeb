"""Starlette and FastAPI: `Route("/webhooks/vouchpost", endpoint(receiver), methods=["POST"])`.

And routes that are gated on an address: `gated = await verified_email(gate)(request)`, or in FastAPI
`gated: Annotated[Gated, Depends(verified_email(gate))]`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from vouchpost.errors import BodyTooLargeError, InvalidAddressError
from vouchpost.gate import Gate, Gated
from vouchpost.receiver import BodyBuffer, Receiver

_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


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


def verified_email(gate: Gate, *, field: str = "email") -> Callable[[Request], Awaitable[Gated]]:
    """Gates a request on the address in this field of its JSON or form; a 422 for an address that is wrong.

    What is known of it is returned, and is in `request.state.verified_email` for whatever comes after.
    """

    async def guard(request: Request) -> Gated:
        try:
            gated = await gate.check_async(await _field(request, field))
        except InvalidAddressError as error:
            raise HTTPException(422, str(error)) from error
        request.state.verified_email = gated
        return gated

    return guard


async def _field(request: Request, name: str) -> str:
    value = (await _content(request)).get(name)
    return value if isinstance(value, str) else ""


async def _content(request: Request) -> Mapping[str, object]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _FORMS:
        return await request.form()
    if kind != "application/json":
        raise HTTPException(415, "The body is neither JSON nor a form.")
    try:
        content = await request.json()
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body is not JSON.") from error
    return content if isinstance(content, dict) else {}
