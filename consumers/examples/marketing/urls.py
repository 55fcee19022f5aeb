"""The pages: segments with their sizes, and each of them as CSV."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from consumers.examples.marketing.export import rows
from consumers.examples.marketing.models import SEGMENTS, Recipient
from vouchpost import Receiver
from vouchpost.integrations.django.view import view


def segments(_: HttpRequest) -> HttpResponse:
    sizes = {name: Recipient.objects.filter(status__in=statuses).count() for name, statuses in SEGMENTS.items()}
    return JsonResponse(sizes)


def export(_: HttpRequest, name: str) -> StreamingHttpResponse:
    if name not in SEGMENTS:
        raise Http404
    recipients = Recipient.objects.filter(status__in=SEGMENTS[name]).order_by("id").iterator(chunk_size=2000)
    disposition = f'attachment; filename="{name}.csv"'
    return StreamingHttpResponse(
        rows(recipients), content_type="text/csv; charset=utf-8", headers={"content-disposition": disposition}
    )


def routes(receiver: Receiver) -> Sequence[Any]:
    return [
        path("webhooks/vouchpost", view(receiver)),
        path("segments", segments),
        path("segments/<slug:name>.csv", export),
    ]
