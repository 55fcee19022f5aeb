"""The pages: segments with their sizes, and each of them as CSV."""

from collections.abc import Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from consumers.examples.look import page
from consumers.examples.marketing.export import rows
from consumers.examples.marketing.models import SEGMENTS, Recipient
from consumers.examples.marketing.overview import overview
from vouchpost import Receiver
from vouchpost.integrations.django.view import view


def segments(_: HttpRequest) -> HttpResponse:
    return JsonResponse(_sizes())


def index(_: HttpRequest) -> HttpResponse:
    latest = Recipient.objects.filter(status__in=SEGMENTS["suppressed"]).order_by("-checked_at", "-id")[:20]
    return HttpResponse(page("Segments", overview(_sizes(), latest)))


def export(_: HttpRequest, name: str) -> StreamingHttpResponse:
    if name not in SEGMENTS:
        raise Http404
    recipients = Recipient.objects.filter(status__in=SEGMENTS[name]).order_by("id").iterator(chunk_size=2000)
    disposition = f'attachment; filename="{name}.csv"'
    return StreamingHttpResponse(
        rows(recipients), content_type="text/csv; charset=utf-8", headers={"content-disposition": disposition}
    )


def _sizes() -> dict[str, int]:
    return {name: Recipient.objects.filter(status__in=statuses).count() for name, statuses in SEGMENTS.items()}


def routes(receiver: Receiver) -> Sequence[Any]:
    return [
        path("webhooks/vouchpost", view(receiver)),
        path("", index),
        path("segments", segments),
        path("segments/<slug:name>.csv", export),
    ]
