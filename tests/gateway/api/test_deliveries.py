from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import NOW_MS, MemoryStore
from vouchpost_gateway.domain.delivery import Attempt, DeliveryState, Outcome
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.ids import parse_delivery_id
from vouchpost_gateway.domain.world import Scope, World


@pytest.fixture
def partner(caller_with: Callable[..., Caller]) -> Caller:
    return caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id="prt_1")


@pytest.fixture
def dead(partner: Caller, store: MemoryStore, world: World) -> dict[str, Any]:
    """A delivery of the partner that ended without success."""
    subscription = partner.post("/v1/subscriptions", {"url": "https://example.com/"}).json()
    identifier = partner.post(f"/v1/subscriptions/{subscription['id']}/test").json()["delivery_id"]
    shelf = store.shelf(world)
    ref = parse_delivery_id(identifier)
    attempt = Attempt(1, NOW_MS, 15_000, Outcome.RETRYABLE, error="timed_out")
    shelf.deliveries[ref] = replace(
        shelf.deliveries[ref], state=DeliveryState.DEAD, attempt_count=1, attempts=(attempt,), ended_ms=NOW_MS
    )
    answer: dict[str, Any] = partner.get(f"/v1/deliveries/{identifier}").json()
    return answer


def test_a_delivery_is_shown_with_its_attempts(dead: dict[str, Any]) -> None:
    assert dead["state"] == "dead"
    assert dead["event_type"] == "subscription.test"
    assert dead["subscription_id"].startswith("sub_")
    assert dead["attempts"] == [
        {
            "number": 1,
            "at": "2026-11-22T10:00:00.123Z",
            "duration_ms": 15_000,
            "outcome": "retryable",
            "status_code": None,
            "error": "timed_out",
            "answer_excerpt": "",
        }
    ]


def test_deliveries_are_listed_by_state_and_type_of_event(partner: Caller, dead: dict[str, Any]) -> None:
    path = f"/v1/subscriptions/{dead['subscription_id']}/deliveries"
    queries = ("", "?state=dead", "?event_type=subscription.test", "?state=dead&event_type=subscription.test")

    for query in queries:
        assert [item["id"] for item in partner.get(path + query).json()["items"]] == [dead["id"]]
    for query in ("?state=pending", "?event_type=verification.completed"):
        assert partner.get(path + query).json()["items"] == []
    assert partner.get(f"{path}?event_type=*").status == 422


def test_a_resend_puts_it_back_in_line(partner: Caller, dead: dict[str, Any]) -> None:
    response = partner.post(f"/v1/deliveries/{dead['id']}/resend")

    assert (response.status, response.json()["state"]) == (202, "pending")


def test_a_resend_whose_answer_was_lost_is_not_sent_again_for_its_key(
    partner: Caller, store: MemoryStore, world: World, dead: dict[str, Any]
) -> None:
    path, key = f"/v1/deliveries/{dead['id']}/resend", {"idempotency-key": "once"}
    deliveries, ref = store.shelf(world).deliveries, parse_delivery_id(dead["id"])
    store.resend_failure = LedgerUnavailable("no answer")
    assert partner.post(path, headers=key).status == 503
    store.resend_failure = None
    deliveries[ref] = replace(deliveries[ref], state=DeliveryState.DELIVERED, next_attempt_ms=None)

    again = partner.post(path, headers=key)

    assert (again.status, again.json()["state"]) == (202, "delivered")


def test_the_delivery_of_another_partner_is_not_there(
    caller_with: Callable[..., Caller], caller: Caller, dead: dict[str, Any]
) -> None:
    rival = caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id="prt_2")
    path = f"/v1/deliveries/{dead['id']}"

    assert (rival.get(path).status, rival.post(f"{path}/resend").status) == (404, 404)
    assert caller.get(path).status == 200


def test_text_that_is_no_delivery_id_names_nothing(caller: Caller) -> None:
    for text in ("1", "dlv_", "evt_" + "0" * 26, "dlv_" + "U" * 26):
        assert caller.get(f"/v1/deliveries/{text}").status == 404
