"""SPF as a receiver evaluates it (RFC 7208 section 4): what a domain says of an address that sends in its name.

Bounded as section 4.6.4 demands: ten terms that look something up, two of them in vain. Raises for nothing a domain can
publish.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import dns.reversename

from vouchpost_gateway.checks.dns import DnsOutcome, RecordType
from vouchpost_gateway.checks.health import macros
from vouchpost_gateway.checks.health.spf_record import (
    MalformedRecord,
    Mechanism,
    SpfRecord,
    SpfResult,
    parse_spf,
    spf_records,
)
from vouchpost_gateway.checks.health.texts import text_of
from vouchpost_gateway.checks.mx import Lookups

_MOST_TERMS: Final = 10
_MOST_VOID: Final = 2
_MOST_NAMES: Final = 10
_DEEPEST: Final = 12
_NAME = re.compile(r"(?=.{1,253}$)[^.]{1,63}(\.[^.]{1,63})+")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class SpfVerdict:
    """The result, what it spent, and for `permerror` what was wrong: `records`, `lookups`, `syntax` and the like."""

    result: SpfResult
    flaw: str = ""
    terms: int = 0


class _Ended(Exception):  # noqa: N818  the evaluation has
    def __init__(self, result: SpfResult, flaw: str) -> None:
        super().__init__(flaw)
        self.result = result
        self.flaw = flaw


async def check_host(
    resolver: Lookups, *, address: str, domain: str, sender: str = "", helo: str = "unknown"
) -> SpfVerdict:
    """Section 4.1. `sender` defaults to the postmaster of the domain."""
    local_part, at, sender_domain = sender.rpartition("@")
    sender = f"{local_part or 'postmaster'}@{sender_domain if at else domain}"
    evaluation = _Evaluation(resolver, _unmapped(address), sender, helo)
    try:
        result = await evaluation.check(domain, depth=0)
    except _Ended as ended:
        return SpfVerdict(ended.result, ended.flaw, evaluation.terms)
    return SpfVerdict(result, terms=evaluation.terms)


def _unmapped(address: str) -> Address:
    parsed = ipaddress.ip_address(address)
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, ipaddress.IPv6Address) else parsed


@dataclass(slots=True)
class _Evaluation:
    """One evaluation, and what it has spent."""

    resolver: Lookups
    address: Address
    sender: str
    helo: str
    terms: int = 0
    void: int = 0

    async def check(self, domain: str, *, depth: int) -> SpfResult:
        if not _NAME.fullmatch(domain.rstrip(".")) or depth > _DEEPEST:
            return SpfResult.NONE
        record = await self._record(domain)
        if record is None:
            return SpfResult.NONE
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, domain, depth):
                return mechanism.result
        if record.redirect is None:
            return SpfResult.NEUTRAL
        return await self._redirected(record.redirect, domain, depth)

    async def _record(self, domain: str) -> SpfRecord | None:
        found = await self.resolver.lookup(domain, "TXT")
        if not found.outcome.definite:
            raise _Ended(SpfResult.TEMPERROR, found.outcome.value)
        records = spf_records(text_of(record) for record in found.records)
        if len(records) > 1:
            raise _Ended(SpfResult.PERMERROR, "records")
        try:
            return parse_spf(records[0]) if records else None
        except MalformedRecord as error:
            raise _Ended(SpfResult.PERMERROR, "syntax") from error

    async def _redirected(self, target: str, domain: str, depth: int) -> SpfResult:
        """Section 6.1: the other domain's policy, which must be there."""
        self._spend()
        result = await self.check(await self._expanded(target, domain), depth=depth + 1)
        if result is SpfResult.NONE:
            raise _Ended(SpfResult.PERMERROR, "redirect")
        return result

    async def _matches(self, mechanism: Mechanism, domain: str, depth: int) -> bool:
        if mechanism.kind == "all":
            return True
        if mechanism.network is not None:
            return self.address in mechanism.network
        self._spend()
        name = await self._expanded(mechanism.name, domain) if mechanism.name else domain
        if mechanism.kind == "include":
            return await self._included(name, depth)
        if mechanism.kind == "exists":
            return bool(await self._look_up(name, "A"))
        if mechanism.kind == "ptr":
            return any(_is_under(client, name) for client in await self._clients())
        hosts = [name] if mechanism.kind == "a" else await self._exchangers(name)
        return await self._is_at(hosts, mechanism, void_counts=mechanism.kind == "a")

    async def _included(self, name: str, depth: int) -> bool:
        """Section 5.2: only a pass is a match, and a domain without a policy is a mistake."""
        result = await self.check(name, depth=depth + 1)
        if result is SpfResult.NONE:
            raise _Ended(SpfResult.PERMERROR, "include")
        return result is SpfResult.PASS

    async def _exchangers(self, name: str) -> list[str]:
        """Section 4.6.4: more than ten is an error, whatever they are."""
        records = await self._look_up(name, "MX")
        if len(records) > _MOST_NAMES:
            raise _Ended(SpfResult.PERMERROR, "mx_hosts")
        ordered = sorted((int(record.split()[0]), record.split()[1].rstrip(".")) for record in records)
        return [host for _, host in ordered if host]

    async def _is_at(self, hosts: Sequence[str], mechanism: Mechanism, *, void_counts: bool) -> bool:
        length = mechanism.prefixes[0 if self.address.version == 4 else 1]
        for host in hosts:
            found = await self._look_up(host, self._address_type, void_counts=void_counts)
            for address in found:
                if self.address in ipaddress.ip_network(f"{address}/{length}", strict=False):
                    return True
        return False

    async def _clients(self) -> list[str]:
        """Section 5.5: names of the address that have the address; whatever fails on the way is no name."""
        reverse = dns.reversename.from_address(str(self.address)).to_text(omit_final_dot=True)
        found = await self.resolver.lookup(reverse, "PTR")
        names = [record.rstrip(".").lower() for record in found.records][:_MOST_NAMES]
        return [name for name in names if await self._has_our_address(name)]

    async def _has_our_address(self, name: str) -> bool:
        found = await self.resolver.lookup(name, self._address_type)
        return any(ipaddress.ip_address(record) == self.address for record in found.records)

    async def _look_up(self, name: str, kind: RecordType, *, void_counts: bool = True) -> tuple[str, ...]:
        """Records; none for a name that is none. A failure ends the evaluation, and so do three answers in vain."""
        if not _NAME.fullmatch(name.rstrip(".")):
            return ()
        found = await self.resolver.lookup(name.rstrip("."), kind)
        if not found.outcome.definite:
            raise _Ended(SpfResult.TEMPERROR, found.outcome.value)
        if found.outcome is not DnsOutcome.FOUND and void_counts:
            self.void += 1
            if self.void > _MOST_VOID:
                raise _Ended(SpfResult.PERMERROR, "void_lookups")
        return found.records

    async def _expanded(self, text: str, domain: str) -> str:
        client = "unknown"
        if macros.needs_name_of_client(text):
            names = await self._clients()
            client = next((name for name in names if _is_under(name, domain)), next(iter(names), "unknown"))
        values = macros.values_of(self.address, domain=domain, sender=self.sender, helo=self.helo, client=client)
        return macros.expand(text, values)

    def _spend(self) -> None:
        self.terms += 1
        if self.terms > _MOST_TERMS:
            raise _Ended(SpfResult.PERMERROR, "lookups")

    @property
    def _address_type(self) -> RecordType:
        return "A" if self.address.version == 4 else "AAAA"


def _is_under(name: str, domain: str) -> bool:
    name, domain = name.lower().rstrip("."), domain.lower().rstrip(".")
    return name == domain or name.endswith(f".{domain}")
