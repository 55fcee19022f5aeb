"""The resolver against name servers that misbehave: temporary never becomes definite, and every wait ends."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import TypeVar

import pytest
from dnslib import DNSRecord  # type: ignore[import-untyped]  # it has no annotations

from vouchpost_gateway.checks.dns import DnsOutcome, Lookup, NameServer, Resolver

from .peers import Behaviour, Peer, fails, name_server, reply, silent, zone

GOOD = zone(
    """
    a.test. 300 IN MX 10 mx.a.test.
    a.test. 300 IN A 192.0.2.1
    alias.test. 300 IN CNAME a.test.
    """
)
NOTHING = zone("other.test. 60 IN A 192.0.2.9")

T = TypeVar("T")


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def _with(
    behaviours: list[Behaviour],
    use: Callable[[Resolver, list[Peer]], Awaitable[T]],
    *,
    tcp: Behaviour | None = None,
    timeout_s: float = 0.8,
    now: Callable[[], float] = time.monotonic,
    capacity: int = 100,
) -> T:
    """Runs `use` with a resolver of servers that behave so."""

    async def main() -> T:
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(name_server(udp, tcp)) for udp in behaviours]
            servers = [NameServer("127.0.0.1", peer.port) for peer in peers]
            resolver = Resolver(servers, timeout_s=timeout_s, now=now, capacity=capacity)
            stack.push_async_callback(resolver.aclose)
            return await use(resolver, peers)

    return asyncio.run(main())


def _mx(*behaviours: Behaviour, tcp: Behaviour | None = None, name: str = "a.test") -> Lookup:
    return _with(list(behaviours), lambda resolver, _: resolver.lookup(name, "MX"), tcp=tcp)


def test_records_are_found_with_their_ttl() -> None:
    assert _mx(GOOD) == Lookup(DnsOutcome.FOUND, ("10 mx.a.test.",), 300)


def test_no_data_and_no_name_are_told_apart() -> None:
    assert _mx(zone("a.test. 60 IN A 192.0.2.1")).outcome is DnsOutcome.NO_DATA
    assert _mx(NOTHING).outcome is DnsOutcome.NO_NAME


def _wrong_id(query: DNSRecord, _: int) -> list[bytes]:
    query.header.id ^= 0xFFFF
    return [reply(query, "a.test. 300 IN MX 0 .")]


def _other_question(query: DNSRecord, _: int) -> list[bytes]:
    other = DNSRecord.question("victim.test", "MX")
    other.header.id = query.header.id
    return [reply(other, "victim.test. 300 IN MX 0 .")]


def _echo(query: DNSRecord, _: int) -> list[bytes]:
    return [bytes(query.pack())]


def _garbage(query: DNSRecord, _: int) -> list[bytes]:
    head = query.header.id.to_bytes(2, "big") + b"\x81\x80\0\1\0\1\0\0\0\0"
    return [b"", b"\0", b"\xff" * 900, head + b"\xc0\x0c" * 40, head + b"\x3f" * 200]


def _truncated(query: DNSRecord, _: int) -> list[bytes]:
    return [reply(query, truncated=True)]


def _alias_to_itself(query: DNSRecord, _: int) -> list[bytes]:
    return [reply(query, "a.test. 60 IN CNAME a.test.")]


def _alias_circle(query: DNSRecord, _: int) -> list[bytes]:
    return [reply(query, "a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test.")]


def _alias_without_end(query: DNSRecord, _: int) -> list[bytes]:
    """Each answer points on to a new name, and leaves the following of it to us."""
    name = str(query.q.qname)
    return [reply(query, f"{name} 60 IN CNAME x{name[:40]}{'' if len(name) <= 40 else '.test.'}")]


def _long_chain(query: DNSRecord, _: int) -> list[bytes]:
    """A-80: a chain of twenty in one answer."""
    names = ["a.test.", *(f"c{n}.test." for n in range(20))]
    links = [f"{one} 60 IN CNAME {two}" for one, two in pairwise(names)]
    return [reply(query, *links, "c19.test. 60 IN MX 0 .")]


def _answer_beside_no_name(query: DNSRecord, _: int) -> list[bytes]:
    return [reply(query, "a.test. 60 IN MX 0 .", rcode="NXDOMAIN")]


def _referral(query: DNSRecord, _: int) -> list[bytes]:
    """A lame server: it names others, and has nothing to say itself."""
    return [reply(query, authority="test. 60 IN NS ns1.elsewhere.test.")]


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (_referral, DnsOutcome.FAILED),
        (fails("SERVFAIL"), DnsOutcome.FAILED),
        (fails("REFUSED"), DnsOutcome.REFUSED),
        (fails("FORMERR"), DnsOutcome.FAILED),
        (fails("NOTIMP"), DnsOutcome.FAILED),
        (fails("NOTAUTH"), DnsOutcome.FAILED),
        (silent, DnsOutcome.TIMED_OUT),
        (_wrong_id, DnsOutcome.TIMED_OUT),
        (_other_question, DnsOutcome.TIMED_OUT),
        (_echo, DnsOutcome.TIMED_OUT),
        (_garbage, DnsOutcome.TIMED_OUT),
        (_truncated, DnsOutcome.FAILED),
        (_alias_to_itself, DnsOutcome.FAILED),
        (_alias_circle, DnsOutcome.FAILED),
        (_alias_without_end, DnsOutcome.FAILED),
        (_long_chain, DnsOutcome.FAILED),
        (_answer_beside_no_name, DnsOutcome.FAILED),
    ],
)
def test_what_is_not_an_answer_is_never_definite(behaviour: Behaviour, outcome: DnsOutcome) -> None:
    started = time.monotonic()

    found = _mx(behaviour)

    assert found.outcome is outcome
    assert not found.outcome.definite
    assert found.records == ()
    assert time.monotonic() - started < 2


def test_nobody_listening_is_a_failure() -> None:
    async def main() -> Lookup:
        resolver = Resolver([NameServer("127.0.0.1", 9)], timeout_s=0.5)
        return await resolver.lookup("a.test", "MX")

    assert not asyncio.run(main()).outcome.definite


def test_no_servers_at_all_is_a_failure() -> None:
    assert asyncio.run(Resolver([], timeout_s=1).lookup("a.test", "MX")).outcome is DnsOutcome.FAILED


@pytest.mark.parametrize("name", ["", "a..test", "a" * 64 + ".test", "b." * 200 + "test", "\u0660.test", "a\x00.test"])
def test_names_that_are_none_are_answered_without_being_raised(name: str) -> None:
    _mx(NOTHING, name=name)


def test_a_truncated_answer_is_had_by_tcp() -> None:
    many = [f"a.test. 300 IN MX {n} mx{n}.a.test." for n in range(500)]

    found = _mx(_truncated, tcp=lambda query, _: [reply(query, *many)])

    assert found.outcome is DnsOutcome.FOUND
    assert len(found.records) == 500


def _half(query: DNSRecord, _: int) -> list[bytes]:
    return [reply(query, "a.test. 60 IN MX 10 mx.a.test.")[:20]]


def _hundred_kilobytes(_query: DNSRecord, _: int) -> list[bytes]:
    return [b"\xff" * 60_000] * 2


@pytest.mark.parametrize(
    "tcp", [silent, fails("SERVFAIL"), _truncated, _half, _hundred_kilobytes, _wrong_id, _other_question]
)
def test_a_truncated_answer_whose_rest_cannot_be_had_is_no_answer(tcp: Behaviour) -> None:
    started = time.monotonic()

    found = _mx(_truncated, tcp=tcp)

    assert not found.outcome.definite
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("first", [fails("SERVFAIL"), fails("REFUSED"), silent, _garbage, _truncated])
def test_the_next_server_is_asked_when_the_first_cannot_tell(first: Behaviour) -> None:
    assert _mx(first, GOOD).outcome is DnsOutcome.FOUND


def test_a_lost_packet_is_asked_for_again() -> None:
    def loses_the_first(query: DNSRecord, before: int) -> list[bytes]:
        return list(GOOD(query, before)) if before else []

    assert _mx(loses_the_first).outcome is DnsOutcome.FOUND


def test_a_true_answer_behind_a_forged_one_is_waited_for() -> None:
    def forged_first(query: DNSRecord, before: int) -> list[bytes]:
        good = list(GOOD(query, before))
        return [*_wrong_id(query, before), *good]

    assert _mx(forged_first).records == ("10 mx.a.test.",)


def test_a_server_from_before_edns_is_asked_without_it() -> None:
    def old(query: DNSRecord, before: int) -> list[bytes]:
        return [reply(query, rcode="FORMERR")] if query.ar else list(GOOD(query, before))

    assert _mx(old).outcome is DnsOutcome.FOUND


def test_an_alias_left_to_us_is_followed() -> None:
    assert _mx(GOOD, name="alias.test").records == ("10 mx.a.test.",)


def test_no_such_name_is_believed_only_when_the_next_server_says_it_too() -> None:
    assert _mx(NOTHING, GOOD).outcome is DnsOutcome.FOUND
    assert _mx(NOTHING, NOTHING).outcome is DnsOutcome.NO_NAME


@pytest.mark.parametrize("second", [fails("SERVFAIL"), fails("REFUSED"), silent])
def test_no_such_name_that_cannot_be_confirmed_is_not_definite_if_its_server_wavers(second: Behaviour) -> None:
    def wavers(query: DNSRecord, before: int) -> list[bytes]:
        return list(NOTHING(query, before) if before == 0 else second(query, before))

    assert not _mx(wavers).outcome.definite


def test_a_flapping_no_such_name_is_overruled_by_the_answer() -> None:
    def flaps(query: DNSRecord, before: int) -> list[bytes]:
        return list(NOTHING(query, before) if before == 0 else GOOD(query, before))

    assert _mx(flaps).outcome is DnsOutcome.FOUND


@pytest.mark.parametrize(
    ("there", "outcome"),
    [
        ("", DnsOutcome.FAILED),
        ("com. 60 IN NS a.gtld-servers.net.", DnsOutcome.NO_NAME),
        ('com. 60 IN TXT "x"', DnsOutcome.NO_NAME),
    ],
    ids=["blind", "no data of that type", "found"],
)
def test_servers_that_see_no_internet_are_not_believed_that_a_name_is_absent(there: str, outcome: DnsOutcome) -> None:
    """An inner network's server says so of every name that is outside."""

    async def main() -> Lookup:
        async with name_server(zone(there)) as peer:
            resolver = Resolver([NameServer("127.0.0.1", peer.port)], timeout_s=1, witness="com")
            found = await resolver.lookup("gmail.com", "MX")
            await resolver.aclose()
            return found

    assert asyncio.run(main()).outcome is outcome


