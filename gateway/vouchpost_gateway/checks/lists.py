"""What is known about a domain before anything is asked: disposable, alias relay, free provider. Sets, read once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Self

import disposable_email_domains

from vouchpost_gateway.domain.verification import Finding


@dataclass(frozen=True, slots=True)
class DomainLists:
    """The packaged lists, and a version that changes when any of them does."""

    disposable: frozenset[str]
    not_disposable: frozenset[str]
    alias_relays: frozenset[str]
    free_providers: frozenset[str]
    version: str

    @classmethod
    def packaged(cls) -> Self:
        """disposable-email-domains (CC0, checked by people) as the source, corrected by our own small file."""
        corrections = tuple(lines_of("disposable_corrections.txt"))
        added = {line[1:].strip() for line in corrections if line.startswith("+")}
        removed = {line[1:].strip() for line in corrections if line.startswith("-")}
        relays = frozenset(lines_of("alias_relays.txt"))
        free = frozenset(lines_of("free_providers.txt"))
        disposable = frozenset(disposable_email_domains.blocklist) | added
        return cls(
            disposable=disposable,
            not_disposable=relays | free | removed,
            alias_relays=relays,
            free_providers=free,
            version=_version(disposable, relays, free, frozenset(removed)),
        )

    def look_up(self, domain: str) -> tuple[Finding, ...]:
        """What the lists say. A name under a listed one is listed too, and the longest match decides."""
        for name in _name_and_parents(domain):
            if name in self.alias_relays:
                return (Finding("lists", "alias_relay", {"listed_as": name}),)
            if name in self.free_providers and name == domain:
                return (Finding("lists", "free_provider", {"listed_as": name}),)
            if name in self.not_disposable:
                return ()
            if name in self.disposable:
                return (Finding("lists", "disposable", {"listed_as": name, "list": "disposable-email-domains"}),)
        return ()

    def look_up_hosts(self, hosts: Iterable[str]) -> tuple[Finding, ...]:
        """A mail host under a disposable domain serves disposable domains, those too that nobody has listed yet."""
        for host in hosts:
            for finding in self.look_up(host):
                if finding.code == "disposable":
                    return (Finding("lists", "disposable_mail_host", {**finding.facts, "host": host}),)
        return ()


@cache
def packaged_lists() -> DomainLists:
    return DomainLists.packaged()


def lines_of(name: str) -> Iterator[str]:
    """The lines of a packaged data file, without comments and blank ones."""
    text = resources.files("vouchpost_gateway.checks").joinpath("data", name).read_text("utf-8")
    for line in text.splitlines():
        if content := line.partition("#")[0].strip():
            yield content


def _name_and_parents(domain: str) -> Iterator[str]:
    """`a.b.example`, `b.example`: down to two labels, since no whole top-level domain is ever listed."""
    while "." in domain:
        yield domain
        domain = domain.partition(".")[2]


def _version(*sets: frozenset[str]) -> str:
    digest = sha256()
    for names in sets:
        digest.update("\n".join(sorted(names)).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]
