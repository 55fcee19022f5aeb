"""Repeats of a request: the same key and body are answered the same, and done once."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway.api.caller import Caller, Response
from tests.gateway.api.memory_services import MemoryStore
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.ids import parse_verification_id
from vouchpost_gateway.domain.world import Scope, World

SUBSCRIPTIONS = "/v1/subscriptions"
NEW = {"url": "https://example.com/"}
KEY = {"idempotency-key": "order-1"}

Prepare = Callable[[Caller, MemoryStore, World], str]


def subscription(caller: Caller, _store: MemoryStore, _world: World) -> str:
    return str(caller.post(SUBSCRIPTIONS, NEW).json()["id"])


def delivery(caller: Caller, store: MemoryStore, world: World) -> str:
    path = f"{SUBSCRIPTIONS}/{subscription(caller, store, world)}/test"
    return str(caller.post(path).json()["delivery_id"])


def verification(caller: Caller, store: MemoryStore, world: World) -> str:
    identifier = str(caller.post("/v1/verifications", {"email": "ada@example.org"}).json()["id"])
    store.give_verdict(world, parse_verification_id(identifier))
    return identifier


def nothing(_caller: Caller, _store: MemoryStore, _world: World) -> str:
    return ""


@pytest.fixture(
    params=[
        pytest.param((SUBSCRIPTIONS, NEW, nothing), id="subscription"),
        pytest.param((f"{SUBSCRIPTIONS}/{{id}}/rotate-secret", {}, subscription), id="rotation"),
        pytest.param((f"{SUBSCRIPTIONS}/{{id}}/test", {}, subscription), id="test"),
        pytest.param(
            (f"{SUBSCRIPTIONS}/{{id}}/recover", {"since": "2026-11-22T09:00:00Z"}, subscription), id="recovery"
        ),
        pytest.param(("/v1/deliveries/{id}/resend", {}, delivery), id="resend"),
        pytest.param(("/v1/verifications", {"email": "ada@example.org"}, nothing), id="verification"),
        pytest.param(("/v1/verifications/{id}/recheck", {}, verification), id="recheck"),
        pytest.param(("/v1/verifications/{id}/judge", {}, verification), id="judge"),
        pytest.param(("/v1/partners", {"name": "Acme"}, nothing), id="partner"),
    ]
)
def posted(
    request: pytest.FixtureRequest, caller: Caller, store: MemoryStore, world: World
) -> tuple[str, dict[str, Any]]:
    """One POST that takes a key: its path, with what it is about made before, and its body."""
    path, document, prepare = request.param
    return path.replace("{id}", prepare(caller, store, world)), document


def test_a_repeat_is_answered_the_same_byte_for_byte(caller: Caller, posted: tuple[str, dict[str, Any]]) -> None:
    path, document = posted

    first, again = (caller.post(path, document, headers=KEY) for _ in range(2))

    assert first.status in {200, 201, 202}
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers.get("location") == first.headers.get("location")
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_another_body_under_the_same_key_is_refused(caller: Caller, posted: tuple[str, dict[str, Any]]) -> None:
    path, document = posted
    caller.post(path, document, headers=KEY)

    response = caller.request("POST", path, content=b"{ }", headers=KEY)

    assert response.status == 422
    assert problem_of(response) in {"idempotency-conflict", "invalid-fields"}


def test_a_key_that_is_none_is_refused(caller: Caller, posted: tuple[str, dict[str, Any]]) -> None:
    path, document = posted

    for key in ("", "é", "a b", "\x7f", "x" * 256):
        assert caller.post(path, document, headers={"idempotency-key": key}).status == 400
    assert caller.post(path, document, more_headers=[("idempotency-key", "a"), ("idempotency-key", "a")]).status == 400


def problem_of(response: Response) -> str:
    return str(response.json()["type"].rpartition(":")[2])


def test_what_is_repeated_is_made_once(caller: Caller) -> None:
    made = {caller.post(SUBSCRIPTIONS, NEW, headers=KEY).json()["id"] for _ in range(3)}

    assert [item["id"] for item in caller.get(SUBSCRIPTIONS).json()["items"]] == list(made)


def test_without_a_key_each_request_is_another_one(caller: Caller) -> None:
    made = {caller.post(SUBSCRIPTIONS, NEW).json()["id"] for _ in range(2)}

    assert len(made) == 2


def test_a_refusal_leaves_the_key_unused(caller: Caller) -> None:
    refused = caller.post(SUBSCRIPTIONS, {"url": "http://10.0.0.1/"}, headers=KEY)

    assert refused.status == 422
    assert caller.post(SUBSCRIPTIONS, NEW, headers=KEY).status == 201


def test_a_failure_leaves_the_key_to_the_same_request(caller: Caller, store: MemoryStore, world: World) -> None:
    """It may have been done: the same request is carried out again, another one is a mistake."""
    path = f"{SUBSCRIPTIONS}/{subscription(caller, store, world)}/rotate-secret"
    store.rotation_failure = LedgerUnavailable("no answer")
    failed = caller.post(path, headers=KEY)
    store.rotation_failure = None

    other = caller.post(path, {"overlap_s": 1}, headers=KEY)
    again = caller.post(path, headers=KEY)

    assert (failed.status, problem_of(failed)) == (503, "ledger-unavailable")
    assert (other.status, problem_of(other)) == (422, "idempotency-conflict")
    assert (again.status, "idempotency-replayed" in again.headers) == (200, False)


def test_while_the_first_is_under_way_the_second_is_told_to_come_back(caller: Caller, store: MemoryStore) -> None:
    store.is_under_way = True

    response = caller.post(SUBSCRIPTIONS, NEW, headers=KEY)

    assert (response.status, problem_of(response)) == (409, "idempotency-pending")
    assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("action", ["recheck", "judge"])
def test_a_repeat_shows_no_verification_that_was_erased_meanwhile(
    caller: Caller, store: MemoryStore, world: World, action: str
) -> None:
    """Nor does what is kept for repeats hold its address."""
    identifier = verification(caller, store, world)
    path = f"/v1/verifications/{identifier}/{action}"
    assert caller.post(path, headers=KEY).json()["email"] == "ada@example.org"
    assert b"ada@example.org" not in b"".join(answer or b"" for _, answer in store.shelf(world).keyed.values())

    caller.request("DELETE", f"/v1/verifications/{identifier}")

    assert caller.post(path, headers=KEY).status == 404


def test_a_repeat_shows_no_delivery_of_what_was_erased_meanwhile(
    caller: Caller, store: MemoryStore, world: World
) -> None:
    """A subscriber's answer, of which an excerpt is shown, may hold the address."""
    identifier = delivery(caller, store, world)
    path = f"/v1/deliveries/{identifier}/resend"
    assert caller.post(path, headers=KEY).status == 202

    store.shelf(world).deliveries.clear()

    assert caller.post(path, headers=KEY).status == 404


