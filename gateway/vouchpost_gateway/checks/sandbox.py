"""The sandbox as the checks see it: its hosts, and where its mail host listens. Test questions ask nobody else."""

import ipaddress
import sys
from typing import Final

from vouchpost_gateway.checks.dns import NameServer, Resolver
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.traffic import OneProcess, Traffic
from vouchpost_gateway.domain.traffic import Limits

# RFC 5737 and RFC 3849, for documentation: where the hosts of the sandbox seem to live.
_HOSTS = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))
# RFC 2782. Its zone says so itself, so that no setting has to.
_SMTP: Final = "_smtp._tcp.sandbox.example"


def is_sandbox_host(address: str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in _HOSTS)


class SandboxMail:
    """The mailbox check against the sandbox's one mail host, once its zone has said where that is."""

    def __init__(self, resolver: Resolver, server: NameServer) -> None:
        self._resolver = resolver
        self._server = server
        self._check: MailboxCheck | None = None

    async def check(self) -> MailboxCheck | None:
        """None where the zone has no mail host."""
        if self._check is None:
            found = await self._resolver.lookup(_SMTP, "SRV")
            ports = [int(record.split()[2]) for record in found.records]
            if ports:
                manners = Manners("probe.sandbox.example", "probe@sandbox.example", port=ports[0])
                # Here refusals are played on purpose, and everybody is at one operator.
                limits = Limits(at_once=100, per_minute=1_000_000, patience=sys.maxsize)
                self._check = MailboxCheck(manners, traffic=Traffic(OneProcess(), limits), only_host=self._server.host)
        return self._check

    async def aclose(self) -> None:
        if self._check is not None:
            await self._check.aclose()
