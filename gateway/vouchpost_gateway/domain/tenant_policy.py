"""What a tenant decides for itself: other statuses for matters of taste, and whom it allows or denies.

Kept as data, with a version made of its contents, so that a verdict says which policy it was judged by.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Self

from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.host import MalformedHostError, parse_host
from vouchpost_gateway.domain.verification import Status

DEGRADED = "degraded"
"""In place of a finding: what a verdict is called that came without the full checks. Never `valid`, never `invalid`."""

_GOOD_OR_BAD = frozenset({Status.VALID, Status.RISKY, Status.INVALID})
_RISKY_OR_BAD = frozenset({Status.RISKY, Status.INVALID})

AMENDABLE: Mapping[str, frozenset[Status]] = MappingProxyType(
    {
        "role_account": _GOOD_OR_BAD,
        "free_provider": _GOOD_OR_BAD,
        "alias_relay": _GOOD_OR_BAD,
        "disposable": _GOOD_OR_BAD,
        "disposable_mail_host": _GOOD_OR_BAD,
        "gibberish": frozenset({Status.VALID, Status.RISKY}),
        "idn_confusable": _GOOD_OR_BAD,
        "typo_suspected": _GOOD_OR_BAD,
        "catch_all": _GOOD_OR_BAD,
        "mailbox_full": _RISKY_OR_BAD,
        "mailbox_moved": _RISKY_OR_BAD,
        "accepts_mail": frozenset({Status.VALID, Status.RISKY}),
        DEGRADED: frozenset({Status.UNKNOWN, Status.RISKY}),
    }
)
"""The findings that are a matter of taste, each with what it may be called. What is not known, or cannot be delivered
to, is none: unknown must never become an answer, nor an address that is none a good one."""

STATUSES = tuple(status for status in Status if status is not Status.PENDING)
"""What a finding may be called at all."""

MAX_ENTRIES = 10_000
_LONGEST_ENTRY = 254


@dataclass(frozen=True)
class TenantPolicy:
    """Amended statuses by finding; and domains or whole addresses, in normal form, that are allowed or denied."""

    statuses: Mapping[str, Status] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    @classmethod
    def made(cls, *, statuses: Mapping[str, Status], allow: Iterable[str], deny: Iterable[str]) -> Self:
        """As someone wrote it. Raises InvalidField, naming what is wrong."""
        for finding, status in statuses.items():
            if finding not in AMENDABLE:
                raise InvalidField(f"statuses.{finding}", f"may not be given: only {', '.join(AMENDABLE)} may")
            if status not in AMENDABLE[finding]:
                words = ", ".join(sorted(AMENDABLE[finding]))
                raise InvalidField(f"statuses.{finding}", f"may be only {words}")
        allowed, denied = _entries("allow", allow), _entries("deny", deny)
        policy = cls(dict(statuses), frozenset(allowed), frozenset(denied))
        if both := policy.allow & policy.deny:
            at = next(at for at, entry in enumerate(denied) if entry in both)
            raise InvalidField(f"deny.{at}", "may not name what allow names too")
        return policy

    def __hash__(self) -> int:
        return hash(self.version)

    @cached_property
    def version(self) -> str:
        """Empty where nothing is amended."""
        if not (self.statuses or self.allow or self.deny):
            return ""
        parts = [f"{finding}={status}" for finding, status in sorted(self.statuses.items())]
        digest = sha256("\n".join([*parts, "", *sorted(self.allow), "", *sorted(self.deny)]).encode())
        return digest.hexdigest()[:10]

    @property
    def degraded_status(self) -> Status:
        return self.statuses.get(DEGRADED, Status.UNKNOWN)

    def says_of(self, address: str, domain: str) -> str | None:
        """`allowed`, `denied` or None. The address itself counts before its domain, a name before those it is under."""
        if not (self.allow or self.deny):
            return None
        for entry in (address.lower(), *_name_and_parents(domain)):
            if entry in self.allow:
                return "allowed"
            if entry in self.deny:
                return "denied"
        return None


NO_POLICY = TenantPolicy()


def _entries(name: str, texts: Iterable[str]) -> list[str]:
    """In the order given, in which the one that is wrong is counted."""
    entries = list(map(_entry, texts))
    if len(set(entries)) > MAX_ENTRIES:
        raise InvalidField(name, f"may have at most {MAX_ENTRIES} entries")
    if None in entries:
        raise InvalidField(f"{name}.{entries.index(None)}", "must be a domain with at least one dot, or an address")
    return [entry for entry in entries if entry]


def _entry(text: str) -> str | None:
    """In the form that addresses are compared in: lower case, the domain as A-labels; None for what is neither."""
    local_part, at, domain = text.strip().lower().rpartition("@")
    try:
        domain = parse_host(domain)
    except MalformedHostError:
        return None
    readable = local_part.isprintable() and not any(char.isspace() for char in local_part)
    good = "." in domain and not domain.startswith("[") and readable and bool(local_part) == bool(at)
    entry = f"{local_part}{at}{domain}"
    return entry if good and len(entry.encode()) <= _LONGEST_ENTRY else None


def _name_and_parents(domain: str) -> Iterable[str]:
    while "." in domain:
        yield domain
        domain = domain.partition(".")[2]
