"""The sandbox's zone, asked by another DNS library than its own and run as the process it is."""

import asyncio
import subprocess
import sys

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from vouchpost_gateway.embedded.dns import SANDBOX_DOMAINS, serve


async def _ask(port: int, name: str, kind: str) -> dns.message.Message:
    return await dns.asyncquery.udp(dns.message.make_query(name, kind), "127.0.0.1", port=port, timeout=2)


def _records(answer: dns.message.Message) -> list[str]:
    return sorted(record.to_text() for rrset in answer.answer for record in rrset)


def test_mail_hosts_are_answered_by_udp_and_by_tcp() -> None:
    async def main() -> None:
        async with serve() as port:
            query = dns.message.make_query("valid.example", "MX")

            by_udp = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=2)
            by_tcp = await dns.asyncquery.tcp(query, "127.0.0.1", port=port, timeout=2)

            assert _records(by_udp) == ["10 mx1.sandbox.example.", "20 mx2.sandbox.example."]
            assert _records(by_tcp) == _records(by_udp)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("nxdomain.example", dns.rcode.NXDOMAIN),
        ("unlisted.example", dns.rcode.NXDOMAIN),
        ("servfail.example", dns.rcode.SERVFAIL),
        ("refused.example", dns.rcode.REFUSED),
        ("vouchpost.com", dns.rcode.REFUSED),
        ("nomx.example", dns.rcode.NOERROR),
    ],
)
def test_each_way_of_saying_nothing_is_its_own(name: str, rcode: dns.rcode.Rcode) -> None:
    async def main() -> None:
        async with serve() as port:
            answer = await _ask(port, name, "MX")

            assert answer.rcode() == rcode
            assert _records(answer) == []

    asyncio.run(main())


def test_a_flapping_name_fails_twice_and_then_answers_each_name_with_its_own_count() -> None:
    async def main() -> None:
        async with serve() as port:
            first = [(await _ask(port, "flapping.example", "MX")).rcode() for _ in range(4)]
            other = (await _ask(port, "b.flapping.example", "MX")).rcode()

            assert first == [dns.rcode.SERVFAIL, dns.rcode.SERVFAIL, dns.rcode.NOERROR, dns.rcode.SERVFAIL]
            assert other == dns.rcode.SERVFAIL

    asyncio.run(main())


def test_garbage_on_the_port_is_ignored_and_the_next_query_answered() -> None:
    async def main() -> None:
        async with serve() as port:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(
                asyncio.DatagramProtocol, remote_addr=("127.0.0.1", port)
            )
            for junk in (b"", b"\0", b"\xff" * 500, bytes(12), b"\0" * 5 + b"\xff" + b"\xc0" * 40):
                transport.sendto(junk)
            transport.close()

            assert _records(await _ask(port, "implicit.example", "A")) == ["192.0.2.25"]

    asyncio.run(main())


def test_every_listed_domain_is_reserved_and_told_about() -> None:
    for name, domain in SANDBOX_DOMAINS.items():
        assert name.endswith((".example", ".test"))
        assert domain.about


def test_it_runs_as_a_process_that_prints_its_port_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "vouchpost_gateway.embedded.dns", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])

        answer = asyncio.run(_ask(port, "valid.test", "MX"))
        process.terminate()

        assert len(_records(answer)) == 2
        assert process.wait(5) == 0
