"""/v1/deliveries: one event on its way to one subscription, attempt by attempt; again by hand."""

from vouchpost_gateway.api.answer import Answer, json_answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.delivery_view import delivery_view
from vouchpost_gateway.api.idempotency import once
from vouchpost_gateway.api.operation import Operation, acts, reads
from vouchpost_gateway.domain.ids import parse_delivery_id
from vouchpost_gateway.domain.world import Scope


async def show(call: Call) -> Answer:
    ref = call.id("delivery", parse_delivery_id)
    return json_answer(delivery_view(await call.services.deliveries.get(call.world, call.viewer, ref)))


async def resend(call: Call) -> Answer:
    ref = call.id("delivery", parse_delivery_id)
    delivery = await call.services.deliveries.resend(call.world, call.viewer, ref, draw=call.draw)
    return json_answer(delivery_view(delivery), status=202)


async def resent_again(call: Call) -> Answer:
    """A repeat: the delivery as it is now. What its subscriber answered may name the address of an erased one."""
    ref = call.id("delivery", parse_delivery_id)
    return json_answer(delivery_view(await call.services.deliveries.get(call.world, call.viewer, ref)), status=202)


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/deliveries/{id}": {"GET": reads(show, Scope.SUBSCRIPTIONS_OWN)},
    "/v1/deliveries/{id}/resend": {"POST": once(acts(resend, Scope.SUBSCRIPTIONS_OWN), again=resent_again)},
}
