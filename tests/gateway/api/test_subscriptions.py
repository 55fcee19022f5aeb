import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.gateway.api.caller import Caller, Response
from tests.gateway.api.memory_services import NOW_MS, MemoryStore
from vouchpost_gateway.domain.ids import parse_subscription_id
from vouchpost_gateway.domain.subscription import DisabledReason
from vouchpost_gateway.domain.world import Mode, Scope, World

PATH = "/v1/subscriptions"
URL = "https://example.com/hook"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SHOWN_FIELDS = {
    "id",
    "url",
    "event_types",
    "description",
    "enabled",
    "disabled_reason",
    "disabled_at",
    "resting_until",
    "partner_id",
    "headers",
    "schedule_s",
    "max_in_flight",
    "include",
    "retiring_secret_until",
    "created_at",
}


@pytest.fixture
def subscription(caller: Caller) -> dict[str, Any]:
    answer: dict[str, Any] = caller.post(PATH, {"url": URL}).json()
    return answer


def refused_fields(response: Response) -> set[str]:
    assert response.status == 422
    return {error["field"] for error in response.json()["errors"]}


def test_a_subscription_is_made_as_asked_for(caller: Caller) -> None:
    request = {
        "url": "https://example.com/hook?a=1",
        "event_types": ["verification.completed"],
        "description": "the CRM",
        "headers": {"X-Team": "growth"},
        "schedule_s": [0, 1.5, 60],
        "max_in_flight": 4,
        "include": ["address"],
        "enabled": False,
        "secret": SECRET,
    }

    response = caller.post(PATH, request)

    assert response.status == 201
    answer = response.json()
    assert answer.items() >= request.items()
    assert response.headers["location"] == f"{PATH}/{answer['id']}"
    assert caller.get(response.headers["location"]).json() == {k: v for k, v in answer.items() if k != "secret"}


def test_until_when_a_subscription_rests_is_shown_wherever_it_is(
    caller: Caller, store: MemoryStore, world: World, subscription: dict[str, Any]
) -> None:
    path = f"{PATH}/{subscription['id']}"
    store.shelf(world).rests[parse_subscription_id(subscription["id"])] = NOW_MS + 60_000

    shown = [
        caller.get(path).json(),
        caller.get(PATH).json()["items"][0],
        caller.patch(path, {"description": "x"}).json(),
        caller.post(f"{path}/rotate-secret").json(),
    ]

    assert subscription["resting_until"] is None
    assert [one["resting_until"] for one in shown] == ["2026-11-22T10:01:00.123Z"] * 4


def test_the_secret_is_said_once_when_it_is_made_and_never_again(caller: Caller) -> None:
    created = caller.post(PATH, {"url": URL}).json()
    path = f"{PATH}/{created['id']}"
    rotated = caller.post(f"{path}/rotate-secret").json()

    later = [caller.get(path), caller.get(PATH), caller.patch(path, {"description": "x"})]

    assert created["secret"].startswith("whsec_")
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != created["secret"]
    for response in later:
        assert b"whsec_" not in response.body
    assert later[0].json().keys() == SHOWN_FIELDS


def test_the_secret_before_goes_on_for_the_overlap(caller: Caller, subscription: dict[str, Any]) -> None:
    response = caller.post(f"{PATH}/{subscription['id']}/rotate-secret", {"overlap_s": 60, "secret": SECRET})

    assert (response.status, response.json()["secret"]) == (200, SECRET)
    assert response.json()["retiring_secret_until"] == "2026-11-22T10:01:00.123Z"


def test_of_several_retiring_secrets_the_last_to_end_is_shown(caller: Caller, subscription: dict[str, Any]) -> None:
    path = f"{PATH}/{subscription['id']}/rotate-secret"
    caller.post(path, {"overlap_s": 3600})

    answer = caller.post(path, {"overlap_s": 60}).json()

    assert answer["retiring_secret_until"] == "2026-11-22T11:00:00.123Z"


def test_a_sixth_secret_within_the_overlap_is_a_conflict(caller: Caller, subscription: dict[str, Any]) -> None:
    path = f"{PATH}/{subscription['id']}/rotate-secret"

    statuses = [caller.post(path).status for _ in range(5)]

    assert statuses == [200, 200, 200, 200, 409]
    assert caller.post(path, {"overlap_s": 0}).status == 200


