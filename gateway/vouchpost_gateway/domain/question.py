"""What is asked of the verifier: pure input of the checks, with nothing of where it came from."""

from vouchpost_gateway.domain.tenant_policy import NO_POLICY, TenantPolicy
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.verification import Depth
from vouchpost_gateway.domain.world import Mode


@value(frozen=True, slots=True)
class Question:
    """An address, how deep to look, in which world, and by whose policy to judge."""

    address: str
    depth: Depth
    mode: Mode
    policy: TenantPolicy = NO_POLICY
