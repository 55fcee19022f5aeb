"""The host of a URL in its one spelling: an A-label name, or an address as everybody writes it.

`127.1`, `0x7f000001` and `①②⑦.⓪.⓪.①` all reach 127.0.0.1 on some system, so a name that could be read as a number is
an address in exactly four decimal parts, or it is refused (WHATWG URL, "ends in a number").
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

MAX_NAME_CHARACTERS = 253

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")


class MalformedHostError(ValueError):
    """The host is neither a domain name nor an IP address in its usual spelling."""


def parse_host(text: str) -> str:
    """The canonical host: lower-case A-labels without the final dot, an IPv4 address, or an IPv6 one in brackets."""
    if text.startswith("["):
        return _bracketed(text)
    name = _a_labels(text).removesuffix(".")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        return _address_v4(name)
    if len(name) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(name):
        raise MalformedHostError(MalformedHostError.__doc__)
    return name


def _bracketed(text: str) -> str:
    try:
        address = IPv6Address(text.removeprefix("[").removesuffix("]"))
    except AddressValueError as error:
        raise MalformedHostError(MalformedHostError.__doc__) from error
    if not text.endswith("]") or address.scope_id is not None:
        raise MalformedHostError(MalformedHostError.__doc__)
    return f"[{address}]"


def _a_labels(text: str) -> str:
    if text.isascii() and "xn--" not in text.lower():
        return text.lower()
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError as error:  # idna's own errors are of this kind
        raise MalformedHostError(MalformedHostError.__doc__) from error


def _address_v4(name: str) -> str:
    try:
        return str(IPv4Address(name))
    except AddressValueError as error:
        raise MalformedHostError(MalformedHostError.__doc__) from error
