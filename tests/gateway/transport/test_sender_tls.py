"""Public names over TLS, with a name server and certificates of our own in place of the Internet's."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.gateway.transport.senders import opened
from tests.gateway.transport.servers import NameServer, Served, Zone, naming, serving
from vouchpost_gateway.domain.outcome import Answer, Failure
from vouchpost_gateway.transport.names import SystemNames
from vouchpost_gateway.transport.sender import Sender

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HOST = "hooks.example"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def server_side(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def client_side() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


GOOD = server_side(AUTHORITY.issue_cert(HOST, "127.0.0.1"))


@asynccontextmanager
async def subscribed(
    zone: Zone,
    *,
    reply: bytes = OK,
    tls: ssl.SSLContext = GOOD,
    host: str = "127.0.0.1",
    allow_networks: tuple[str, ...] = ("127.0.0.1/32",),
) -> AsyncIterator[tuple[Sender, Served, NameServer]]:
    """A subscriber on loopback, which the operator allows, and a sender whose names come from the zone."""
    async with serving(reply, tls=tls, host=host) as server, naming(zone) as dns:
        names = SystemNames(servers=[("127.0.0.1", dns.port)], timeout_s=1, hosts_file=Path("/nonexistent"))
        async with opened(timeout_s=3, names=names, tls=client_side(), allow_networks=allow_networks) as sender:
            yield sender, server, dns


async def push(sender: Sender, server: Served, *, host: str = HOST) -> Answer:
    return await sender.post(url=server.url(scheme="https", host=host), headers={}, body=b"{}")


def answer_with(certificate: trustme.LeafCert) -> Answer:
    async def main() -> Answer:
        async with subscribed(lambda _, __: ["127.0.0.1"], tls=server_side(certificate)) as (sender, server, _):
            return await push(sender, server)

    return asyncio.run(main())


def test_a_name_with_a_good_certificate_is_pushed_to() -> None:
    async def main() -> tuple[Answer, bytes]:
        async with subscribed(lambda _, __: ["127.0.0.1"]) as (sender, server, _):
            return await push(sender, server), server.requests[0]

    answer, request = asyncio.run(main())
    assert answer.status_code == 200
    assert b"\r\nHost: hooks.example:" in request


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(AUTHORITY.issue_cert(HOST, not_after=LONG_AGO), id="expired"),
        pytest.param(AUTHORITY.issue_cert(HOST, not_before=datetime.now(UTC) + timedelta(days=2)), id="not yet valid"),
        pytest.param(AUTHORITY.issue_cert("other.example"), id="another host's"),
        pytest.param(AUTHORITY.issue_cert("*.hooks.example"), id="a wildcard below it"),
        pytest.param(AUTHORITY.issue_cert("127.0.0.1"), id="its address's, not its name's"),
        pytest.param(STRANGER.issue_cert(HOST), id="an unknown authority's"),
    ],
)
def test_any_other_certificate_is_a_tls_error(certificate: trustme.LeafCert) -> None:
    assert answer_with(certificate).failure is Failure.TLS_ERROR


def test_tls_before_1_2_is_a_tls_error() -> None:
    old = server_side(AUTHORITY.issue_cert(HOST))
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    async def main() -> Answer:
        async with subscribed(lambda _, __: ["127.0.0.1"], tls=old) as (sender, server, _):
            return await push(sender, server)

    assert asyncio.run(main()).failure is Failure.TLS_ERROR


def test_a_server_that_speaks_no_tls_is_a_tls_error() -> None:
    async def main() -> Answer:
        async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await asyncio.sleep(3600)

        async with serving(noise, reading=False) as server, opened(allow_networks=("127.0.0.1/32",)) as sender:
            return await sender.post(url=server.url(scheme="https"), headers={}, body=b"")

    assert asyncio.run(main()).failure is Failure.TLS_ERROR


def test_a_handshake_that_hangs_is_a_time_out() -> None:
    async def main() -> Answer:
        async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
            await asyncio.sleep(3600)

        async with (
            serving(silent, reading=False) as server,
            opened(timeout_s=0.4, allow_networks=("127.0.0.1/32",)) as sender,
        ):
            return await sender.post(url=server.url(scheme="https"), headers={}, body=b"")

    assert asyncio.run(main()).failure is Failure.TIMED_OUT


def test_name_servers_that_hang_are_a_time_out_at_the_total_limit() -> None:
    async def main() -> Answer:
        async with naming(lambda _, __: None, silent=True) as dns:
            names = SystemNames(servers=[("127.0.0.1", dns.port)], timeout_s=10, hosts_file=Path("/nonexistent"))
            async with opened(timeout_s=0.4, names=names) as sender:
                return await sender.post(url=f"https://{HOST}/", headers={}, body=b"")

    assert asyncio.run(main()).failure is Failure.TIMED_OUT


def test_a_connection_costs_one_lookup_and_its_re_use_none() -> None:
    async def main() -> list[str]:
        async with subscribed(lambda _, __: ["127.0.0.1"]) as (sender, server, dns):
            for _ in range(3):
                assert (await push(sender, server)).status_code == 200
            return dns.lookups

    assert asyncio.run(main()) == [HOST]


def test_a_name_that_changes_its_answer_is_judged_and_connected_to_by_the_same_answer() -> None:
    """DNS rebinding: the first answer is allowed, the next ones are not. Each connection looks up once."""

    async def main() -> tuple[list[Answer], int, list[str]]:
        def zone(_: str, lookup: int) -> list[str]:
            return ["127.0.0.2"] if lookup == 1 else ["127.0.0.1"]

        async with (
            subscribed(zone, reply=CLOSING, host="127.0.0.2", allow_networks=("127.0.0.2/32",)) as (sender, good, dns),
            serving(OK, tls=GOOD, port=good.port) as internal,
        ):
            answers = [await push(sender, good) for _ in range(3)]
            return answers, len(internal.connections), dns.lookups

    answers, connections, lookups = asyncio.run(main())
    assert [(answer.status_code, answer.failure) for answer in answers] == [
        (200, None),
        (None, Failure.ADDRESS_REFUSED),
        (None, Failure.ADDRESS_REFUSED),
    ]
    assert connections == 0
    assert lookups == [HOST] * 3


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(["10.0.0.1"], id="a private address"),
        pytest.param(["fd00::1"], id="a private IPv6 address only"),
        pytest.param(["127.0.0.1", "fd00::1"], id="a good address and a private IPv6 one"),
        pytest.param(["127.0.0.1", "10.0.0.1"], id="a good address and a private one"),
        pytest.param(["::ffff:a00:1"], id="a private address in IPv6 clothes"),
        pytest.param(["169.254.169.254"], id="the metadata service"),
        pytest.param(["0.0.0.0"], id="this host"),
    ],
)
def test_a_name_with_any_bad_address_is_refused_whole(addresses: list[str]) -> None:
    async def main() -> tuple[Answer, int]:
        async with subscribed(lambda _, __: addresses) as (sender, server, _):
            return await push(sender, server), len(server.connections)

    answer, connections = asyncio.run(main())
    assert answer.failure is Failure.ADDRESS_REFUSED
    assert connections == 0


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.2",
            "127.1",
            "2130706434",
            "0x7f000002",
            "0x7f.2",
            "0177.0.0.2",
            "localhost",
            "app.localhost",
            "[::1]",
        ),
        *("[::ffff:127.0.0.2]", "0.0.0.0", "169.254.169.254", "[fe80::1]", "[fd00::2]"),
    ],
)
def test_an_address_that_is_not_public_is_refused_even_when_it_was_registered(host: str) -> None:
    async def main() -> tuple[Answer, int]:
        async with subscribed(lambda _, __: None) as (sender, server, _):
            return await push(sender, server, host=host), len(server.connections)

    answer, connections = asyncio.run(main())
    # A name in DNS' eyes is asked for there, and is nobody's; getaddrinfo would have read it as an address.
    assert answer.failure is (Failure.DNS_FAILED if host == "0x7f000002" else Failure.ADDRESS_REFUSED)
    assert connections == 0


def test_a_name_that_does_not_exist_is_a_dns_failure() -> None:
    async def main() -> Answer:
        async with subscribed(lambda _, __: None) as (sender, server, _):
            return await push(sender, server)

    assert asyncio.run(main()).failure is Failure.DNS_FAILED


def test_nobody_listening_is_a_failed_connection() -> None:
    async def main() -> Answer:
        async with subscribed(lambda _, __: ["127.0.0.1"]) as (sender, server, _):
            pass
        async with opened(allow_networks=("127.0.0.1/32",)) as sender:
            return await push(sender, server, host="127.0.0.1")

    assert asyncio.run(main()).failure is Failure.CONNECTION_FAILED


def test_an_address_that_does_not_answer_gives_way_to_the_next_one_of_the_name() -> None:
    async def main() -> Answer:
        allowed = ("127.0.0.1/32", "127.0.0.3/32")
        async with subscribed(lambda _, __: ["127.0.0.3", "127.0.0.1"], allow_networks=allowed) as (sender, server, _):
            return await push(sender, server)

    assert asyncio.run(main()).status_code == 200
