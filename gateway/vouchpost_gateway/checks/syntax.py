"""What an address is made of, and whether it is one: the only syntax module, for every path and every depth.

RFC 5321 4.1.2 and 4.5.3.1, RFC 6531 and IDNA 2008 as email-validator reads them, strictly. No DNS. Input is capped
before any Unicode work, because normalisation and Punycode take time quadratic in their input.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import email_validator

# RFC 5321 4.5.3.1.3 with RFC 3696 erratum 1690: a path of 256 octets less its angle brackets.
MAX_OCTETS = 254
MAX_LOCAL_PART = 64
# C0, DEL, C1, and the two Unicode line ends: nothing that could end a line of SMTP or of a log.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# Which names are special is decided in `reserved.py`, by mode: the library must not refuse the sandbox's.
# Clearing this list is the library's documented way of saying so.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class Flaw(StrEnum):
    """Where the address stops being one."""

    UNPARSEABLE = "unparseable"
    NO_AT_SIGN = "no_at_sign"
    LOCAL_PART_EMPTY = "local_part_empty"
    LOCAL_PART_TOO_LONG = "local_part_too_long"
    LOCAL_PART_QUOTED = "local_part_quoted"
    LOCAL_PART = "local_part"
    DOMAIN_EMPTY = "domain_empty"
    DOMAIN_LITERAL = "domain_literal"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address in normal form: local part in NFC, domain as A-labels in lower case (RFC 5890 2.3.2.1)."""

    local_part: str
    domain: str
    display_domain: str
    needs_smtputf8: bool

    @property
    def address(self) -> str:
        return f"{self.local_part}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Malformed:
    """Not an address, and where the flaw is. Never says what was written there."""

    flaw: Flaw


def parseable(text: object) -> bool:
    """Whether a mail system could read this at all; what fails here is a mistake of the program, not of the person."""
    return (
        isinstance(text, str) and len(text) <= MAX_OCTETS and _octets(text) <= MAX_OCTETS and not _CONTROL.search(text)
    )


def normalise(text: str) -> Mailbox | Malformed:
    """The address in normal form, or the flaw that keeps it from being one. Bounded in time for every input."""
    if not parseable(text):
        return Malformed(Flaw.UNPARSEABLE)
    try:
        parsed = email_validator.validate_email(
            text,
            strict=True,
            allow_smtputf8=True,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            check_deliverability=False,
        )
    except email_validator.EmailNotValidError:
        return Malformed(_flaw_of(text))
    return Mailbox(parsed.local_part, parsed.ascii_domain, parsed.domain, parsed.smtputf8)


def _octets(text: str) -> int:
    """The length in UTF-8; a lone surrogate has none, so it counts as too long."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return MAX_OCTETS + 1


def _flaw_of(text: str) -> Flaw:
    """Which part to look at, told from its shape alone: the library's own words quote the address."""
    local_part, at, domain = text.rpartition("@")
    if not at:
        return Flaw.NO_AT_SIGN
    seen = (flaw for flaw, shows in _SHAPES if shows(local_part, domain))
    return next(seen, Flaw.DOMAIN if _is_local_part(local_part) else Flaw.LOCAL_PART)


_SHAPES: tuple[tuple[Flaw, Callable[[str, str], bool]], ...] = (
    (Flaw.LOCAL_PART_EMPTY, lambda local_part, _: not local_part),
    (Flaw.DOMAIN_EMPTY, lambda _, domain: not domain),
    (Flaw.LOCAL_PART_QUOTED, lambda local_part, _: local_part[0] == local_part[-1] == '"'),
    (Flaw.LOCAL_PART_TOO_LONG, lambda local_part, _: len(local_part) > MAX_LOCAL_PART),
    (Flaw.DOMAIN_LITERAL, lambda _, domain: domain.startswith("[")),
)


def _is_local_part(text: str) -> bool:
    """Whether the flaw must be elsewhere, since this local part is good at a domain that is."""
    try:
        email_validator.validate_email(f"{text}@example.com", strict=True, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return False
    return True
