"""An SPF record as its terms (RFC 7208 sections 4.5, 4.6 and 5): read whole before anything of it is believed."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vouchpost_gateway.checks.health.macros import is_domain_spec, is_macro_string

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class MalformedRecord(ValueError):  # noqa: N818  it says what the record is
    """The record breaks the grammar; the message names the term's kind, never more."""


class SpfResult(StrEnum):
    """Section 2.6: what an evaluation comes to."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105  a word of the standard
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIERS = {"+": SpfResult.PASS, "-": SpfResult.FAIL, "~": SpfResult.SOFTFAIL, "?": SpfResult.NEUTRAL}


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism: what it tests, and what a match means. Prefixes are lengths for IPv4 and IPv6."""

    kind: str
    result: SpfResult
    name: str = ""
    network: Network | None = None
    prefixes: tuple[int, int] = (32, 128)


@dataclass(frozen=True, slots=True)
class SpfRecord:
    mechanisms: tuple[Mechanism, ...]
    redirect: str | None = None


def spf_records(texts: Iterable[str]) -> list[str]:
    """Section 4.5: those TXT records that are SPF's."""
    return [text for text in texts if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]


_TERM = re.compile(r"([+\-~?]?)([a-z][a-z0-9]*)(?:([:/])(.*))?", re.IGNORECASE | re.DOTALL)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.IGNORECASE | re.DOTALL)
_LONGEST = 8192  # section 3.4 asks for less than 512 octets; whoever publishes more than this means no good


def parse_spf(text: str) -> SpfRecord:
    """Raises MalformedRecord for an error anywhere (section 4.6: it cannot be matched around)."""
    if not text.isascii() or len(text) > _LONGEST:
        raise MalformedRecord("not ASCII, or too long")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in text.split(" ")[1:]:
        modifier = _MODIFIER.fullmatch(term)
        if modifier:
            _add_modifier(modifiers, modifier[1].lower(), modifier[2])
        elif term:
            mechanisms.append(_mechanism(term))
    return SpfRecord(tuple(mechanisms), modifiers.get("redirect"))


def _add_modifier(modifiers: dict[str, str], name: str, value: str) -> None:
    """Section 6: each of the two known ones at most once; others are read and passed over."""
    known = name in ("redirect", "exp")
    if known and (name in modifiers or not is_domain_spec(value)):
        raise MalformedRecord(name)
    if not is_macro_string(value):
        raise MalformedRecord("modifier")
    modifiers[name] = value


def _mechanism(term: str) -> Mechanism:
    match = _TERM.fullmatch(term)
    if match is None:
        raise MalformedRecord("term")
    qualifier, kind, sign, rest = match[1] or "+", match[2].lower(), match[3] or "", match[4] or ""
    read = _READERS.get(kind)
    if read is None:
        raise MalformedRecord("mechanism")
    return read(kind, _QUALIFIERS[qualifier], sign, rest)


def _all(kind: str, result: SpfResult, sign: str, _rest: str) -> Mechanism:
    if sign:
        raise MalformedRecord(kind)
    return Mechanism(kind, result)


def _named(kind: str, result: SpfResult, sign: str, rest: str) -> Mechanism:
    """Include and exists: a name, and nothing else."""
    if sign != ":" or not is_domain_spec(rest):
        raise MalformedRecord(kind)
    return Mechanism(kind, result, rest)


def _ptr(kind: str, result: SpfResult, sign: str, rest: str) -> Mechanism:
    if sign and (sign != ":" or not is_domain_spec(rest)):
        raise MalformedRecord(kind)
    return Mechanism(kind, result, rest)


# Section 5.6: lengths without leading zeros.
_LENGTHS = re.compile(r"(.*?)(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?", re.DOTALL)


def _hosts(kind: str, result: SpfResult, sign: str, rest: str) -> Mechanism:
    """A and mx: perhaps a name, perhaps the lengths of prefixes."""
    match = _LENGTHS.fullmatch(rest if sign == ":" else f"{sign}{rest}")
    assert match is not None  # anything fits its first group
    name, four, six = match.groups()
    prefixes = (int(four or 32) if four != "0" else 0, int(six or 128) if six != "0" else 0)
    wrong_name = not is_domain_spec(name) if sign == ":" else bool(name)
    if wrong_name or prefixes[0] > 32 or prefixes[1] > 128:
        raise MalformedRecord(kind)
    return Mechanism(kind, result, name, prefixes=prefixes)


_NETWORK = re.compile(r"[0-9a-f:.]+(?:/(?:0|[1-9]\d{0,2}))?", re.IGNORECASE)


def _network(kind: str, result: SpfResult, sign: str, rest: str) -> Mechanism:
    if sign != ":" or not _NETWORK.fullmatch(rest):
        raise MalformedRecord(kind)
    try:
        network = ipaddress.ip_network(rest, strict=False)
    except ValueError as error:
        raise MalformedRecord(kind) from error
    if network.version != int(kind[-1]):
        raise MalformedRecord(kind)
    return Mechanism(kind, result, network=network)


_READERS = {
    "all": _all,
    "include": _named,
    "exists": _named,
    "a": _hosts,
    "mx": _hosts,
    "ptr": _ptr,
    "ip4": _network,
    "ip6": _network,
}
