"""Answers of every kind, from first submission to dead letter, are what openapi.yaml promises."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from tests.contract.contract import Promised, answer_faults, promised
from tests.gateway.api.caller import Caller, Response
from tests.gateway.api.memory_services import NOW_MS, MemoryStore, memory_services
from vouchpost_gateway.api.app import create_app
from vouchpost_gateway.domain.delivery import Attempt, DeliveryState, Outcome
from vouchpost_gateway.domain.errors import Backlogged, LedgerUnavailable
from vouchpost_gateway.domain.ids import parse_delivery_id, parse_verification_id
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.domain.world import Mode, Scope, World

WORLD = World("ten_a", Mode.TEST, 0)


@dataclass
class Tour:
    """Calls operations by name, holds every answer to its promise, and remembers what was seen."""

    store: MemoryStore = field(default_factory=MemoryStore)
    seen: set[tuple[str, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        app = create_app(memory_services(self.store), cursor_key=b"k", now_ms=lambda: NOW_MS)
        self.admin = Caller(app, self.store.issue_key(Scope.ADMIN)[1])
        self.nobody = Caller(app)

    def call(self, name: str, identifier: str = "", document: object = None, **options: str) -> Response:
        method, path = name.split()
        caller = self.nobody if options.get("by") == "nobody" else self.admin
        target = path.replace("{id}", identifier) + options.get("query", "")
        response = caller.request(method, target, document)
        hold(PROMISED[name], response)
        self.seen.add((name, response.status))
        return response


PROMISED = {operation.name: operation for operation in promised()}


def hold(operation: Promised, response: Response) -> None:
    """The answer has the type, the headers and the shape that is promised for its status."""
    found = answer_faults(operation, status=response.status, headers=response.headers, body=response.body)
    assert found == []


@pytest.fixture(scope="module")
def tour() -> Tour:
    taken = Tour()
    take(taken)
    return taken


def take(tour: Tour) -> None:
    verify(tour)
    subscribe(tour)
    deliver(tour)
    manage(tour)
    refuse(tour)
    fail(tour)


def verify(tour: Tour) -> None:
    full = {
        "email": "ada@example.org",
        "subject_id": "u",
        "metadata": {"a": "b"},
        "depth": "mailbox",
        "priority": "low",
        "time_budget_s": 30,
    }
    identifier = tour.call("POST /v1/verifications", document=full).json()["id"]
    tour.call("POST /v1/verifications", document={"email": "b@example.org"})
    tour.call("POST /v1/verifications/{id}/recheck", identifier)
    tour.call("POST /v1/verifications/{id}/judge", identifier)
    stem = parse_verification_id(identifier)
    tour.store.give_verdict(WORLD, stem)
    tour.call("GET /v1/verifications/{id}", identifier, query="?wait=1")
    tour.call("GET /v1/verifications", query="?limit=1")
    tour.call("POST /v1/verifications/{id}/recheck", identifier)
    tour.call("POST /v1/verifications/{id}/judge", identifier)
    event = next(iter(tour.store.shelf(WORLD).events.values()))
    tour.call("GET /v1/events/{id}", event.id)
    tour.call("GET /v1/event-types")
    shelf = tour.store.shelf(WORLD)
    shelf.verifications[stem] = replace(shelf.verifications[stem], dead=True)
    tour.call("GET /v1/dead-letters", query="?kind=verification")
    tour.call("DELETE /v1/verifications/{id}", identifier)


def subscribe(tour: Tour) -> None:
    full = {"url": "https://example.org/", "schedule_s": [0, 1.5], "headers": {"X-A": "b"}, "include": ["address"]}
    identifier = tour.call("POST /v1/subscriptions", document=full).json()["id"]
    tour.call("GET /v1/subscriptions")
    tour.call("GET /v1/subscriptions/{id}", identifier)
    tour.call("PATCH /v1/subscriptions/{id}", identifier, {"enabled": False})
    tour.call("POST /v1/subscriptions/{id}/rotate-secret", identifier)
    tour.call("GET /v1/subscriptions/{id}", identifier)
    tour.call("POST /v1/subscriptions/{id}/recover", identifier, {"since": "2026-11-22T10:00:00Z"})
    tour.store.conflicts = 3
    tour.call("PATCH /v1/subscriptions/{id}", identifier, {"enabled": True})
    tour.call("DELETE /v1/subscriptions/{id}", identifier)


def deliver(tour: Tour) -> None:
    subscription = tour.call("POST /v1/subscriptions", document={"url": "https://example.org/"}).json()["id"]
    identifier = tour.call("POST /v1/subscriptions/{id}/test", subscription).json()["delivery_id"]
    shelf, ref = tour.store.shelf(WORLD), parse_delivery_id(identifier)
    attempts = (
        Attempt(1, NOW_MS, 42, Outcome.RETRYABLE, status_code=503, excerpt="later"),
        Attempt(2, NOW_MS, 15_000, Outcome.RETRYABLE, error="timed_out"),
    )
    shelf.deliveries[ref] = replace(
        shelf.deliveries[ref], state=DeliveryState.DEAD, attempt_count=2, attempts=attempts, ended_ms=NOW_MS
    )
    tour.call("GET /v1/deliveries/{id}", identifier)
    tour.call("GET /v1/subscriptions/{id}/deliveries", subscription)
    tour.call("GET /v1/dead-letters", query="?kind=delivery")
    tour.call("POST /v1/deliveries/{id}/resend", identifier)


def manage(tour: Tour) -> None:
    partner = tour.call("POST /v1/partners", document={"name": "Acme"}).json()["id"]
    request = {"scopes": ["subscriptions:own"], "partner_id": partner, "expires_at": "2030-01-01T00:00:00Z"}
    key = tour.call("POST /v1/keys", document=request).json()["id"]
    tour.call("GET /v1/keys", query="?limit=1")
    tour.call("GET /v1/partners")
    tour.call("GET /v1/keys/email-hash")
    tour.call("PUT /v1/policy", document={"statuses": {"role_account": "valid"}, "deny": ["b.example"]})
    tour.call("GET /v1/policy")
    tour.call("DELETE /v1/keys/{id}", key)
    tour.call("DELETE /v1/partners/{id}", partner)
    tour.call("GET /healthz")
    tour.call("GET /readyz")


def refuse(tour: Tour) -> None:
    for name in PROMISED:
        if "/v1/" in name:
            tour.call(name, "nothing", by="nobody")
            tour.call(name, "nothing", query="?nope=1")
        if "{id}" in name and not name.startswith(("PATCH", "POST")):
            tour.call(name, "nothing")
    tour.call("GET /v1/verifications", query="?cursor=x")
    tour.call("POST /v1/verifications", document=[])
    tour.call("PUT /v1/policy", document={"statuses": {"no_domain": "valid"}})
    tour.call("PUT /v1/policy", document={"allow": ["com"]})
    tour.call("POST /v1/verifications", document={"email": 1, "nope": 2})
    tour.call("POST /v1/verifications", document={"email": "a" * 70_000})


def fail(tour: Tour) -> None:
    for failure in (LedgerUnavailable(), Backlogged("full", retry_after_s=3)):
        tour.store.failure = failure
        for name in PROMISED:
            if "/v1/" in name:
                tour.call(name, "nothing")
    tour.store.readiness = Readiness(ready=False, problems=["appendonly is no"])
    tour.call("GET /readyz")


def successes() -> Iterator[tuple[str, int]]:
    for name, operation in PROMISED.items():
        yield from ((name, int(status)) for status in operation.raw["responses"] if status.startswith("2"))


def test_every_success_that_is_promised_was_seen_and_held(tour: Tour) -> None:
    assert set(successes()) <= tour.seen


def test_refusals_and_failures_were_seen_and_held(tour: Tour) -> None:
    assert {status for _, status in tour.seen} >= {400, 401, 404, 409, 413, 422, 503}
    assert {name for name, status in tour.seen if status == 503} == set(PROMISED) - {"GET /healthz"}


def test_a_broken_promise_would_be_noticed(tour: Tour) -> None:
    response = tour.admin.get("/v1/partners")
    broken = Response(200, response.headers, b'{"items":[{"id":"prt_1"}],"next_cursor":null}')

    with pytest.raises(AssertionError):
        hold(PROMISED["GET /v1/partners"], broken)
