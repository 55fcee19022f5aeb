from collections.abc import Callable

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import MemoryStore
from vouchpost_gateway.api.events import DESCRIPTIONS
from vouchpost_gateway.domain.event import EventType
from vouchpost_gateway.domain.ids import EventRef, parse_verification_id
from vouchpost_gateway.domain.world import Scope, World


def test_an_event_is_answered_as_the_exact_stored_bytes(caller: Caller, store: MemoryStore, world: World) -> None:
    stem = parse_verification_id(caller.post("/v1/verifications", {"email": "ada@example.org"}).json()["id"])
    store.give_verdict(world, stem)
    ref = EventRef(stem, 1)

    response = caller.get(f"/v1/events/{ref.id}")

    assert response.status == 200
    assert response.body == store.shelf(world).events[ref].body
    assert response.headers["content-type"] == "application/json"


def test_a_partner_reads_the_events_that_were_sent_to_it(
    caller: Caller, caller_with: Callable[..., Caller], store: MemoryStore, world: World
) -> None:
    partner, rival = (caller_with(Scope.SUBSCRIPTIONS_OWN, partner_id=name) for name in ("prt_1", "prt_2"))
    subscription = partner.post("/v1/subscriptions", {"url": "https://example.com/"}).json()["id"]
    sent = partner.post(f"/v1/subscriptions/{subscription}/test").json()["event_id"]
    stem = parse_verification_id(caller.post("/v1/verifications", {"email": "ada@example.org"}).json()["id"])
    store.give_verdict(world, stem)

    assert partner.get(f"/v1/events/{sent}").json()["type"] == "subscription.test"
    assert partner.get(f"/v1/events/{EventRef(stem, 1).id}").status == 404
    assert rival.get(f"/v1/events/{sent}").status == 404


def test_an_event_that_is_not_there_is_a_404(caller: Caller) -> None:
    for text in ("evt_" + "0" * 26, "evt_" + "1" * 26, "1"):
        assert caller.get(f"/v1/events/{text}").status == 404


def test_every_event_type_is_described(caller: Caller) -> None:
    shown = caller.get("/v1/event-types").json()["items"]

    assert [item["type"] for item in shown] == list(EventType) == list(DESCRIPTIONS)
