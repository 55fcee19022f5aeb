"""The marketing example: segments by the newest verdict, and CSV files that run nothing."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from tests.consumers.django_project import empty_database
from vouchpost import Receiver
from vouchpost.integrations.django.store import DjangoStore
from vouchpost.testing import SECRET, EventFactory, SignedEvent

from consumers.examples.marketing.events import router  # isort: skip - after the project is set up
from consumers.examples.marketing.export import safe  # isort: skip
from consumers.examples.marketing.urls import routes  # isort: skip
from django.db import connections  # isort: skip
from django.test import Client, override_settings  # isort: skip


class Bench:
    def __init__(self) -> None:
        empty_database()
        self.urls = tuple(routes(Receiver(secrets=SECRET, store=DjangoStore(), router=router, name="marketing")))

    def get(self, path: str) -> Any:
        with override_settings(ROOT_URLCONF=self.urls):
            return Client().get(path)

    def push(self, event: SignedEvent) -> str:
        headers = event.headers
        with override_settings(ROOT_URLCONF=self.urls):
            answer = Client().post(
                "/webhooks/vouchpost", event.body, content_type=headers.pop("content-type"), headers=headers
            )
        return str(answer.json()["outcome"])

    def exported(self, segment: str) -> list[list[str]]:
        text = b"".join(self.get(f"/segments/{segment}.csv").streaming_content).decode()
        return list(csv.reader(io.StringIO(text)))[1:]


@pytest.fixture
def bench() -> Iterator[Bench]:
    yield Bench()
    connections.close_all()


def test_recipients_move_between_segments_with_their_newest_verdict(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    def verdict(status: str) -> SignedEvent:
        return vouchpost_event(subject_id="ann", email="ann@example.com", status=status, reason_code="why")

    sizes = []
    late = verdict("unknown")
    for status in ("valid", "risky", "invalid"):
        bench.push(verdict(status))
        sizes.append(bench.get("/segments").json())

    assert sizes == [
        {"safe": 1, "careful": 0, "suppressed": 0},
        {"safe": 0, "careful": 1, "suppressed": 0},
        {"safe": 0, "careful": 0, "suppressed": 1},
    ]
    assert bench.push(late) == "stale"
    assert bench.exported("suppressed") == [["ann@example.com", "invalid", "why"]]


def test_without_an_address_there_is_nobody_to_write_to(bench: Bench, vouchpost_event: EventFactory) -> None:
    assert bench.push(vouchpost_event(subject_id="ann")) == "applied"
    assert bench.get("/segments").json() == {"safe": 0, "careful": 0, "suppressed": 0}


def test_an_exported_cell_is_never_a_formula(bench: Bench, vouchpost_event: EventFactory) -> None:
    bench.push(vouchpost_event(subject_id="evil", email="=cmd|'/C calc'!A0@example.com", status="valid"))

    assert bench.exported("safe")[0][0] == "'=cmd|'/C calc'!A0@example.com"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_what_a_spreadsheet_would_run_becomes_text(cell: str) -> None:
    assert safe(cell) == "'" + cell
    assert safe("ann" + cell) == "ann" + cell


def test_a_segment_that_is_not_there(bench: Bench) -> None:
    assert bench.get("/segments/everybody.csv").status_code == 404


def test_the_page_counts_the_segments_and_escapes_what_is_in_the_suppression_list(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    assert "Nobody." in bench.get("/").content.decode()
    bench.push(
        vouchpost_event(status="invalid", subject_id="u", email="<b>@x.example", reason_code="mailbox_not_found")
    )

    page = bench.get("/").content.decode()

    assert "&lt;b&gt;@x.example<td>mailbox not found" in page
    assert '<span class="status suppressed">suppressed</span><p class="number">1</p>' in page
