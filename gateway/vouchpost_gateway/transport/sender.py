"""One HTTP request out, and what came back of it. It follows nothing, decodes nothing and keeps little.

Whatever a subscriber answers, and however slowly, ends in an `Answer` within the total limit.
"""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from vouchpost_gateway.domain.address import Network
from vouchpost_gateway.domain.outcome import Answer, Failure
from vouchpost_gateway.transport.address_guard import AddressGuard, AddressRefusedError, Reach
from vouchpost_gateway.transport.names import Names, SystemNames

MAX_BODY_BYTES = 16 * 1024
MAX_EXCERPT_BYTES = 512
MAX_RETRY_AFTER_CHARACTERS = 64
MAX_ADDRESSES = 8
DRAIN_S = 1.0
# Servers close idle connections after 5 s at the earliest; staying below it keeps a request from crossing that close.
KEEP_ALIVE_S = 3.0

_OWN_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "Vouchpost/1"}
_URL = re.compile(r"[\x21-\x7e]+")
# C0, DEL, C1, the bidirectional and invisible format characters, and the two separators.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


class GuardedResolver(AbstractResolver):
    """One lookup for each connection, refused whole when any of its answers is."""

    def __init__(self, names: Names, guard: AddressGuard) -> None:
        self._names = names
        self._guard = guard

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: int = 0,  # noqa: ARG002 - every family is asked for
    ) -> list[ResolveResult]:
        found = await self._names.addresses(host)
        self._guard.check_all(found, port)
        return [_resolved(host, address, port) for address in found[:MAX_ADDRESSES]]

    async def close(self) -> None:
        """Nothing is held open."""


class Sender:
    """The one client of a process. Connections are kept apart by how far they may reach.

    Were they not, a connection that test mode may have (to loopback) could be re-used by live mode, which may not.
    """

    def __init__(self, *, sessions: Mapping[tuple[str, bool], aiohttp.ClientSession], timeout_s: float) -> None:
        self._sessions = sessions
        self._timeout_s = timeout_s

    @classmethod
    async def open(
        cls,
        *,
        timeout_s: float,
        connections: int,
        allow_networks: tuple[Network, ...] = (),
        closed_ports: frozenset[int] = frozenset(),
        names: Names | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """`connections` is how many may be open at once: not fewer than the posts in flight, or they would queue."""
        names = names or SystemNames()
        tls = tls or ssl.create_default_context()

        def session(reach: Reach) -> aiohttp.ClientSession:
            networks = () if reach is Reach.LOOPBACK else allow_networks
            guard = AddressGuard(reach=reach, allow_networks=networks, closed_ports=closed_ports)
            return _session(guard, names=names, tls=tls, connections=connections, timeout_s=timeout_s)

        sessions = {
            ("https", False): session(Reach.PUBLIC),
            ("https", True): session(Reach.PUBLIC_AND_LOOPBACK),
            ("http", True): session(Reach.LOOPBACK),
        }
        return cls(sessions=sessions, timeout_s=timeout_s)

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def post(self, *, url: str, headers: Mapping[str, str], body: bytes, allow_loopback: bool = False) -> Answer:
        """The answer, whatever a subscriber does. `allow_loopback` is for test mode; plain HTTP goes only there."""
        started = time.monotonic()
        try:
            return await self._post(url, headers, body, allow_loopback=allow_loopback, started=started)
        except Exception as error:  # noqa: BLE001 - the promise is an answer, and `_failure` names all that is known
            return Answer(duration_s=time.monotonic() - started, failure=_failure(error))

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, allow_loopback: bool, started: float
    ) -> Answer:
        if not _URL.fullmatch(url):
            raise ValueError("a registered URL is printable ASCII")
        target = URL(url, encoded=True)
        session = self._sessions.get((target.scheme, allow_loopback))
        if session is None:
            raise AddressRefusedError(AddressRefusedError.__doc__)
        async with asyncio.timeout(self._timeout_s):
            response = await session.post(target, data=body, headers=headers, allow_redirects=False)
        async with response:
            delivered = 200 <= response.status < 300
            head = await _drain(response, limit_s=min(DRAIN_S, started + self._timeout_s - time.monotonic()))
            retry_after = response.headers.get("Retry-After")
            return Answer(
                duration_s=time.monotonic() - started,
                status_code=response.status,
                retry_after=None if retry_after is None else retry_after[:MAX_RETRY_AFTER_CHARACTERS],
                excerpt="" if delivered or "Content-Encoding" in response.headers else excerpt(head),
            )


def excerpt(head: bytes) -> str:
    """The first 512 bytes as text that prints on one line and fits in 512 bytes of UTF-8."""
    text = _UNPRINTABLE.sub(" ", head[:MAX_EXCERPT_BYTES].decode("utf-8", "replace"))
    return text.encode()[:MAX_EXCERPT_BYTES].decode("utf-8", "ignore")


async def _drain(response: aiohttp.ClientResponse, *, limit_s: float) -> bytes:
    """The head of the body. The status is known by now, so a slow, endless or broken body changes nothing.

    A body read to its end lets the connection be used again; any other is cut off with its connection.
    """
    head = b""
    try:
        async with asyncio.timeout(limit_s):
            while not response.content.at_eof() and len(head) < MAX_BODY_BYTES:
                head += await response.content.read(MAX_BODY_BYTES - len(head))
    except (TimeoutError, aiohttp.ClientError):
        response.close()
    if not response.content.at_eof():
        response.close()
    return head


def _session(
    guard: AddressGuard, *, names: Names, tls: ssl.SSLContext, connections: int, timeout_s: float
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=tls,
        resolver=GuardedResolver(names, guard),
        socket_factory=guard.open_socket,
        use_dns_cache=False,
        limit=connections,
        keepalive_timeout=KEEP_ALIVE_S,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=_OWN_HEADERS,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=MAX_BODY_BYTES,
    )


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=int(socket.AI_NUMERICHOST)
    )


def _failure(error: Exception) -> Failure:
    """The coarse name of what went wrong: the guard's own refusal first, wherever it was wrapped."""
    if isinstance(error, AddressRefusedError) or isinstance(_cause(error), AddressRefusedError):
        return Failure.ADDRESS_REFUSED
    return next((failure for kinds, failure in _FAILURES if isinstance(error, kinds)), Failure.INTERNAL)


def _cause(error: Exception) -> OSError | None:
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None


_FAILURES: tuple[tuple[tuple[type[Exception], ...], Failure], ...] = (
    ((TimeoutError,), Failure.TIMED_OUT),
    ((aiohttp.ClientConnectorDNSError,), Failure.DNS_FAILED),
    ((aiohttp.ClientSSLError, ssl.SSLError), Failure.TLS_ERROR),
    ((aiohttp.ClientOSError, aiohttp.ServerConnectionError, OSError), Failure.CONNECTION_FAILED),
    ((aiohttp.ClientError, ValueError), Failure.PROTOCOL_ERROR),
)
