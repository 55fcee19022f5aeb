"""What an address is made of, and whether it is one: the only syntax module, for every path and every depth.

RFC 5321 4.1.2 and 4.5.3.1, RFC 6531 and IDNA 2008 as email-validator reads them, strictly. No DNS. Input is capped
before any Unicode work, because normalisation and Punycode take time quadratic in their input.
"""

import re
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache, partial

import email_validator
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from vouchpost_gateway.domain.value import value

# RFC 5321 4.5.3.1.3 with RFC 3696 erratum 1690: a path of 256 octets less its angle brackets.
MAX_OCTETS = 254
MAX_LOCAL_PART = 64
# C0, DEL, C1, and the two Unicode line ends: nothing that could end a line of SMTP or of a log.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAINS_KEPT = 65_536

# Which names are special is decided in `reserved.py`, by mode: the library must not refuse the sandbox's.
# Clearing this list is the library's documented way of saying so.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class Flaw(StrEnum):
    """Where the address stops being one."""

    UNPARSEABLE = "unparseable"
    NO_AT_SIGN = "no_at_sign"
    LOCAL_PART_EMPTY = "local_part_empty"
    LOCAL_PART_TOO_LONG = "local_part_too_long"
    LOCAL_PART = "local_part"
    DOMAIN_EMPTY = "domain_empty"
    DOMAIN = "domain"
    # In the grammar of RFC 5321, and yet no address that anyone on the Internet is written to at.
    LOCAL_PART_QUOTED = "local_part_quoted"
    DOMAIN_LITERAL = "domain_literal"
    DOMAIN_WITHOUT_DOT = "domain_without_dot"


@value(frozen=True, slots=True)
class Mailbox:
    """An address in normal form: local part in NFC, domain as A-labels in lower case (RFC 5890 2.3.2.1)."""

    local_part: str
    domain: str
    display_domain: str
    needs_smtputf8: bool

    @property
    def address(self) -> str:
        return f"{self.local_part}@{self.domain}"


@value(frozen=True, slots=True)
class Malformed:
    """Not an address, and where the flaw is. Never says what was written there."""

    flaw: Flaw


def parseable(text: object) -> bool:
    """Whether a mail system could read this at all; what fails here is a mistake of the program, not of the person."""
    return isinstance(text, str) and len(text) <= MAX_OCTETS and _octets(text) <= MAX_OCTETS and is_one_line(text)


def is_one_line(text: str) -> bool:
    """Whether nothing in it could end a line, of SMTP or of a log."""
    return _CONTROL.search(text) is None


def normalise(text: str) -> Mailbox | Malformed:
    """The address in normal form, or the flaw that keeps it from being one. Bounded in time for every input."""
    if not parseable(text):
        return Malformed(Flaw.UNPARSEABLE)
    if usual := _usual(text):
        return usual
    try:
        parsed = _validate(text)
    except email_validator.EmailNotValidError:
        return Malformed(_flaw_of(text))
    if _octets(parsed.local_part) > MAX_LOCAL_PART:
        return Malformed(Flaw.LOCAL_PART_TOO_LONG)
    return Mailbox(parsed.local_part, parsed.ascii_domain, parsed.domain, parsed.smtputf8)


def well_formed(text: str, *, rare_forms: bool = False) -> bool:
    """Whether the grammar of RFC 5321 and RFC 6531 has it, reachable or not: a domain without a dot passes.

    `rare_forms` adds what they allow beside the usual: quoted local parts and address literals.
    """
    if not parseable(text) or not _within_octets(text):
        return False
    if rare_forms and text.startswith('""@'):
        text = f"empty{text[2:]}"  # RFC 5321 4.1.2: a quoted string may be empty, which the library does not have
    try:
        _validate(text, allow_quoted_local=rare_forms, allow_domain_literal=rare_forms, globally_deliverable=False)
    except email_validator.EmailNotValidError:
        return False
    return True


def _usual(text: str) -> Mailbox | None:
    """An address of the usual form, at a domain that is looked at once: many addresses, few domains.

    An ASCII dot-atom is a good local part by itself (RFC 5321 4.1.2); all the rest is the library's to decide.
    """
    local_part, _, name = text.partition("@")
    if len(local_part) > MAX_LOCAL_PART or not _DOT_ATOM.fullmatch(local_part):
        return None
    if local_part.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
        return None
    domain = _domain(name)
    if domain is None:
        return None
    ascii_form, shown, octets = domain
    if len(local_part) + 1 + octets > MAX_OCTETS:
        return None
    return Mailbox(local_part, ascii_form, shown, needs_smtputf8=False)


@lru_cache(_DOMAINS_KEPT)
def _domain(name: str) -> tuple[str, str, int] | None:
    """The domain as A-labels and for show, and the octets of the longer form; None where the library refuses it."""
    try:
        parsed = _validate(f"a@{name}")
    except email_validator.EmailNotValidError:
        return None
    return parsed.ascii_domain, parsed.domain, max(_octets(parsed.ascii_domain), _octets(parsed.domain))


_validate = partial(
    email_validator.validate_email,
    strict=True,
    allow_smtputf8=True,
    allow_quoted_local=False,
    allow_domain_literal=False,
    allow_display_name=False,
    globally_deliverable=True,
    check_deliverability=False,
)

# RFC 5321 4.1.2: only a printable ASCII character may be quoted by a backslash; RFC 6531 3.3 did not widen that.
_BAD_QUOTED_PAIR = re.compile(r"\\[^\x20-\x7e]")


def _within_octets(text: str) -> bool:
    """RFC 6531 3.3: limits are in octets of UTF-8, quotes and backslashes included; the library counts characters."""
    local_part = text.rpartition("@")[0]
    return _octets(local_part) <= MAX_LOCAL_PART and not _BAD_QUOTED_PAIR.search(local_part)


def _octets(text: str) -> int:
    """The length in UTF-8; a lone surrogate has none, so it counts as too long."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return MAX_OCTETS + 1


def _flaw_of(text: str) -> Flaw:
    """Which part to look at, told from the shape alone: the library's own words quote the address."""
    local_part, at, domain = text.rpartition("@")
    if not at:
        return Flaw.NO_AT_SIGN
    if well_formed(text, rare_forms=True):
        return _rarity_of(local_part, domain)
    seen = (flaw for flaw, shows in _SHAPES if shows(local_part, domain))
    return next(seen, Flaw.DOMAIN if well_formed(f"{local_part}@example.com", rare_forms=True) else Flaw.LOCAL_PART)


def _rarity_of(local_part: str, domain: str) -> Flaw:
    if local_part.startswith('"'):
        return Flaw.LOCAL_PART_QUOTED
    if domain.startswith("["):
        return Flaw.DOMAIN_LITERAL
    return Flaw.DOMAIN if "." in domain else Flaw.DOMAIN_WITHOUT_DOT


_SHAPES: tuple[tuple[Flaw, Callable[[str, str], bool]], ...] = (
    (Flaw.LOCAL_PART_EMPTY, lambda local_part, _: not local_part),
    (Flaw.DOMAIN_EMPTY, lambda _, domain: not domain),
    (Flaw.LOCAL_PART_TOO_LONG, lambda local_part, _: len(local_part) > MAX_LOCAL_PART),
)
