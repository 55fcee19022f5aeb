"""What an `Idempotency-Key` does to every operation but submitting, which has its own entry in the accept script.

The same key and body: the same answer, byte for byte, or where it shows what can be erased, what there is of that then.
Only what was done is kept: a refusal leaves the key unused.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace

import msgpack

from vouchpost_gateway.api.answer import Answer, Header
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.operation import Handler, Operation
from vouchpost_gateway.api.refusals import IdempotencyKeyRefused
from vouchpost_gateway.domain.errors import LedgerUnavailable, Overloaded, RequestRefused
from vouchpost_gateway.domain.keyed import Begun, Keyed

REPLAYED: Header = (b"idempotency-replayed", b"true")
_LIMIT_S = 5.0
"""How long the operation may take; the lease on its key is longer."""


def once(operation: Operation, *, again: Handler | None = None) -> Operation:
    """The operation, carried out once for all requests with the same key.

    With `again` nothing of the answer is kept but that it was given: that handler answers a repeat.
    """

    async def run(call: Call) -> Answer:
        key = call.headers.idempotency_key
        if key is None:
            return await operation.run(call)
        keyed = Keyed(caller=call.principal.partner_id or "", path=call.path, key=key, body=call.raw)
        found = await call.services.keyed.begin(call.world, keyed)
        if isinstance(found, Begun):
            return await _carried_out(operation.run, call, found, keeps_answer=again is None)
        return _marked(_unpacked(found) if again is None else await again(call))

    return replace(operation, run=run, keyed=True)


def unkeyed(operation: Operation, why: str) -> Operation:
    """The operation, which says why it takes no key instead of ignoring one."""

    async def run(call: Call) -> Answer:
        if call.headers.idempotency is not None:
            raise IdempotencyKeyRefused(why)
        return await operation.run(call)

    return replace(operation, run=run)


async def _carried_out(handler: Handler, call: Call, begun: Begun, *, keeps_answer: bool) -> Answer:
    keyed = call.services.keyed
    try:
        async with asyncio.timeout(_LIMIT_S):
            answer = await handler(replace(call, draw=begun.draw))
    except (RequestRefused, Overloaded):
        with suppress(LedgerUnavailable):
            await keyed.forget(call.world, begun)
        raise
    except Exception as error:
        with suppress(LedgerUnavailable):
            await keyed.leave(call.world, begun)
        if isinstance(error, TimeoutError):
            raise LedgerUnavailable("the request took too long") from error
        raise
    await keyed.answer(call.world, begun, _packed(answer if keeps_answer else Answer(answer.status)))
    return answer


def _packed(answer: Answer) -> bytes:
    packed = msgpack.packb([1, answer.status, answer.body, [list(header) for header in answer.headers]])
    assert isinstance(packed, bytes)
    return packed


def _unpacked(packed: bytes) -> Answer:
    _format, status, body, headers = msgpack.unpackb(packed)
    return Answer(status, body, [(name, value) for name, value in headers])


def _marked(answer: Answer) -> Answer:
    return Answer(answer.status, answer.body, (*answer.headers, REPLAYED))
