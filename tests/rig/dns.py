"""A DNS server that takes its time, so that checks are under way when something is killed."""

import asyncio
import threading
from typing import Any, cast

from dnslib import MX, QTYPE, RR, A, DNSRecord  # type: ignore[import-untyped]


class SlowDns:
    """Answers every MX question with one exchanger and every A question with one public address, after a delay."""

    def __init__(self, *, delay_s: float) -> None:
        self._delay_s = delay_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        opening = self._loop.create_datagram_endpoint(lambda: _Server(self._delay_s), local_addr=("127.0.0.1", 0))
        self._transport = asyncio.run_coroutine_threadsafe(opening, self._loop).result(timeout=10)[0]
        self.port: int = self._transport.get_extra_info("sockname")[1]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    async def _shut(self) -> None:
        self._transport.close()
        await asyncio.sleep(0)  # the socket is closed a turn later


class _Server(asyncio.DatagramProtocol):
    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        asyncio.get_running_loop().call_later(self._delay_s, self._answer, data, addr)

    def _answer(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if self._transport is not None:
            self._transport.sendto(answer_to(data), addr)


def answer_to(data: bytes) -> bytes:
    """An MX for MX, an address for A, and an empty answer for all else."""
    reply = DNSRecord.parse(data).reply()
    name, kind = reply.q.qname, QTYPE[reply.q.qtype]
    if kind == "MX":
        reply.add_answer(RR(name, QTYPE.MX, rdata=MX(f"mx.{name}", 10), ttl=60))
    if kind == "A":
        reply.add_answer(RR(name, QTYPE.A, rdata=A("203.0.112.7"), ttl=60))
    packed: bytes = reply.pack()
    return packed
