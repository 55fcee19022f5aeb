"""Verdicts of any reason, on demand: test questions about `catch_all@reason.example` end with the reason `catch_all`.

`catch_all+3s@reason.example` does so after three seconds. So an integrator can see every status and every reason code,
those too that no zone and no mail host could bring about.
"""

import asyncio
import re
from typing import Final

from vouchpost_gateway.checks.policy import Policy
from vouchpost_gateway.domain.verification import Finding, ReasonCode

PLAYED_AT: Final = "reason.example"
_LONGEST_DELAY_S: Final = 10
_NAME = re.compile(r"([a-z_]+)(?:\+(\d{1,2})s)?", re.IGNORECASE)


async def played(local_part: str, policy: Policy) -> list[Finding]:
    """The finding that comes to the reason that was asked for; a name that is no reason decides nothing."""
    match = _NAME.fullmatch(local_part)
    name, delay = (match[1].lower(), int(match[2] or 0)) if match else ("", 0)
    await asyncio.sleep(min(delay, _LONGEST_DELAY_S))
    if name not in set(ReasonCode):
        return [Finding("sandbox", "no_such_reason")]
    reason = ReasonCode(name)
    return [Finding("sandbox", policy.finding_for(reason), {"asked_for": reason.value})]
