"""Where a request goes, and its first lines: worked out once for each URL, not once for each attempt."""

import re
from dataclasses import dataclass
from functools import lru_cache

from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.transport.address_guard import Reach
from vouchpost_gateway.transport.failed import AttemptFailed

_PORTS = {"http": 80, "https": 443}
# The canonical form of `domain.url`, and no more: whatever else is stored is not sent.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-\"$-~]*)"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes, and how far it may reach: only requests of the same origin share connections.

    Without the reach, live mode could re-use a connection to loopback, which only test mode may have.
    """

    host: str
    port: int
    tls: bool
    reach: Reach


@dataclass(frozen=True, slots=True)
class Target:
    """An origin and the head of every request to one URL there, up to where the attempt's own headers begin."""

    origin: Origin
    head: bytes


@lru_cache(maxsize=4096)
def parse_target(url: str, *, allow_loopback: bool) -> Target:
    """The target of a registered URL. Plain HTTP goes to loopback only, and that only in test mode."""
    match = _URL.fullmatch(url)
    if match is None:
        raise AttemptFailed(Failure.PROTOCOL_ERROR)
    scheme, host, port = match["scheme"], match["host"], int(match["port"] or _PORTS[match["scheme"]])
    if (scheme == "http" and not allow_loopback) or not 0 < port <= 65535:
        raise AttemptFailed(Failure.ADDRESS_REFUSED)
    shown = host if port == _PORTS[scheme] else f"{host}:{port}"
    head = f"POST {match['path']} HTTP/1.1\r\nHost: {shown}\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    origin = Origin(host.strip("[]"), port, tls=scheme == "https", reach=_reach(scheme, allow_loopback=allow_loopback))
    return Target(origin, head.encode("ascii"))


def _reach(scheme: str, *, allow_loopback: bool) -> Reach:
    if scheme == "http":
        return Reach.LOOPBACK
    return Reach.PUBLIC_AND_LOOPBACK if allow_loopback else Reach.PUBLIC
