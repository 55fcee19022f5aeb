"""Every refusal of the gateway's is one for the kit, which takes a 4xx of another form for something else's."""

import json

import pytest

from vouchpost import ApiError, OverloadedError, RequestRefusedError
from vouchpost.conversation import Chances, Conversations, Reply
from vouchpost_gateway.api.problems import KINDS, render
from vouchpost_gateway.api.wire_problems import BAD_REQUEST, TOO_LATE, TOO_LONG

ON_THE_WIRE = [BAD_REQUEST, TOO_LATE, TOO_LONG]  # the server's own, before there is a request
BODIES = {render(kind, detail="").body for kind in KINDS.values() if kind.status < 500}
BODIES |= {answer.partition(b"\r\n\r\n")[2] for answer in ON_THE_WIRE}


def error_for(reply: Reply) -> ApiError:
    """What is raised when the time of the call allows one attempt."""
    chances = Chances(monotonic=lambda: 0.0, uniform=lambda: 1.0, new_key=lambda: "k")
    steps = Conversations(key="vp_test_1", total_s=0.1, chances=chances).get("vrf_1")
    next(steps)
    with pytest.raises(ApiError) as raised:
        steps.send(reply)
    return raised.value


@pytest.mark.parametrize("body", sorted(BODIES), ids=lambda body: json.loads(body)["type"].rpartition(":")[2])
def test_the_kit_knows_the_gateways_refusals(body: bytes) -> None:
    problem = json.loads(body)

    error = error_for(Reply(problem["status"], body))

    comes_later = problem["status"] in {408, 429}
    assert type(error) is (OverloadedError if comes_later else RequestRefusedError)