def test_one_question_is_in_flight_however_many_want_it() -> None:
    async def use(resolver: Resolver, peers: list[Peer]) -> int:
        await asyncio.gather(*(resolver.lookup("a.test", "MX") for _ in range(200)))
        return peers[0].total

    assert _with([GOOD], use) == 1


def test_an_impatient_caller_does_not_take_the_answer_from_the_others() -> None:
    async def use(resolver: Resolver, _: list[Peer]) -> Lookup:
        patient = asyncio.create_task(resolver.lookup("a.test", "MX"))
        impatient = asyncio.create_task(resolver.lookup("a.test", "MX"))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert _with([GOOD], use).outcome is DnsOutcome.FOUND


def test_an_answer_is_kept_for_its_ttl_and_no_longer() -> None:
    clock = Clock()

    async def use(resolver: Resolver, peers: list[Peer]) -> list[int]:
        totals = []
        for step in (0, 299, 2):
            clock.seconds += step
            await resolver.lookup("a.test", "MX")
            totals.append(peers[0].total)
        return totals

    assert _with([GOOD], use, now=clock) == [1, 1, 2]


def test_no_such_name_is_kept_for_the_ttl_of_its_soa() -> None:
    """RFC 2308 5; each time it is asked twice over, to be believed."""
    clock = Clock()

    async def use(resolver: Resolver, peers: list[Peer]) -> list[int]:
        totals = []
        for step in (0, 59, 2):
            clock.seconds += step
            await resolver.lookup("gone.test", "MX")
            totals.append(peers[0].total)
        return totals

    assert _with([NOTHING], use, now=clock) == [2, 2, 4]


