"""Errors as problem+json (RFC 9457). The only place that knows which error has which status code.

A problem never repeats what the caller sent beyond the names of fields, and nothing of what happened inside.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vouchpost_gateway.api.answer import Answer, Header, json_answer
from vouchpost_gateway.api.refusals import (
    BodyTooLarge,
    FieldError,
    IdempotencyKeyRefused,
    InvalidFields,
    MalformedCursor,
    MalformedRequest,
    MethodNotAllowed,
    NoSuchPath,
    RateLimited,
    UnsupportedMediaType,
)
from vouchpost_gateway.api.strict_json import MalformedJson
from vouchpost_gateway.domain.errors import (
    Backlogged,
    Conflict,
    IdempotencyConflict,
    IdempotencyPending,
    InvalidField,
    LedgerUnavailable,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotReplicated,
    Overloaded,
    RequestRefused,
    VouchpostError,
)

PROBLEM_JSON: Header = (b"content-type", b"application/problem+json")
TYPE_PREFIX = "urn:problem-type:vouchpost:"
# How long a caller should leave a ledger that does not answer alone: a restart of Redis takes about this long.
LEDGER_RETRY_AFTER_S = 2
_MAX_ERRORS = 20
_MAX_FIELD_LENGTH = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What a problem is, without what it was this time. `detail` None means: the error's own words."""

    slug: str
    title: str
    status: int
    detail: str | None = None


# Those below end a connection before there is a request to answer.
UNREADABLE = Kind("malformed-request", "The request cannot be read", 400, "The bytes are not one clear HTTP request.")
RECEIPT_TIMEOUT = Kind(
    "receipt-timeout", "The request did not arrive in time", 408, "Send the whole request without pauses."
)
HEAD_TOO_LARGE = Kind(
    "head-too-large", "The head of the request is too large", 431, "Request line and headers are too long."
)
TOO_MANY_CONNECTIONS = Kind(
    "too-many-connections", "Too many connections", 503, "This address has too many connections open."
)

INTERNAL = Kind("internal", "Something went wrong on our side", 500, "The request was not carried out.")

KINDS: dict[type[VouchpostError], Kind] = {
    MalformedJson: Kind("malformed-json", "The body is not acceptable JSON", 400),
    MalformedRequest: Kind("malformed-request", "The request cannot be read", 400),
    MalformedCursor: Kind("malformed-cursor", "The cursor is not one of ours", 400),
    NotAuthenticated: Kind(
        "not-authenticated", "No valid API key", 401, "The API key is missing, wrong, revoked or expired."
    ),
    NotAllowed: Kind("not-allowed", "The API key may not do this", 403),
    NotFound: Kind("not-found", "There is no such thing", 404),
    NoSuchPath: Kind("no-such-path", "There is nothing here", 404),
    MethodNotAllowed: Kind("method-not-allowed", "This path does not know the method", 405),
    Conflict: Kind("conflict", "The request does not fit the present state", 409),
    BodyTooLarge: Kind("body-too-large", "The body is too large", 413),
    UnsupportedMediaType: Kind("unsupported-media-type", "The body must be plain application/json", 415),
    InvalidField: Kind("invalid-fields", "Fields are not acceptable", 422),
    InvalidFields: Kind("invalid-fields", "Fields are not acceptable", 422),
    IdempotencyConflict: Kind(
        "idempotency-conflict",
        "The idempotency key was used with another body",
        422,
        "The idempotency key was used before with another body.",
    ),
    IdempotencyPending: Kind("idempotency-pending", "A request with the idempotency key is under way", 409),
    IdempotencyKeyRefused: Kind("idempotency-key-refused", "No idempotency key is taken here", 400),
    RateLimited: Kind("rate-limited", "Too many requests", 429),
    RequestRefused: Kind("refused", "The request cannot be carried out", 400),
    Backlogged: Kind("backlogged", "The line of this tenant is full", 503),
    Overloaded: Kind("overloaded", "There is more to do than can be done now", 503),
    LedgerUnavailable: Kind(
        "ledger-unavailable",
        "The ledger does not answer",
        503,
        "It may or may not have been done. Ask again soon, with the same Idempotency-Key where one was given.",
    ),
    NotReplicated: Kind(
        "not-replicated",
        "No replica has confirmed it in time",
        503,
        "A 202 waits until a replica has it too. Ask again soon, with the same Idempotency-Key where one was given.",
    ),
    VouchpostError: INTERNAL,
}


def problem(error: VouchpostError) -> Answer:
    """The answer that an error stands for."""
    kind = next(KINDS[cls] for cls in type(error).__mro__ if cls in KINDS)
    detail = kind.detail or str(error) or kind.title
    return render(kind, detail=detail, errors=_field_errors(error), headers=_headers(error))


def internal_problem() -> Answer:
    """The answer when something unforeseen went wrong: no details."""
    return render(INTERNAL, detail=INTERNAL.detail or "")


def render(kind: Kind, *, detail: str, errors: Sequence[FieldError] = (), headers: Sequence[Header] = ()) -> Answer:
    document: dict[str, Any] = {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    if errors:
        document["errors"] = [_shown(error) for error in errors[:_MAX_ERRORS]]
    answer = json_answer(document, status=kind.status)
    return Answer(answer.status, answer.body, (PROBLEM_JSON, *headers))


def _shown(error: FieldError) -> dict[str, str]:
    return {"field": error.field[:_MAX_FIELD_LENGTH], "reason": error.reason}


def _field_errors(error: VouchpostError) -> Sequence[FieldError]:
    match error:
        case InvalidFields():
            return error.errors
        case InvalidField():
            return [FieldError(error.field, error.reason)]
        case _:
            return ()


def _headers(error: VouchpostError) -> Sequence[Header]:
    match error:
        case NotAuthenticated():
            return [(b"www-authenticate", b'Bearer realm="vouchpost"')]
        case MethodNotAllowed():
            return [(b"allow", ", ".join(error.allowed).encode("ascii"))]
        case RateLimited():
            return [*error.standing, _retry_after(error.retry_after_s)]
        case Overloaded() | IdempotencyPending():
            return [_retry_after(error.retry_after_s)]
        case LedgerUnavailable():
            return [_retry_after(LEDGER_RETRY_AFTER_S)]
        case _:
            return ()


def _retry_after(seconds: int) -> Header:
    return (b"retry-after", b"%d" % max(1, seconds))
