"""/v1/subscriptions: where events go. A partner's key sees only what the partner owns."""

from vouchpost_gateway.api.answer import NO_CONTENT, Answer, json_answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.delivery_view import delivery_view
from vouchpost_gateway.api.fields import instant_ms
from vouchpost_gateway.api.idempotency import once
from vouchpost_gateway.api.operation import LIST_PARAMETERS, SPAN_PARAMETERS, Operation, acts, reads, writes
from vouchpost_gateway.api.subscription_body import (
    NewSubscriptionBody,
    RecoveryBody,
    RotationBody,
    SubscriptionPatch,
    check_order,
)
from vouchpost_gateway.api.subscription_view import recovery_view, subscription_view, with_secret
from vouchpost_gateway.domain.delivery import DeliveryState
from vouchpost_gateway.domain.errors import Conflict
from vouchpost_gateway.domain.event import EventType
from vouchpost_gateway.domain.ids import parse_plain_id
from vouchpost_gateway.domain.secret import parse_secret
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.world import Scope

_PATCH_TRIES = 3


async def create(call: Call, body: NewSubscriptionBody) -> Answer:
    """The one answer, besides rotation, that shows the signing secret."""
    new = body.record(call.url_policy)
    subscription = await call.services.subscriptions.create(call.world, call.viewer, new, draw=call.draw)
    location = (b"location", b"/v1/subscriptions/" + subscription.id.encode("ascii"))
    return json_answer(with_secret(subscription, resting_ms=None), status=201, headers=[location])


async def list_all(call: Call) -> Answer:
    subscriptions = call.services.subscriptions
    page = await subscriptions.list(call.world, call.viewer, after=call.after, limit=call.limit)
    resting = await subscriptions.resting(call.world, page.items)
    return call.page(page, lambda item: subscription_view(item, resting_ms=resting.get(item.number)))


async def show(call: Call) -> Answer:
    subscription = await call.services.subscriptions.get(call.world, call.viewer, _id(call))
    return await _shown(call, subscription)


async def _shown(call: Call, subscription: Subscription) -> Answer:
    resting = await call.services.subscriptions.resting(call.world, [subscription])
    return json_answer(subscription_view(subscription, resting_ms=resting.get(subscription.number)))


async def update(call: Call, body: SubscriptionPatch) -> Answer:
    """Changes the given fields only, so that a change of other fields meanwhile is no reason to give up at once."""
    for _ in range(_PATCH_TRIES - 1):
        try:
            return await _shown(call, await _change(call, body))
        except Conflict:
            continue
    return await _shown(call, await _change(call, body))


async def _change(call: Call, body: SubscriptionPatch) -> Subscription:
    subscriptions = call.services.subscriptions
    before = await subscriptions.get(call.world, call.viewer, _id(call))
    after = body.applied(before, policy=call.url_policy, now_ms=call.tools.now_ms())
    return before if after == before else await subscriptions.replace(call.world, call.viewer, after)


async def delete(call: Call) -> Answer:
    await call.services.subscriptions.delete(call.world, call.viewer, _id(call))
    return NO_CONTENT


async def rotate_secret(call: Call, body: RotationBody) -> Answer:
    """The new secret signs at once; those before go on beside it, each until its own overlap ends."""
    overlap_s = call.tools.rotation_overlap_s if body.overlap_s is None else body.overlap_s
    new_key = None if body.secret is None else parse_secret(body.secret)
    subscriptions = call.services.subscriptions
    before = await subscriptions.get(call.world, call.viewer, _id(call))
    resting = await subscriptions.resting(call.world, [before])  # a failure behind the rotation would cost its answer
    subscription = await subscriptions.rotate_secret(
        call.world, call.viewer, before.id, overlap_ms=round(overlap_s * 1000), new_key=new_key, draw=call.draw
    )
    return json_answer(with_secret(subscription, resting_ms=resting.get(before.number)))


async def test(call: Call) -> Answer:
    """Sends one test event, at a rate that makes it no tool to scan with."""
    call.tools.probes.take(call.principal.key_id)
    ref = await call.services.subscriptions.test(call.world, call.viewer, _id(call), draw=call.draw)
    return json_answer({"delivery_id": ref.id, "event_id": ref.event.id}, status=202)


async def recover(call: Call, body: RecoveryBody) -> Answer:
    since_ms = instant_ms(body.since)
    until_ms = None if body.until is None else instant_ms(body.until)
    check_order(since_ms=since_ms, until_ms=until_ms)
    recovery = await call.services.subscriptions.recover(
        call.world, call.viewer, _id(call), since_ms=since_ms, until_ms=until_ms
    )
    return json_answer(recovery_view(recovery), status=202)


async def deliveries(call: Call) -> Answer:
    page = await call.services.subscriptions.deliveries(
        call.world,
        call.viewer,
        _id(call),
        state=call.choice("state", DeliveryState),
        event_type=call.choice("event_type", EventType),
        span=call.span,
        after=call.after,
        limit=call.limit,
    )
    return call.page(page, delivery_view)


def _id(call: Call) -> str:
    return call.id("subscription", lambda text: parse_plain_id(text, "sub"))


_OWN = Scope.SUBSCRIPTIONS_OWN

ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/subscriptions": {
        "POST": once(writes(NewSubscriptionBody, create, _OWN)),
        "GET": reads(list_all, _OWN, query=LIST_PARAMETERS),
    },
    "/v1/subscriptions/{id}": {
        "GET": reads(show, _OWN),
        "PATCH": writes(SubscriptionPatch, update, _OWN),
        "DELETE": reads(delete, _OWN),
    },
    "/v1/subscriptions/{id}/rotate-secret": {
        "POST": once(writes(RotationBody, rotate_secret, _OWN, body_optional=True))
    },
    "/v1/subscriptions/{id}/test": {"POST": once(acts(test, _OWN))},
    "/v1/subscriptions/{id}/recover": {"POST": once(writes(RecoveryBody, recover, _OWN))},
    "/v1/subscriptions/{id}/deliveries": {
        "GET": reads(deliveries, _OWN, query=LIST_PARAMETERS | SPAN_PARAMETERS | {"state", "event_type"})
    },
}
