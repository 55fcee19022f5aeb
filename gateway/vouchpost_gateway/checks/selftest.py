"""Whether this machine may ask mail hosts at all: its host name, reverse DNS, the sender's SPF, and port 25.

Asks only the name servers and, for port 25, the mail host of the sender's own domain: nobody else is bothered.
"""

from collections.abc import Callable
from dataclasses import dataclass

import dns.exception
import dns.reversename

from vouchpost_gateway.checks.dns import DnsOutcome, Resolver
from vouchpost_gateway.checks.mx import find_route
from vouchpost_gateway.checks.smtp import Dialogue, DialogueEnded, Manners, Refused, Trouble
from vouchpost_gateway.domain.verification import Finding

# The host answered, if only to refuse us: so the port is open from here.
_SILENT = frozenset({Trouble.CONNECT_TIMED_OUT, Trouble.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One look; `findings` in the order in which a mail host would look at us."""

    resolver: Resolver
    manners: Manners
    is_public: Callable[[str], bool]

    async def findings(self) -> list[Finding]:
        return [*await self._name(), await self._spf(), await self._port()]

    async def _name(self) -> list[Finding]:
        """RFC 5321 4.1.1.1: the name said in EHLO has an address, and the address (RFC 1912 2.1) has the name."""
        name = self.manners.helo_name
        found = [await self.resolver.lookup(name, "A"), await self.resolver.lookup(name, "AAAA")]
        addresses = [address for lookup in found for address in lookup.records]
        if addresses:
            return [Finding("helo", "helo_resolves", {"name": name}), *[await self._ptr(one) for one in addresses]]
        told = all(lookup.outcome.definite for lookup in found)
        return [Finding("helo", "helo_unresolved" if told else "untold", {"name": name})]

    async def _ptr(self, address: str) -> Finding:
        try:
            reverse = dns.reversename.from_address(address).to_text(omit_final_dot=True)
        except dns.exception.DNSException:
            return Finding("ptr", "untold", {"address": address})
        found = await self.resolver.lookup(reverse, "PTR")
        names = [record.rstrip(".").lower() for record in found.records]
        if not found.outcome.definite:
            return Finding("ptr", "untold", {"address": address})
        code = "ptr_matches" if self.manners.helo_name.lower() in names else "ptr_differs"
        return Finding("ptr", code, {"address": address, "names": ", ".join(names[:3])})

    async def _spf(self) -> Finding:
        """RFC 7208 4.5: exactly one record."""
        domain = self.manners.mail_from.rpartition("@")[2]
        found = await self.resolver.lookup(domain, "TXT")
        if found.outcome is not DnsOutcome.FOUND:
            return Finding("spf", "spf_missing" if found.outcome.definite else "untold", {"domain": domain})
        texts = [record.replace('" "', "").strip('"').lower() for record in found.records]
        count = sum(text == "v=spf1" or text.startswith("v=spf1 ") for text in texts)
        code = {0: "spf_missing", 1: "spf_present"}.get(count, "spf_twice")
        return Finding("spf", code, {"domain": domain})

    async def _port(self) -> Finding:
        """Tells "port 25 is closed here" from "that host refused": only silence speaks for the first."""
        domain = self.manners.mail_from.rpartition("@")[2]
        route = await find_route(domain, resolver=self.resolver, is_public=self.is_public)
        if route.host is None:
            return Finding("port", "untold", {"domain": domain, "mx": route.finding.code})
        facts: dict[str, str | int | float | bool | None] = {"host": route.host.name, "port": self.manners.port}
        try:
            dialogue = await Dialogue.open(route.host.addresses[0], host=route.host.name, manners=self.manners)
        except DialogueEnded as ended:
            return Finding("port", "port_silent" if ended.trouble in _SILENT else "port_open", facts)
        except Refused as refused:
            return Finding("port", "port_open_refused", {**facts, "smtp_code": refused.reply.code})
        await dialogue.aclose()
        return Finding("port", "port_open", facts)
