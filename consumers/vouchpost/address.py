"""Cheap checks of an address, with no network: only what is certainly a typing mistake is turned away.

Everything doubtful is let through. The gateway's verdict is the one that counts; this saves a round trip.
"""

import re
import unicodedata
from typing import Final

MAX_OCTETS: Final = 254  # RFC 5321, section 4.5.3.1.3
_MAX_LOCAL: Final = 64  # RFC 5321, section 4.5.3.1.1
_has_unprintable: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]").search
_FULL_STOPS: Final = re.compile("[\u3002\uff0e\uff61]")  # those that IDNA takes for one (UTS 46)
_MAX_LABEL: Final = 63  # RFC 1035, section 2.3.4
_INSIDE: Final = frozenset("-_")
_BETWEEN: Final = frozenset("\u00b7\u0375\u05f3\u05f4\u200c\u200d\u30fb")  # those of RFC 5892, appendix A


def is_plausible(address: str) -> bool:
    """Whether a mail system could deliver to it: a local part, one at sign that counts, and a domain with a dot."""
    if _has_unprintable(address) or len(address.encode()) > MAX_OCTETS:
        return False
    local, at, domain = address.rpartition("@")
    if not at or not 1 <= len(local.encode()) <= _MAX_LOCAL:
        return False
    labels = _FULL_STOPS.sub(".", domain).split(".")
    return len(labels) > 1 and not labels[-1].isdigit() and all(_is_label(label) for label in labels)


def _is_label(label: str) -> bool:
    """Letters, digits, and marks, with which many scripts write their vowels."""
    if not 1 <= len(label) <= _MAX_LABEL or not _INSIDE.isdisjoint((label[0], label[-1])):
        return False
    return all(one in _INSIDE or one in _BETWEEN or unicodedata.category(one)[0] in "LMN" for one in label)
