import pytest

from tests.gateway.api.caller import Caller

PATH = "/v1/partners"


def test_a_partner_is_made_and_listed(caller: Caller) -> None:
    response = caller.post(PATH, {"name": "Acme \N{SNOWMAN}"})

    assert response.status == 201
    assert caller.get(PATH).json()["items"] == [response.json()]


def test_with_a_partner_go_its_keys_and_subscriptions(caller: Caller) -> None:
    partner = caller.post(PATH, {"name": "Acme"}).json()["id"]
    key = caller.post("/v1/keys", {"scopes": ["subscriptions:own"], "partner_id": partner}).json()["key"]
    theirs = Caller(caller.app, key)
    theirs.post("/v1/subscriptions", {"url": "https://example.com/"})

    assert caller.delete(f"{PATH}/{partner}").status == 204
    assert theirs.get("/v1/subscriptions").status == 401
    assert caller.get("/v1/subscriptions").json()["items"] == []
    assert caller.delete(f"{PATH}/{partner}").status == 404


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 1}, {"name": "x" * 101}, {"name": "a\x00b"}], ids=str)
def test_a_partner_has_a_name(caller: Caller, body: dict[str, object]) -> None:
    response = caller.post(PATH, body)

    assert response.status == 422
    assert [error["field"] for error in response.json()["errors"]] == ["name"]