def test_the_overlap_is_a_day_unless_said_otherwise(caller: Caller, subscription: dict[str, Any]) -> None:
    answer = caller.post(f"{PATH}/{subscription['id']}/rotate-secret").json()

    assert answer["retiring_secret_until"] == "2026-11-23T10:00:00.123Z"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", None),
        ("url", 1),
        ("url", ""),
        ("url", "http://example.com/"),
        ("url", "https://10.0.0.1/"),
        ("url", "https://user:pass@example.com/"),
        ("url", "https://example.com:22/"),
        ("url", "https://example.com\t.evil/"),
        ("url", "ftp://example.com/"),
        ("event_types", "verification.completed"),
        ("event_types", ["verification.completed", "verification.completed"]),
        ("description", "a\x1b[31m"),
        ("description", "x" * 257),
        ("schedule_s", []),
        ("schedule_s", [0] * 21),
        ("max_in_flight", 0),
        ("max_in_flight", 1001),
        ("max_in_flight", True),
        ("include", ["address", "address"]),
        ("enabled", "yes"),
        ("secret", "whsec_c2hvcnQ="),
        ("secret", "a secret"),
        ("tenant_id", "ten_b"),
        ("partner_id", "prt_1"),
        ("id", "sub_1"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_wrong_field_is_refused_by_name(caller: Caller, field: str, value: object) -> None:
    response = caller.post(PATH, {"url": URL, field: value})

    assert refused_fields(response) == {field}
    assert "c2hvcnQ" not in response.body.decode()


@pytest.mark.parametrize(
    ("request_part", "field"),
    [
        ({"event_types": ["nope"]}, "event_types.0"),
        ({"schedule_s": [0, -1]}, "schedule_s.1"),
        ({"schedule_s": [86_401]}, "schedule_s.0"),
        ({"include": ["secret"]}, "include.0"),
        ({"headers": {"X-A": 1}}, "headers.X-A"),
        ({"headers": {"X-A": "b", "Authorization": "x"}}, "headers.Authorization"),
        ({"headers": {"X-A": "b\r\nHost: evil"}}, "headers.X-A"),
    ],
)
def test_a_wrong_item_is_named_with_its_place(caller: Caller, request_part: dict[str, Any], field: str) -> None:
    assert refused_fields(caller.post(PATH, {"url": URL} | request_part)) == {field}


def test_test_mode_may_push_to_this_machine_and_live_mode_may_not(caller_with: Callable[..., Caller]) -> None:
    request = {"url": "http://127.0.0.1:9000/hook"}

    assert caller_with(Scope.ADMIN, mode=Mode.TEST).post(PATH, request).status == 201
    assert refused_fields(caller_with(Scope.ADMIN, mode=Mode.LIVE).post(PATH, request)) == {"url"}


def test_a_patch_changes_what_it_names_and_nothing_else(caller: Caller) -> None:
    before = caller.post(PATH, {"url": URL, "max_in_flight": 4, "schedule_s": [0, 1], "include": ["address"]}).json()
    path = f"{PATH}/{before['id']}"
    del before["secret"]

    after = caller.patch(path, {"url": "https://example.org/", "max_in_flight": None}).json()

    assert after == before | {"url": "https://example.org/", "max_in_flight": None}
    assert caller.get(path).json() == after


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_types", ["verification.updated"]),
        ("description", "new"),
        ("headers", {"X-A": "b"}),
        ("schedule_s", None),
        ("include", []),
    ],
)
def test_every_field_can_be_patched(caller: Caller, field: str, value: object) -> None:
    full = {"url": URL, "schedule_s": [0], "include": ["address"]}
    path = f"{PATH}/{caller.post(PATH, full).json()['id']}"

    assert caller.patch(path, {field: value}).json()[field] == value


@pytest.mark.parametrize("field", ["url", "event_types", "description", "headers", "include", "enabled"])
def test_what_has_no_default_of_the_server_cannot_be_set_to_null(
    caller: Caller, subscription: dict[str, Any], field: str
) -> None:
    assert refused_fields(caller.patch(f"{PATH}/{subscription['id']}", {field: None})) == {field}


@pytest.mark.parametrize("field", ["id", "secret", "created_at", "partner_id", "disabled_reason", "nope"])
def test_a_patch_of_anything_else_is_refused(caller: Caller, subscription: dict[str, Any], field: str) -> None:
    assert refused_fields(caller.patch(f"{PATH}/{subscription['id']}", {field: "x"})) == {field}


def test_the_owner_can_disable_and_enable(caller: Caller, subscription: dict[str, Any]) -> None:
    path = f"{PATH}/{subscription['id']}"

    off = caller.patch(path, {"enabled": False}).json()
    on = caller.patch(path, {"enabled": True}).json()

    assert (off["enabled"], off["disabled_reason"], off["disabled_at"]) == (
        False,
        "by_owner",
        "2026-11-22T10:00:00.123Z",
    )
    assert (on["enabled"], on["disabled_reason"], on["disabled_at"]) == (True, None, None)


def test_disabling_what_is_disabled_already_keeps_the_reason(
    caller: Caller, store: MemoryStore, world: World, subscription: dict[str, Any]
) -> None:
    shelf = store.shelf(world)
    gone = replace(
        shelf.subscriptions[subscription["id"]], enabled=False, disabled_reason=DisabledReason.GONE, disabled_ms=1
    )
    shelf.subscriptions[gone.id] = gone

    assert caller.patch(f"{PATH}/{gone.id}", {"enabled": False}).json()["disabled_reason"] == "gone"


