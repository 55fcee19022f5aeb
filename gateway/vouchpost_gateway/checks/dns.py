"""DNS for the checks: one lookup at a time, told apart exactly, cached as long as its TTL allows.

The promise: only what a name server said, and said again when it was "no such name", is definite. Everything else
(SERVFAIL, REFUSED, a loop, a truncated answer whose TCP is closed, no answer) is a failure that another day may mend.
Nothing here raises for anything a name server can do.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

RecordType = Literal["MX", "A", "AAAA", "TXT", "SRV", "PTR"]

# Answers are kept no longer than this, whatever their TTL: positive as unbound does by habit, negative by RFC 2308 5.
_LONGEST_S: Final = 3600
_LONGEST_NEGATIVE_S: Final = 300
# RFC 1034 3.6.2 wants chains short; a resolver that returns them in pieces is followed this far.
_MAX_ALIASES: Final = 8
# What fits unfragmented nearly everywhere (DNS flag day 2020).
_UDP_PAYLOAD: Final = 1232


class DnsOutcome(StrEnum):
    """What a lookup came to; only the first three are definite."""

    FOUND = "found"
    NO_DATA = "no_data"
    NO_NAME = "no_name"
    REFUSED = "refused"
    FAILED = "failed"
    TIMED_OUT = "timed_out"

    @property
    def definite(self) -> bool:
        return self in _DEFINITE


_DEFINITE = frozenset({DnsOutcome.FOUND, DnsOutcome.NO_DATA, DnsOutcome.NO_NAME})


@dataclass(frozen=True, slots=True)
class Lookup:
    """The result of one lookup: records as text (`10 mx.example.`), and for how long it holds."""

    outcome: DnsOutcome
    records: tuple[str, ...] = ()
    ttl_s: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NameServer:
    host: str
    port: int = 53


@dataclass(frozen=True, slots=True)
class _Alias:
    """A server's answer that ends at another name and says nothing of it."""

    target: dns.name.Name


_Key = tuple[str, RecordType]


