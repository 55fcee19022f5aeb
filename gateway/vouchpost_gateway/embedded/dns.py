"""The sandbox's DNS zone: a real name server on loopback, so that test keys get every answer and reach no network.

`SANDBOX_DOMAINS` is the one table of what it answers and what a verification at depth `domain` then says; the demo and
the documentation are made from it. What its mail host says stands in `smtp.py`; a verdict of any reason code at all is
had from `REASON@reason.example` (see `checks/played.py`). A name under a listed one behaves like it
(`a1.flapping.example`), with a count of its own. Run in its own process: `python -m vouchpost_gateway.embedded.dns
--port 0` prints where it listens.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final, cast

from dnslib import QTYPE, RCODE, RR, DNSError, DNSRecord  # type: ignore[import-untyped]  # it has no annotations

from vouchpost_gateway.domain.verification import ReasonCode, Status
from vouchpost_gateway.embedded import smtp

# RFC 5737 and RFC 3849: addresses that are nobody's, which the checks accept in test mode alone.
_HOST = "192.0.2.25"
_TTL_S: Final = 60
# RFC 2782: where the sandbox's mail host listens, on the address that serves the zone.
_SMTP: Final = "_smtp._tcp.sandbox.example"
_UDP_LIMIT: Final = 1232
_LARGEST_QUERY: Final = 4096
_TCP_PATIENCE_S: Final = 5.0


# Record type and data, as in a zone file.
Records = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SandboxDomain:
    """What the zone does for a domain, and what a verification of any good local part there ends with."""

    status: Status
    reason: ReasonCode
    about: str
    records: Records = ()
    rcode: str = "NOERROR"
    silent: bool = False
    delay_s: float = 0.0
    failures_first: int = 0


_MX = (("MX", "10 mx1.sandbox.example"), ("MX", "20 mx2.sandbox.example"))
_HEALTHY = (*_MX, ("TXT", '"v=spf1 mx -all"'))
_GOOD = (Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL)

SANDBOX_DOMAINS: Mapping[str, SandboxDomain] = MappingProxyType(
    {
        "valid.example": SandboxDomain(*_GOOD, "two mail hosts", _MX),
        "healthy.example": SandboxDomain(*_GOOD, "looks after its mail: SPF, DMARC, DKIM and MTA-STS", _HEALTHY),
        "careless.example": SandboxDomain(
            *_GOOD, "an SPF record that nobody can evaluate, and nothing else", (*_MX, ("TXT", '"v=spf1 include:-all"'))
        ),
        "valid.test": SandboxDomain(*_GOOD, "the same, under the other reserved name", _MX),
        "implicit.example": SandboxDomain(*_GOOD, "no MX, but an address of its own", (("A", _HOST),)),
        "ipv6.example": SandboxDomain(*_GOOD, "its mail host has only IPv6", (("MX", "10 mx6.sandbox.example"),)),
        "alias.example": SandboxDomain(*_GOOD, "an alias of valid.example", (("CNAME", "valid.example"),)),
        "backup.example": SandboxDomain(
            *_GOOD, "its first mail host is gone, the second is there",
            (("MX", "10 gone.sandbox.example"), ("MX", "20 mx2.sandbox.example")),
        ),
        "free.example": SandboxDomain(*_GOOD, "a free provider: flagged, still valid", _MX),
        "relay.example": SandboxDomain(*_GOOD, "an alias relay: noted, still valid", _MX),
        "mailbox.example": SandboxDomain(*_GOOD, "its mailboxes are those of the mail host's table", _MX),
        "catchall.example": SandboxDomain(*_GOOD, "its mail host takes mail for any name", _MX),
        "blanket.example": SandboxDomain(*_GOOD, "its mail host refuses every name", _MX),
        "slow.example": SandboxDomain(*_GOOD, "answers after a second", _MX, delay_s=1.0),
        "flapping.example": SandboxDomain(
            *_GOOD, "SERVFAIL twice, then mail hosts, in turn: valid at the third check", _MX, failures_first=2
        ),
        "disposable.example": SandboxDomain(Status.RISKY, ReasonCode.DISPOSABLE, "throw-away mailboxes", _MX),
        "nxdomain.example": SandboxDomain(Status.INVALID, ReasonCode.NO_DOMAIN, "does not exist", rcode="NXDOMAIN"),
        "nomx.example": SandboxDomain(Status.INVALID, ReasonCode.NO_MX, "neither MX nor address"),
        "deadmx.example": SandboxDomain(
            Status.INVALID, ReasonCode.NO_MX, "its only mail host does not exist", (("MX", "10 gone.sandbox.example"),)
        ),
        "nullmx.example": SandboxDomain(
            Status.INVALID, ReasonCode.NULL_MX, "takes no mail and says so (RFC 7505)", (("MX", "0 ."),)
        ),
        "unsafe.example": SandboxDomain(
            Status.INVALID, ReasonCode.UNSAFE_MX, "its mail host is on a private network",
            (("MX", "10 inside.sandbox.example"),),
        ),
        "servfail.example": SandboxDomain(
            Status.UNKNOWN, ReasonCode.DNS_FAILURE, "its name servers are broken", rcode="SERVFAIL"
        ),
        "refused.example": SandboxDomain(
            Status.UNKNOWN, ReasonCode.DNS_FAILURE, "its name servers refuse to say", rcode="REFUSED"
        ),
        "timeout.example": SandboxDomain(
            Status.UNKNOWN, ReasonCode.DNS_TIMEOUT, "its name servers never answer", silent=True
        ),
    }
)  # fmt: skip

# The mail hosts behind them, and the records that are not at the name of a domain itself.
_HOSTS: Mapping[str, Records] = MappingProxyType(
    {
        "sandbox.example": (),
        "mx1.sandbox.example": (("A", _HOST),),
        "mx2.sandbox.example": (("A", "192.0.2.26"),),
        "mx6.sandbox.example": (("AAAA", "2001:db8::25"),),
        "inside.sandbox.example": (("A", "127.0.0.1"),),
        "_dmarc.healthy.example": (("TXT", '"v=DMARC1; p=reject; rua=mailto:dmarc@healthy.example"'),),
        "_domainkey.healthy.example": (),
        "s1._domainkey.healthy.example": (
            ("TXT", '"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="'),
        ),
        "_mta-sts.healthy.example": (("TXT", '"v=STSv1; id=20261125"'),),
    }
)


@dataclass(slots=True)
class SandboxZone:
    """Answers queries as the table says; counts, per name and type, the failures already played."""

    smtp_port: int
    _played: dict[str, int] = field(default_factory=dict)

    def behaviour(self, name: str) -> SandboxDomain | None:
        """Of the listed domain that the name is, or is under."""
        while name:
            if name in SANDBOX_DOMAINS:
                return SANDBOX_DOMAINS[name]
            name = name.partition(".")[2]
        return None

    def answer(self, query: DNSRecord) -> DNSRecord | None:
        """The reply, or None to stay silent."""
        name = str(query.q.qname).lower().rstrip(".")
        reply = query.reply(ra=1, aa=1)
        if name == _SMTP:
            return self._filled(reply, name, (("SRV", f"0 0 {self.smtp_port} mx1.sandbox.example"),))
        if name in _HOSTS:
            return self._filled(reply, name, _HOSTS[name])
        domain = self.behaviour(name)
        if domain is None:
            reply.header.rcode = RCODE.NXDOMAIN if name.endswith((".example", ".test")) else RCODE.REFUSED
            return self._filled(reply, name, ())
        if domain.silent:
            return None
        fails = self._fails_now(f"{name} {QTYPE[query.q.qtype]}", domain)
        reply.header.rcode = RCODE.SERVFAIL if fails else getattr(RCODE, domain.rcode)
        return self._filled(reply, name, domain.records)

    def delay_s(self, query: DNSRecord) -> float:
        domain = self.behaviour(str(query.q.qname).lower().rstrip("."))
        return domain.delay_s if domain else 0.0

    def _fails_now(self, question: str, domain: SandboxDomain) -> bool:
        """So many failures, then one answer, then again: the same story for everyone who asks."""
        if not domain.failures_first:
            return False
        played = self._played.get(question, 0)
        if len(self._played) > 10_000:
            self._played.clear()
        self._played[question] = (played + 1) % (domain.failures_first + 1)
        return played < domain.failures_first

    def _filled(self, reply: DNSRecord, name: str, records: Records) -> DNSRecord:
        """The records of the asked type, or the alias, or a SOA that says how long the "no" holds (RFC 2308 3)."""
        wanted = QTYPE[reply.q.qtype]
        found = [(kind, data) for kind, data in records if kind in (wanted, "CNAME")]
        if reply.header.rcode not in (RCODE.SERVFAIL, RCODE.REFUSED):
            reply.add_answer(*(_record(name, kind, data) for kind, data in found))
            for kind, target in found:
                if kind == "CNAME":
                    self._filled(reply, target, self._records_of(target))
        if not reply.rr:
            reply.add_auth(_record("example", "SOA", f"ns.example. nobody.example. 1 3600 600 86400 {_TTL_S}"))
        return reply

    def _records_of(self, name: str) -> Records:
        domain = self.behaviour(name)
        return domain.records if domain else ()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, zone: SandboxZone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = _parsed(data)
        if query is not None:
            asyncio.get_running_loop().call_later(self._zone.delay_s(query), self._reply, query, addr)

    def _reply(self, query: DNSRecord, addr: tuple[str, int]) -> None:
        reply = self._zone.answer(query)
        if reply is None or self._transport is None or self._transport.is_closing():
            return
        packed = reply.pack()
        self._transport.sendto(packed if len(packed) <= _UDP_LIMIT else reply.truncate().pack(), addr)


@dataclass(slots=True)
class _Tcp:
    """RFC 7766: queries one after the other on a connection, each with its length before it."""

    zone: SandboxZone
    open: set[asyncio.Task[None]] = field(default_factory=set)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self.open.add(task)
        # Cancelled by `aclose` alone, to end; Python 3.11 would log that as an error.
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):
            while query := await _next_query(reader):
                await self._reply(query, writer)
        self.open.discard(task)
        writer.close()

    async def aclose(self) -> None:
        """Ends the connections that are still open."""
        tasks = list(self.open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reply(self, query: DNSRecord, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(self.zone.delay_s(query))
        reply = self.zone.answer(query)
        if reply is not None:
            packed = reply.pack()
            writer.write(len(packed).to_bytes(2, "big") + packed)
            await writer.drain()


async def _next_query(reader: asyncio.StreamReader) -> DNSRecord | None:
    async with asyncio.timeout(_TCP_PATIENCE_S):
        length = int.from_bytes(await reader.readexactly(2), "big")
        return _parsed(await reader.readexactly(length)) if length <= _LARGEST_QUERY else None


def _parsed(data: bytes) -> DNSRecord | None:
    """A query, or None for anything else that came to the port."""
    try:
        query = DNSRecord.parse(data)
    except (DNSError, UnicodeError, ValueError, IndexError, KeyError):
        return None
    return query if query.questions and not query.header.qr else None


@cache
def _record(name: str, kind: str, data: str) -> RR:
    text = data if kind in ("A", "AAAA", "SOA", "TXT") or data.endswith(".") else f"{data}."
    return RR.fromZone(f"{name}. {_TTL_S} IN {kind} {text}")[0]


@asynccontextmanager
async def serve(*, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serves the zone by UDP and TCP on one port, which it yields, and its mail host, until the block ends."""
    async with smtp.serve(host=host) as smtp_port:
        zone = SandboxZone(smtp_port)
        tcp = _Tcp(zone)
        transport, server = await _bind(zone, tcp, host, port)
        try:
            yield transport.get_extra_info("sockname")[1]
        finally:
            transport.close()
            server.close()
            await tcp.aclose()


async def _bind(zone: SandboxZone, tcp: _Tcp, host: str, port: int) -> tuple[asyncio.DatagramTransport, asyncio.Server]:
    """The same port for both; when any will do and TCP's is taken, another is tried."""
    loop = asyncio.get_running_loop()
    for left in reversed(range(8 if port == 0 else 1)):
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(zone), local_addr=(host, port))
        try:
            taken = transport.get_extra_info("sockname")[1]
            return transport, await asyncio.start_server(tcp.connected, host, taken)
        except OSError:
            transport.close()
            if not left:
                raise
    raise AssertionError


async def run(*, host: str, port: int) -> None:
    """Serves until told to end (SIGTERM or SIGINT)."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with serve(host=host, port=port) as taken:
        sys.stdout.write(f"sandbox DNS listening on {host}:{taken}\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="The sandbox's DNS zone, by UDP and TCP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one and prints it")
    asyncio.run(run(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
