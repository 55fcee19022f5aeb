"""Where mail for a domain goes (RFC 5321 5.1, RFC 7505): its usable mail hosts, or the finding that there are none.

Says "no" only when every step to it was definite. Bounded: at most 8 lookups, at most 5 hosts looked at.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from vouchpost_gateway.checks.dns import DnsOutcome, Lookup, RecordType
from vouchpost_gateway.checks.reserved import is_reserved
from vouchpost_gateway.domain.verification import Finding

MAX_HOSTS: Final = 5
MAX_LOOKUPS: Final = 8
_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+")

Facts = dict[str, str | int | float | bool | None]


class Lookups(Protocol):
    """What is needed of a resolver."""

    async def lookup(self, name: str, kind: RecordType) -> Lookup: ...


@dataclass(frozen=True, slots=True)
class MailHost:
    """A host that takes mail for the domain, and the addresses it was checked at: connect to these, not to the name."""

    name: str
    preference: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """What was found: hosts to hand mail to, the preferred first, or none and the finding says why.

    `exchangers` names all that the domain has, looked at or not.
    """

    finding: Finding
    hosts: tuple[MailHost, ...] = ()
    exchangers: tuple[str, ...] = ()

    @property
    def host(self) -> MailHost | None:
        return self.hosts[0] if self.hosts else None


@dataclass(slots=True)
class _Search:
    """One walk from a domain to a mail host: what it may still spend, and what it met on the way."""

    resolver: Lookups
    is_public: Callable[[str], bool]
    left: int = MAX_LOOKUPS
    failures: list[Lookup] = field(default_factory=list)
    unsafe: int = 0

    async def look_up(self, name: str, kind: RecordType) -> Lookup:
        self.left -= 1
        found = await self.resolver.lookup(name, kind)
        if not found.outcome.definite:
            self.failures.append(found)
        return found

    async def addresses(self, host: str) -> tuple[str, ...]:
        """Public addresses of the host: A, then AAAA where there is none (most senders prefer IPv4)."""
        for kind in _ADDRESS_TYPES:
            if self.left <= 0:
                self.failures.append(_BUDGET_SPENT)
                return ()
            found = await self.look_up(host, kind)
            public = tuple(address for address in found.records if self.is_public(address))
            self.unsafe += len(found.records) - len(public)
            if public or found.outcome is DnsOutcome.NO_NAME:
                return public
        return ()


_ADDRESS_TYPES: Final[tuple[RecordType, RecordType]] = ("A", "AAAA")
_BUDGET_SPENT = Lookup(DnsOutcome.FAILED, detail="lookups_spent")


async def find_route(
    domain: str, *, resolver: Lookups, is_public: Callable[[str], bool], sandbox: bool = False, wanted: int = 1
) -> Route:
    """The first mail hosts, by preference, that have a public address; as many as `wanted` and the limits allow."""
    search = _Search(resolver, is_public)
    found = await search.look_up(domain, "MX")
    if found.outcome is DnsOutcome.NO_NAME:
        return Route(await _confirmed_absence(domain, search))
    if found.outcome is DnsOutcome.NO_DATA:
        return await _implicit(domain, search)
    if found.outcome is not DnsOutcome.FOUND:
        return Route(_failure(found))
    exchangers = sorted(_parse(record) for record in found.records)
    if [name for _, name in exchangers] == [""]:
        return Route(Finding("mx", "null_mx"))  # RFC 7505 3
    return await _explicit(exchangers, search, sandbox=sandbox, wanted=wanted)


async def _confirmed_absence(domain: str, search: _Search) -> Finding:
    """RFC 8020: a name that does not exist has no records of any type; a server that shows some is not believed."""
    other = await search.look_up(domain, "A")
    if other.outcome is DnsOutcome.NO_NAME:
        return Finding("mx", "no_domain")
    return _failure(Lookup(DnsOutcome.FAILED, detail="contradiction") if other.outcome.definite else other)


async def _implicit(domain: str, search: _Search) -> Route:
    """RFC 5321 5.1: without any MX record, the domain's own address is the mail host."""
    addresses = await search.addresses(domain)
    if not addresses:
        return Route(_nothing(search, {"implicit": True}))
    host = MailHost(domain, 0, addresses)
    return Route(Finding("mx", "accepts_mail", {"implicit": True, "hosts": 1, "host": domain}), (host,))


async def _explicit(exchangers: list[tuple[int, str]], search: _Search, *, sandbox: bool, wanted: int) -> Route:
    hosts: list[MailHost] = []
    for preference, name in exchangers[:MAX_HOSTS]:
        if len(hosts) < wanted and not _unusable(name, search, sandbox=sandbox):
            addresses = await search.addresses(name)
            hosts += [MailHost(name, preference, addresses)] if addresses else []
    if not hosts:
        return Route(_nothing(search, {"implicit": False, "hosts": len(exchangers)}))
    first = hosts[0]
    facts: Facts = {"implicit": False, "hosts": len(exchangers), "host": first.name, "preference": first.preference}
    return Route(Finding("mx", "accepts_mail", facts), tuple(hosts), tuple(name for _, name in exchangers))


def _unusable(name: str, search: _Search, *, sandbox: bool) -> bool:
    """Whether a name must not be asked about: it is an address, or reserved, or no host name at all."""
    if _is_address(name) or (is_reserved(name) and not sandbox) or name == "localhost":
        search.unsafe += 1
        return True
    return _HOST_NAME.fullmatch(name) is None


def _nothing(search: _Search, facts: Facts) -> Finding:
    """Why no host was usable. A failure on the way forbids every definite answer."""
    if search.failures:
        return _failure(search.failures[0], facts)
    if search.unsafe:
        return Finding("mx", "unsafe_mx", facts)
    return Finding("mx", "no_mx", facts)


def _failure(lookup: Lookup, facts: Facts | None = None) -> Finding:
    """The finding of a failed lookup. The resolver remembers it for `ttl_s`: a check sooner than that is in vain."""
    code = "dns_timeout" if lookup.outcome is DnsOutcome.TIMED_OUT else "dns_failure"
    told: Facts = {**(facts or {}), "detail": lookup.detail or lookup.outcome.value}
    return Finding("mx", code, {**told, "retry_after_s": lookup.ttl_s} if lookup.ttl_s else told)


def _parse(record: str) -> tuple[int, str]:
    """`10 MX.Example.` to (10, "mx.example"); the root of a null MX becomes the empty name."""
    preference, _, name = record.partition(" ")
    return int(preference), name.lower().rstrip(".")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
