from collections.abc import Callable, Iterator

import pytest
from starlette.types import ASGIApp

from tests.gateway.api.caller import Caller, Response
from tests.gateway.api.memory_services import NOW_MS, MemoryStore
from vouchpost_gateway.domain.ids import parse_verification_id
from vouchpost_gateway.domain.world import Mode, Scope, World

PATH = "/v1/verifications"


def refusal(response: Response) -> tuple[int, bytes]:
    return response.status, response.body


def test_every_key_that_is_not_good_gets_the_same_401(caller: Caller, store: MemoryStore) -> None:
    good = caller.key or ""
    _, expired = store.issue_key(Scope.ADMIN, expires_ms=NOW_MS - 1)
    bad_headers = [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": good},
        {"authorization": f"Basic {good}"},
        {"authorization": f"Bearer {good[:-1]}"},
        {"authorization": f"Bearer {good}x"},
        {"authorization": f"Bearer {good[:-1]}{'A' if good[-1] != 'A' else 'B'}"},
        {"authorization": f"Bearer {good.replace('_test_', '_live_')}"},
        {"authorization": f"Bearer {good}\xe9"},
        {"authorization": "Bearer " + "a" * 100_000},
        {"authorization": f"Bearer {expired}"},
    ]
    stranger = Caller(caller.app)

    refusals = {refusal(stranger.get(PATH, headers=headers)) for headers in bad_headers}

    assert len(refusals) == 1
    (status, body) = refusals.pop()
    assert status == 401
    assert b"vp_" not in body


def test_a_401_says_how_to_sign_in(app: ASGIApp) -> None:
    response = Caller(app).get(PATH)

    assert response.headers["www-authenticate"].startswith("Bearer")


def test_a_key_in_the_query_string_is_never_accepted(caller: Caller) -> None:
    stranger = Caller(caller.app)

    for name in ("api_key", "key", "access_token", "authorization"):
        assert refusal(stranger.get(f"{PATH}?{name}={caller.key}")) == refusal(stranger.get(PATH))


def test_two_authorization_headers_are_no_authorization(caller: Caller) -> None:
    again = ("authorization", f"Bearer {caller.key}")

    assert caller.get(PATH, more_headers=[again]).status == 401


def test_the_scheme_is_read_in_any_case(caller: Caller) -> None:
    response = Caller(caller.app).get(PATH, headers={"authorization": f"bearer {caller.key}"})

    assert response.status == 200


def test_a_key_that_is_revoked_before_the_body_has_come_does_nothing(caller: Caller, store: MemoryStore) -> None:
    """A body may take ten seconds."""

    def chunks() -> Iterator[bytes]:
        yield b'{"email":'
        store.keys.clear()
        yield b'"ada@example.org"}'

    response = caller.request("POST", PATH, chunks=chunks())

    assert response.status == 401


SCOPE_NEEDED = [
    ("POST", "/v1/verifications", Scope.VERIFICATIONS_WRITE),
    ("GET", "/v1/verifications", Scope.VERIFICATIONS_READ),
    ("GET", "/v1/verifications/vrf_00000000000000000000000000", Scope.VERIFICATIONS_READ),
    ("DELETE", "/v1/verifications/vrf_00000000000000000000000000", Scope.VERIFICATIONS_WRITE),
    # Two scopes at once: no other one alone will do.
    ("POST", "/v1/verifications/vrf_00000000000000000000000000/recheck", Scope.ADMIN),
    ("POST", "/v1/verifications/vrf_00000000000000000000000000/judge", Scope.ADMIN),
    ("GET", "/v1/policy", Scope.ADMIN),
    ("PUT", "/v1/policy", Scope.ADMIN),
    ("POST", "/v1/subscriptions", Scope.SUBSCRIPTIONS_ALL),
    ("GET", "/v1/subscriptions", Scope.SUBSCRIPTIONS_ALL),
    ("GET", "/v1/subscriptions/sub_00000000000000000000000000", Scope.SUBSCRIPTIONS_ALL),
    ("DELETE", "/v1/subscriptions/sub_00000000000000000000000000", Scope.SUBSCRIPTIONS_ALL),
    ("POST", "/v1/subscriptions/sub_00000000000000000000000000/rotate-secret", Scope.SUBSCRIPTIONS_ALL),
    ("POST", "/v1/subscriptions/sub_00000000000000000000000000/test", Scope.SUBSCRIPTIONS_ALL),
    ("GET", "/v1/subscriptions/sub_00000000000000000000000000/deliveries", Scope.SUBSCRIPTIONS_ALL),
    ("GET", "/v1/deliveries/dlv_00000000000000000000000000", Scope.SUBSCRIPTIONS_ALL),
    ("POST", "/v1/deliveries/dlv_00000000000000000000000000/resend", Scope.SUBSCRIPTIONS_ALL),
    ("GET", "/v1/dead-letters?kind=verification", Scope.VERIFICATIONS_READ),
    ("GET", "/v1/dead-letters?kind=delivery", Scope.SUBSCRIPTIONS_ALL),
    ("GET", "/v1/events/evt_00000000000000000000000000", Scope.VERIFICATIONS_READ),
    ("GET", "/v1/keys/email-hash", Scope.VERIFICATIONS_READ),
    ("GET", "/v1/keys", Scope.ADMIN),
    ("POST", "/v1/keys", Scope.ADMIN),
    ("DELETE", "/v1/keys/vp_test_00000000000000", Scope.ADMIN),
    ("GET", "/v1/partners", Scope.ADMIN),
    ("POST", "/v1/partners", Scope.ADMIN),
    ("DELETE", "/v1/partners/prt_00000000000000000000000000", Scope.ADMIN),
]
BODIES = {"/v1/subscriptions": {"url": "https://example.com/hook"}}


