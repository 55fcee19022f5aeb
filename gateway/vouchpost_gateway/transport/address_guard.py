"""Which addresses a push may connect to, decided where the socket is made.

Literal addresses, names, names that change their answer between two lookups: all end in a socket for one numeric
address, and that socket is only made here. A name is refused whole when any of its addresses is.
"""

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from vouchpost_gateway.domain.address import Network, is_loopback, is_public, is_within, parse_address

AddrInfo = tuple[
    int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[str, int] | tuple[str, int, int, int]
]

_DISCARD_PORT = 9


class AddressRefusedError(OSError):
    """The address is not one that a push may connect to."""


class Reach(Enum):
    """How far a push may go, besides the networks that the operator allows."""

    PUBLIC = "public"
    PUBLIC_AND_LOOPBACK = "public and loopback"
    LOOPBACK = "loopback"


def is_local(text: str) -> bool:
    """Whether the address is one of this machine's own, on any of its interfaces, at this moment.

    The kernel answers: to reach one of its own addresses it picks that same address as the source. Nothing is sent.
    """
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((text, _DISCARD_PORT))
            source = probe.getsockname()[0]
    except OSError:
        return False  # no way to it, so none to connect by either
    return parse_address(source) == parse_address(text)


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """The rule for every connection. `closed_ports` are our own services', refused on this machine's addresses."""

    reach: Reach = Reach.PUBLIC
    allow_networks: tuple[Network, ...] = ()
    closed_ports: frozenset[int] = frozenset()
    is_local: Callable[[str], bool] = is_local

    def permits(self, text: str, port: int) -> bool:
        """Whether a push may connect there; anything that is not one address in its usual spelling is refused."""
        if is_loopback(text):
            wanted = self.reach is not Reach.PUBLIC or is_within(text, self.allow_networks)
            return wanted and port not in self.closed_ports
        if self.reach is Reach.LOOPBACK:
            return False
        if is_within(text, self.allow_networks):
            return port not in self.closed_ports or not self.is_local(text)
        return is_public(text) and not self.is_local(text)

    def check_all(self, texts: Iterable[str], port: int) -> None:
        """AddressRefusedError unless every one of the addresses of a name is permitted."""
        for text in texts:
            if not self.permits(text, port):
                raise AddressRefusedError(AddressRefusedError.__doc__)

    def open_socket(self, target: AddrInfo) -> socket.socket:
        """The only way to a socket: for exactly the address that it will be connected to."""
        family, kind, protocol, _, address = target
        self.check_all((address[0],), address[1])
        if len(address) == 4 and address[3] != 0:  # a scope, so not an address on the Internet
            raise AddressRefusedError(AddressRefusedError.__doc__)
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened
