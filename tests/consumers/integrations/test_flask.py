"""Flask, through its own test client."""

import io
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, g
from flask.testing import FlaskClient

from tests.consumers.gateways import FakeGateway
from vouchpost import Receiver, Router
from vouchpost.gate import Gate
from vouchpost.integrations.flask import verified_email, view
from vouchpost.stores.memory import MemoryStore
from vouchpost.stores.sqlite_outbox import SqliteOutbox
from vouchpost.testing import SECRET, EventFactory


@pytest.fixture
def client() -> FlaskClient:
    router = Router()
    router.on_verdict(lambda *_: None)
    app = Flask(__name__)
    receiver = Receiver(secrets=SECRET, store=MemoryStore(), router=router)
    app.add_url_rule("/hook", view_func=view(receiver), methods=["POST"])
    return app.test_client()


def test_an_event_is_applied_once(client: FlaskClient, vouchpost_event: EventFactory) -> None:
    event = vouchpost_event()

    answers = [client.post("/hook", data=event.body, headers=event.headers).json for _ in range(2)]

    assert answers == [{"outcome": "applied"}, {"outcome": "duplicate"}]


def test_a_forged_signature_is_refused(client: FlaskClient, vouchpost_event: EventFactory) -> None:
    event = vouchpost_event()

    answer = client.post("/hook", data=event.body + b" ", headers=event.headers)

    assert (answer.status_code, answer.content_type) == (400, "application/problem+json")


def test_a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not(client: FlaskClient) -> None:
    told = client.post("/hook", data=b" " * 70_000)
    chunked = client.post(
        "/hook", input_stream=io.BytesIO(b" " * 70_000), environ_overrides={"wsgi.input_terminated": True}
    )

    assert (told.status_code, chunked.status_code) == (413, 413)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"json": {"email": "ann@example.com"}}, 200, id="JSON"),
        pytest.param({"data": {"email": "ann@example.com"}}, 200, id="form"),
        pytest.param({"json": {"email": "ann@"}}, 422, id="mistake"),
        pytest.param({"json": [1]}, 422, id="no object"),
        pytest.param({"data": b"{", "content_type": "application/json"}, 400, id="no JSON"),
    ],
)
def test_a_view_is_gated_by_a_decorator(tmp_path: Path, sent: dict[str, Any], status: int) -> None:
    app = Flask(__name__)
    gate = Gate(client=FakeGateway().client(), outbox=SqliteOutbox(tmp_path / "db"))

    @app.post("/signup")
    @verified_email(gate)
    def signup() -> str:
        return str(g.verified_email.state)

    answer = app.test_client().post("/signup", **sent)

    assert answer.status_code == status
    assert answer.text == "pending" if status == 200 else b"spam" not in answer.data
