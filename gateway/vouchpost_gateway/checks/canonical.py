"""The mailbox behind an address, by its provider's own rules: without a sub-address, dots where they count for nothing.

Kept apart from the normal form: two addresses with one canonical form reach one person, but are not one address.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from vouchpost_gateway.checks.lists import packaged_lists
from vouchpost_gateway.checks.syntax import Mailbox, normalise


@dataclass(frozen=True, slots=True)
class Habits:
    """What a provider makes of a local part. Case never counts at any of these."""

    separator: str = "+"
    ignores_dots: bool = False
    domain: str | None = None


_GOOGLE = Habits(ignores_dots=True, domain="gmail.com")  # support.google.com/mail/answer/7436150 and /22370
_PLUS = Habits()
_YAHOO = Habits(separator="-")  # help.yahoo.com/kb/SLN16023: base name, hyphen, keyword
_PROTON = Habits(ignores_dots=True)  # proton.me/support/addresses-and-aliases: dots, hyphens aside, and plus

_HABITS: Final = MappingProxyType(
    {
        "gmail.com": _GOOGLE,
        "googlemail.com": _GOOGLE,
        **dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), _PLUS),
        **dict.fromkeys(("icloud.com", "me.com", "mac.com"), _PLUS),
        **dict.fromkeys(("fastmail.com", "fastmail.fm", "zoho.com", "zohomail.com", "runbox.com"), _PLUS),
        **dict.fromkeys(("proton.me", "protonmail.com", "protonmail.ch", "pm.me"), _PROTON),
        **dict.fromkeys(("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "ymail.com"), _YAHOO),
    }
)


# The same provider under a domain for each country: `hotmail.fr`, `yahoo.co.jp`.
_FAMILIES: Final = MappingProxyType({**dict.fromkeys(("outlook", "hotmail", "live"), _PLUS), "yahoo": _YAHOO})


def _habits_at(domain: str) -> Habits | None:
    """None where they are not known. A family's name alone proves nothing: the domain must be known as a provider's."""
    if domain in _HABITS:
        return _HABITS[domain]
    family = _FAMILIES.get(domain.partition(".")[0])
    return family if family and domain in packaged_lists().free_providers else None


def canonical(mailbox: Mailbox) -> str:
    """The address that the provider delivers to; at a provider whose rules are not known, the normal form itself."""
    habits = _habits_at(mailbox.domain)
    if habits is None:
        return mailbox.address
    name = mailbox.local_part.lower().partition(habits.separator)[0]
    if habits.ignores_dots:
        name = name.replace(".", "")
    return f"{name or mailbox.local_part.lower()}@{habits.domain or mailbox.domain}"


def canonical_of(address: str | None) -> str | None:
    """Of an address in normal form; None where there is none."""
    mailbox = normalise(address) if address else None
    return canonical(mailbox) if isinstance(mailbox, Mailbox) else None