class Resolver:
    """Asks the given name servers, in their order. One question in flight per name and type, however many want it."""

    def __init__(
        self,
        servers: Sequence[NameServer],
        *,
        timeout_s: float,
        capacity: int = 100_000,
        failure_ttl_s: int = 1,
        silence_ttl_s: int = 10,
        witness: str | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Failures are kept for a moment too (RFC 2308 7): a list of one dead domain must not wait on every row.

        `witness` is a name that exists: servers that do not know it see no Internet, and what they call absent may be
        there.
        """
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._failure_ttls = {DnsOutcome.TIMED_OUT: silence_ttl_s}
        self._failure_ttl_s = failure_ttl_s
        self._capacity = capacity
        self._witness = witness
        self._now = now
        self._cache: OrderedDict[_Key, tuple[float, Lookup]] = OrderedDict()
        self._flights: dict[_Key, asyncio.Task[Lookup]] = {}

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        """The records of that type, within the time limit, whatever the servers do."""
        key = (name, kind)
        held = self._cache.get(key)
        if held is not None and self._now() < held[0]:
            return held[1]
        flight = self._flights.get(key) or self._start(key)
        # Shielded: one impatient caller must not take the answer from the others.
        return await asyncio.shield(flight)

    async def aclose(self) -> None:
        """Ends what is still in flight."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    def _start(self, key: _Key) -> asyncio.Task[Lookup]:
        flight = asyncio.create_task(self._fly(key))
        self._flights[key] = flight
        flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return flight

    async def _fly(self, key: _Key) -> Lookup:
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self._find(*key)
        except TimeoutError:
            found = Lookup(DnsOutcome.TIMED_OUT)
        if not found.outcome.definite:
            found = replace(found, ttl_s=self._failure_ttls.get(found.outcome, self._failure_ttl_s))
        self._keep(key, found)
        return found

    def _keep(self, key: _Key, found: Lookup) -> None:
        if found.ttl_s <= 0:
            return
        self._cache[key] = (self._now() + found.ttl_s, found)
        self._cache.move_to_end(key)
        if len(self._cache) > self._capacity:
            self._cache.popitem(last=False)

    async def _find(self, name: str, kind: RecordType) -> Lookup:
        first = await self._follow(name, kind, self._servers)
        if first.outcome is not DnsOutcome.NO_NAME:
            return first
        # "No such name" ends a verification for good, so it is believed only when said twice: by the next server
        # if there is one. Whatever else the second answer is, it is the one that counts.
        second = await self._follow(name, kind, self._servers[1:] + self._servers[:1])
        blind = second.outcome is DnsOutcome.NO_NAME and not await self._sees_the_internet(name)
        return Lookup(DnsOutcome.FAILED, detail="blind_servers") if blind else second

    async def _sees_the_internet(self, asked: str) -> bool:
        """A server of an inner network answers "no such name" to all that is outside: that is no answer."""
        if self._witness is None or asked == self._witness:
            return True
        return (await self.lookup(self._witness, "TXT")).outcome in (DnsOutcome.FOUND, DnsOutcome.NO_DATA)

    async def _follow(self, name: str, kind: RecordType, servers: Sequence[NameServer]) -> Lookup:
        """Through aliases that the servers leave to us; a loop is a failure."""
        try:
            target = dns.name.from_text(name)
        except dns.exception.DNSException:
            return Lookup(DnsOutcome.FAILED, detail="not_a_name")
        for _ in range(_MAX_ALIASES):
            answer = await self._ask_in_turn(target, kind, servers)
            if isinstance(answer, Lookup):
                return answer
            target = answer.target
        return Lookup(DnsOutcome.FAILED, detail="alias_loop")

    async def _ask_in_turn(
        self, name: dns.name.Name, kind: RecordType, servers: Sequence[NameServer]
    ) -> Lookup | _Alias:
        """The first definite answer. Servers that were only silent are asked once more: UDP loses packets."""
        worst = Lookup(DnsOutcome.FAILED, detail="no_servers")
        silent = list(servers)
        for _ in range(2):
            asked, silent = silent, []
            for server in asked:
                answer = await self._ask(name, kind, server)
                if isinstance(answer, _Alias) or answer.outcome.definite:
                    return answer
                if answer.outcome is DnsOutcome.TIMED_OUT:
                    silent.append(server)
                worst = answer
        return worst

    async def _ask(self, name: dns.name.Name, kind: RecordType, server: NameServer) -> Lookup | _Alias:
        query = dns.message.make_query(name, kind, use_edns=0, payload=_UDP_PAYLOAD)
        answer = await self._exchange(query, server)
        if answer is not None and answer.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
            # RFC 6891 7: a server from before EDNS says so.
            answer = await self._exchange(dns.message.make_query(name, kind), server)
        if answer is None:
            return Lookup(DnsOutcome.TIMED_OUT)
        return read_answer(answer)

    async def _exchange(self, query: dns.message.Message, server: NameServer) -> dns.message.Message | None:
        """One answer to this very query, by TCP when UDP cut it short; None when none came in time.

        Stray packets (another id, another sender, garbage) are passed over: the true answer may still come. An answer
        that cannot be had or read is returned as SERVFAIL.
        """
        try:
            answer, _ = await dns.asyncquery.udp_with_fallback(
                query,
                server.host,
                timeout=self._patience_s,
                port=server.port,
                ignore_unexpected=True,
                ignore_errors=True,
            )
        except dns.exception.Timeout:
            return None
        except (dns.exception.DNSException, OSError, EOFError):
            return _failure(query)
        return answer

    @property
    def _patience_s(self) -> float:
        """For one exchange: two of them fit into the time limit."""
        return self._timeout_s * 0.45


def read_answer(message: dns.message.Message) -> Lookup | _Alias:
    """What a message says about its own question."""
    rcode = message.rcode()
    if rcode == dns.rcode.REFUSED:
        return Lookup(DnsOutcome.REFUSED, detail="refused")
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) or not isinstance(message, dns.message.QueryMessage):
        return Lookup(DnsOutcome.FAILED, detail=dns.rcode.to_text(rcode).lower())
    if message.flags & dns.flags.TC:
        return Lookup(DnsOutcome.FAILED, detail="truncated")  # by TCP too: what is missing is not known
    try:
        return _read_chain(message, message.resolve_chaining())
    except dns.exception.DNSException as error:
        # A chain too long, records beside "no such name", another question: nothing to build on.
        return Lookup(DnsOutcome.FAILED, detail=_snake(type(error).__name__))


def _read_chain(message: dns.message.Message, chain: dns.message.ChainingResult) -> Lookup | _Alias:
    if chain.answer is not None:
        records = tuple(sorted(record.to_text() for record in chain.answer))
        return Lookup(DnsOutcome.FOUND, records, min(chain.minimum_ttl, _LONGEST_S))
    ttl = min(chain.minimum_ttl, _LONGEST_NEGATIVE_S)
    if message.rcode() == dns.rcode.NXDOMAIN:
        return Lookup(DnsOutcome.NO_NAME, ttl_s=ttl)
    has_soa = _has(message, dns.rdatatype.SOA)
    if chain.cnames and not has_soa:
        return _Alias(chain.canonical_name)
    if not has_soa and _has(message, dns.rdatatype.NS):
        # RFC 2308 2.2.1: whoever names other servers has no answer of its own; a lame server does so for ever.
        return Lookup(DnsOutcome.FAILED, detail="referral")
    return Lookup(DnsOutcome.NO_DATA, ttl_s=ttl)


def _has(message: dns.message.Message, kind: dns.rdatatype.RdataType) -> bool:
    """RFC 2308 2.2: with a SOA record "no data" is an answer; without one it may be only half of it."""
    return any(rrset.rdtype == kind for rrset in message.authority)


def _failure(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query)
    answer.set_rcode(dns.rcode.SERVFAIL)
    return answer


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).strip("_")
