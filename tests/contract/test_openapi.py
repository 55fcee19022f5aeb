"""openapi.yaml is the truth, and the code keeps to it: in both directions."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from openapi_spec_validator import validate

from tests.contract.contract import Promised, answer_faults, contract, faults, promised, resolved, schema_of
from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore, memory_services
from vouchpost_gateway.api.app import OPEN_PATHS, ROUTES, create_app
from vouchpost_gateway.api.operation import Body, NoFields, Operation
from vouchpost_gateway.api.problems import TYPE_PREFIX
from vouchpost_gateway.api.query import DEFAULT_LIMIT, MAX_LIMIT
from vouchpost_gateway.domain.delivery import DeliveryState, Outcome
from vouchpost_gateway.domain.event import EventType
from vouchpost_gateway.domain.label import MAX_LABEL_CHARACTERS
from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.domain.subscription import DisabledReason
from vouchpost_gateway.domain.tenant_policy import AMENDABLE
from vouchpost_gateway.domain.verification import Depth, Priority, ReasonCode, Status
from vouchpost_gateway.domain.world import Scope

PROMISED = {operation.name: operation for operation in promised()}
CODED: dict[str, Operation] = {
    f"{method} {path}": operation for path, operations in ROUTES.items() for method, operation in operations.items()
}


def test_the_file_is_valid_openapi_3_1() -> None:
    validate(contract())

    assert contract()["openapi"].startswith("3.1.")


def test_every_path_of_the_code_is_promised_and_every_promise_is_kept() -> None:
    assert set(PROMISED) == CODED.keys() | {f"GET {path}" for path in OPEN_PATHS}


@pytest.mark.parametrize("name", CODED)
def test_the_same_parameters_are_read_and_promised(name: str) -> None:
    headers = {"Idempotency-Key"} if CODED[name].keyed else set()

    assert PROMISED[name].parameter_names("query") == CODED[name].query
    assert PROMISED[name].parameter_names("path") == ({"id"} if "{id}" in name else set())
    assert PROMISED[name].parameter_names("header") == headers


def test_every_post_takes_an_idempotency_key_or_says_why_not() -> None:
    unkeyed = {name for name, operation in CODED.items() if name.startswith("POST") and not operation.keyed}

    assert unkeyed == {"POST /v1/keys"}
    assert "`Idempotency-Key` is a 400" in PROMISED["POST /v1/keys"].raw["description"]


@pytest.mark.parametrize("name", [name for name, operation in CODED.items() if operation.keyed])
def test_where_a_key_is_taken_a_repeat_is_told_apart(name: str) -> None:
    success = next(int(status) for status in PROMISED[name].raw["responses"] if status.startswith("2"))

    assert "idempotency-replayed" in PROMISED[name].answer_headers(success)
    assert name == "POST /v1/verifications" or "retry-after" in PROMISED[name].answer_headers(409)


@pytest.mark.parametrize("name", [name for name, operation in CODED.items() if operation.body is not NoFields])
def test_the_same_body_is_read_and_promised(name: str) -> None:
    model, schema = CODED[name].body, PROMISED[name].request_schema
    if model is None:
        assert schema is None
        return
    assert schema is not None
    assert_same_fields(model, resolved(schema))


def assert_same_fields(model: type[Body], schema: dict[str, Any]) -> None:
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    assert model.model_fields.keys() == schema["properties"].keys()
    assert required == set(schema.get("required", ()))
    assert schema["additionalProperties"] is False
    for name, field in model.model_fields.items():
        default = resolved(schema["properties"][name]).get("default", schema["properties"][name].get("default"))
        if default is not None:
            assert field.get_default(call_default_factory=True, validated_data={}) == default


@pytest.mark.parametrize("name", [name for name, operation in CODED.items() if operation.body is NoFields])
def test_an_action_is_promised_to_take_nothing(name: str) -> None:
    schema = PROMISED[name].request_schema

    assert schema is not None
    assert resolved(schema) == {"type": "object", "additionalProperties": False}


@pytest.mark.parametrize("name", CODED)
def test_the_scope_that_is_needed_is_written_down(name: str) -> None:
    """A key of a partner has subscriptions:own; for every other key subscriptions:all takes its place."""
    scope = CODED[name].scope
    text = PROMISED[name].raw.get("description", "")
    if scope is None:
        assert name in {"GET /v1/dead-letters", "GET /v1/event-types", "GET /v1/events/{id}"}
        return
    shown = "subscriptions:all" if scope is Scope.SUBSCRIPTIONS_OWN else scope.value
    assert f"`{shown}`" in text
    assert CODED[name].shows is None or f"`{CODED[name].shows}`" in text


BODY_ANSWERS = {"413", "415"}
EVERY_ANSWER = {"400", "401", "422", "429", "503"}


@pytest.mark.parametrize("name", CODED)
def test_the_refusals_that_any_caller_can_meet_are_promised(name: str) -> None:
    answers = set(PROMISED[name].raw["responses"])

    assert answers >= EVERY_ANSWER
    assert (CODED[name].body is not None) == (answers >= BODY_ANSWERS)
    assert ("{id}" not in name) or "404" in answers
    assert len({answer for answer in answers if answer.startswith("2")}) == 1


@pytest.fixture
def caller() -> Caller:
    store = MemoryStore()
    return Caller(create_app(memory_services(store), cursor_key=b"k"), store.issue_key(Scope.ADMIN)[1])


@pytest.mark.parametrize("email", ["", "   ", "a@", "Ada <ada@example.org>", "x" * 254])
def test_text_that_is_no_address_is_accepted_as_it_is_written_down(caller: Caller, email: str) -> None:
    assert caller.post("/v1/verifications", {"email": email}).status == 202
    assert "Only what is no text, has more than 254 octets" in PROMISED["POST /v1/verifications"].raw["description"]


def test_the_same_body_is_the_same_bytes(caller: Caller) -> None:
    key = {"idempotency-key": "k", "content-type": "application/json"}
    bodies = (b'{"email": "a@b.example", "depth": "domain"}', b'{"depth": "domain", "email": "a@b.example"}')

    first, again = (caller.request("POST", "/v1/verifications", content=body, headers=key) for body in bodies)

    assert (first.status, again.status) == (202, 422)
    assert "The same body is the same bytes" in contract()["components"]["parameters"]["IdempotencyKey"]["description"]


def test_a_method_that_is_not_there_is_answered_as_written_down(caller: Caller) -> None:
    answer = Caller(caller.app).request("PUT", "/v1/keys")
    responses = {"405": {"$ref": "#/components/responses/MethodNotAllowed"}}
    written = Promised("PUT", "/v1/keys", {"responses": responses}, ())

    assert answer_faults(written, status=answer.status, headers=answer.headers, body=answer.body) == []


def test_every_part_that_is_named_is_used() -> None:
    """Or spoken of: no operation is about a method that is not there."""
    kinds, text = ("headers", "parameters", "responses", "schemas"), json.dumps(contract())

    named = {f"{kind}/{name}" for kind in kinds for name in contract()["components"][kind]}

    assert {name for name in named if f'"#/components/{name}"' not in text} == {"responses/MethodNotAllowed"}
    assert "`components.responses.MethodNotAllowed`" in contract()["info"]["description"]


WORDS: dict[str, type[StrEnum]] = {
    "Status": Status,
    "Depth": Depth,
    "Priority": Priority,
    "ReasonCode": ReasonCode,
    "EventType": EventType,
    "DisabledReason": DisabledReason,
    "DeliveryState": DeliveryState,
    "Outcome": Outcome,
    "Scope": Scope,
}


@pytest.mark.parametrize("name", WORDS)
def test_closed_lists_have_the_same_words(name: str) -> None:
    assert schema_of(name)["enum"] == list(WORDS[name])


def test_a_final_status_is_any_but_pending() -> None:
    assert schema_of("FinalStatus")["enum"] == [status for status in Status if status is not Status.PENDING]


def test_a_tenant_may_call_a_finding_what_is_written_down_and_nothing_else() -> None:
    promised_words = {name: set(value["enum"]) for name, value in schema_of("Statuses")["properties"].items()}

    assert promised_words == {name: set(statuses) for name, statuses in AMENDABLE.items()}
    assert schema_of("Statuses")["additionalProperties"] is False


def test_reasons_of_failed_attempts_have_the_same_words() -> None:
    error = schema_of("Attempt")["properties"]["error"]

    assert set(error["anyOf"][0]["enum"]) == set(Failure)


def test_limits_have_the_same_numbers() -> None:
    limit = contract()["components"]["parameters"]["Limit"]["schema"]

    assert (limit["default"], limit["maximum"]) == (DEFAULT_LIMIT, MAX_LIMIT)
    assert schema_of("NewPartner")["properties"]["name"]["maxLength"] == MAX_LABEL_CHARACTERS


def test_the_type_of_a_problem_is_promised() -> None:
    assert schema_of("Problem")["properties"]["type"]["pattern"] == f"^{TYPE_PREFIX}[a-z-]+$"


def examples() -> Iterator[tuple[str, object, dict[str, Any]]]:
    """Every example of a request, an answer and a webhook, with the schema it stands under."""
    operations = [*PROMISED.values(), *webhooks()]
    for operation in operations:
        for media in media_types(operation):
            shown = [media["example"]] if "example" in media else []
            shown += [example["value"] for example in media.get("examples", {}).values()]
            for number, value in enumerate(shown):
                yield f"{operation.name} {number}", value, media["schema"]


def webhooks() -> Iterator[Promised]:
    for name, item in contract()["webhooks"].items():
        yield Promised("POST", name, item["post"], ())


def media_types(operation: Promised) -> Iterator[dict[str, Any]]:
    places = [resolved(operation.raw.get("requestBody", {}))]
    places += [resolved(answer) for answer in operation.raw["responses"].values()]
    for place in places:
        yield from place.get("content", {}).values()


@pytest.mark.parametrize(
    ("value", "schema"), [(value, schema) for _, value, schema in examples()], ids=[name for name, _, _ in examples()]
)
def test_examples_are_what_they_are_examples_of(value: object, schema: dict[str, Any]) -> None:
    assert faults(value, schema) == []
