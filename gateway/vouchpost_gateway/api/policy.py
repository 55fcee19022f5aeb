"""/v1/policy: what a tenant calls matters of taste, and whom it allows or denies."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from vouchpost_gateway.api.answer import Answer, json_answer
from vouchpost_gateway.api.call import Call
from vouchpost_gateway.api.operation import Body, Operation, reads, writes
from vouchpost_gateway.domain.tenant_policy import TenantPolicy
from vouchpost_gateway.domain.verification import Status
from vouchpost_gateway.domain.world import Scope

Word = Literal["valid", "risky", "invalid", "unknown"]
Entries = list[Annotated[str, Field(min_length=1, max_length=254)]]


class PolicyBody(Body):
    """What PUT /v1/policy takes: all of it; what is left out is amended no more.

    The version is made of the rest. It is taken, and not looked at, so that what was shown can be put.
    """

    version: str = ""
    statuses: dict[str, Word] = Field(default_factory=dict)
    allow: Entries = Field(default_factory=list)
    deny: Entries = Field(default_factory=list)


async def show(call: Call) -> Answer:
    return json_answer(_view(await call.services.policies.read(call.world)))


async def put(call: Call, body: PolicyBody) -> Answer:
    """Verdicts from now on are judged by it, within two seconds; older ones when they are asked to be."""
    statuses = {finding: Status(word) for finding, word in body.statuses.items()}
    policy = TenantPolicy.made(statuses=statuses, allow=body.allow, deny=body.deny)
    await call.services.policies.write(call.world, policy)
    return json_answer(_view(policy))


def _view(policy: TenantPolicy) -> Mapping[str, Any]:
    return {
        "version": policy.version,
        "statuses": {finding: status.value for finding, status in sorted(policy.statuses.items())},
        "allow": sorted(policy.allow),
        "deny": sorted(policy.deny),
    }


ROUTES: dict[str, dict[str, Operation]] = {
    "/v1/policy": {"GET": reads(show, Scope.ADMIN), "PUT": writes(PolicyBody, put, Scope.ADMIN)}
}
