"""/v1/events and /v1/event-types: the facts themselves, as the exact bytes that every attempt pushes."""

from vouchpost_gateway.api.answer import Answer, json_answer, stored_json
from vouchpost_gateway.api.auth import require
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.operation import Operation, reads
from vouchpost_gateway.domain.event import EventType
from vouchpost_gateway.domain.ids import parse_event_id
from vouchpost_gateway.domain.world import Scope

DESCRIPTIONS = {
    EventType.VERIFICATION_COMPLETED: "A verification has its first verdict.",
    EventType.VERIFICATION_UPDATED: "A recheck changed the verdict of a verification.",
    EventType.SUBSCRIPTION_DISABLED: "A subscription is disabled: its URL is gone, or has only failed for days.",
    EventType.SUBSCRIPTION_TEST: "Somebody asked for a test event; it goes to one subscription alone.",
}


async def show(call: Call) -> Answer:
    """For keys that read verifications; and for a partner, of the events that were sent to it."""
    if call.principal.partner_id is None:
        require(call.principal, Scope.VERIFICATIONS_READ)
    ref = call.id("event", parse_event_id)
    return stored_json((await call.services.events.get(call.world, call.principal.partner_id, ref)).body)


async def types(_call: Call) -> Answer:
    return json_answer({"items": [{"type": kind.value, "description": text} for kind, text in DESCRIPTIONS.items()]})


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/events/{id}": {"GET": reads(show, None)},
    "/v1/event-types": {"GET": reads(types, None)},
}
