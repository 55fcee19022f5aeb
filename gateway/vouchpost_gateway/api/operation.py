"""One operation of the API: a handler, the scope it needs, and what it reads of the request."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from vouchpost_gateway.api.answer import Answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.refusals import FieldError, InvalidFields
from vouchpost_gateway.api.strict_json import parse_object
from vouchpost_gateway.domain.world import Scope

Handler = Callable[[Call], Awaitable[Answer]]

LIST_PARAMETERS = frozenset({"cursor", "limit"})
SPAN_PARAMETERS = frozenset({"since", "until"})


class Body(BaseModel):
    """A request body: nothing is coerced, nothing unknown is tolerated."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NoFields(Body):
    """A body that may be left out, and says nothing when it is there."""


AnyBody = TypeVar("AnyBody", bound=Body)


@dataclass(frozen=True, slots=True)
class Operation:
    """`scope` None means that any good key will do; `body` None that no body is read.

    `keyed` says that an idempotency key makes a repeat harmless. `shows` is the scope that the answer needs besides,
    when it shows what only that scope may read.
    """

    run: Handler
    scope: Scope | None
    query: frozenset[str] = frozenset()
    body: type[Body] | None = None
    keyed: bool = False
    shows: Scope | None = None


def reads(handler: Handler, scope: Scope | None, *, query: frozenset[str] = frozenset()) -> Operation:
    """An operation without a body."""
    return Operation(handler, scope, query)


def acts(handler: Handler, scope: Scope | None, *, shows: Scope | None = None) -> Operation:
    """An operation whose body may be empty or `{}`."""

    async def run(call: Call) -> Answer:
        if call.raw:
            validated(NoFields, parse_object(call.raw))
        return await handler(call)

    return Operation(run, scope, body=NoFields, shows=shows)


def writes(
    model: type[AnyBody],
    handler: Callable[[Call, AnyBody], Awaitable[Answer]],
    scope: Scope | None,
    *,
    body_optional: bool = False,
    keyed: bool = False,
) -> Operation:
    """An operation with a body of one shape; an optional one that is left out counts as `{}`.

    `keyed` is for a handler that sees to its idempotency key itself.
    """

    async def run(call: Call) -> Answer:
        raw = b"{}" if body_optional and not call.raw else call.raw
        return await handler(call, validated(model, parse_object(raw)))

    return Operation(run, scope, body=model, keyed=keyed)


def validated(model: type[AnyBody], document: dict[str, Any]) -> AnyBody:
    """The document as a record; InvalidFields names every field that is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidFields(
            [_field_error(detail["loc"], detail["type"], detail["msg"]) for detail in details]
        ) from None


def _field_error(location: tuple[int | str, ...], kind: str, message: str) -> FieldError:
    field = ".".join(str(part) for part in location if part != "[key]")
    reason = _REASONS.get(kind) or _reworded(message)
    return FieldError(field, f"its name {reason}" if location[-1] == "[key]" else reason)


def _reworded(message: str) -> str:
    """Pydantic's words speak of its types; those who read them know JSON."""
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    return message


_REASONS = {
    "extra_forbidden": "is not a field of this request",
    "missing": "is required",
    "string_type": "must be a string",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "list_type": "must be a list",
    "dict_type": "must be an object",
}
_WORDS = (
    ("Input should be", "must be"),
    ("String should have", "must have"),
    ("List should have", "must have"),
    ("Dictionary should have", "must have"),
    (" after validation", ""),
    (", not more", ""),
)
