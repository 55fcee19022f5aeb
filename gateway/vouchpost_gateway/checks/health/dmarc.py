"""What a domain asks of receivers about mail in its name: DMARC by RFC 9989, found by its tree walk, no suffix list."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vouchpost_gateway.checks.dns import DnsOutcome
from vouchpost_gateway.checks.health.texts import text_of
from vouchpost_gateway.checks.mx import Lookups

# RFC 9989 4.10: from a name of eight labels or more the walk goes on at seven, so it never asks more than eight times.
_LONGEST_WALK: Final = 8
_POLICIES = frozenset({"none", "quarantine", "reject"})
_TAG = re.compile(r"\s*([a-z]+)\s*=([^;]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DmarcPolicy:
    """The policy that applies to a domain, and the name that publishes it. `testing`: applied one step milder."""

    policy: str
    published_at: str
    testing: bool = False
    reports: bool = False


class Untold(Exception):  # noqa: N818  it says what is known
    """A name server could not tell, so nothing is known."""


async def find_dmarc(domain: str, resolver: Lookups) -> DmarcPolicy | None:
    """The policy that applies to a domain that exists (4.10.1), or None where none is published. Raises Untold."""
    found: list[tuple[str, Mapping[str, str]]] = []
    for name in walk(domain):
        tags = await _record(name, resolver)
        if tags is not None:
            found.append((name, tags))
            if name == domain or tags.get("psd") in ("y", "n"):
                break
    return _applied(domain, found) if found else None


def walk(domain: str) -> list[str]:
    """4.10: the domain, then its parents; the middle of a very long name is passed over."""
    labels = domain.split(".")
    start = max(1, len(labels) - _LONGEST_WALK + 1)
    return [domain, *(".".join(labels[cut:]) for cut in range(start, len(labels)))]


def _applied(domain: str, found: list[tuple[str, Mapping[str, str]]]) -> DmarcPolicy:
    """4.10.2: the organization's record is the last one found, unless that is of a public suffix (`psd=y`).

    Then it is the one a label below it; and where that has none, the public suffix speaks after all.
    """
    at, tags = found[-1]
    if tags.get("psd") == "y" and at != domain:
        below = [(name, of) for name, of in found if name.partition(".")[2] == at]
        at, tags = below[0] if below else (at, tags)
    policy = _word(tags, "p") or "none"
    if at != domain:
        policy = _word(tags, "sp") or policy
    return DmarcPolicy(policy, at, testing=tags.get("t", "").lower() == "y", reports=bool(tags.get("rua")))


async def _record(name: str, resolver: Lookups) -> Mapping[str, str] | None:
    """The one record at a name; several count as none (4.10)."""
    found = await resolver.lookup(f"_dmarc.{name}", "TXT")
    if not found.outcome.definite:
        raise Untold
    if found.outcome is not DnsOutcome.FOUND:
        return None
    parsed = [parse_dmarc(text_of(record)) for record in found.records]
    valid = [tags for tags in parsed if tags is not None]
    return valid[0] if len(valid) == 1 else None


def parse_dmarc(text: str) -> Mapping[str, str] | None:
    """The tags of a record; None for what is no DMARC record. Unknown and removed tags (pct, rf, ri) are passed over.

    4.7: the version comes first and exactly so. A record whose policy is none of the three counts as `none` where
    reports are asked for, and as no record otherwise.
    """
    parts = text.split(";")
    version = _TAG.fullmatch(parts[0])
    if version is None or version[1].lower() != "v" or version[2].strip() != "DMARC1":
        return None
    pairs = [match for match in map(_TAG.fullmatch, parts[1:]) if match]
    tags: dict[str, str] = {}
    for match in pairs:
        tags.setdefault(match[1].lower(), match[2].strip())
    if _word(tags, "p") is None:
        return {**tags, "p": "none"} if tags.get("rua") or "p" not in tags else None
    return tags


def _word(tags: Mapping[str, str], name: str) -> str | None:
    word = tags.get(name, "").lower()
    return word if word in _POLICIES else None
