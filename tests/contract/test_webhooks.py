"""What is pushed is what the webhooks section of openapi.yaml says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.contract import contract, faults
from vouchpost_gateway.domain.event import EventType, build, verdict_event, with_address
from vouchpost_gateway.domain.ids import new_stem, subscription_id
from vouchpost_gateway.domain.subscription import DisabledReason
from vouchpost_gateway.domain.verification import (
    Depth,
    Flags,
    Priority,
    ReasonCode,
    Status,
    Verdict,
    Verification,
)

STEM = new_stem(now_ms=1_795_341_600_123, random_bits=7)


def schema_for(kind: str) -> dict[str, Any]:
    media: dict[str, Any] = contract()["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]
    schema: dict[str, Any] = media["schema"]
    return schema


def test_every_type_of_event_has_its_webhook() -> None:
    assert list(contract()["webhooks"]) == list(EventType)


MAYBE = st.none() | st.booleans()
VERDICTS = st.builds(
    Verdict,
    status=st.sampled_from([status for status in Status if status is not Status.PENDING]),
    reason_code=st.sampled_from(ReasonCode),
    score=st.floats(0, 1),
    flags=st.builds(Flags, disposable=MAYBE, role=MAYBE, free=MAYBE, catch_all=MAYBE),
    findings=st.just(()),
    normalised=st.none(),
    domain=st.none(),
    policy_version=st.text(max_size=10),
    degraded=st.booleans(),
    checks_skipped=st.lists(st.sampled_from(["mx", "smtp"]), max_size=2).map(tuple),
)
VERIFICATIONS = st.builds(
    Verification,
    stem=st.just(STEM),
    sequence=st.integers(1, 2**53),
    address=st.just("ada@example.org"),
    depth=st.sampled_from(Depth),
    priority=st.sampled_from(Priority),
    subject_id=st.none() | st.text(min_size=1, max_size=128),
    metadata=st.dictionaries(st.text(min_size=1, max_size=40), st.text(max_size=500), max_size=20),
    created_ms=st.just(1_795_341_600_123),
)
TIMES = st.integers(0, 253_402_300_799_999)


@given(VERIFICATIONS, VERDICTS, st.integers(1, 32**3 - 1), TIMES)
def test_events_of_verdicts_are_as_promised(
    verification: Verification, verdict: Verdict, revision: int, at_ms: int
) -> None:
    event = verdict_event(verification, verdict, revision=revision, at_ms=at_ms, checked_ms=at_ms, email_hash="ab" * 32)

    assert faults(json.loads(event.body), schema_for(event.type)) == []
    assert "email" not in json.loads(event.body)["data"]


@given(VERIFICATIONS, VERDICTS)
def test_events_with_the_address_are_as_promised(verification: Verification, verdict: Verdict) -> None:
    event = verdict_event(verification, verdict, revision=1, at_ms=0, checked_ms=0, email_hash="ab" * 32)

    document = json.loads(with_address(event.body, 'a"b@example.org'))

    assert document["data"]["email"] == 'a"b@example.org'
    assert faults(document, schema_for(event.type)) == []


OTHERS = [
    (EventType.SUBSCRIPTION_TEST, {"message": "hello"}),
    (EventType.SUBSCRIPTION_DISABLED, {"reason": DisabledReason.GONE.value, "partner_id": None}),
]


@pytest.mark.parametrize(("kind", "rest"), OTHERS)
def test_events_about_subscriptions_are_as_promised(kind: EventType, rest: dict[str, str | None]) -> None:
    data = {"subscription_id": subscription_id(now_ms=0, random_bits=0, number=1)} | rest

    event = build(STEM, 0, kind, at_ms=0, data=data)

    assert faults(json.loads(event.body), schema_for(kind)) == []


BROKEN = [
    {"type": "verification.updated"},
    {"schema": 2},
    {"id": "evt_1"},
    {"timestamp": "today"},
    {"data": {}},
]


@pytest.mark.parametrize("change", BROKEN, ids=str)
def test_the_schema_would_notice(change: dict[str, Any]) -> None:
    example = contract()["webhooks"]["verification.completed"]["post"]["requestBody"]["content"]["application/json"]

    assert faults(example["example"], schema_for("verification.completed")) == []
    assert faults(example["example"] | change, schema_for("verification.completed")) != []