def test_a_change_in_between_does_not_fail_a_patch(
    caller: Caller, store: MemoryStore, subscription: dict[str, Any]
) -> None:
    store.conflicts = 2

    assert caller.patch(f"{PATH}/{subscription['id']}", {"description": "x"}).status == 200


def test_a_patch_that_never_gets_its_turn_is_a_conflict(
    caller: Caller, store: MemoryStore, subscription: dict[str, Any]
) -> None:
    store.conflicts = 10

    assert caller.patch(f"{PATH}/{subscription['id']}", {"description": "x"}).status == 409


def test_a_deleted_subscription_is_gone(caller: Caller, subscription: dict[str, Any]) -> None:
    path = f"{PATH}/{subscription['id']}"

    assert caller.delete(path).status == 204
    assert caller.get(path).status == 404
    assert caller.delete(path).status == 404


def test_a_test_event_is_one_delivery_of_this_subscription(caller: Caller, subscription: dict[str, Any]) -> None:
    path = f"{PATH}/{subscription['id']}"

    response = caller.post(f"{path}/test")

    assert response.status == 202
    (delivery,) = caller.get(f"{path}/deliveries?state=pending").json()["items"]
    assert (delivery["id"], delivery["event_id"]) == (response.json()["delivery_id"], response.json()["event_id"])
    assert delivery["verification_id"] is None
    assert caller.get(f"{path}/deliveries?state=dead").json()["items"] == []


def test_test_events_are_no_tool_to_scan_with(caller: Caller, subscription: dict[str, Any]) -> None:
    statuses = [caller.post(f"{PATH}/{subscription['id']}/test").status for _ in range(11)]

    assert statuses == [202] * 10 + [429]
    assert caller.get(PATH).status == 200


def test_a_recovery_says_what_it_will_do(caller: Caller, subscription: dict[str, Any]) -> None:
    request = {"since": "2026-11-22T11:00:00+01:00", "until": "2026-11-22T10:30:00.5Z"}

    response = caller.post(f"{PATH}/{subscription['id']}/recover", request)

    assert response.status == 202
    assert response.json() == {
        "subscription_id": subscription["id"],
        "since": "2026-11-22T10:00:00.000Z",
        "until": "2026-11-22T10:30:00.500Z",
    }


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        ({}, "since"),
        ({"since": 1_795_341_600}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-11-22"}, "since"),
        ({"since": "2026-11-22T10:00:00"}, "since"),
        ({"since": "2026-02-30T10:00:00Z"}, "since"),
        ({"since": "1969-12-31T23:59:59Z"}, "since"),
        ({"since": "2026-11-22T10:00:00+99:99"}, "since"),
        ({"since": "2026-11-22T10:00:00Z", "until": "9999-12-31T23:59:59-12:00"}, "until"),
        ({"since": "\u0662026-11-22T10:00:00Z"}, "since"),
        ({"since": "2026-11-22T10:00:00Z", "until": "2026-11-22T10:00:00Z"}, "until"),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_a_recovery_needs_a_time_that_is_one(
    caller: Caller, subscription: dict[str, Any], request_body: dict[str, Any], field: str
) -> None:
    assert refused_fields(caller.post(f"{PATH}/{subscription['id']}/recover", request_body)) == {field}


def test_the_last_instant_of_the_calendar_is_a_time_like_any_other(
    caller: Caller, subscription: dict[str, Any]
) -> None:
    request = {"since": "1970-01-01T00:00:00Z", "until": "9999-12-31T23:59:59Z"}

    assert caller.post(f"{PATH}/{subscription['id']}/recover", request).status == 202


def test_a_partner_sees_its_own_and_the_tenant_sees_all(
    caller: Caller, caller_with: Callable[..., Caller], subscription: dict[str, Any]
) -> None:
    partner = caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id="prt_1")
    rival = caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id="prt_2")
    own = partner.post(PATH, {"url": URL}).json()

    assert own["partner_id"] == "prt_1"
    assert [item["id"] for item in partner.get(PATH).json()["items"]] == [own["id"]]
    assert rival.get(PATH).json()["items"] == []
    assert len(caller.get(PATH).json()["items"]) == 2
    for stranger, identifier in ((rival, own["id"]), (partner, subscription["id"])):
        for method, suffix in (
            ("GET", ""),
            ("PATCH", ""),
            ("POST", "/rotate-secret"),
            ("POST", "/test"),
            ("DELETE", ""),
        ):
            document = {"description": "mine"} if method == "PATCH" else None
            assert stranger.request(method, f"{PATH}/{identifier}{suffix}", document).status == 404
        assert stranger.get(f"{PATH}/{identifier}/deliveries").status == 404
    assert caller.get(f"{PATH}/{own['id']}").status == 200
