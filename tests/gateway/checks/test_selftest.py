"""How mail hosts will see this machine, told by name servers and a mail host on loopback."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from vouchpost_gateway.checks.dns import NameServer, Resolver
from vouchpost_gateway.checks.selftest import Port25, PortWatch, SelfTest
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.socks import Socks
from vouchpost_gateway.checks.traffic import Egress

from .peers import Behaviour, fails, name_server, zone
from .smtp_hosts import MailHost, mail_host

GOOD = """
probe.net. 60 IN MX 10 mx.probe.net.
probe.net. 60 IN TXT "v=spf1 a:host.probe.net -all"
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
    assert _codes(zone(GOOD), host=MailHost()) == ["helo_resolves", "ptr_matches", "spf_passes", "port_open"]


@pytest.mark.parametrize(
    ("there", "instead", "code"),
    [
        ("host.probe.net. 60 IN A", "other.probe.net. 60 IN A", "helo_unresolved"),
        ("host.probe.net. 60 IN A", "other.probe.net. 60 IN A", "spf_present"),
        ("IN PTR host.probe.net.", "IN PTR pool-7.isp.net.", "ptr_differs"),
        ('"v=spf1 a:host.probe.net -all"', '"google-site-verification=x"', "spf_missing"),
        (
            '"v=spf1 a:host.probe.net -all"',
            '"v=spf1 a:host.probe.net -all"\nprobe.net. 60 IN TXT "v=spf1 ~all"',
            "spf_broken",
        ),
        ('"v=spf1 a:host.probe.net -all"', '"v=spf1 mx -all"', "spf_refuses"),
        ('"v=spf1 a:host.probe.net -all"', '"v=spf10 mx"', "spf_missing"),
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


NETS = """
probe.net. 60 IN MX 10 mx.probe.net.
mx.probe.net. 60 IN A 127.0.0.1
big.org. 60 IN MX 10 mx.big.org.
mx.big.org. 60 IN A {big}
"""


def _watched(
    *, port: int, big: str = "127.0.0.1", asked: tuple[str, ...] = ("big.org",), proxy: str = ""
) -> tuple[Port25, bool]:
    """What a look says, and whether mail hosts are still asked after it."""

    async def main() -> tuple[Port25, bool]:
        async with name_server(zone(NETS.format(big=big))) as peer:
            resolver = Resolver([NameServer("127.0.0.1", peer.port)], timeout_s=1)
            via = Socks.parse(proxy) if proxy else None
            manners = Manners("host.probe.net", "probe@probe.net", port=port, connect_s=0.3, proxy=via)
            heard: asyncio.Queue[str] = asyncio.Queue()
            egress = Egress(time.monotonic)
            watch = PortWatch(resolver, manners, lambda _: True, egress, asked, heard.put_nowait)
            watching = asyncio.create_task(watch.forever())
            found = await heard.get()
            watching.cancel()
            await resolver.aclose()
            return Port25(found), egress.closed

    return asyncio.run(main())


def _silent_port() -> tuple[socket.socket, int]:
    """Takes no connection: its line is full, so that a knock is never answered."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    for _ in range(4):
        knocking = socket.socket()
        knocking.setblocking(False)
        knocking.connect_ex(("127.0.0.1", port))
        _KNOCKING.append(knocking)
    return listener, port


_KNOCKING: list[socket.socket] = []


@pytest.fixture
def silent_port() -> Iterator[int]:
    listener, port = _silent_port()
    yield port
    for sock in (listener, *_KNOCKING):
        sock.close()
    _KNOCKING.clear()


def test_at_start_silence_of_several_operators_is_a_closed_port_and_nobody_is_asked_any_more(silent_port: int) -> None:
    assert _watched(port=silent_port) == (Port25.CLOSED, True)


def test_one_silent_host_alone_may_be_down(silent_port: int) -> None:
    assert _watched(port=silent_port, asked=()) == (Port25.UNTOLD, False)


def test_a_proxy_that_is_down_tells_nothing_of_the_port() -> None:
    assert _watched(port=9, proxy="socks5://127.0.0.1:9") == (Port25.UNTOLD, False)


def test_a_refused_connection_at_start_proves_that_the_port_is_open() -> None:
    assert _watched(port=9) == (Port25.OPEN, False)
