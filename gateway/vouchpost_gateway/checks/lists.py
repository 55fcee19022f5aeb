"""What is known about a domain before anything is asked: disposable, alias relay, free provider. Sets, read once.

Every name knows where it comes from. How sure it is that a domain is disposable follows from the number and the quality
of the sources that say so; what only a poor one says is a suspicion, which lowers the score and flags nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import metadata, resources
from math import prod
from pathlib import Path
from typing import Final, Self

import disposable_email_domains

from vouchpost_gateway.checks.list_file import SourceList, read_lists
from vouchpost_gateway.domain.verification import Finding

# Checked by people before a name is added (CC0); none of its names is among the reported false ones.
_PRIMARY: Final = "disposable-email-domains"
_PRIMARY_QUALITY: Final = 0.9
_SURE: Final = 0.75


@dataclass(frozen=True, slots=True)
class DomainLists:
    """The lists, their sources with what each is worth, and a version that changes when any of them does."""

    disposable: Mapping[str, tuple[str, ...]]
    not_disposable: frozenset[str]
    alias_relays: frozenset[str]
    free_providers: frozenset[str]
    sources: tuple[SourceList, ...]
    version: str

    @classmethod
    def packaged(cls) -> Self:
        """Those that came with this release."""
        return cls.of(())

    @classmethod
    def at(cls, directory: Path | None) -> Self:
        """With those that `vouchpost lists` was given. Raises Misconfigured for a file that is no list."""
        return cls.of(read_lists(directory)) if directory else cls.of(())

    @classmethod
    def of(cls, given: Iterable[SourceList]) -> Self:
        """The packaged lists and these; one with the name of a packaged one replaces it."""
        corrections = tuple(lines_of("disposable_corrections.txt"))
        added = frozenset(line[1:].strip() for line in corrections if line.startswith("+"))
        removed = frozenset(line[1:].strip() for line in corrections if line.startswith("-"))
        relays = frozenset(lines_of("alias_relays.txt"))
        free = frozenset(lines_of("free_providers.txt"))
        sources = {source.name: source for source in (_primary(), SourceList("vouchpost", 1.0, "", added), *given)}
        return cls(
            disposable=_by_name(sources.values()),
            not_disposable=relays | free | removed,
            alias_relays=relays,
            free_providers=free,
            sources=tuple(sources.values()),
            version=_version(sources.values(), relays, free, removed),
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
                return (self._disposable(name),)
        return ()

    def look_up_hosts(self, hosts: Iterable[str]) -> tuple[Finding, ...]:
        """A mail host under a disposable domain serves disposable domains, those too that nobody has listed yet."""
        for host in hosts:
            for finding in self.look_up(host):
                if finding.code == "disposable":
                    return (Finding("lists", "disposable_mail_host", {**finding.facts, "host": host}),)
        return ()

    def _disposable(self, name: str) -> Finding:
        """Sources are wrong independently of each other, so that two of them are surer than the better one."""
        names = self.disposable[name]
        confidence = 1 - prod(1 - source.quality for source in self.sources if source.name in names)
        code = "disposable" if confidence >= _SURE else "disposable_suspected"
        return Finding("lists", code, {"listed_as": name, "list": ", ".join(names), "confidence": round(confidence, 3)})


def _primary() -> SourceList:
    version = metadata.version(_PRIMARY)
    return SourceList(_PRIMARY, _PRIMARY_QUALITY, version, frozenset(disposable_email_domains.blocklist))


def _by_name(sources: Iterable[SourceList]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for source in sources:
        for name in source.names:
            found[name] = (*found.get(name, ()), source.name)
    return found


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


def _version(sources: Collection[SourceList], *sets: frozenset[str]) -> str:
    digest = sha256()
    for source in sources:
        digest.update(f"{source.name} {source.quality}\n".encode())
    for names in (*(source.names for source in sources), *sets):
        digest.update("\n".join(sorted(names)).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]
