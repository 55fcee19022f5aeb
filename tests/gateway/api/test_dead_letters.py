from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore
from vouchpost_gateway.api.dead_letters import Kind
from vouchpost_gateway.domain.delivery import DeliveryState
from vouchpost_gateway.domain.ids import parse_delivery_id, parse_verification_id
from vouchpost_gateway.domain.world import Scope, World

PATH = "/v1/dead-letters"


def test_dead_verifications_are_listed(caller: Caller, store: MemoryStore, world: World) -> None:
    dead, _alive = (caller.post("/v1/verifications", {"email": "a@b.org"}).json()["id"] for _ in range(2))
    shelf = store.shelf(world)
    stem = parse_verification_id(dead)
    shelf.verifications[stem] = replace(shelf.verifications[stem], dead=True)

    (item,) = caller.get(f"{PATH}?kind=verification").json()["items"]

    assert (item["id"], item["dead_letter"]) == (dead, True)


def test_a_partner_sees_its_own_dead_deliveries_only(
    caller_with: Callable[..., Caller], store: MemoryStore, world: World
) -> None:
    partners = [caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id=f"prt_{n}") for n in range(2)]
    ids = []
    for partner in partners:
        subscription = partner.post("/v1/subscriptions", {"url": "https://example.com/"}).json()["id"]
        ids.append(partner.post(f"/v1/subscriptions/{subscription}/test").json()["delivery_id"])
        ref = parse_delivery_id(ids[-1])
        shelf = store.shelf(world)
        shelf.deliveries[ref] = replace(shelf.deliveries[ref], state=DeliveryState.DEAD)

    seen = [[item["id"] for item in partner.get(f"{PATH}?kind=delivery").json()["items"]] for partner in partners]

    assert seen == [[ids[0]], [ids[1]]]


def test_which_kind_has_to_be_said(caller: Caller) -> None:
    for query in ("", "?kind=", "?kind=event"):
        response = caller.get(PATH + query)
        assert response.status == 422
        assert response.json()["errors"][0]["field"] == "kind"


def test_a_cursor_of_one_kind_is_none_of_the_other(caller: Caller, store: MemoryStore, world: World) -> None:
    """An empty page would say that there is nothing more."""
    shelf = store.shelf(world)
    subscription = caller.post("/v1/subscriptions", {"url": "https://example.com/"}).json()["id"]
    for _ in range(2):
        caller.post("/v1/verifications", {"email": "a@b.org"})
        caller.post(f"/v1/subscriptions/{subscription}/test")
    shelf.verifications.update({stem: replace(one, dead=True) for stem, one in shelf.verifications.items()})
    shelf.deliveries.update({ref: replace(one, state=DeliveryState.DEAD) for ref, one in shelf.deliveries.items()})

    cursors = {kind: caller.get(f"{PATH}?kind={kind}&limit=1").json()["next_cursor"] for kind in Kind}

    for kind, other in permutations(Kind):
        assert len(caller.get(f"{PATH}?kind={kind}&cursor={cursors[kind]}").json()["items"]) == 1
        refused = caller.get(f"{PATH}?kind={kind}&cursor={cursors[other]}")
        assert refused.status == 400
        assert refused.json()["type"].endswith(":malformed-cursor")
