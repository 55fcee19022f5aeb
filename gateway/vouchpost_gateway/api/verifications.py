"""/v1/verifications: submit an address, read what was found, ask again, erase."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import to_json

from vouchpost_gateway.api.answer import NO_CONTENT, Answer, Header, json_answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.disconnect import unless_client_leaves
from vouchpost_gateway.api.fields import WholeNumber, is_printable, printable, refuse
from vouchpost_gateway.api.idempotency import REPLAYED, once
from vouchpost_gateway.api.operation import LIST_PARAMETERS, SPAN_PARAMETERS, Body, Operation, acts, reads, writes
from vouchpost_gateway.api.query import whole_number
from vouchpost_gateway.api.verification_view import verification_view
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.ids import parse_verification_id, time_ms, verification_id
from vouchpost_gateway.domain.verification import Accepted, Depth, NewVerification, Priority, Status, Verification
from vouchpost_gateway.domain.world import Scope

MAX_ADDRESS_OCTETS = 254  # RFC 5321 section 4.5.3.1.3: 256 for the path, less its two brackets
MAX_METADATA_KEYS = 20
MAX_TIME_BUDGET_S = 86_400
MAX_WAIT_S = 30
MAX_METADATA_OCTETS = 12_288  # keeps every event well under 20 kB
_OCTETS_PER_CHARACTER = 6  # a control character, written as an escape; quotes, colon and comma are shared out too
_NOUN = "verification"


def _mailable(text: str) -> str:
    """What is too long or would break a line is refused; any other bad address is a verdict: lists never half-fail."""
    if len(text.encode()) > MAX_ADDRESS_OCTETS:
        raise refuse(f"may have at most {MAX_ADDRESS_OCTETS} octets in UTF-8")
    if not is_printable(text):
        raise refuse("may not hold control characters or line separators")
    return text


def _small(metadata: dict[str, str]) -> dict[str, str]:
    characters = sum(len(key) + len(value) + 1 for key, value in metadata.items())
    at_most = _OCTETS_PER_CHARACTER * characters
    if at_most > MAX_METADATA_OCTETS and len(to_json(metadata)) > MAX_METADATA_OCTETS:
        raise refuse(f"may have at most {MAX_METADATA_OCTETS} octets as JSON")
    return metadata


MetadataKey = Annotated[str, Field(min_length=1, max_length=40)]
MetadataValue = Annotated[str, Field(max_length=500)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA_KEYS), AfterValidator(_small)]


class NewVerificationBody(Body):
    """What POST /v1/verifications takes."""

    email: Annotated[str, AfterValidator(_mailable)]
    depth: Annotated[Depth, Field(strict=False)] = Depth.DOMAIN
    priority: Annotated[Priority, Field(strict=False)] = Priority.NORMAL
    subject_id: Annotated[str, AfterValidator(printable(low=1, high=128))] | None = None
    metadata: Metadata = Field(default_factory=dict)
    time_budget_s: Annotated[WholeNumber, Field(ge=1, le=MAX_TIME_BUDGET_S)] | None = None


async def submit(call: Call, body: NewVerificationBody) -> Answer:
    """202 is a promise; the same idempotency key and body get the same answer again, byte for byte."""
    new = NewVerification(body.email, body.depth, body.priority, body.subject_id, body.metadata, body.time_budget_s)
    accepted = await call.services.verifications.accept(
        call.world, new, idempotency_key=call.headers.idempotency_key, body=call.raw
    )
    headers: list[Header] = [(b"location", b"/v1/verifications/" + verification_id(accepted.stem).encode("ascii"))]
    if accepted.repeated:
        headers.append(REPLAYED)
    return json_answer(verification_view(_pending(accepted, new)), status=202, headers=headers)


def _pending(accepted: Accepted, new: NewVerification) -> Verification:
    """The verification as it was when accepted, made only of what a repeat of the request brings along."""
    return Verification(
        stem=accepted.stem,
        sequence=accepted.sequence,
        address=new.address,
        depth=new.depth,
        priority=new.priority,
        subject_id=new.subject_id,
        metadata=new.metadata,
        created_ms=time_ms(accepted.stem),
        time_budget_s=new.time_budget_s,
    )


async def show(call: Call) -> Answer:
    """The verification; with `wait`, as soon as it has a verdict, or as it is when the wait is over.

    An operator's shorter limit ends the wait sooner: a client that may ask for 30 seconds need not know of it.
    """
    asked_s = whole_number(call.query, "wait", default=0, low=0, high=MAX_WAIT_S)
    seconds = min(asked_s, call.tools.wait_max_s)
    stem = call.id(_NOUN, parse_verification_id)
    verifications = call.services.verifications
    if seconds == 0:
        return json_answer(verification_view(await verifications.get(call.world, stem)))
    waiting = verifications.wait(call.world, stem, seconds=seconds)
    return json_answer(verification_view(await unless_client_leaves(call.receive, waiting)))


async def list_all(call: Call) -> Answer:
    page = await call.services.verifications.list(
        call.world,
        status=call.choice("status", Status),
        subject_id=_subject_id(call.query),
        span=call.span,
        after=call.after,
        limit=call.limit,
    )
    return call.page(page, verification_view)


def _subject_id(query: Mapping[str, str]) -> str | None:
    text = query.get("subject_id")
    if text is not None and not (1 <= len(text) <= 128 and is_printable(text)):
        raise InvalidField("subject_id", "must be 1 to 128 characters, without control characters or line separators")
    return text


async def recheck(call: Call) -> Answer:
    stem = call.id(_NOUN, parse_verification_id)
    return json_answer(verification_view(await call.services.verifications.recheck(call.world, stem)), status=202)


async def judge_again(call: Call) -> Answer:
    """By the policy of now and without another check: nobody is asked anything."""
    stem = call.id(_NOUN, parse_verification_id)
    return json_answer(verification_view(await call.services.verifications.judge_again(call.world, stem)), status=202)


async def accepted_again(call: Call) -> Answer:
    """A repeat of either: the verification as it is now, since an answer that was kept would outlive its erasure."""
    stem = call.id(_NOUN, parse_verification_id)
    return json_answer(verification_view(await call.services.verifications.get(call.world, stem)), status=202)


async def erase(call: Call) -> Answer:
    await call.services.verifications.erase(call.world, call.id(_NOUN, parse_verification_id))
    return NO_CONTENT


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/verifications": {
        "POST": writes(NewVerificationBody, submit, Scope.VERIFICATIONS_WRITE, keyed=True),
        "GET": reads(
            list_all, Scope.VERIFICATIONS_READ, query=LIST_PARAMETERS | SPAN_PARAMETERS | {"status", "subject_id"}
        ),
    },
    "/v1/verifications/{id}": {
        "GET": reads(show, Scope.VERIFICATIONS_READ, query=frozenset({"wait"})),
        "DELETE": reads(erase, Scope.VERIFICATIONS_WRITE),
    },
    "/v1/verifications/{id}/recheck": {
        "POST": once(
            acts(recheck, Scope.VERIFICATIONS_WRITE, shows=Scope.VERIFICATIONS_READ),
            again=accepted_again,
        )
    },
    "/v1/verifications/{id}/judge": {
        "POST": once(
            acts(judge_again, Scope.VERIFICATIONS_WRITE, shows=Scope.VERIFICATIONS_READ),
            again=accepted_again,
        )
    },
}
