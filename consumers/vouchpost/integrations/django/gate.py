"""Views and forms that are gated on an address."""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse

from vouchpost.address import is_plausible
from vouchpost.errors import InvalidAddressError
from vouchpost.gate import Gate

Plain = Callable[..., HttpResponse]
Awaited = Callable[..., Awaitable[HttpResponse]]
View = TypeVar("View", bound=Callable[..., Any])


def verified_email(gate: Gate, *, field: str = "email") -> Callable[[View], View]:
    """Gates a view on the address in this field of its JSON or form; a 422 for an address that is wrong.

    What is known of it is in `request.verified_email`. An `async def` view awaits the gate's AsyncClient; where it has
    none, Django's thread for the ORM waits for the plain one.
    """

    def gated(view: View) -> View:
        if iscoroutinefunction(view):
            return cast("View", _gated_async(gate, field, view))
        return cast("View", _gated(gate, field, view))

    return gated


def _gated(gate: Gate, field: str, view: Plain) -> Plain:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            request.verified_email = gate.check(_field(request, field))
        except InvalidAddressError as error:
            return _refusal(error)
        return view(request, *args, **kwargs)

    return guarded


def _gated_async(gate: Gate, field: str, view: Awaited) -> Awaited:
    check = gate.check_async if gate.is_awaited else sync_to_async(gate.check)

    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            request.verified_email = await check(_field(request, field))
        except InvalidAddressError as error:
            return _refusal(error)
        return await view(request, *args, **kwargs)

    return guarded


def _refusal(error: InvalidAddressError) -> HttpResponse:
    return JsonResponse({"title": "Unprocessable Content", "status": 422, "detail": str(error)}, status=422)


def validate_address(value: str) -> None:
    """For `validators=` of form and model fields: no network, only what is certainly a typing mistake is refused."""
    if not is_plausible(value):
        raise ValidationError(str(InvalidAddressError()), code=InvalidAddressError.reason)


def _field(request: HttpRequest, name: str) -> str:
    content: Any = request.POST
    if request.content_type == "application/json":
        try:
            content = json.loads(request.body)
        except (ValueError, RecursionError):
            content = None
    value = content.get(name) if hasattr(content, "get") else None
    return value if isinstance(value, str) else ""
