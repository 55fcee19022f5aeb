"""Cheap checks of an address, with no network: only what is certainly a typing mistake is turned away.

Everything doubtful is let through. The gateway's verdict is the one that counts; this saves a round trip.
"""

import re
from typing import Final

MAX_OCTETS: Final = 254  # RFC 5321, section 4.5.3.1.3
_MAX_LOCAL: Final = 64  # RFC 5321, section 4.5.3.1.1
_has_unprintable: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]").search
_FULL_STOPS: Final = re.compile("[\u3002\uff0e\uff61]")  # those that IDNA takes for one (UTS 46)
_is_label: Final = re.compile(r"[^\W_]([\w-]{0,61}[^\W_])?").fullmatch


def is_plausible(address: str) -> bool:
    """Whether a mail system could deliver to it: a local part, one at sign that counts, and a domain with a dot."""
    if _has_unprintable(address) or len(address.encode()) > MAX_OCTETS:
        return False
    local, at, domain = address.rpartition("@")
    if not at or not 1 <= len(local.encode()) <= _MAX_LOCAL:
        return False
    labels = _FULL_STOPS.sub(".", domain).split(".")
    return len(labels) > 1 and not labels[-1].isdigit() and all(_is_label(label) for label in labels)