def test_a_ttl_of_zero_is_not_kept_and_one_of_a_year_only_for_an_hour() -> None:
    clock = Clock()
    records = zone("zero.test. 0 IN MX 10 a.test.\nyear.test. 31536000 IN MX 10 a.test.")

    async def use(resolver: Resolver, peers: list[Peer]) -> tuple[int, int]:
        for _ in range(2):
            await resolver.lookup("zero.test", "MX")
            await resolver.lookup("year.test", "MX")
        clock.seconds += 3601
        await resolver.lookup("year.test", "MX")
        return peers[0].asked["zero.test MX"], peers[0].asked["year.test MX"]

    assert _with([records], use, now=clock) == (2, 2)


def test_a_failure_is_kept_for_a_moment_only() -> None:
    clock = Clock()

    async def use(resolver: Resolver, peers: list[Peer]) -> list[int]:
        totals = []
        for step in (0, 0.9, 0.2):
            clock.seconds += step
            await resolver.lookup("a.test", "MX")
            totals.append(peers[0].total)
        return totals

    assert _with([fails("SERVFAIL")], use, now=clock) == [1, 1, 2]


def test_silence_is_kept_longer_since_it_costs_every_caller_the_whole_time_limit() -> None:
    clock = Clock()

    async def use(resolver: Resolver, peers: list[Peer]) -> list[int]:
        totals = []
        for step in (0, 9, 2):
            clock.seconds += step
            found = await resolver.lookup("a.test", "MX")
            totals.append(peers[0].total)
            assert (found.outcome, found.ttl_s) == (DnsOutcome.TIMED_OUT, 10)
        return totals

    once = _with([silent], use, now=clock, timeout_s=0.2)

    assert once[0] == once[1] < once[2]


