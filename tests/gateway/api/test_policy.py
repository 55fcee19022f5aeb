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
        ({"statuses": {"no_domain": "valid"}}, "statuses"),
        ({"statuses": {"role_account": "pending"}}, "statuses"),
        ({"statuses": {"degraded": "valid"}}, "statuses"),
        ({"statuses": {"role_account": "good"}}, "statuses.role_account"),
        ({"allow": ["com"]}, "allow"),
        ({"allow": ["a.net"], "deny": ["A.net"]}, "deny"),
        ({"deny": [""]}, "deny.0"),
        ({"version": "x"}, "version"),
    ],
)
def test_what_may_not_be_is_refused_by_its_field(caller: Caller, body: object, field: str) -> None:
    assert refused_fields(caller.request("PUT", PATH, body)) == {field}
    assert caller.get(PATH).json()["version"] == ""
