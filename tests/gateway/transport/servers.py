"""Real servers on loopback that answer whatever a test wants, and remember what they were asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord  # type: ignore[import-untyped]  # ships no types

Reply = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Served:
    """A running server: where it is, and the requests it read, one list for each connection."""

    port: int = 0
    connections: list[list[bytes]] = field(default_factory=list)

    @property
    def requests(self) -> list[bytes]:
        return [request for connection in self.connections for request in connection]

    def url(self, path: str = "/hook", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


@contextlib.asynccontextmanager
async def serving(
    reply: bytes | Reply,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    reading: bool = True,
) -> AsyncIterator[Served]:
    """A server that gives every request the same bytes, or hands the connection to `reply` once it has read one."""
    served = Served()
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests: list[bytes] = []
        served.connections.append(requests)
        while True:
            requests.append(await read_request(reader) if reading else b"")
            if callable(reply):
                await reply(reader, writer)
            else:
                writer.write(reply)
                await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # for the aborted connections to be gone


Zone = Callable[[str, int], list[str] | None]


class NameServer(asyncio.DatagramProtocol):
    """A DNS server over UDP. `zone` gives the addresses of a name at its n-th lookup, or None for NXDOMAIN.

    A and AAAA questions for one name are one lookup, counted by their A; a silent server answers nothing.
    """

    def __init__(self, zone: Zone, *, silent: bool = False) -> None:
        self.lookups: list[str] = []
        self.port = 0
        self._zone = zone
        self._silent = silent
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        name = str(question.q.qname).rstrip(".")
        if question.q.qtype == QTYPE.A:
            self.lookups.append(name)
        if self._silent:
            return
        addresses = self._zone(name, max(self.lookups.count(name), 1))
        assert self._transport is not None
        self._transport.sendto(_reply(question, addresses).pack(), addr)


def _reply(question: DNSRecord, addresses: list[str] | None) -> DNSRecord:
    reply = question.reply()
    if addresses is None:
        reply.header.rcode = RCODE.NXDOMAIN
    for address in addresses or []:
        kind = QTYPE.AAAA if ":" in address else QTYPE.A
        if kind == question.q.qtype:
            data = AAAA(address) if kind == QTYPE.AAAA else A(address)
            reply.add_answer(RR(question.q.qname, kind, rdata=data, ttl=0))
    return reply


@contextlib.asynccontextmanager
async def naming(zone: Zone, *, silent: bool = False) -> AsyncIterator[NameServer]:
    """A name server on loopback for as long as the block runs."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(zone, silent=silent), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
