"""The health of domains, remembered for a while: many addresses, few domains."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vouchpost_gateway.checks.health.signals import health_findings
from vouchpost_gateway.checks.mx import Lookups
from vouchpost_gateway.domain.verification import Finding

_KEPT_S: Final = 3600.0
_KEPT_UNTOLD_S: Final = 30.0
_MOST_DOMAINS: Final = 20_000


@dataclass(slots=True)
class HealthCheck:
    """One per process and resolver. What was not told is asked for again soon."""

    resolver: Lookups
    limit_s: float = 2.0
    now: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[float, Sequence[Finding]]] = field(default_factory=OrderedDict)

    async def findings(self, domain: str) -> Sequence[Finding]:
        """In `limit_s` at most, and never raising."""
        held = self._known.get(domain)
        if held is not None and self.now() < held[0]:
            return held[1]
        findings = await health_findings(domain, self.resolver, limit_s=self.limit_s)
        told = not any(finding.code.endswith("_untold") for finding in findings)
        self._known[domain] = (self.now() + (_KEPT_S if told else _KEPT_UNTOLD_S), findings)
        if len(self._known) > _MOST_DOMAINS:
            self._known.popitem(last=False)
        return findings
