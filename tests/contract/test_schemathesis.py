"""Schemathesis makes requests out of openapi.yaml, good and bad ones, and holds every answer to it."""

import copy
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.contract.contract import contract
from tests.gateway.api.memory_services import NOW_MS, MemoryStore, memory_services
from vouchpost_gateway.api.app import create_app
from vouchpost_gateway.domain.world import Scope

STORE = MemoryStore()
KEY = STORE.issue_key(Scope.ADMIN)[1]

# A public URL, an order of two times, a time to come, scopes that go together, a partner that is there, names in any
# case, a size in all, a name that is a domain in any script.
BEYOND_SCHEMAS = {"url", "until", "expires_at", "scopes", "partner_id", "headers", "metadata", "allow", "deny"}

schema = schemathesis.openapi.from_dict(copy.deepcopy(contract()), config=SchemathesisConfig())
schema.app = create_app(memory_services(STORE), cursor_key=b"k", now_ms=lambda: NOW_MS)


@pytest.mark.timeout(120)
@schema.parametrize()
@settings(
    max_examples=int(os.environ.get("SCHEMATHESIS_EXAMPLES", "10")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_gets_an_answer_that_is_not_promised(case: schemathesis.Case[Any]) -> None:
    """Idempotency keys are forgotten in between: that a key was used before is no fault of a request."""
    for shelf in STORE.shelves.values():
        shelf.idempotency.clear()
        shelf.keyed.clear()
    response = case.call(headers={"Authorization": f"Bearer {KEY}"})
    excluded: list[CheckFunction] = [positive_data_acceptance] if is_beyond_schemas(response) else []
    case.validate_response(response, excluded_checks=excluded)


def is_beyond_schemas(response: schemathesis.Response) -> bool:
    """Whether a refusal is by one of the few rules that JSON Schema cannot say."""
    if response.status_code not in {400, 422}:
        return False
    problem = response.json()
    fields = {error["field"].partition(".")[0] for error in problem.get("errors", [])}
    return problem["type"].endswith(":malformed-cursor") or (fields != set() and fields <= BEYOND_SCHEMAS)
