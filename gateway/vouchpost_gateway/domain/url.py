"""What a subscription may name: a subscriber URL and headers of its own, checked when it is registered.

The URL is kept in one canonical, printable form, so that what is shown, stored and requested is the same text. That a
name leads to a public address is decided later, when it is connected to; an address written out is judged here too.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from vouchpost_gateway.domain.address import Network, is_loopback, is_public, is_within
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.host import MalformedHostError, parse_host

MAX_URL_CHARACTERS = 2048
DEFAULT_PORTS = frozenset({443, 8443})
FIRST_UNPRIVILEGED_PORT = 1024

MAX_HEADERS = 20
MAX_HEADER_VALUE_CHARACTERS = 1024

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[1-9][0-9]{0,4}))?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
# RFC 6761, 6762, 7686, 8375 and 9476, and `internal`, which ICANN keeps for private use.
_INNER_NAMES = (".internal", ".local", ".home.arpa", ".invalid", ".onion", ".alt")
_KEPT = "%/?:@!$&'()*+,;=~-._[]"

_HEADER_NAME = re.compile(r"[Xx]-[A-Za-z0-9-]{1,60}")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# Headers that proxies and frameworks act upon: with them, whoever names the URL could speak for somebody else.
_TRUSTED_BY_PROXIES = re.compile(
    r"x-(?:forwarded|original|rewrite|real-ip|client-ip|accel|sendfile|http-method|method-override)(?:-.*)?"
)


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """What the operator allows. `allow_loopback_http` is for test mode only."""

    ports: frozenset[int] = DEFAULT_PORTS
    allow_networks: tuple[Network, ...] = ()
    allow_loopback_http: bool = False


def parse_url(text: str, *, policy: UrlPolicy) -> str:
    """The canonical form of a subscriber URL; InvalidField("url", …) says what is wrong with any other text."""
    parts = _split(text)
    scheme = parts["scheme"].lower()
    host, port = _host_and_port(parts["authority"])
    loopback = _is_loopback_host(host)
    if scheme == "http" and not (policy.allow_loopback_http and loopback):
        raise InvalidField("url", _only_https(policy))
    _check_host(host, loopback=loopback, policy=policy)
    _check_port(port, loopback=loopback, policy=policy)
    shown_port = "" if port is None or (scheme, port) == ("https", 443) else f":{port}"
    url = f"{scheme}://{host}{shown_port}{_encoded(parts['path']) or '/'}{_encoded(parts['query'] or '')}"
    if len(url) > MAX_URL_CHARACTERS:
        raise InvalidField("url", f"must have at most {MAX_URL_CHARACTERS} characters, once it is percent-encoded")
    return url


def check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers themselves when each is an `X-…` one that changes nothing about the request; else InvalidField."""
    if len(headers) > MAX_HEADERS:
        raise InvalidField("headers", f"at most {MAX_HEADERS} headers")
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidField("headers", "a name appears twice")
    for name, value in headers.items():
        _check_header(name, value)
    return dict(headers)


def _check_header(name: str, value: str) -> None:
    field = f"headers.{name}"
    if not _HEADER_NAME.fullmatch(name):
        raise InvalidField(field, "a name must be X- and up to 60 letters, digits and hyphens")
    if _TRUSTED_BY_PROXIES.fullmatch(name.lower()):
        raise InvalidField(field, "is a name that proxies and frameworks act upon; choose another one")
    if len(value) > MAX_HEADER_VALUE_CHARACTERS or not _HEADER_VALUE.fullmatch(value):
        limit = MAX_HEADER_VALUE_CHARACTERS
        raise InvalidField(field, f"must be 1 to {limit} printable ASCII characters, without a space at either end")


def _split(text: str) -> re.Match[str]:
    if len(text) > MAX_URL_CHARACTERS:
        raise InvalidField("url", f"must have at most {MAX_URL_CHARACTERS} characters")
    if not text.isprintable() or " " in text or "\\" in text:
        raise InvalidField("url", "must not hold spaces, control characters or backslashes")
    if _BAD_PERCENT.search(text) or _ENCODED_CONTROL.search(text):
        raise InvalidField("url", "must not hold broken percent-encoding or encoded control characters")
    if "#" in text:
        raise InvalidField("url", "must not have a fragment")
    match = _URL.fullmatch(text)
    if match is None or match["scheme"].lower() not in {"http", "https"}:
        raise InvalidField("url", "must be an absolute URL that starts with https://")
    return match


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise InvalidField("url", "must not hold a user name or password")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise InvalidField("url", "must have a host, and after it at most a port number")
    try:
        host = parse_host(match["host"])
    except MalformedHostError as error:
        raise InvalidField("url", "must have a host that is a domain name or an IP address, usually spelt") from error
    return host, int(match["port"]) if match["port"] else None


def _check_host(host: str, *, loopback: bool, policy: UrlPolicy) -> None:
    if not _may_be_reached(host, loopback=loopback, policy=policy):
        raise InvalidField("url", "must not lead to a private, local or reserved address")


def _may_be_reached(host: str, *, loopback: bool, policy: UrlPolicy) -> bool:
    if loopback and policy.allow_loopback_http:
        return True
    address = _literal(host)
    if address is None:
        return not loopback and (bool(policy.allow_networks) or not _is_inner_name(host))
    return is_public(address) or is_within(address, policy.allow_networks)


def _check_port(port: int | None, *, loopback: bool, policy: UrlPolicy) -> None:
    if port is None or port in policy.ports:
        return
    if loopback and policy.allow_loopback_http and FIRST_UNPRIVILEGED_PORT <= port <= 65535:
        return
    raise InvalidField("url", f"must have one of the ports {', '.join(map(str, sorted(policy.ports)))}")


def _literal(host: str) -> str | None:
    """The address that a canonical host is, or None for a name."""
    if host.startswith("["):
        return host[1:-1]
    return host if host.rpartition(".")[2].isdigit() else None


def _is_loopback_host(host: str) -> bool:
    """RFC 6761, 6.3: `localhost` and everything under it is this machine."""
    return host == "localhost" or host.endswith(".localhost") or is_loopback(_literal(host) or "")


def _is_inner_name(host: str) -> bool:
    """A name that means something within a network only; with networks of its own, an operator may well use some."""
    return "." not in host or host.endswith(_INNER_NAMES)


def _only_https(policy: UrlPolicy) -> str:
    return "must start with https://" + (", or http:// to this machine" if policy.allow_loopback_http else "")


def _encoded(text: str) -> str:
    return quote(text, safe=_KEPT)
