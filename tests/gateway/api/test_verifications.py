import asyncio
import time
from collections.abc import Callable

import pytest

from tests.gateway.api.caller import Caller, Response
from tests.gateway.api.memory_services import NOW_MS, MemoryStore, memory_services
from vouchpost_gateway.api.app import create_app
from vouchpost_gateway.domain.ids import parse_verification_id
from vouchpost_gateway.domain.world import Scope, World

PATH = "/v1/verifications"


def refused_fields(response: Response) -> set[str]:
    assert response.status == 422
    assert response.headers["content-type"] == "application/problem+json"
    return {error["field"] for error in response.json()["errors"]}


def test_a_202_shows_the_request_and_its_place_in_line(caller: Caller) -> None:
    request = {
        "email": "Ada@Example.org",
        "depth": "syntax",
        "priority": "high",
        "subject_id": "user_42",
        "metadata": {"plan": "gold"},
    }

    response = caller.post(PATH, request)

    assert response.status == 202
    answer = response.json()
    assert answer.items() >= request.items()
    assert (answer["status"], answer["revision"], answer["verdict"]) == ("pending", 0, None)
    assert answer["sequence"] > 1_795_341_600_000_000
    assert answer["created_at"] == "2026-11-22T10:00:00.123Z"
    assert response.headers["location"] == f"{PATH}/{answer['id']}"


def test_what_was_accepted_can_be_read(caller: Caller) -> None:
    accepted = caller.post(PATH, {"email": "ada@example.org"})

    assert caller.get(accepted.headers["location"]).json() == accepted.json()


def test_the_same_idempotency_key_and_body_get_the_same_answer_byte_for_byte(
    caller: Caller, store: MemoryStore, world: World
) -> None:
    headers = {"idempotency-key": "order-1"}
    request = {"email": "ada@example.org", "metadata": {"b": "1", "a": "\N{SNOWMAN}"}}
    first = caller.post(PATH, request, headers=headers)
    store.give_verdict(world, parse_verification_id(first.json()["id"]))

    again = caller.post(PATH, request, headers=headers)

    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


def test_the_same_idempotency_key_with_another_body_is_refused(caller: Caller) -> None:
    headers = {"idempotency-key": "order-1"}
    caller.post(PATH, {"email": "ada@example.org"}, headers=headers)

    response = caller.post(PATH, {"email": "bob@example.org"}, headers=headers)

    assert response.status == 422
    assert response.json()["type"].endswith(":idempotency-conflict")


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a" * 256, "\x00", "a\tb", "caf\xe9", "\x7f"], ids=lambda key: repr(key)[:12]
)
def test_an_idempotency_key_is_visible_ascii_of_bounded_length(caller: Caller, key: str) -> None:
    response = caller.post(PATH, {"email": "ada@example.org"}, headers={"idempotency-key": key})

    assert response.status == 400
    assert "Idempotency-Key" in response.json()["detail"]


def test_an_idempotency_key_may_be_as_long_as_255(caller: Caller) -> None:
    assert caller.post(PATH, {"email": "ada@example.org"}, headers={"idempotency-key": "~" * 255}).status == 202


UNPARSEABLE = {
    "CR LF and a command": "a@b.com\r\nRCPT TO:<x@y>",
    "CR LF in a quoted local part": '"a\r\nDATA"@ex.com',
    "a newline at the end": "a@ex.com\n",
    "NUL": "a\x00@ex.com",
    "a tab": "a\t@ex.com",
    "DEL": "a\x7f@ex.com",
    "a C1 control": "a\x85@ex.com",
    "a line separator": "a\u2028@ex.com",
    "a paragraph separator": "a\u2029@ex.com",
    "255 octets": "a" * 243 + "@example.org",
    "255 octets in fewer characters": "\xe9" * 121 + "a@example.org",
    "100 kB, nearly": "a" * 60_000,
    "null": None,
    "a number": 42,
    "a list": ["a@b.com"],
    "an object": {"a": "b"},
    "true": True,
}


@pytest.mark.parametrize("email", UNPARSEABLE.values(), ids=UNPARSEABLE)
def test_what_no_mail_system_could_parse_is_refused_and_names_email(caller: Caller, email: object) -> None:
    assert refused_fields(caller.post(PATH, {"email": email})) == {"email"}


PARSEABLE = [
    "",
    "no at sign",
    "a@b@c",
    "a@[127.0.0.1]",
    "a@localhost",
    "a" * 242 + "@example.org",
    "'; DROP--@x",
    "<script>@x.com",
    "\u202eada@example.org",
    "\u0430pple@xn--80ak6aa92e.com",
]


