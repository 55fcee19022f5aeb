"""How mail hosts will see this machine, told by name servers and a mail host on loopback."""

import asyncio

import pytest

from vouchpost_gateway.checks.dns import NameServer, Resolver
from vouchpost_gateway.checks.selftest import SelfTest
from vouchpost_gateway.checks.smtp import Manners

from .peers import Behaviour, fails, name_server, zone
from .smtp_hosts import MailHost, mail_host

GOOD = """
probe.net. 60 IN MX 10 mx.probe.net.
probe.net. 60 IN TXT "v=spf1 mx -all"
mx.probe.net. 60 IN A 127.0.0.1
host.probe.net. 60 IN A 192.0.2.7
7.2.0.192.in-addr.arpa. 60 IN PTR host.probe.net.
"""


def _codes(behave: Behaviour, *, host: MailHost | None = None) -> list[str]:
    async def main() -> list[str]:
        async with name_server(behave) as peer, mail_host(host or MailHost()) as mail:
            resolver = Resolver([NameServer("127.0.0.1", peer.port)], timeout_s=1)
            port = mail.port if host else 9
            manners = Manners("host.probe.net", "probe@probe.net", port=port, connect_s=0.5)
            found = await SelfTest(resolver, manners, lambda _: True).findings()
            await resolver.aclose()
            return [finding.code for finding in found]

    return asyncio.run(main())


def test_a_machine_that_is_in_order_is_told_so() -> None:
    assert _codes(zone(GOOD), host=MailHost()) == ["helo_resolves", "ptr_matches", "spf_present", "port_open"]


@pytest.mark.parametrize(
    ("there", "instead", "code"),
    [
        ("host.probe.net. 60 IN A", "other.probe.net. 60 IN A", "helo_unresolved"),
        ("IN PTR host.probe.net.", "IN PTR pool-7.isp.net.", "ptr_differs"),
        ('"v=spf1 mx -all"', '"google-site-verification=x"', "spf_missing"),
        ('"v=spf1 mx -all"', '"v=spf1 mx -all"\nprobe.net. 60 IN TXT "v=spf1 ~all"', "spf_twice"),
        ('"v=spf1 mx -all"', '"v=spf10 mx"', "spf_missing"),
        ("probe.net. 60 IN MX 10 mx.probe.net.", "", "untold"),
    ],
)
def test_what_is_not_in_order_is_named(there: str, instead: str, code: str) -> None:
    assert code in _codes(zone(GOOD.replace(there, instead)), host=MailHost())


def test_a_host_that_refuses_us_proves_that_the_port_is_open() -> None:
    assert _codes(zone(GOOD), host=MailHost(greeting="554 No SMTP service"))[-1] == "port_open_refused"
    assert _codes(zone(GOOD))[-1] == "port_open"


def test_broken_name_servers_tell_nothing_and_nothing_is_made_of_it() -> None:
    assert set(_codes(fails("SERVFAIL"), host=MailHost())) == {"untold"}
