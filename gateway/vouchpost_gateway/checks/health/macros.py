"""The macros of SPF (RFC 7208 section 7): checked when a record is read, expanded when its term is evaluated."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

_MACRO = re.compile(r"%(?:\{([slodiphv])(\d*)(r?)([.\-+,/_=]*)\}|([%_-]))", re.IGNORECASE)
# Section 7.1: a macro, or any visible character but the per cent sign.
_STRING = re.compile(rf"(?:{_MACRO.pattern}|[\x21-\x24\x26-\x7e])*", re.IGNORECASE)
_TOP_LABEL = re.compile(r"[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9]", re.IGNORECASE)
_ENDS_IN_MACRO = re.compile(rf"(?:{_MACRO.pattern})$", re.IGNORECASE)
_ZERO_LABELS = re.compile(r"%\{[a-z]0+r?", re.IGNORECASE)
_PLAIN: Final = {"%": "%", "_": " ", "-": "%20"}
_LONGEST_NAME: Final = 253
_LONGEST_LABEL: Final = 63


def is_macro_string(text: str) -> bool:
    return _STRING.fullmatch(text) is not None and not _ZERO_LABELS.search(text)


def is_domain_spec(text: str) -> bool:
    """Section 7.1: it ends in a macro, or in a label that could be a top-level domain."""
    return is_macro_string(text) and (_ENDS_IN_MACRO.search(text) is not None or _ends_in_top_label(text))


def _ends_in_top_label(text: str) -> bool:
    """A label is matched only when it may be one: on long ones the pattern would take time by the square."""
    _, dot, label = text.removesuffix(".").rpartition(".")
    return bool(dot) and len(label) <= _LONGEST_LABEL and _TOP_LABEL.fullmatch(label) is not None


def needs_name_of_client(text: str) -> bool:
    """Whether `%{p}` is in it, which costs lookups."""
    return any((match[1] or "").lower() == "p" for match in _MACRO.finditer(text))


def expand(text: str, values: Mapping[str, str]) -> str:
    """Section 7.3: the name, cut from the left to what a name may be long."""
    name = _MACRO.sub(lambda match: _value(match, values), text).rstrip(".")
    if len(name) <= _LONGEST_NAME:
        return name
    _, _, rest = name[-_LONGEST_NAME - 1 :].partition(".")
    return rest


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    letter, count, reverse, delimiters, plain = match.groups()
    if plain:
        return _PLAIN[plain]
    parts = re.split("[" + re.escape(delimiters or ".") + "]", values[letter.lower()])
    parts = parts[::-1] if reverse else parts
    joined = ".".join(parts[-int(count) :] if count else parts)
    return quote(joined, safe="-._~") if letter.isupper() else joined


def values_of(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, *, domain: str, sender: str, helo: str, client: str
) -> dict[str, str]:
    """Section 7.2: what each letter stands for."""
    local_part, _, sender_domain = sender.rpartition("@")
    dotted = str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))
    return {
        "s": sender,
        "l": local_part,
        "o": sender_domain,
        "d": domain,
        "i": dotted,
        "p": client,
        "h": helo,
        "v": "in-addr" if address.version == 4 else "ip6",
    }
