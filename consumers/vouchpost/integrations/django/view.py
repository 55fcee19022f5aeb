"""The view: `path("webhooks/vouchpost", view(receiver))`."""

from collections.abc import Callable
from typing import Any

from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from vouchpost.errors import BodyTooLargeError
from vouchpost.receiver import Receiver


def view(receiver: Receiver) -> Callable[..., Any]:
    """A view that answers for the receiver. The signature stands in for the CSRF token."""

    @csrf_exempt
    @require_POST
    def vouchpost_webhook(request: HttpRequest) -> HttpResponse:
        try:
            body = request.read(receiver.body_limit + 1)
        except UnreadablePostError:
            return HttpResponse(status=400)
        if len(body) > receiver.body_limit:
            answer = receiver.refuse(BodyTooLargeError())
        else:
            answer = receiver.answer(headers=request.headers.items(), body=body)
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    wrapped: Callable[..., Any] = vouchpost_webhook
    for alias in connections:  # whichever the store is on: the answer must not be said before its own commit
        wrapped = transaction.non_atomic_requests(alias)(wrapped)
    return wrapped
