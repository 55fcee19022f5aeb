import pytest
from starlette.types import ASGIApp

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore, memory_services
from vouchpost_gateway.api.app import OPEN_PATHS, ROUTES, create_app

ALL_PATHS = [*ROUTES, *OPEN_PATHS]
METHODS = {path: set(operations) for path, operations in ROUTES.items()} | {path: {"GET"} for path in OPEN_PATHS}
ALLOWED = {path: sorted(methods | ({"HEAD"} if "GET" in methods else set())) for path, methods in METHODS.items()}


NOT_THERE = [
    (method, path)
    for path in ALL_PATHS
    for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "BREW", "get", "CONNECT")
    if method not in ALLOWED[path]
]


@pytest.mark.parametrize(("method", "path"), NOT_THERE)
def test_methods_that_are_not_there_are_405_and_told_which_are(caller: Caller, path: str, method: str) -> None:
    response = caller.request(method, path.replace("{id}", "x"))

    assert response.status == 405
    assert response.headers["allow"] == ", ".join(ALLOWED[path])


@pytest.mark.parametrize("path", [path for path, allowed in ALLOWED.items() if "HEAD" in allowed])
def test_head_is_answered_like_get(caller: Caller, path: str) -> None:
    got, head = (caller.request(method, path.replace("{id}", "x")) for method in ("GET", "HEAD"))

    assert head.status == got.status
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("path", [path for path, allowed in ALLOWED.items() if "HEAD" not in allowed])
def test_there_is_no_head_of_what_cannot_be_read(caller: Caller, path: str) -> None:
    assert caller.request("HEAD", path.replace("{id}", "x")).status == 405


def test_headers_do_not_override_the_method(caller: Caller) -> None:
    headers = {"x-http-method-override": "DELETE", "x-method-override": "DELETE", "x-http-method": "DELETE"}

    assert caller.request("GET", "/v1/verifications", headers=headers).status == 200
    assert caller.request("POST", "/healthz", headers=headers).status == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "//v1/verifications",
        "/v1/verifications/",
        "/v1//verifications",
        "/v1/verifications/../keys",
        "/V1/verifications",
        "/v1/verifications\x00",
        "/healthz/",
        "/metrics",
        "/openapi.yaml",
        "/docs",
    ],
)
def test_what_is_not_there_is_a_404_problem(caller: Caller, path: str) -> None:
    response = caller.get(path)

    assert response.status == 404
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["/v1/verifications", "/nowhere", "/healthz", "/v1/verifications/x"])
def test_every_answer_is_marked_as_private_data(caller: Caller, path: str) -> None:
    response = caller.get(path)

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"].startswith("req_")
    assert int(response.headers["content-length"]) == len(response.body)


def test_every_answer_has_an_id_of_its_own(caller: Caller) -> None:
    ids = {caller.get("/healthz", headers={"x-request-id": "mine"}).headers["x-request-id"] for _ in range(5)}

    assert len(ids) == 5
    assert "mine" not in ids


def test_nothing_in_an_answer_comes_from_the_host_header(caller: Caller) -> None:
    headers = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil.example"}

    response = caller.post("/v1/verifications", {"email": "ada@example.org"}, headers=headers)

    assert "evil" not in str(response)


def test_who_watches_sees_templates_and_no_words_of_a_caller(store: MemoryStore) -> None:
    seen: list[tuple[str, str, int]] = []
    app: ASGIApp = create_app(
        memory_services(store), cursor_key=b"k" * 32, observe=lambda *what: seen.append((what[0], what[1], what[2]))
    )

    Caller(app).get("/v1/verifications/canary")
    Caller(app).request("CANARY", "/healthz")
    Caller(app).get("/canary")

    assert seen == [("/v1/verifications/{id}", "GET", 401), ("/healthz", "other", 405), ("unknown", "GET", 404)]