@pytest.mark.parametrize("email", PARSEABLE, ids=lambda email: ascii(email)[:20])
def test_a_bad_address_is_a_verdict_and_no_refusal(caller: Caller, email: str) -> None:
    response = caller.post(PATH, {"email": email})

    assert response.status == 202
    assert response.json()["email"] == email


@pytest.mark.parametrize("name", ["status", "tenant_id", "id", "callback_secret", "Email", "__proto__"])
def test_a_field_that_is_not_asked_for_is_refused_by_name(caller: Caller, name: str) -> None:
    assert refused_fields(caller.post(PATH, {"email": "a@b.com", name: "x"})) == {name}


WRONG = {
    "depth": "deep",
    "priority": 1,
    "subject_id": "",
    "metadata": ["a"],
}


@pytest.mark.parametrize(("name", "value"), WRONG.items(), ids=WRONG)
def test_a_wrong_value_is_refused_by_name(caller: Caller, name: str, value: object) -> None:
    assert refused_fields(caller.post(PATH, {"email": "a@b.com", name: value})) == {name}


def test_every_wrong_field_is_named_at_once(caller: Caller) -> None:
    response = caller.post(PATH, {"depth": 1, "subject_id": "x" * 129, "nope": 1})

    assert refused_fields(response) == {"email", "depth", "subject_id", "nope"}


@pytest.mark.parametrize(
    ("metadata", "field"),
    [
        ({str(n): "x" for n in range(21)}, "metadata"),
        ({"k" * 41: "x"}, "metadata." + "k" * 41),
        ({"": "x"}, "metadata."),
        ({"k": "x" * 501}, "metadata.k"),
        ({"k": 1}, "metadata.k"),
        ({"k": None}, "metadata.k"),
        ({"k": {"deep": "x"}}, "metadata.k"),
        ({str(n): "\N{SNOWMAN}" * 500 for n in range(20)}, "metadata"),
    ],
    ids=["21 keys", "a long key", "no key", "a long value", "a number", "null", "an object", "too much in all"],
)
def test_metadata_is_few_short_strings(caller: Caller, metadata: object, field: str) -> None:
    assert refused_fields(caller.post(PATH, {"email": "a@b.com", "metadata": metadata})) == {field}


def test_metadata_may_be_full(caller: Caller) -> None:
    metadata = {f"{n:040d}": "x" * 500 for n in range(20)}

    assert caller.post(PATH, {"email": "a@b.com", "metadata": metadata}).status == 202


def test_a_list_goes_on_where_its_cursor_says(caller: Caller) -> None:
    ids = [caller.post(PATH, {"email": f"{n}@example.org"}).json()["id"] for n in range(5)]

    first = caller.get(f"{PATH}?limit=3").json()
    second = caller.get(f"{PATH}?limit=3&cursor={first['next_cursor']}").json()

    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_a_list_shows_only_what_is_asked_for(caller: Caller, store: MemoryStore, world: World) -> None:
    verified = caller.post(PATH, {"email": "ada@example.org", "subject_id": "u 1"}).json()["id"]
    caller.post(PATH, {"email": "bob@example.org"})
    store.give_verdict(world, parse_verification_id(verified))

    for query in ("status=valid", "subject_id=u%201", "status=valid&subject_id=u+1"):
        assert [item["id"] for item in caller.get(f"{PATH}?{query}").json()["items"]] == [verified]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1e1", "limit"),
        ("limit=-1", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1&limit=2", "limit"),
        ("status=good", "status"),
        ("subject_id=", "subject_id"),
        ("subject_id=a%00", "subject_id"),
        ("nope=1", "nope"),
        ("wait=1", "wait"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(caller: Caller, query: str, field: str) -> None:
    assert refused_fields(caller.get(f"{PATH}?{query}")) == {field}


def test_a_verdict_is_shown_with_its_evidence(caller: Caller, store: MemoryStore, world: World) -> None:
    identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]
    store.give_verdict(world, parse_verification_id(identifier))

    answer = caller.get(f"{PATH}/{identifier}").json()

    assert (answer["status"], answer["revision"]) == ("valid", 1)
    assert answer["verdict"]["reason_code"] == "domain_accepts_mail"
    flags = {"disposable": False, "role": False, "free": True, "catch_all": None, "alias_relay": None}
    assert answer["verdict"]["flags"] == flags
    assert answer["check_runs"][0]["findings"] == [{"check": "mx", "code": "mx_found", "facts": {"hosts": 2}}]


def test_a_recheck_is_accepted_and_a_second_opinion_too_early_is_a_conflict(
    caller: Caller, store: MemoryStore, world: World
) -> None:
    identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

    too_early = caller.post(f"{PATH}/{identifier}/recheck")
    store.give_verdict(world, parse_verification_id(identifier))
    in_time = caller.post(f"{PATH}/{identifier}/recheck", {})

    assert (too_early.status, in_time.status) == (409, 202)


def test_an_action_takes_no_fields(caller: Caller) -> None:
    identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

    assert refused_fields(caller.post(f"{PATH}/{identifier}/recheck", {"force": True})) == {"force"}


def test_what_is_erased_is_gone(caller: Caller) -> None:
    identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

    erased = caller.delete(f"{PATH}/{identifier}")

    assert (erased.status, erased.body) == (204, b"")
    assert "content-length" not in erased.headers
    assert caller.get(f"{PATH}/{identifier}").status == 404


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "vrf_",
        "vrf_" + "0" * 25,
        "vrf_" + "0" * 27,
        "evt_" + "0" * 26,
        "vrf_" + "u" * 26,
        "vrf_" + "z" * 26,
        "\u0660",
    ],
)
def test_text_that_is_no_id_names_nothing(caller: Caller, text: str) -> None:
    assert caller.get(f"{PATH}/{text}").status == 404


