"""/v1/dead-letters: what ended without success, kept to be rechecked or resent."""

from enum import StrEnum

from vouchpost_gateway.api.answer import Answer
from vouchpost_gateway.api.auth import require
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.delivery_view import delivery_view
from vouchpost_gateway.api.operation import LIST_PARAMETERS, SPAN_PARAMETERS, Operation, reads
from vouchpost_gateway.api.verification_view import verification_view
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.world import Scope


class Kind(StrEnum):
    VERIFICATION = "verification"
    DELIVERY = "delivery"


async def list_all(call: Call) -> Answer:
    """`kind` says which of the two lists, and so which scope is needed."""
    match call.choice("kind", Kind):
        case Kind.VERIFICATION:
            return await _verifications(call)
        case Kind.DELIVERY:
            return await _deliveries(call)
        case None:
            raise InvalidField("kind", "is required: " + " or ".join(Kind))


async def _verifications(call: Call) -> Answer:
    require(call.principal, Scope.VERIFICATIONS_READ)
    dead_letters = call.services.dead_letters
    page = await dead_letters.verifications(call.world, span=call.span, after=call.after, limit=call.limit)
    return call.page(page, verification_view)


async def _deliveries(call: Call) -> Answer:
    require(call.principal, Scope.SUBSCRIPTIONS_OWN)
    page = await call.services.dead_letters.deliveries(
        call.world, call.viewer, span=call.span, after=call.after, limit=call.limit
    )
    return call.page(page, delivery_view)


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/dead-letters": {"GET": reads(list_all, None, query=LIST_PARAMETERS | SPAN_PARAMETERS | {"kind"})},
}
