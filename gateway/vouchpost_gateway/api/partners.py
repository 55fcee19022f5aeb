"""/v1/partners: principals within a tenant that see only their own subscriptions and deliveries."""

from typing import Any

from vouchpost_gateway.api.answer import NO_CONTENT, Answer, json_answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.fields import Label
from vouchpost_gateway.api.idempotency import once
from vouchpost_gateway.api.operation import LIST_PARAMETERS, Body, Operation, reads, writes
from vouchpost_gateway.domain.access import Partner
from vouchpost_gateway.domain.event import timestamp_text
from vouchpost_gateway.domain.ids import parse_plain_id
from vouchpost_gateway.domain.world import Scope


class NewPartnerBody(Body):
    """What POST /v1/partners takes."""

    name: Label


async def create(call: Call, body: NewPartnerBody) -> Answer:
    partner = await call.services.access.create_partner(call.world, name=body.name, draw=call.draw)
    return json_answer(_view(partner), status=201)


async def list_all(call: Call) -> Answer:
    page = await call.services.access.partners(call.world, after=call.after, limit=call.limit)
    return call.page(page, _view)


async def delete(call: Call) -> Answer:
    """The partner's keys and subscriptions go with it."""
    partner_id = call.id("partner", lambda text: parse_plain_id(text, "prt"))
    await call.services.access.delete_partner(call.world, partner_id)
    return NO_CONTENT


def _view(partner: Partner) -> dict[str, Any]:
    return {"id": partner.id, "name": partner.name, "created_at": timestamp_text(partner.created_ms)}


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/partners": {
        "POST": once(writes(NewPartnerBody, create, Scope.ADMIN)),
        "GET": reads(list_all, Scope.ADMIN, query=LIST_PARAMETERS),
    },
    "/v1/partners/{id}": {"DELETE": reads(delete, Scope.ADMIN)},
}
