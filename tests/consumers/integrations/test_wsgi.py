"""Plain WSGI, checked by the standard library's validator of PEP 3333."""

import io
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from vouchpost import Receiver, Router
from vouchpost.integrations.wsgi import Webhook
from vouchpost.stores.memory import MemoryStore
from vouchpost.testing import SECRET, EventFactory, SignedEvent


class Dripping(io.BytesIO):
    """A stream that gives at most ten bytes a read."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 10, 10))


@pytest.fixture
def receiver() -> Receiver:
    router = Router()
    router.on_verdict(lambda *_: None)
    return Receiver(secrets=SECRET, store=MemoryStore(), router=router)


def environ(event: SignedEvent, **changed: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(event.body)), "QUERY_STRING": ""}
    setup_testing_defaults(made)
    made["wsgi.input"] = Dripping(event.body)
    for name, value in event.headers.items():
        if name.startswith("webhook-"):
            made["HTTP_" + name.upper().replace("-", "_")] = value
    return made | changed


def call(receiver: Receiver, env: dict[str, Any]) -> tuple[str, bytes]:
    told: list[str] = []
    result = validator(Webhook(receiver))(env, lambda status, *_: told.append(status))  # type: ignore[arg-type]
    body = b"".join(result)
    result.close()  # type: ignore[attr-defined]
    return told[0], body


def test_an_event_is_applied_even_when_its_body_drips_in(receiver: Receiver, vouchpost_event: EventFactory) -> None:
    assert call(receiver, environ(vouchpost_event())) == ("200 OK", b'{"outcome": "applied"}')


def test_a_chunked_body_is_read_where_the_server_marks_its_end(
    receiver: Receiver, vouchpost_event: EventFactory
) -> None:
    event = vouchpost_event()
    marked = environ(event, CONTENT_LENGTH="") | {"wsgi.input_terminated": True}

    assert call(receiver, marked)[0] == "200 OK"
    assert call(receiver, environ(event, CONTENT_LENGTH=""))[0] == "400 Bad Request"


@pytest.mark.parametrize("length", ["65537", "9" * 4000])
def test_a_body_that_says_it_is_too_large_is_not_read(
    receiver: Receiver, vouchpost_event: EventFactory, length: str
) -> None:
    unread = io.BytesIO(b" " * 10)
    env = environ(vouchpost_event(), CONTENT_LENGTH=length) | {"wsgi.input": unread}

    assert call(receiver, env)[0] == "413 Content Too Large"
    assert unread.tell() == 0


def test_a_chunked_body_without_end_is_read_no_further_than_the_limit(
    receiver: Receiver, vouchpost_event: EventFactory
) -> None:
    stream = io.BytesIO(b" " * 1_000_000)
    env = environ(vouchpost_event(), CONTENT_LENGTH="") | {"wsgi.input_terminated": True, "wsgi.input": stream}

    assert call(receiver, env)[0] == "413 Content Too Large"
    assert stream.tell() == receiver.body_limit + 1


def test_only_posts_are_answered(receiver: Receiver, vouchpost_event: EventFactory) -> None:
    assert call(receiver, environ(vouchpost_event(), REQUEST_METHOD="GET"))[0] == "405 Method Not Allowed"


def test_headers_that_a_server_joined_are_refused(receiver: Receiver, vouchpost_event: EventFactory) -> None:
    joined = environ(vouchpost_event())
    joined["HTTP_WEBHOOK_ID"] += "," + joined["HTTP_WEBHOOK_ID"]

    assert call(receiver, joined)[0] == "400 Bad Request"
