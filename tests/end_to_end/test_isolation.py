"""What belongs to another tenant, partner or mode is not there, on any route and by any method, and stays as it was."""

from collections.abc import Callable, Iterator

import pytest

from tests.contract.contract import Promised, promised
from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, eventually
from tests.end_to_end.machine import Machine
from vouchpost_gateway.domain.world import Mode

BODIES: dict[str, object] = {
    "PATCH /v1/subscriptions/{id}": {"description": "taken over", "enabled": False},
    "POST /v1/subscriptions/{id}/recover": {"since": "2026-01-01T00:00:00Z"},
}
NOUNS = ("verifications", "subscriptions", "deliveries", "events", "keys", "partners")
# A partner's key has no business with these, whoever they belong to.
NOT_FOR_PARTNERS = ("/v1/verifications", "/v1/keys", "/v1/partners")


def operations() -> Iterator[Promised]:
    return (operation for operation in promised() if "{id}" in operation.path and operation.path.split("/")[2] in NOUNS)


@pytest.fixture
def things(tenant: Account, consumer: Consumer) -> dict[str, str]:
    """One of each noun, by its id."""
    partner = str(tenant.post("/v1/partners", {"name": "theirs"})["id"])
    key = str(tenant.post("/v1/keys", {"scopes": ["subscriptions:own"], "partner_id": partner})["id"])
    subscription = tenant.subscribe(consumer)
    verification = tenant.submit("isolde@valid.example")
    deliveries = f"/v1/subscriptions/{subscription}/deliveries?state=delivered"
    assert eventually(lambda: tenant.items(deliveries))
    (delivery,) = tenant.items(deliveries)
    ids = (verification, subscription, delivery["id"], delivery["event_id"], key, partner)
    return dict(zip(NOUNS, map(str, ids), strict=True))


def shown(account: Account, things: dict[str, str]) -> list[object]:
    paths = [f"/v1/{noun}/{things[noun]}" for noun in NOUNS[:4]]
    return [account.get(path) for path in paths] + [account.items(f"/v1/{noun}") for noun in NOUNS[4:]]


@pytest.mark.parametrize("who", ["tenant", "mode", "partner"])
def test_what_is_somebody_elses_is_not_there_and_stays_as_it_was(
    machine: Machine, tenant: Account, things: dict[str, str], who: str
) -> None:
    strangers: dict[str, Callable[[], Account]] = {
        "tenant": lambda: machine.account("a stranger"),
        "mode": lambda: machine.account_in(tenant, Mode.LIVE),
        "partner": lambda: tenant.partner("a stranger"),
    }
    stranger, before = strangers[who](), shown(tenant, things)

    for operation in operations():
        path = operation.path.replace("{id}", things[operation.path.split("/")[2]])
        answer = stranger.ask(operation.method, path, json=BODIES.get(operation.name))
        out_of_reach = who == "partner" and path.startswith(NOT_FOR_PARTNERS)
        assert answer.status_code == (403 if out_of_reach else 404), operation.name

    if who != "partner":
        assert [stranger.items(f"/v1/{noun}") for noun in ("verifications", "subscriptions", "partners")] == [[]] * 3
    assert shown(tenant, things) == before
