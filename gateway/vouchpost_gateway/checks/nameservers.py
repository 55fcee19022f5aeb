"""Which name servers to ask: those of the settings, or the system's."""

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Final

import dns.exception
import dns.resolver

from vouchpost_gateway.checks.dns import NameServer
from vouchpost_gateway.domain.errors import Misconfigured

WITNESS: Final = "com"
"""A name that every server knows which can ask the Internet."""

# resolv.conf(5): without one, the name server is the one on this machine.
_LOCAL = NameServer("127.0.0.1")


def parse_server(text: str) -> NameServer:
    """`1.1.1.1`, `1.1.1.1:5353`, `2606:4700::1111`, `[2606:4700::1111]:53`, or a host name and port, resolved once."""
    host, port = _split(text.strip())
    try:
        return NameServer(str(ipaddress.ip_address(host)), port)
    except ValueError:
        return NameServer(_resolve(host), port)


def system_servers() -> tuple[NameServer, ...]:
    """As in /etc/resolv.conf, or what the platform has in its place."""
    try:
        resolver = dns.resolver.Resolver()
    except dns.exception.DNSException:
        return (_LOCAL,)
    servers = tuple(NameServer(str(server), resolver.port) for server in resolver.nameservers if _is_address(server))
    return servers or (_LOCAL,)


def servers_of(texts: Sequence[str]) -> tuple[NameServer, ...]:
    """The servers named, or the system's when none are."""
    return tuple(parse_server(text) for text in texts) if texts else system_servers()


_SHAPE = re.compile(
    r"\[(?P<bracketed>[^\]]+)\](:(?P<its_port>\d{1,5}))?|(?P<host>[^:\[\]]+):(?P<port>\d{1,5})|(?P<bare>[^\[\]]+)"
)


def _split(text: str) -> tuple[str, int]:
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise Misconfigured(f"not a name server: {text!r}")
    host = match["bracketed"] or match["host"] or match["bare"]
    port = int(match["its_port"] or match["port"] or 53)
    if not 0 < port < 65536:
        raise Misconfigured(f"not the port of a name server: {text!r}")
    return host, port


def _resolve(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"not a name server: {host!r}") from error


def _is_address(text: object) -> bool:
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True
