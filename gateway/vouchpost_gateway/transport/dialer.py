"""How a connection comes about: one lookup, the guard, a socket to an address that it permitted, TLS for the name."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiohappyeyeballs import start_connection

from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.transport.address_guard import AddressGuard, AddressRefusedError, AddrInfo, Reach
from vouchpost_gateway.transport.connection import Connection
from vouchpost_gateway.transport.failed import AttemptFailed
from vouchpost_gateway.transport.names import Names, UnresolvedError
from vouchpost_gateway.transport.target import Origin

MAX_ADDRESSES = 8
# RFC 8305, section 5: how long one address may take before the next one is tried beside it.
_ATTEMPT_DELAY_S = 0.25
# Running out of these is this machine's fault, never the subscriber's.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens connections. Bounded in time by whoever waits for it."""

    guards: Mapping[Reach, AddressGuard]
    names: Names
    tls: ssl.SSLContext

    async def dial(self, origin: Origin) -> Connection:
        """A connection to an address that the guard permits; AttemptFailed says at which step it failed."""
        guard = self.guards[origin.reach]
        try:
            found = await self._addresses(origin)
            guard.check_all(found, origin.port)
            opened = await start_connection(
                _targets(found[:MAX_ADDRESSES], origin.port),
                happy_eyeballs_delay=_ATTEMPT_DELAY_S,
                interleave=1,
                socket_factory=guard.open_socket,
            )
        except AddressRefusedError as error:
            raise AttemptFailed(Failure.ADDRESS_REFUSED) from error
        except UnresolvedError as error:
            raise AttemptFailed(Failure.DNS_FAILED) from error
        except OSError as error:
            raise AttemptFailed(_connect_failure(error)) from error
        return await self._over(opened, origin)

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        """The addresses of a name. A host that ends in a number or holds a colon is no name; the guard reads it."""
        if ":" in origin.host or origin.host.rpartition(".")[2].isdigit():
            return [origin.host]
        return await self.names.addresses(origin.host)

    async def _over(self, opened: socket.socket, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        if not origin.tls:
            return (await loop.create_connection(Connection, sock=opened))[1]
        try:
            _, connection = await loop.create_connection(
                Connection, sock=opened, ssl=self.tls, server_hostname=origin.host
            )
        except (OSError, ValueError) as error:  # a server that hangs up on the handshake; a name no certificate has
            raise AttemptFailed(Failure.TLS_ERROR) from error
        return connection


def _targets(addresses: Sequence[str], port: int) -> list[AddrInfo]:
    return [_target(address, port) for address in addresses]


def _target(address: str, port: int) -> AddrInfo:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))


def _connect_failure(error: OSError) -> Failure:
    return Failure.INTERNAL if error.errno in _OURS else Failure.CONNECTION_FAILED
