"""Django, through its own test client, with CSRF protection and ATOMIC_REQUESTS switched on."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.consumers.asgi_client import AsgiClient
from tests.consumers.django_project import FOLDER, another_database, empty_database
from tests.consumers.gateways import KEY, FakeGateway
from vouchpost import AsyncClient, Message, Receiver, Router
from vouchpost.gate import Gate
from vouchpost.integrations.django.gate import validate_address, verified_email
from vouchpost.integrations.django.outbox import DjangoOutbox
from vouchpost.integrations.django.store import DjangoStore
from vouchpost.integrations.django.view import view
from vouchpost.stores.sqlite_outbox import SqliteOutbox
from vouchpost.testing import SECRET, EventFactory, SignedEvent

from django import forms  # isort: skip - after the project is set up
from django.core.exceptions import ValidationError  # isort: skip
from django.core.handlers.asgi import ASGIHandler  # isort: skip
from django.core.management import call_command  # isort: skip
from django.db import connection, connections, models, transaction  # isort: skip
from django.http import HttpRequest, HttpResponse  # isort: skip
from django.test import Client, override_settings  # isort: skip
from django.urls import path  # isort: skip
from django.views.decorators.csrf import csrf_exempt  # isort: skip


class Site:
    """A site with one webhook, whose handler inserts a row by the alias it is given."""

    def __init__(self) -> None:
        self.effects = empty_database()
        self.broken = False
        router = Router()
        router.on_verdict(self.insert)
        self.receiver = Receiver(secrets=SECRET, store=DjangoStore(), router=router)
        self.urls = [path("webhooks/vouchpost", view(self.receiver))]

    def insert(self, message: Message, using: str) -> None:
        with connections[using].cursor() as cursor:
            cursor.execute("INSERT INTO effects (text) VALUES (%s)", [message.verdict.status])
        if self.broken:
            connection.commit()

    def post(self, event: SignedEvent, **changed: Any) -> Any:
        headers = event.headers | changed.pop("headers", {})
        with override_settings(ROOT_URLCONF=tuple(self.urls)):
            client = Client(enforce_csrf_checks=True)
            return client.post(
                "/webhooks/vouchpost",
                data=changed.get("body", event.body),
                content_type=headers.pop("content-type"),
                headers=headers,
            )


@pytest.fixture
def site() -> Any:
    yield Site()
    connections.close_all()


def test_an_event_is_applied_once(site: Site, vouchpost_event: EventFactory) -> None:
    event = vouchpost_event(status="risky")

    answers = [site.post(event).json() for _ in range(2)]

    assert answers == [{"outcome": "applied"}, {"outcome": "duplicate"}]
    assert site.effects() == ["risky"]


def test_a_handler_that_commits_by_itself_is_rolled_back(site: Site, vouchpost_event: EventFactory) -> None:
    site.broken = True

    assert site.post(vouchpost_event()).status_code == 500
    assert site.effects() == []


def test_a_store_on_another_database_commits_by_itself_too(site: Site, vouchpost_event: EventFactory) -> None:
    with another_database("crm", NAME=str(FOLDER / "crm"), ATOMIC_REQUESTS=True):
        router = Router()
        router.on_verdict(lambda *_: None)
        receiver = Receiver(secrets=SECRET, store=DjangoStore("crm"), router=router)
        site.urls = [path("webhooks/vouchpost", view(receiver))]

        assert site.post(vouchpost_event()).json() == {"outcome": "applied"}


def test_a_large_body_is_not_read_whole(site: Site, vouchpost_event: EventFactory) -> None:
    assert site.post(vouchpost_event(), body=b" " * 70_000).status_code == 413


def test_a_forged_signature_is_refused(site: Site, vouchpost_event: EventFactory) -> None:
    answer = site.post(vouchpost_event(), headers={"webhook-signature": "v1,AAAA"})

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_only_posts_are_answered(site: Site) -> None:
    with override_settings(ROOT_URLCONF=tuple(site.urls)):
        assert Client().get("/webhooks/vouchpost").status_code == 405


def test_the_migrations_say_all_that_the_models_say() -> None:
    call_command("makemigrations", "vouchpost", check=True, dry_run=True, verbosity=0)


def sign_up(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.verified_email.state)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"data": {"email": "ann@example.com"}}, 200, id="form"),
        pytest.param({"data": '{"email": "ann@example.com"}', "content_type": "application/json"}, 200, id="JSON"),
        pytest.param({"data": {"email": "ann@"}}, 422, id="mistake"),
        pytest.param({"data": "{", "content_type": "application/json"}, 422, id="no JSON"),
        pytest.param({"data": "[]", "content_type": "application/json"}, 422, id="no object"),
    ],
)
def test_a_view_is_gated_by_a_decorator(tmp_path: Path, sent: dict[str, Any], status: int) -> None:
    gate = Gate(client=FakeGateway().client(), outbox=SqliteOutbox(tmp_path / "db"))

    with override_settings(ROOT_URLCONF=(path("signup", verified_email(gate)(sign_up)),)):
        answer = Client().post("/signup", **sent)

    assert answer.status_code == status
    assert answer.content == b"pending" if status == 200 else b"typing mistakes" in answer.content


@csrf_exempt
@transaction.non_atomic_requests  # Django has no transactions around async views
async def sign_up_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.verified_email.state)


def over_asgi(app: Callable[..., Any], **sent: Any) -> httpx.Response:
    """A whole site asked as an ASGI server asks it."""
    with override_settings(ROOT_URLCONF=(path("signup", app),)):
        return AsgiClient(ASGIHandler()).post("/signup", **sent)


GATES: list[Any] = [
    pytest.param(lambda gateway, box: Gate(async_client=gateway.async_client(), outbox=box), id="awaited client"),
    pytest.param(lambda gateway, box: Gate(client=gateway.client(), outbox=box), id="plain client"),
]


@pytest.mark.parametrize("gate_of", GATES)
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param({"data": {"email": "ann@example.com"}}, 200, id="form"),
        pytest.param({"json": {"email": "ann@example.com"}}, 200, id="JSON"),
        pytest.param({"data": {"email": "ann@"}}, 422, id="mistake"),
        pytest.param({"content": b"{", "headers": {"content-type": "application/json"}}, 422, id="no JSON"),
    ],
)
def test_an_async_view_is_gated_by_the_same_decorator(
    gate_of: Callable[..., Gate], sent: dict[str, Any], status: int
) -> None:
    empty_database()

    answer = over_asgi(verified_email(gate_of(FakeGateway(), DjangoOutbox()))(sign_up_async), **sent)

    assert answer.status_code == status
    assert answer.text == "pending" if status == 200 else "typing mistakes" in answer.text


@pytest.mark.parametrize("gate_of", GATES)
def test_an_async_view_loses_nobody_while_the_gateway_is_away(gate_of: Callable[..., Gate]) -> None:
    empty_database()
    gateway, outbox = FakeGateway(up=False), DjangoOutbox()

    answer = over_asgi(verified_email(gate_of(gateway, outbox))(sign_up_async), data={"email": "ann@example.com"})

    assert answer.text == "unverified"
    assert [waiting.email for waiting in outbox.oldest(9)] == ["ann@example.com"]
    connections.close_all()


def test_an_async_view_holds_up_no_other_request_while_it_waits_for_a_verdict() -> None:
    """The event loop goes on: ten requests wait for a slow gateway in the time of one."""
    slow, started = httpx.MockTransport(slowly), time.monotonic()
    gate = Gate(async_client=AsyncClient(key=KEY, url="http://gateway", transport=slow), outbox=DjangoOutbox())

    async def main() -> list[str]:
        transport = httpx.ASGITransport(ASGIHandler())
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
            sent = [browser.post("/signup", data={"email": f"{one}@example.com"}) for one in range(10)]
            return [answer.text for answer in await asyncio.gather(*sent)]

    with override_settings(ROOT_URLCONF=(path("signup", verified_email(gate)(sign_up_async)),)):
        assert asyncio.run(main()) == ["pending"] * 10

    assert time.monotonic() - started < 3


async def slowly(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(0.5)
    return httpx.Response(202, json={"id": "vrf_1", "status": "pending", "sequence": 7})


def test_a_form_field_is_validated_without_a_call() -> None:
    class SignUp(forms.Form):
        email = forms.CharField(validators=[validate_address])

    assert SignUp({"email": "ann@example.com"}).is_valid()
    assert "typing mistakes" in str(SignUp({"email": "ann@example,com"}).errors)


def test_a_model_field_is_validated_by_the_same_function() -> None:
    field = models.CharField(max_length=254, validators=[validate_address])

    assert field.clean("ann@example.com", None) == "ann@example.com"
    with pytest.raises(ValidationError, match="typing mistakes") as refused:
        field.clean("ann@example,com", None)
    assert [error.code for error in refused.value.error_list] == ["invalid_address"]
