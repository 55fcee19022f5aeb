"""A connection through a SOCKS5 proxy (RFC 1928, RFC 1929), to an address that was checked; never to a name.

So that mail hosts see one source, with its own reverse DNS, whichever machine a worker runs on.
"""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from vouchpost_gateway.domain.errors import Misconfigured

_VERSION: Final = 5
_NO_AUTHENTICATION, _PASSWORD = 0, 2
_CONNECT: Final = 1
_PROXY_S: Final = 2.0


class ProxyFailed(OSError):  # noqa: N818  it says what happened
    """The proxy itself cannot be used: it is down, refuses us, or speaks something else."""


class HostRefused(OSError):  # noqa: N818
    """The proxy reached the host, and the host refused."""


class HostUnreachable(OSError):  # noqa: N818
    """The proxy could not reach the host."""


class HostSilent(OSError):  # noqa: N818
    """The proxy waited for the host in vain."""


@dataclass(frozen=True, slots=True)
class Socks:
    """Where the proxy is, and who we are to it."""

    host: str
    port: int
    user: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """`socks5://[user:password@]host:port`; Misconfigured for anything else, without quoting it."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme != "socks5" or not parts.hostname or not port or parts.path not in ("", "/"):
            raise Misconfigured("the proxy to mail hosts is not socks5://[user:password@]host:port")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password or "")
        if max(len((user or "").encode()), len(password.encode())) > 255:
            raise Misconfigured("the user or password of the proxy to mail hosts is longer than 255 octets")
        return cls(parts.hostname, port, user, password)

    async def connect(self, address: str, port: int) -> socket.socket:
        """A connected socket. Raises one of the errors above; bounded in time by the caller."""
        sock = await self._signed_in()
        try:
            await _request(sock, address, port)
        except BaseException:
            sock.close()
            raise
        return sock

    async def _signed_in(self) -> socket.socket:
        """With a limit of its own: a proxy that is silent is no mail host that is."""
        try:
            async with asyncio.timeout(_PROXY_S):
                sock = await self._to_proxy()
                try:
                    await self._sign_in(sock)
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError as error:
            raise ProxyFailed(ProxyFailed.__doc__) from error
        return sock

    async def _to_proxy(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            family, _, _, _, place = found[0]
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise ProxyFailed(ProxyFailed.__doc__) from error
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, place)
        except OSError as error:
            sock.close()
            raise ProxyFailed(ProxyFailed.__doc__) from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def _sign_in(self, sock: socket.socket) -> None:
        method = _NO_AUTHENTICATION if self.user is None else _PASSWORD
        await _send(sock, bytes((_VERSION, 1, method)))
        if await _read(sock, 2) != bytes((_VERSION, method)):
            raise ProxyFailed(ProxyFailed.__doc__)
        if self.user is not None:
            user, password = self.user.encode(), self.password.encode()
            await _send(sock, bytes((1, len(user))) + user + bytes((len(password),)) + password)
            if (await _read(sock, 2))[1] != 0:
                raise ProxyFailed(ProxyFailed.__doc__)


# RFC 1928 section 6; whatever else is answered is about the proxy and us.
_REPLIES: Final = {3: HostUnreachable, 4: HostUnreachable, 5: HostRefused, 6: HostSilent}


async def _request(sock: socket.socket, address: str, port: int) -> None:
    packed = ipaddress.ip_address(address).packed
    kind = 1 if len(packed) == 4 else 4
    await _send(sock, bytes((_VERSION, _CONNECT, 0, kind)) + packed + port.to_bytes(2, "big"))
    version, reply, _, bound = await _read(sock, 4)
    if reply or version != _VERSION:
        error = _REPLIES.get(reply, ProxyFailed)
        raise error(error.__doc__)
    length = {1: 4, 4: 16}.get(bound) or (await _read(sock, 1))[0]
    await _read(sock, length + 2)


async def _send(sock: socket.socket, data: bytes) -> None:
    try:
        await asyncio.get_running_loop().sock_sendall(sock, data)
    except OSError as error:
        raise ProxyFailed(ProxyFailed.__doc__) from error


async def _read(sock: socket.socket, size: int) -> bytes:
    """So many octets and none more: what follows is the mail host's."""
    data = b""
    while len(data) < size:
        try:
            more = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        except OSError as error:
            raise ProxyFailed(ProxyFailed.__doc__) from error
        if not more:
            raise ProxyFailed(ProxyFailed.__doc__)
        data += more
    return data
