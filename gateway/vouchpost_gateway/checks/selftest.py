"""Whether this machine may ask mail hosts at all: its host name, reverse DNS, the sender's SPF, and port 25."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import dns.exception
import dns.reversename

from vouchpost_gateway.checks.dns import Resolver
from vouchpost_gateway.checks.health.spf import check_host
from vouchpost_gateway.checks.health.spf_record import SpfResult
from vouchpost_gateway.checks.mx import MailHost, find_route
from vouchpost_gateway.checks.operators import operator_of
from vouchpost_gateway.checks.smtp import Dialogue, DialogueEnded, Manners, Refused, Trouble
from vouchpost_gateway.checks.traffic import Egress
from vouchpost_gateway.domain.verification import Finding

# After any other trouble the host has answered, if only to refuse us: so the port is open from here.
_SILENT = frozenset({Trouble.CONNECT_TIMED_OUT, Trouble.UNREACHABLE})

_PORT_CODES: Final = {**dict.fromkeys(_SILENT, "port_silent"), Trouble.PROXY_FAILED: "proxy_failed"}
_AGAIN_CLOSED_S: Final = 300.0
_AGAIN_OPEN_S: Final = 3600.0
_ENOUGH: Final = 2

# An address that is nobody's (RFC 5737): asked about where all that counts is whether there is a record.
_NOBODYS: Final = "192.0.2.1"
_SPF_CODES: Final = {
    SpfResult.NONE: "spf_missing",
    SpfResult.PASS: "spf_passes",
    SpfResult.PERMERROR: "spf_broken",
    SpfResult.TEMPERROR: "untold",
}


class Port25(StrEnum):
    """What the hosts that were tried say of the port, from here."""

    OPEN = "open"
    CLOSED = "closed"
    UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class PortWatch:
    """At start and from then on: tells "port 25 is closed here" from "that host refused", and stops asking meanwhile.

    One host that is silent may be down. Where several operators are, and none so much as refuses us, it is the port.
    """

    resolver: Resolver
    manners: Manners
    is_public: Callable[[str], bool]
    egress: Egress
    domains: Sequence[str]
    told: Callable[[str], None]

    async def forever(self) -> None:
        before = None
        while True:
            found = await look_at_port(self.resolver, self.manners, self.is_public, self.domains)
            if found is Port25.CLOSED:
                self.egress.close()
            elif found is Port25.OPEN:
                self.egress.reached()
            if found is not before:
                self.told(found.value)
            before = found
            await asyncio.sleep(_AGAIN_CLOSED_S if found is Port25.CLOSED else _AGAIN_OPEN_S)


async def look_at_port(
    resolver: Resolver, manners: Manners, is_public: Callable[[str], bool], domains: Sequence[str]
) -> Port25:
    """One connection to one host of each operator, all at once: of the sender's own domain, and of these."""
    names = dict.fromkeys([manners.mail_from.rpartition("@")[2], *domains])
    routes = await asyncio.gather(*(find_route(name, resolver=resolver, is_public=is_public) for name in names))
    hosts = {operator_of(route.host.name).name: route.host for route in routes if route.host is not None}
    answers = await asyncio.gather(*(_answers(host, manners) for host in hosts.values()))
    heard = [answer for answer in answers if answer is not None]
    if any(heard):
        return Port25.OPEN
    return Port25.CLOSED if len(heard) >= _ENOUGH else Port25.UNTOLD


async def _answers(host: MailHost, manners: Manners) -> bool | None:
    """Whether anything came back, if only a refusal. None: a proxy that fails tells nothing of the port."""
    try:
        dialogue = await Dialogue.open(host.addresses[0], host=host.name, manners=manners)
    except DialogueEnded as ended:
        return None if ended.trouble is Trouble.PROXY_FAILED else ended.trouble not in _SILENT
    except Refused:
        return True
    await dialogue.aclose()
    return True


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One look; `findings` in the order in which a mail host would look at us.

    Asks only the name servers and, for port 25, the mail host of the sender's own domain: nobody else is bothered.
    """

    resolver: Resolver
    manners: Manners
    is_public: Callable[[str], bool]

    async def findings(self) -> list[Finding]:
        name = self.manners.helo_name
        found = [await self.resolver.lookup(name, "A"), await self.resolver.lookup(name, "AAAA")]
        addresses = [address for lookup in found for address in lookup.records]
        return [
            self._name(addresses, told=all(lookup.outcome.definite for lookup in found)),
            *[await self._ptr(address) for address in addresses],
            *await self._spf(addresses),
            await self._port(),
        ]

    def _name(self, addresses: Sequence[str], *, told: bool) -> Finding:
        """RFC 5321 4.1.1.1: the name said in EHLO has an address."""
        code = "helo_resolves" if addresses else "helo_unresolved" if told else "untold"
        return Finding("helo", code, {"name": self.manners.helo_name})

    async def _ptr(self, address: str) -> Finding:
        """RFC 1912 2.1: the address has the name."""
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

    async def _spf(self, addresses: Sequence[str]) -> list[Finding]:
        """RFC 7208: whether the sender's domain lets our addresses send; all that is known of us is our own name's."""
        if not addresses:
            return [await self._spf_of(None)]
        return [await self._spf_of(address) for address in addresses]

    async def _spf_of(self, address: str | None) -> Finding:
        domain = self.manners.mail_from.rpartition("@")[2]
        verdict = await check_host(
            self.resolver,
            address=address or _NOBODYS,
            domain=domain,
            sender=self.manners.mail_from,
            helo=self.manners.helo_name,
        )
        if verdict.result not in _SPF_CODES:
            code = "spf_present" if address is None else "spf_refuses"
            return Finding("spf", code, {"domain": domain, "address": address, "result": verdict.result.value})
        facts = {"domain": domain, "address": address, "flaw": verdict.flaw}
        return Finding("spf", _SPF_CODES[verdict.result], dict(facts))

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
            return Finding("port", _PORT_CODES.get(ended.trouble, "port_open"), facts)
        except Refused as refused:
            return Finding("port", "port_open_refused", {**facts, "smtp_code": refused.reply.code})
        await dialogue.aclose()
        return Finding("port", "port_open", facts)
