import base64
from collections.abc import Callable

import pytest

from tests.gateway.api.caller import Caller, Response
from tests.gateway.api.memory_services import MemoryStore
from vouchpost_gateway.domain.world import Mode, Scope

PATH = "/v1/keys"


def refused_fields(response: Response) -> set[str]:
    assert response.status == 422
    return {error["field"] for error in response.json()["errors"]}


def test_a_new_key_signs_in_and_its_text_is_said_once(caller: Caller) -> None:
    request = {"scopes": ["verifications:read"], "label": "CRM", "expires_at": "2030-01-01T00:00:00Z"}

    response = caller.post(PATH, request)

    answer = response.json()
    assert response.status == 201
    assert answer["key"].startswith(answer["id"] + "_")
    assert (answer["label"], answer["expires_at"]) == ("CRM", "2030-01-01T00:00:00.000Z")
    assert Caller(caller.app, answer["key"]).get("/v1/verifications").status == 200
    assert answer["key"].encode() not in caller.get(PATH).body
    assert answer["id"] in {item["id"] for item in caller.get(PATH).json()["items"]}


def test_a_revoked_key_signs_nobody_in(caller: Caller) -> None:
    answer = caller.post(PATH, {"scopes": ["verifications:read"]}).json()

    assert caller.delete(f"{PATH}/{answer['id']}").status == 204
    assert Caller(caller.app, answer["key"]).get("/v1/verifications").status == 401
    assert caller.delete(f"{PATH}/{answer['id']}").status == 404


def test_a_partner_gets_a_key_of_its_own_kind(caller: Caller) -> None:
    partner = caller.post("/v1/partners", {"name": "Acme"}).json()

    answer = caller.post(PATH, {"scopes": ["subscriptions:own"], "partner_id": partner["id"]}).json()

    assert answer["partner_id"] == partner["id"]
    assert Caller(caller.app, answer["key"]).get("/v1/subscriptions").status == 200


@pytest.mark.parametrize(
    ("request_part", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin", "admin"]}, "scopes"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"scopes": "admin"}, "scopes"),
        ({"scopes": ["subscriptions:own"]}, "scopes"),
        ({"scopes": ["admin"], "partner_id": "prt_00000000000000000000000000"}, "scopes"),
        ({"scopes": ["subscriptions:own"], "partner_id": "acme"}, "partner_id"),
        ({"label": "x" * 101}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"expires_at": "2026-11-22T10:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"tenant_id": "ten_b"}, "tenant_id"),
    ],
    ids=str,
)
def test_a_wrong_field_is_refused_by_name(caller: Caller, request_part: dict[str, object], field: str) -> None:
    assert refused_fields(caller.post(PATH, {"scopes": ["admin"]} | request_part)) == {field}


def test_a_partner_that_is_not_there_gets_no_key(caller: Caller) -> None:
    request = {"scopes": ["subscriptions:own"], "partner_id": "prt_" + "0" * 26}

    assert refused_fields(caller.post(PATH, request)) == {"partner_id"}


def test_keys_of_another_world_are_not_there(caller: Caller, caller_with: Callable[..., Caller]) -> None:
    mine = caller.post(PATH, {"scopes": ["admin"]}).json()["id"]

    for options in ({"tenant_id": "ten_b"}, {"mode": Mode.LIVE}):
        stranger = caller_with(Scope.ADMIN, **options)
        assert mine not in {item["id"] for item in stranger.get(PATH).json()["items"]}
        assert stranger.delete(f"{PATH}/{mine}").status == 404


def test_an_id_of_the_other_mode_is_no_id_of_mine(caller: Caller) -> None:
    mine = caller.post(PATH, {"scopes": ["admin"]}).json()["id"]

    assert caller.delete(f"{PATH}/{mine.replace('_test_', '_live_')}").status == 404
    assert caller.delete(f"{PATH}/{mine}").status == 204


def test_text_that_is_no_key_id_names_nothing(caller: Caller, store: MemoryStore) -> None:
    whole = caller.key or ""

    for text in ("1", "vp_test_", "vp_live_00000000000001", whole, "email-hashes"):
        assert caller.delete(f"{PATH}/{text}").status == 404
    assert len(store.keys) == 1


def test_the_tenant_can_fetch_the_key_behind_email_hash(caller: Caller) -> None:
    answer = caller.get(f"{PATH}/email-hash").json()

    assert answer["algorithm"] == "HMAC-SHA256"
    assert len(base64.b64decode(answer["key"], validate=True)) == 32
