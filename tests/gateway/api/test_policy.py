"""/v1/policy: read, replaced as a whole, and refused where it would make an answer of not knowing."""

import pytest

from tests.gateway.api.caller import Caller, Response

PATH = "/v1/policy"


def refused_fields(response: Response) -> set[str]:
    assert response.status == 422
    return {error["field"] for error in response.json()["errors"]}


def test_a_policy_is_what_was_put_last(caller: Caller) -> None:
    first = {"statuses": {"role_account": "valid"}, "allow": ["Partner.Example"], "deny": ["bücher.example"]}

    put = caller.request("PUT", PATH, first).json()
    shown = caller.get(PATH).json()
    emptied = caller.request("PUT", PATH, {}).json()

    assert put == shown
    assert shown["allow"] == ["partner.example"]
    assert shown["deny"] == ["xn--bcher-kva.example"]
    assert shown["version"] != emptied["version"] == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"statuses": {"no_domain": "valid"}}, "statuses.no_domain"),
        ({"statuses": {"role_account": "pending"}}, "statuses.role_account"),
        ({"statuses": {"degraded": "valid"}}, "statuses.degraded"),
        ({"statuses": {"role_account": "good"}}, "statuses.role_account"),
        ({"allow": ["a.net", "b.net", "com"]}, "allow.2"),
        ({"allow": ["a.net"], "deny": ["b.net", "A.net"]}, "deny.1"),
        ({"deny": [""]}, "deny.0"),
        ({"versions": "x"}, "versions"),
    ],
)
def test_what_may_not_be_is_refused_by_its_field(caller: Caller, body: object, field: str) -> None:
    assert refused_fields(caller.request("PUT", PATH, body)) == {field}
    assert caller.get(PATH).json()["version"] == ""


def test_what_is_shown_can_be_put(caller: Caller) -> None:
    shown = caller.request("PUT", PATH, {"statuses": {"gibberish": "valid"}, "deny": ["b.net", "a.net"]}).json()

    again = caller.request("PUT", PATH, shown)
    changed = caller.request("PUT", PATH, shown | {"deny": []})

    assert (again.status, again.json()) == (200, shown)
    assert changed.json()["version"] not in {"", shown["version"]}


def test_no_finding_is_told_that_it_may_be_called_what_is_refused(caller: Caller) -> None:
    refused = caller.request("PUT", PATH, {"statuses": {"role_account": None}}).json()

    assert refused["errors"] == [
        {"field": "statuses.role_account", "reason": "must be 'valid', 'risky', 'invalid' or 'unknown'"}
    ]
