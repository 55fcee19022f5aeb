"""/v1/keys: API keys of the world, and the key behind `email_hash`. The text of a key is shown once."""

import base64
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from vouchpost_gateway.api.answer import NO_CONTENT, Answer, json_answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.fields import Instant, instant_ms, printable, refuse
from vouchpost_gateway.api.idempotency import unkeyed
from vouchpost_gateway.api.operation import LIST_PARAMETERS, Body, Operation, reads, writes
from vouchpost_gateway.domain.access import ApiKey, check_scopes
from vouchpost_gateway.domain.errors import InvalidField, NotFound
from vouchpost_gateway.domain.event import timestamp_text
from vouchpost_gateway.domain.ids import MalformedIdError, parse_plain_id
from vouchpost_gateway.domain.label import MAX_LABEL_CHARACTERS
from vouchpost_gateway.domain.world import Scope

_WHY_UNKEYED = (
    "An API key is stored as a hash only, so its text cannot be answered again; "
    "where an answer was lost, look for the key in the list and revoke it."
)
_KEY_ID = re.compile(r"vp_(live|test)_\d\d[0-9a-hjkmnp-tv-z]{12}", re.ASCII)


def _once_each(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise refuse("must name each scope once")
    return scopes


def _partner(text: str) -> str:
    try:
        return parse_plain_id(text, "prt")
    except MalformedIdError:
        raise refuse("must be the id of a partner") from None


class NewKeyBody(Body):
    """What POST /v1/keys takes. A partner's key has the scope subscriptions:own and no other, and no other key has."""

    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1), AfterValidator(_once_each)]
    label: Annotated[str, AfterValidator(printable(low=0, high=MAX_LABEL_CHARACTERS))] = ""
    partner_id: Annotated[str, AfterValidator(_partner)] | None = None
    expires_at: Instant | None = None


async def create(call: Call, body: NewKeyBody) -> Answer:
    check_scopes(frozenset(body.scopes), for_partner=body.partner_id is not None)
    key, text = await call.services.access.create_key(
        call.world,
        scopes=frozenset(body.scopes),
        label=body.label,
        partner_id=body.partner_id,
        expires_ms=_expiry_ms(body.expires_at, now_ms=call.tools.now_ms()),
    )
    return json_answer(_view(key) | {"key": text}, status=201)


def _expiry_ms(text: str | None, *, now_ms: int) -> int | None:
    if text is None:
        return None
    expires_ms = instant_ms(text)
    if expires_ms <= now_ms:
        raise InvalidField("expires_at", "must be in the future")
    return expires_ms


async def list_all(call: Call) -> Answer:
    page = await call.services.access.keys(call.world, after=call.after, limit=call.limit)
    return call.page(page, _view)


async def revoke(call: Call) -> Answer:
    """The key signs nobody in from now on; asking with the very key that is revoked is allowed."""
    await call.services.access.revoke_key(call.world, _id(call))
    return NO_CONTENT


def _id(call: Call) -> str:
    text = call.params["id"]
    match = _KEY_ID.fullmatch(text)
    if match is None or match[1] != call.world.mode.value:
        raise NotFound("key")
    return text


async def email_hash_key(call: Call) -> Answer:
    """With it a receiver can tell whether an event is about the address that it has now."""
    key = await call.services.access.email_hash_key(call.world)
    return json_answer({"algorithm": "HMAC-SHA256", "key": base64.b64encode(key).decode("ascii")})


def _view(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "label": key.label,
        "scopes": sorted(key.scopes),
        "partner_id": key.partner_id,
        "created_at": timestamp_text(key.created_ms),
        "expires_at": None if key.expires_ms is None else timestamp_text(key.expires_ms),
    }


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/keys": {
        "POST": unkeyed(writes(NewKeyBody, create, Scope.ADMIN), _WHY_UNKEYED),
        "GET": reads(list_all, Scope.ADMIN, query=LIST_PARAMETERS),
    },
    "/v1/keys/email-hash": {"GET": reads(email_hash_key, Scope.VERIFICATIONS_READ)},
    "/v1/keys/{id}": {"DELETE": reads(revoke, Scope.ADMIN)},
}
