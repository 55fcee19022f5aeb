"""The CRM example: contacts, timelines with one line per event, and a page that escapes what people type."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import create_engine

from consumers.examples.crm.app import Crm, application
from tests.consumers.examples.interleaved import between
from tests.consumers.gateways import FakeGateway
from vouchpost.testing import SECRET, EventFactory, SignedEvent


class Bench:
    def __init__(self, folder: Path) -> None:
        self.gateway = FakeGateway()
        self.engine = create_engine(f"sqlite:///{folder / 'db'}")
        self.crm = Crm(engine=self.engine, client=self.gateway.client(), signing_secret=SECRET)
        self.http: FlaskClient = application(self.crm).test_client()

    def add(self, contact_id: str, email: str) -> int:
        return self.http.put(f"/contacts/{contact_id}", json={"email": email}).status_code

    def push(self, event: SignedEvent) -> str:
        return str(self.http.post("/webhooks/vouchpost", data=event.body, headers=event.headers).json["outcome"])  # type: ignore[index]

    def status(self, contact_id: str) -> str:
        row = self.http.get("/").text.partition(f">{contact_id}</a>")[2].partition("</span>")[0]
        return row.rpartition(">")[2]

    def lines(self, contact_id: str) -> int:
        return self.http.get(f"/contacts/{contact_id}").text.count("<li>")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.dispose()


def test_a_verdict_is_one_line_of_the_timeline_however_often_it_comes(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    bench.add("ann", "ann@example.com")
    event = vouchpost_event(subject_id="ann", status="risky", reason_code="disposable")

    outcomes = [bench.push(event), bench.push(event.again()), bench.push(event.again())]

    assert outcomes == ["applied", "duplicate", "duplicate"]
    assert bench.lines("ann") == 1
    page = bench.http.get("/contacts/ann").text
    assert '<span class="status risky">risky</span> disposable' in page


def test_a_late_verdict_stays_out_of_status_and_timeline(bench: Bench, vouchpost_event: EventFactory) -> None:
    bench.add("ann", "ann@example.com")
    first = {"address_version": "1"}
    older, newer = (vouchpost_event(subject_id="ann", status=one, metadata=first) for one in ("invalid", "valid"))

    outcomes = [bench.push(newer), bench.push(older)]

    assert outcomes == ["applied", "stale"]
    assert bench.status("ann") == "valid"
    assert bench.lines("ann") == 1


def test_a_contact_and_its_submission_are_stored_together(bench: Bench) -> None:
    bench.gateway.up = False
    assert bench.add("ann", "ann@example.com") == 202
    bench.crm.submitter.run_once()
    assert bench.gateway.emails == []

    bench.gateway.up = True
    bench.crm.submitter.run_once()

    assert bench.gateway.emails == ["ann@example.com"]


def test_an_address_that_the_gateway_refuses_does_not_stay_pending(bench: Bench) -> None:
    bench.add("ann", "ann@example.com")
    bench.gateway.refuse_with = 422

    bench.crm.submitter.run_once()

    assert bench.status("ann") == "invalid"


def test_after_a_change_of_address_verdicts_of_the_old_one_are_stale(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    """The gateway answers sequence 7 for every submission here."""
    bench.add("ann", "new@example.com")
    bench.crm.submitter.run_once()

    assert bench.push(vouchpost_event(subject_id="ann", sequence=6)) == "stale"
    assert bench.push(vouchpost_event(subject_id="ann", sequence=7)) == "applied"


def test_a_verdict_of_the_old_address_that_overtakes_the_change_says_nothing_of_the_new_one(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    """Between the change and its submission nothing is stale yet: the metadata says which address it is about."""
    bench.add("ann", "old@example.com")
    bench.add("ann", "new@example.com")

    outcome = bench.push(vouchpost_event(subject_id="ann", status="invalid", metadata={"address_version": "1"}))

    assert (outcome, bench.status("ann")) == ("applied", "pending")
    bench.push(vouchpost_event(subject_id="ann", status="valid", metadata={"address_version": "2"}))
    assert bench.status("ann") == "valid"


def test_a_verdict_that_comes_while_the_address_changes_says_nothing_of_the_new_one(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    bench.add("ann", "old@example.com")
    old = vouchpost_event(subject_id="ann", status="valid", metadata={"address_version": "1"})

    with between(bench.engine, "UPDATE contacts", lambda: bench.push(old)):
        bench.add("ann", "new@example.com")

    assert bench.status("ann") == "pending"


def test_a_refusal_of_the_old_address_says_nothing_of_one_that_is_changed_meanwhile(bench: Bench) -> None:
    bench.add("ann", "old@example.com")
    bench.gateway.refuse_with = 422

    with between(bench.engine, "UPDATE contacts", lambda: bench.add("ann", "new@example.com")):
        bench.crm.submitter.run_once(limit=1)

    assert bench.status("ann") == "pending"


def test_typing_mistakes_are_turned_away_and_unknown_contacts_are_nobody(
    bench: Bench, vouchpost_event: EventFactory
) -> None:
    assert bench.add("ann", "ann@") == 422
    assert bench.push(vouchpost_event(subject_id="nobody")) == "applied"
    assert bench.http.get("/contacts/nobody").status_code == 404


def test_what_people_type_is_escaped(bench: Bench) -> None:
    bench.add("ann", "<script>alert(1)</script>@example.com")

    assert "<script>alert" not in bench.http.get("/").text + bench.http.get("/contacts/ann").text
