import pytest
import structlog

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore
from vouchpost_gateway.api.problems import KINDS, problem
from vouchpost_gateway.domain import errors
from vouchpost_gateway.domain.errors import Backlogged, LedgerUnavailable, NotReplicated, Overloaded

PATH = "/v1/verifications"


def test_every_problem_has_the_members_of_rfc_9457(caller: Caller) -> None:
    response = caller.post(PATH, {"email": 1})

    document = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert document.keys() == {"type", "title", "status", "detail", "errors"}
    assert document["status"] == response.status == 422
    assert document["errors"] == [{"field": "email", "reason": "must be a string"}]


def test_every_kind_of_problem_has_one_type_and_one_status() -> None:
    meanings = {(kind.slug, kind.status, kind.title) for kind in KINDS.values()}

    assert len({slug for slug, _, _ in meanings}) == len(meanings)


def test_every_error_of_the_domain_has_an_answer_that_is_its_own() -> None:
    """Misconfigured stops a process at its start, so no request ever sees it."""
    named = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)}

    assert named - KINDS.keys() == {errors.Misconfigured}


@pytest.mark.parametrize(
    ("failure", "slug", "retry_after"),
    [
        (LedgerUnavailable("redis://:s3cret@10.0.0.1 refused"), "ledger-unavailable", "2"),
        (NotReplicated("the write has not reached 1 replicas"), "not-replicated", "2"),
        (Overloaded("memory is short", retry_after_s=7), "overloaded", "7"),
        (Backlogged("100000 items wait", retry_after_s=0), "backlogged", "1"),
    ],
    ids=["ledger", "replica", "overloaded", "backlogged"],
)
def test_what_passes_is_a_503_that_says_when_to_come_back(
    caller: Caller, store: MemoryStore, failure: Exception, slug: str, retry_after: str
) -> None:
    store.failure = failure

    response = caller.post(PATH, {"email": "ada@example.org"})

    assert response.status == 503
    assert response.json()["type"].endswith(f":{slug}")
    assert response.headers["retry-after"] == retry_after
    assert b"s3cret" not in response.body


def test_the_unforeseen_is_a_500_without_details_and_one_line_in_the_log(caller: Caller, store: MemoryStore) -> None:
    store.failure = RuntimeError("canary-7f3a@example.com at whsec_CANARY")

    with structlog.testing.capture_logs() as lines:
        response = caller.post(PATH, {"email": "canary-7f3a@example.com"})

    assert response.status == 500
    assert response.json()["detail"] == "The request was not carried out."
    (line,) = lines
    assert (line["event"], line["error"]) == ("api.failed", "RuntimeError")
    assert line["request_id"] == response.headers["x-request-id"]
    assert "memory_services.py" in line["where"]
    assert b"Traceback" not in response.body
    assert "CANARY" not in str(lines).upper()


def test_a_problem_lists_no_more_fields_than_a_reader_can_use(caller: Caller) -> None:
    response = caller.post(PATH, {f"field {n}" * 50: n for n in range(100)})

    shown = response.json()["errors"]
    assert len(shown) == 20
    assert all(len(error["field"]) <= 100 for error in shown)


def test_a_problem_always_says_something() -> None:
    assert b'"detail":"There is more to do than can be done now"' in problem(Overloaded("", retry_after_s=1)).body


def test_an_error_without_an_answer_of_its_own_gets_that_of_its_parent() -> None:
    class FinerConflict(errors.Conflict):
        """Finer."""

    assert problem(FinerConflict("no")).status == 409