def test_the_cache_is_bounded() -> None:
    async def use(resolver: Resolver, _: list[Peer]) -> int:
        for n in range(50):
            await resolver.lookup(f"n{n}.test", "MX")
        return len(resolver._cache)

    assert _with([NOTHING], use, capacity=10) == 10


def test_silence_ends_at_the_time_limit_whatever_the_number_of_servers() -> None:
    started = time.monotonic()

    found = _with([silent] * 4, lambda resolver, _: resolver.lookup("a.test", "MX"), timeout_s=0.6)

    assert found.outcome is DnsOutcome.TIMED_OUT
    assert time.monotonic() - started < 1.2


def test_closing_ends_what_is_in_flight() -> None:
    async def use(resolver: Resolver, _: list[Peer]) -> bool:
        waiting = asyncio.create_task(resolver.lookup("a.test", "MX"))
        await asyncio.sleep(0.05)
        await resolver.aclose()
        done, _pending = await asyncio.wait([waiting], timeout=0.2)
        return bool(done) and waiting.cancelled()

    assert _with([silent], use, timeout_s=30)


def test_whatever_a_damaged_packet_holds_it_is_read_or_refused() -> None:
    """By TCP, where no other packet could come instead. A seed keeps it the same on every run."""
    source = random.Random(20261122)
    whole = reply(
        DNSRecord.question("a.test", "MX"), "a.test. 60 IN CNAME b.test.", "b.test. 60 IN MX 10 mx.test.",
        authority="test. 60 IN SOA ns.test. nobody.test. 1 60 60 60 60",
    )  # fmt: skip

    def damaged(query: DNSRecord, _: int) -> list[bytes]:
        packet = bytearray(query.header.id.to_bytes(2, "big") + whole[2:])
        for _damage in range(source.randint(1, 6)):
            packet[source.randrange(2, len(packet))] = source.randrange(256)
        return [bytes(packet[: source.randrange(12, len(packet))] if source.random() < 0.2 else packet)]

    async def use(resolver: Resolver, _: list[Peer]) -> set[DnsOutcome]:
        lookups = await asyncio.gather(*(resolver.lookup(f"n{n}.test", "MX") for n in range(100)))
        return {found.outcome for found in lookups}

    # The question never is the one that was asked, so no damage may make an answer of it.
    assert not any(outcome.definite for outcome in _with([_truncated], use, tcp=damaged, timeout_s=2, capacity=1000))