class TestWaiting:
    def test_the_answer_comes_with_the_verdict(self, caller: Caller, store: MemoryStore, world: World) -> None:
        identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

        async def main() -> Response:
            waiting = asyncio.create_task(caller.request_async("GET", f"{PATH}/{identifier}?wait=30"))
            await store.waiter_came.wait()
            store.give_verdict(world, parse_verification_id(identifier))
            return await asyncio.wait_for(waiting, 5)

        assert asyncio.run(main()).json()["status"] == "valid"

    def test_the_answer_comes_as_it_is_when_the_wait_is_over(self, caller: Caller) -> None:
        identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

        assert caller.get(f"{PATH}/{identifier}?wait=1").json()["status"] == "pending"

    def test_nobody_waits_for_a_client_that_left(self, caller: Caller, store: MemoryStore) -> None:
        identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

        async def main() -> None:
            gone = asyncio.Event()
            waiting = asyncio.create_task(caller.request_async("GET", f"{PATH}/{identifier}?wait=30", gone=gone))
            await store.waiter_came.wait()
            gone.set()
            with pytest.raises(ConnectionAbortedError):
                await asyncio.wait_for(waiting, 5)

        asyncio.run(main())
        assert store.waiters == 0

    def test_one_waiter_too_many_is_told_to_come_back(self, caller: Caller, store: MemoryStore) -> None:
        identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]
        store.max_waiters = 0

        response = caller.get(f"{PATH}/{identifier}?wait=30")

        assert (response.status, response.headers["retry-after"]) == (503, "1")

    def test_an_operators_shorter_limit_ends_the_wait_sooner_and_refuses_nobody(self, store: MemoryStore) -> None:
        app = create_app(memory_services(store), cursor_key=b"for tests only", now_ms=lambda: NOW_MS, wait_max_s=1)
        caller = Caller(app, store.issue_key(Scope.ADMIN)[1])
        identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]
        started = time.monotonic()

        answer = caller.get(f"{PATH}/{identifier}?wait=30")

        assert (answer.status, answer.json()["status"]) == (200, "pending")
        assert time.monotonic() - started < 10

    @pytest.mark.parametrize("wait", ["31", "-1", "1.5", "", "NaN", "%2030"])
    def test_nobody_waits_longer_than_30_seconds(self, caller: Caller, wait: str) -> None:
        identifier = caller.post(PATH, {"email": "ada@example.org"}).json()["id"]

        assert refused_fields(caller.get(f"{PATH}/{identifier}?wait={wait}")) == {"wait"}


def test_two_tenants_may_use_the_same_idempotency_key(caller: Caller, caller_with: Callable[..., Caller]) -> None:
    neighbour = caller_with(Scope.ADMIN, tenant_id="ten_b")
    headers = {"idempotency-key": "order-1"}

    first = caller.post(PATH, {"email": "ada@example.org"}, headers=headers)
    other = neighbour.post(PATH, {"email": "bob@example.org"}, headers=headers)

    assert (first.status, other.status) == (202, 202)
