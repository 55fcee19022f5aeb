"""Name servers that misbehave, on loopback: raw datagrams and streams, so that nothing stops them from being wrong."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from dnslib import QTYPE, RCODE, RR, DNSRecord  # type: ignore[import-untyped]  # it has no annotations

# Given a query and how often its name and type were asked before: the packets to send back, in order.
Behaviour = Callable[[DNSRecord, int], Iterable[bytes]]


@dataclass(slots=True)
class Peer:
    """A name server under a test's control, and what it was asked."""

    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    by_tcp: int = 0

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def total(self) -> int:
        return self.asked.total()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, peer: Peer, behave: Behaviour) -> None:
        self.peer = peer
        self.behave = behave

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for packet in _answers(self.peer, self.behave, data):
            self.transport.sendto(packet, addr)


def _answers(peer: Peer, behave: Behaviour, data: bytes) -> list[bytes]:
    query = DNSRecord.parse(data)
    key = f"{str(query.q.qname).rstrip('.')} {QTYPE[query.q.qtype]}"
    before = peer.asked[key]
    peer.asked[key] += 1
    return list(behave(query, before))


@asynccontextmanager
async def name_server(udp: Behaviour, tcp: Behaviour | None = None) -> AsyncIterator[Peer]:
    """Without `tcp`, connections to the port are refused."""
    peer = Peer()
    async with contextlib.AsyncExitStack() as stack:
        transport, stream = await _bound(peer, udp, tcp)
        stack.callback(transport.close)
        if stream is not None:
            await stack.enter_async_context(stream)
        yield peer


async def _bound(
    peer: Peer, udp: Behaviour, tcp: Behaviour | None
) -> tuple[asyncio.DatagramTransport, asyncio.Server | None]:
    """One port for both; another one where somebody else has that of TCP already."""
    loop = asyncio.get_running_loop()
    for left in reversed(range(20)):
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(peer, udp), local_addr=("127.0.0.1", 0))
        peer.port = transport.get_extra_info("sockname")[1]
        try:
            return transport, await _stream_server(peer, tcp) if tcp else None
        except OSError:
            transport.close()
            if not left:
                raise
    raise AssertionError


async def _stream_server(peer: Peer, behave: Behaviour) -> asyncio.Server:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.by_tcp += 1
        length = int.from_bytes(await reader.readexactly(2), "big")
        for packet in _answers(peer, behave, await reader.readexactly(length)):
            writer.write(len(packet).to_bytes(2, "big") + packet)
        writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", peer.port)


def reply(
    query: DNSRecord, *records: str, rcode: str = "NOERROR", authority: str = "", truncated: bool = False
) -> bytes:
    """A well-formed answer: records as lines of a zone file."""
    answer = query.reply()
    answer.header.rcode = getattr(RCODE, rcode)
    answer.header.tc = int(truncated)
    for record in records:
        answer.add_answer(*RR.fromZone(record))
    if authority:
        answer.add_auth(*RR.fromZone(authority))
    return bytes(answer.pack())


def zone(text: str) -> Behaviour:
    """An honest server of these records: they, or an alias, or "no data" with a SOA, or "no such name"."""
    records = [line.split(maxsplit=4) for line in text.strip().splitlines()]

    def behave(query: DNSRecord, _: int) -> list[bytes]:
        name, kind = str(query.q.qname).lower(), QTYPE[query.q.qtype]
        here = [record for record in records if record[0] == name]
        found = [" ".join(record) for record in here if record[3] in (kind, "CNAME")]
        soa = "" if found else "test. 60 IN SOA ns.test. nobody.test. 1 60 60 60 60"
        return [reply(query, *found, rcode="NOERROR" if here else "NXDOMAIN", authority=soa)]

    return behave


def fails(rcode: str) -> Behaviour:
    return lambda query, _: [reply(query, rcode=rcode)]


def silent(_query: DNSRecord, _before: int) -> list[bytes]:
    return []
