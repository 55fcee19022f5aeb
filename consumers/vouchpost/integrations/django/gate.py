"""Views and forms that are gated on an address."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse

from vouchpost.address import is_plausible
from vouchpost.errors import InvalidAddressError
from vouchpost.gate import Gate

View = Callable[..., HttpResponse]


def verified_email(gate: Gate, *, field: str = "email") -> Callable[[View], View]:
    """Gates a view on the address in this field of its JSON or form; a 422 for an address that is wrong.

    What is known of it is in `request.verified_email`.
    """

    def gated(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                request.verified_email = gate.check(_field(request, field))
            except InvalidAddressError as error:
                return JsonResponse({"title": "Unprocessable Content", "status": 422, "detail": str(error)}, status=422)
            return view(request, *args, **kwargs)

        return guarded

    return gated


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