@pytest.mark.parametrize(("method", "path", "needed"), SCOPE_NEEDED)
def test_only_the_needed_scope_or_admin_opens_an_operation(
    caller_with: Callable[..., Caller], method: str, path: str, needed: Scope
) -> None:
    for scope in Scope:
        status = caller_with(scope).request(method, path, BODIES.get(path) if method == "POST" else None).status

        assert (status != 403) == (scope in {needed, Scope.ADMIN}), scope


@pytest.mark.parametrize("action", ["recheck", "judge"])
def test_who_may_not_read_verifications_is_shown_none_by_what_changes_them(
    caller: Caller, caller_with: Callable[..., Caller], store: MemoryStore, world: World, action: str
) -> None:
    """Neither at once, nor as the repeat of what somebody else was shown under the same idempotency key."""
    identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]
    store.give_verdict(world, parse_verification_id(identifier))
    path, key = f"{PATH}/{identifier}/{action}", {"idempotency-key": "again"}
    both = caller_with(Scope.VERIFICATIONS_WRITE, Scope.VERIFICATIONS_READ)

    assert both.post(path, headers=key).status == 202
    for present, missing in [
        (Scope.VERIFICATIONS_WRITE, Scope.VERIFICATIONS_READ),
        (Scope.VERIFICATIONS_READ, Scope.VERIFICATIONS_WRITE),
    ]:
        refused = caller_with(present).post(path, headers=key)
        assert refused.status == 403
        assert missing in refused.json()["detail"]


def test_a_key_without_scopes_may_nothing(caller_with: Callable[..., Caller]) -> None:
    assert caller_with().get(PATH).status == 403


def test_a_partner_key_reaches_no_verification_whatever_scopes_it_claims(caller_with: Callable[..., Caller]) -> None:
    assert caller_with(*Scope, partner_id="prt_1").get(PATH).status == 403


def test_what_is_foreign_is_as_absent_as_what_never_was(caller: Caller, caller_with: Callable[..., Caller]) -> None:
    mine = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]
    never = mine[:-10] + "zzz0000000"
    neighbour = caller_with(Scope.ADMIN, tenant_id="ten_b")
    live = caller_with(Scope.ADMIN, mode=Mode.LIVE)

    for other in (neighbour, live):
        for method, suffix in (
            ("GET", ""),
            ("GET", "?wait=1"),
            ("DELETE", ""),
            ("POST", "/recheck"),
            ("POST", "/judge"),
        ):
            foreign = other.request(method, f"{PATH}/{mine}{suffix}")
            absent = other.request(method, f"{PATH}/{never}{suffix}")
            assert refusal(foreign) == refusal(absent)
            assert foreign.status == 404
    assert caller.get(f"{PATH}/{mine}").status == 200


def test_a_partner_reaches_its_own_subscriptions_and_nothing_else(caller_with: Callable[..., Caller]) -> None:
    partner = caller_with(*Scope, partner_id="prt_1")

    reached = {
        path for method, path, _ in SCOPE_NEEDED if partner.request(method, path, BODIES.get(path)).status != 403
    }

    assert reached == {
        path for _, path, _ in SCOPE_NEEDED if path.startswith(("/v1/subscriptions", "/v1/deliveries", "/v1/events"))
    } | {"/v1/dead-letters?kind=delivery"}


def test_any_good_key_may_read_which_events_there_are(caller_with: Callable[..., Caller]) -> None:
    assert caller_with().get("/v1/event-types").status == 200
    assert caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id="prt_1").get("/v1/event-types").status == 200
