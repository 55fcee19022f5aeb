from starlette.types import ASGIApp

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore
from vouchpost_gateway.domain.readiness import Readiness


def test_a_process_that_answers_is_alive_whatever_the_ledger_does(app: ASGIApp, store: MemoryStore) -> None:
    store.readiness = Readiness(ready=False, problems=["the ledger does not answer"])

    assert Caller(app).get("/healthz").status == 200


def test_a_process_is_ready_when_nothing_is_wrong(app: ASGIApp) -> None:
    response = Caller(app).get("/readyz")

    assert (response.status, response.json()) == (200, {"status": "ready", "problems": []})


def test_a_process_that_is_not_ready_says_what_is_wrong(app: ASGIApp, store: MemoryStore) -> None:
    store.readiness = Readiness(ready=False, problems=["maxmemory-policy is allkeys-lru, it must be noeviction"])

    response = Caller(app).get("/readyz")

    assert response.status == 503
    assert response.json()["problems"] == ["maxmemory-policy is allkeys-lru, it must be noeviction"]
