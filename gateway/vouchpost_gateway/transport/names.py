"""Names to addresses for pushes: the hosts file, then DNS. It caches nothing and judges nothing.

`getaddrinfo` would do the same in one of a few threads, where a handful of name servers that never answer hold up
every other subscriber. Here a lookup that hangs holds up nobody.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from itertools import chain
from pathlib import Path
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver

HOSTS_FILE = Path("/etc/hosts")
LOOPBACK = ("127.0.0.1", "::1")
# What glibc asks when /etc/resolv.conf names nobody.
_DEFAULT_SERVERS = (("127.0.0.1", 53),)


class UnresolvedError(OSError):
    """The name has no address, or no name server said so in time."""


class Names(Protocol):
    """One lookup: every address that the name has at this moment."""

    async def addresses(self, name: str, /) -> Sequence[str]: ...


class SystemNames:
    """The hosts file and the system's name servers, or those that the operator named."""

    def __init__(
        self, *, servers: Sequence[tuple[str, int]] = (), timeout_s: float = 5.0, hosts_file: Path = HOSTS_FILE
    ) -> None:
        self._hosts = read_hosts(hosts_file)
        self._resolver = _resolver(servers)
        self._timeout_s = timeout_s

    async def addresses(self, name: str, /) -> Sequence[str]:
        """Every A and AAAA of the name, asked for at once; UnresolvedError when there is none."""
        known = self._hosts.get(name) or (LOOPBACK if _is_localhost(name) else ())
        if known:
            return known
        found = [*chain(*await asyncio.gather(self._ask(name, "AAAA"), self._ask(name, "A")))]
        if not found:
            raise UnresolvedError(UnresolvedError.__doc__)
        return found

    async def _ask(self, name: str, kind: str) -> list[str]:
        """The answer to one question; none when it fails, for the other family may still be good."""
        try:
            absolute = dns.name.from_text(name, origin=dns.name.root)
            answer = await self._resolver.resolve(
                absolute, kind, raise_on_no_answer=False, search=False, lifetime=self._timeout_s
            )
        except (dns.exception.DNSException, OSError, ValueError):
            return []
        return [record.address for record in answer.rrset or ()]


def read_hosts(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The names of a hosts file, lower-case, with their addresses in order. Lines that make no sense are skipped."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return {}
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names if _is_address(address) else ():
            found[name.lower()].append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}


def _resolver(servers: Sequence[tuple[str, int]]) -> dns.asyncresolver.Resolver:
    try:
        resolver = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.asyncresolver.Resolver(configure=False)
        servers = _DEFAULT_SERVERS
    if servers:
        resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
    return resolver


def _is_localhost(name: str) -> bool:
    """RFC 6761, 6.3: never a question for DNS."""
    return name == "localhost" or name.endswith(".localhost")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
