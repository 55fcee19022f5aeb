"""Where mail goes, asked of real name servers on loopback: RFC 5321 5.1, RFC 7505, and what is no answer at all."""

import asyncio

import pytest
from dnslib import QTYPE, DNSRecord  # type: ignore[import-untyped]  # it has no annotations

from vouchpost_gateway.checks.dns import NameServer, Resolver
from vouchpost_gateway.checks.mx import MAX_LOOKUPS, Route, find_route
from vouchpost_gateway.domain.address import is_public

from .peers import Behaviour, Peer, fails, name_server, reply, silent, zone

PUBLIC = "1.1.1.1"
HOSTS = f"""
    mx.good.net. 60 IN A {PUBLIC}
    six.good.net. 60 IN AAAA 2606:4700:4700::1111
    inside.good.net. 60 IN A 10.0.0.25
    loop.good.net. 60 IN A 127.0.0.1
    meta.good.net. 60 IN A 169.254.169.254
    both.good.net. 60 IN A 192.168.1.1
    both.good.net. 60 IN A {PUBLIC}
    alias.good.net. 60 IN CNAME mx.good.net.
    empty.good.net. 60 IN TXT x
"""


def _route(behaviour: Behaviour | str, domain: str = "a.net", *, timeout_s: float = 0.5) -> tuple[Route, Peer]:
    behave = zone(behaviour + HOSTS) if isinstance(behaviour, str) else behaviour

    async def main() -> tuple[Route, Peer]:
        async with name_server(behave) as peer:
            resolver = Resolver([NameServer("127.0.0.1", peer.port)], timeout_s=timeout_s)
            route = await find_route(domain, resolver=resolver, is_public=is_public)
            await resolver.aclose()
            return route, peer

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("records", "code", "host"),
    [
        pytest.param(["MX 10 mx"], "accepts_mail", "mx.good.net", id="one MX"),
        pytest.param(["MX 20 six", "MX 5 MX"], "accepts_mail", "mx.good.net", id="by preference"),
        pytest.param(["MX 5 gone", "MX 10 mx"], "accepts_mail", "mx.good.net", id="the first is gone"),
        pytest.param(["MX 5 six"], "accepts_mail", "six.good.net", id="IPv6 only"),
        pytest.param(["MX 5 alias"], "accepts_mail", "alias.good.net", id="MX to an alias"),
        pytest.param(["MX 5 both"], "accepts_mail", "both.good.net", id="one address of two is public"),
        pytest.param(["A 1.1.1.1"], "accepts_mail", "a.net", id="implicit"),
        pytest.param(["AAAA 2606:4700:4700::1111"], "accepts_mail", "a.net", id="implicit by IPv6"),
        pytest.param(["MX 0 ."], "null_mx", None, id="null MX"),
        pytest.param(["MX 0 .", "A 1.1.1.1"], "null_mx", None, id="null MX beside an address"),
        pytest.param(["MX 0 .", "MX 5 mx"], "accepts_mail", "mx.good.net", id="null MX among others"),
        pytest.param([], "no_domain", None, id="no such name"),
        pytest.param(["TXT x"], "no_mx", None, id="neither MX nor address"),
        pytest.param(["MX 5 gone", "A 1.1.1.1"], "no_mx", None, id="an MX forbids the implicit one"),
        pytest.param(["MX 5 empty"], "no_mx", None, id="its host has no address"),
        pytest.param(["MX 5 inside"], "unsafe_mx", None, id="private"),
        pytest.param(["MX 5 loop"], "unsafe_mx", None, id="loopback"),
        pytest.param(["MX 5 meta"], "unsafe_mx", None, id="metadata service"),
        pytest.param(["MX 5 localhost."], "unsafe_mx", None, id="localhost"),
        pytest.param(["MX 5 127.0.0.1."], "unsafe_mx", None, id="an address written as a name"),
        pytest.param(["MX 5 metadata.google.internal."], "unsafe_mx", None, id="a reserved name"),
        pytest.param(["A 10.1.1.1"], "unsafe_mx", None, id="implicit and private"),
        pytest.param(["MX 5 a!b"], "no_mx", None, id="no host name"),
    ],
)
def test_the_route_is_what_the_records_say(records: list[str], code: str, host: str | None) -> None:
    """Mail hosts written without a dot are under good.net."""
    lines = [f"a.net. 60 IN {record}" for record in records]
    lines = [f"{line}.good.net." if " MX " in line and not line.endswith(".") else line for line in lines]

    route, _ = _route("\n".join(lines))

    assert route.finding.code == code
    assert (route.host.name if route.host else None) == host


def test_names_that_must_not_be_asked_about_are_not() -> None:
    _, peer = _route("a.net. 60 IN MX 5 localhost.\na.net. 60 IN MX 6 127.0.0.1.\na.net. 60 IN MX 7 x.internal.")

    assert set(peer.asked) == {"a.net MX"}


def test_only_public_addresses_are_handed_on() -> None:
    route, _ = _route("a.net. 60 IN MX 5 both.good.net.")

    assert route.host is not None
    assert route.host.addresses == (PUBLIC,)


def test_five_hundred_mail_hosts_cost_no_more_than_the_limit() -> None:
    """Every one of them exists and has no address, so the budget ends the search: not known, and not "no"."""
    hosts = [f"a.net. 60 IN MX {n} h{n}.net." for n in range(500)]

    def behave(query: DNSRecord, _: int) -> list[bytes]:
        if QTYPE[query.q.qtype] == "MX":
            return [reply(query, *hosts[:30])]
        return [reply(query, authority="net. 60 IN SOA ns.net. nobody.net. 1 60 60 60 60")]

    route, peer = _route(behave)

    assert route.finding.code == "dns_failure"
    assert route.finding.facts["detail"] == "lookups_spent"
    assert peer.total == MAX_LOOKUPS


@pytest.mark.parametrize("broken", [fails("SERVFAIL"), fails("REFUSED"), silent])
@pytest.mark.parametrize("kind", ["MX", "A", "AAAA"])
@pytest.mark.parametrize(
    "good", ["a.net. 60 IN TXT x", "a.net. 60 IN MX 5 empty.good.net.", "a.net. 60 IN MX 5 inside.good.net."]
)
def test_one_failed_lookup_forbids_every_definite_no(broken: Behaviour, kind: str, good: str) -> None:
    """F-35: without the failure each of these would be invalid."""
    honest = zone(f"a.net. 60 IN {good}" + HOSTS)

    def behave(query: DNSRecord, before: int) -> list[bytes]:
        return list((broken if QTYPE[query.q.qtype] == kind else honest)(query, before))

    route, _ = _route(behave, timeout_s=0.3)

    assert route.finding.code in {"dns_failure", "dns_timeout"}


def test_a_failed_lookup_of_one_host_does_not_hide_the_next() -> None:
    honest = zone("a.net. 60 IN MX 5 sick.good.net.\na.net. 60 IN MX 10 mx.good.net." + HOSTS)

    def behave(query: DNSRecord, before: int) -> list[bytes]:
        return list((fails("SERVFAIL") if "sick" in str(query.q.qname) else honest)(query, before))

    route, _ = _route(behave)

    assert route.finding.code == "accepts_mail"
