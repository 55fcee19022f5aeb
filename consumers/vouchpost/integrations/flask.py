"""Flask: `app.add_url_rule("/webhooks/vouchpost", view_func=view(receiver), methods=["POST"])`.

And views that are gated on an address: under `@verified_email(gate)`, `g.verified_email` says what is known of it.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, g, jsonify, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import RequestEntityTooLarge

from vouchpost.errors import BodyTooLargeError, InvalidAddressError
from vouchpost.gate import Gate
from vouchpost.receiver import Receiver

P = ParamSpec("P")
View = Callable[P, ResponseReturnValue]


def view(receiver: Receiver) -> Callable[[], Response]:
    """A view function that answers for the receiver."""

    def vouchpost_webhook() -> Response:
        request.max_content_length = receiver.body_limit
        try:
            body = request.get_data()
        except RequestEntityTooLarge:
            answer = receiver.refuse(BodyTooLargeError())
        else:
            answer = receiver.answer(headers=request.headers.items(), body=body)
        return Response(answer.body, answer.status, dict(answer.headers))

    return vouchpost_webhook


def verified_email(gate: Gate, *, field: str = "email") -> Callable[[View[P]], View[P]]:
    """Gates a view on the address in this field of its JSON or form; a 422 for an address that is wrong."""

    def gated(function: View[P]) -> View[P]:
        @wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> ResponseReturnValue:
            try:
                g.verified_email = gate.check(_field(field))
            except InvalidAddressError as error:
                return jsonify({"title": "Unprocessable Content", "status": 422, "detail": str(error)}), 422
            return function(*args, **kwargs)

        return guarded

    return gated


def _field(name: str) -> str:
    content = request.get_json() if request.is_json else request.form
    value = content.get(name) if hasattr(content, "get") else None
    return value if isinstance(value, str) else ""
