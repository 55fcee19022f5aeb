"""Functions as AWS Lambda calls them, in both payload formats."""

import base64
from typing import Any

import pytest

from vouchpost import Receiver, Router
from vouchpost.integrations.aws_lambda import function
from vouchpost.stores.memory import MemoryStore
from vouchpost.testing import SECRET, EventFactory


@pytest.fixture
def handle() -> Any:
    router = Router()
    router.on_verdict(lambda *_: None)
    return function(Receiver(secrets=SECRET, store=MemoryStore(), router=router))


def test_payload_format_2(handle: Any, vouchpost_event: EventFactory) -> None:
    event = vouchpost_event()

    answer = handle({"version": "2.0", "headers": event.headers, "body": event.body.decode()}, None)

    assert (answer["statusCode"], answer["body"]) == (200, '{"outcome": "applied"}')


def test_payload_format_1_with_a_body_in_base64(handle: Any, vouchpost_event: EventFactory) -> None:
    event = vouchpost_event()
    several = {name.title(): [value] for name, value in event.headers.items()}
    body = base64.b64encode(event.body).decode()

    answer = handle({"multiValueHeaders": several, "body": body, "isBase64Encoded": True}, None)
    several["Webhook-Id"] *= 2
    doubled = handle({"multiValueHeaders": several, "body": body, "isBase64Encoded": True}, None)

    assert (answer["statusCode"], doubled["statusCode"]) == (200, 400)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"headers": None, "body": None},
        {"body": "!", "isBase64Encoded": True},
        {"body": "é", "isBase64Encoded": True},
        {"body": "\ud800"},
    ],
)
def test_what_is_no_request_is_a_400(handle: Any, event: dict[str, Any]) -> None:
    assert handle(event, None)["statusCode"] == 400
