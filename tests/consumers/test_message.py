"""What a verified body is read as: typed where we know it, kept where we do not, refused where it is no event."""

import copy
import json
import pickle
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import Message, NotAnEventError, NotJsonError, Status, Verifier


def verified(body: bytes, *, event_id: str = "evt_1") -> Message:
    return Verifier(SECRET, clock=lambda: NOW).verify(headers=headers(body, event_id=event_id), body=body)


def test_a_verdict_is_typed() -> None:
    message = verified(event(data={"status": "risky", "reason_code": "disposable", "metadata": {"plan": "pro"}}))

    verdict = message.verdict

    assert message.timestamp == datetime(2026, 11, 22, 10, 0, 0, 123_000, UTC)
    assert (verdict.subject_id, verdict.sequence, verdict.revision) == ("user_42", 1_795_341_600_123_456, 1)
    assert verdict.status == Status.RISKY
    assert verdict.flags["catch_all"] is None
    assert verdict.metadata == {"plan": "pro"}


def test_what_a_newer_gateway_adds_is_kept() -> None:
    content = json.loads(event(data={"status": "greyish", "colour": "blue", "flags": {"new": True}}))
    content |= {"schema": 7, "trace": "t-1"}

    message = verified(json.dumps(content).encode())

    assert (message.schema, message.extra) == (7, {"trace": "t-1"})
    assert message.verdict.status == "greyish"
    assert message.verdict.extra == {"colour": "blue"}
    assert message.verdict.flags == {"new": True}


def test_the_address_is_there_where_the_subscription_asked_for_it() -> None:
    assert verified(event(data={"email": "ann@example.com"})).verdict.email == "ann@example.com"
    assert verified(event()).verdict.email is None


def test_a_message_is_frozen_and_is_not_copied_or_unpickled() -> None:
    message = verified(event())

    with pytest.raises(FrozenInstanceError):
        message.type = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        message.data["status"] = "valid"  # type: ignore[index]
    with pytest.raises(TypeError):
        copy.copy(message)
    with pytest.raises(TypeError):
        pickle.loads(pickle.dumps(message))  # noqa: S301 - what must not work is tried


def test_representations_hold_no_address() -> None:
    message = verified(event(data={"email": "ann@example.com", "subject_id": "ann@example.com"}))

    assert "ann@" not in f"{message!r} {message.verdict!r}"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"{} {}", id="trailing garbage"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": -Infinity}', id="Infinity"),
        pytest.param(b'{"a": "\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"a": "\\uDfff"}', id="lone surrogate in capitals"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="integer of 5,000 digits"),
        pytest.param(b"[" * 30_000, id="deep nesting"),
        pytest.param("\ufeff{}".encode(), id="byte order mark"),
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJsonError):
        verified(body)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([], id="array"),
        pytest.param("text", id="text"),
        pytest.param({}, id="empty"),
        pytest.param({"type": 1, "data": {}}, id="type is no text"),
        pytest.param({"type": "x", "data": []}, id="data is no object"),
        pytest.param({"type": "x", "data": {}, "id": "evt_other"}, id="another id than the header's"),
        pytest.param({"type": "x", "data": {}, "id": None}, id="an id of null"),
    ],
)
def test_what_is_no_event_is_refused(content: Any) -> None:
    with pytest.raises(NotAnEventError):
        verified(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("verification_id", None),
        ("verification_id", ""),
        ("status", 1),
        ("sequence", "1"),
        ("sequence", True),
        ("sequence", 1.0),
        ("sequence", -1),
        ("sequence", 2**63),
        ("revision", None),
        ("subject_id", 42),
        ("score", "high"),
        ("score", True),
        ("score", 10**400),
        ("flags", []),
        ("checks_skipped", [1]),
        ("metadata", None),
        ("email", {}),
    ],
)
def test_a_verdict_with_a_field_of_another_type_is_refused_and_names_it(field: str, value: Any) -> None:
    message = verified(event(data={field: value}))

    with pytest.raises(NotAnEventError, match=f"data.{field}"):
        _ = message.verdict


@pytest.mark.parametrize("time", ["yesterday", "2026-11-22T10:00:00", 17, None])
def test_a_time_that_cannot_be_read_loses_no_event(time: Any) -> None:
    content = json.loads(event(data={"checked_at": time})) | {"timestamp": time}

    message = verified(json.dumps(content).encode())

    assert (message.timestamp, message.verdict.checked_at) == (None, None)


def test_an_event_without_a_verdict_has_none() -> None:
    with pytest.raises(NotAnEventError):
        _ = verified(event(kind="batch.completed")).verdict


def test_a_score_that_json_can_only_mean_as_infinite_is_refused() -> None:
    body = event(data={"score": 0.5}).replace(b"0.5", b"1e999")

    with pytest.raises(NotAnEventError, match="score"):
        _ = verified(body).verdict


def test_a_notice_about_a_subscription_is_typed() -> None:
    data = {"subscription_id": "sub_1", "reason": "gone", "partner_id": None, "colour": "blue"}
    content = {"id": "evt_1", "type": "subscription.disabled", "data": data}

    notice = verified(json.dumps(content).encode()).notice

    assert (notice.subscription_id, notice.reason, notice.partner_id) == ("sub_1", "gone", None)
    assert notice.extra == {"colour": "blue"}


def test_a_verdict_is_no_notice() -> None:
    with pytest.raises(NotAnEventError, match="no subscription"):
        _ = verified(event()).notice


def test_white_space_around_the_object_is_json_too() -> None:
    assert verified(b" \r\n\t" + event() + b"\n").verdict.status == "valid"