def test_a_repeat_shows_a_verification_as_it_is_by_then(caller: Caller, store: MemoryStore, world: World) -> None:
    identifier = verification(caller, store, world)
    path = f"/v1/verifications/{identifier}/recheck"
    before = caller.post(path, headers=KEY).json()
    store.give_verdict(world, parse_verification_id(identifier))

    again = caller.post(path, headers=KEY)

    assert (again.status, again.json()["revision"]) == (202, before["revision"] + 1)
    assert again.headers["idempotency-replayed"] == "true"


def test_no_partner_is_answered_what_another_one_was(caller_with: Callable[..., Caller]) -> None:
    one, two = (caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id=f"prt_{number}") for number in range(2))

    secrets = [partner.post(SUBSCRIPTIONS, NEW, headers=KEY).json()["secret"] for partner in (one, two)]

    assert secrets[0] != secrets[1]


def test_a_repeat_by_a_key_that_may_not_is_not_answered(caller: Caller, caller_with: Callable[..., Caller]) -> None:
    caller.post(SUBSCRIPTIONS, NEW, headers=KEY)

    response = caller_with(Scope.VERIFICATIONS_WRITE).post(SUBSCRIPTIONS, NEW, headers=KEY)

    assert response.status == 403


def test_a_repeat_of_a_test_is_not_counted_against_its_rate(caller: Caller, store: MemoryStore, world: World) -> None:
    path = f"{SUBSCRIPTIONS}/{subscription(caller, store, world)}/test"

    assert {caller.post(path, headers=KEY).status for _ in range(30)} == {202}


def test_an_api_key_is_made_without_an_idempotency_key_or_not_at_all(caller: Caller) -> None:
    """Its text is stored nowhere, so that the same answer could not be given again."""
    document = {"scopes": ["verifications:read"]}

    response = caller.post("/v1/keys", document, headers=KEY)

    assert (response.status, problem_of(response)) == (400, "idempotency-key-refused")
    assert "stored as a hash only" in response.json()["detail"]
    assert caller.post("/v1/keys", document).status == 201
