"""Flask: `app.add_url_rule("/webhooks/vouchpost", view_func=view(receiver), methods=["POST"])`."""

from collections.abc import Callable

from flask import Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from vouchpost.errors import BodyTooLargeError
from vouchpost.receiver import Receiver


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
