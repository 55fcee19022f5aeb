import socket
from pathlib import Path

import pytest

from vouchpost_gateway.domain.address import parse_networks
from vouchpost_gateway.transport.address_guard import AddressGuard, AddressRefusedError, AddrInfo, Reach, is_local

ROUTES = Path("/proc/net/fib_trie")
LIVE = AddressGuard()
TEST = AddressGuard(reach=Reach.PUBLIC_AND_LOOPBACK)
PLAIN = AddressGuard(reach=Reach.LOOPBACK)
INTERNAL = AddressGuard(allow_networks=parse_networks(["10.1.0.0/16", "fd00::/8", "127.0.0.2/32"]))


def own_addresses() -> list[str]:
    """The addresses of this machine, from the routing table of the kernel."""
    lines = [line.strip() for line in ROUTES.read_text("ascii").splitlines()]
    return sorted({lines[n - 1].split()[-1] for n, line in enumerate(lines) if line.startswith("/32 host LOCAL")})


def target(address: tuple[str, int] | tuple[str, int, int, int]) -> AddrInfo:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)


@pytest.mark.parametrize(
    ("guard", "permitted"),
    [
        pytest.param(LIVE, {"8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8"}, id="live"),
        pytest.param(TEST, {"8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "127.0.0.1", "127.0.0.2", "::1"}, id="test"),
        pytest.param(PLAIN, {"127.0.0.1", "127.0.0.2", "::1"}, id="plain HTTP"),
        pytest.param(
            INTERNAL, {"8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "127.0.0.2", "10.1.2.3", "fd00::9"}, id="internal"
        ),
    ],
)
def test_a_guard_permits_what_it_names_and_nothing_else(guard: AddressGuard, permitted: set[str]) -> None:
    tried = {
        *("8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "127.0.0.1", "127.0.0.2", "::1", "10.1.2.3", "10.2.0.1"),
        *(
            "fd00::9",
            "fe80::1",
            "169.254.169.254",
            "192.168.0.1",
            "0.0.0.0",
            "::",
            "",
            "localhost",
            "127.1",
            "8.8.8.8%lo",
        ),
    }

    assert {text for text in tried if guard.permits(text, 443)} == permitted


@pytest.mark.skipif(not ROUTES.exists(), reason="only Linux shows its routing table as a file")
def test_every_address_of_this_machine_is_local() -> None:
    own = own_addresses()

    assert "127.0.0.1" in own
    assert [address for address in own if not is_local(address)] == []
    assert [is_local(address) for address in ("::1", "8.8.8.8", "2606:4700::1", "255.255.255.255", "nonsense")] == [
        *(True, False, False, False, False)
    ]


def test_an_address_of_this_machine_is_refused_even_when_it_is_public() -> None:
    guard = AddressGuard(is_local=lambda text: text == "8.8.8.8")

    assert not guard.permits("8.8.8.8", 443)
    assert guard.permits("8.8.4.4", 443)


@pytest.mark.parametrize("reach", [Reach.PUBLIC_AND_LOOPBACK, Reach.LOOPBACK])
def test_the_ports_of_our_own_services_are_closed_on_loopback(reach: Reach) -> None:
    guard = AddressGuard(reach=reach, closed_ports=frozenset({6379, 8080}))

    assert guard.permits("127.0.0.1", 5000)
    assert not guard.permits("127.0.0.1", 6379)
    assert not guard.permits("::1", 8080)


def test_the_ports_of_our_own_services_are_closed_on_our_address_in_an_allowed_network() -> None:
    guard = AddressGuard(
        allow_networks=parse_networks(["10.0.0.0/8"]),
        closed_ports=frozenset({6379}),
        is_local=lambda text: text == "10.0.0.5",
    )

    assert guard.permits("10.0.0.5", 443)
    assert not guard.permits("10.0.0.5", 6379)
    assert guard.permits("10.0.0.6", 6379)


@pytest.mark.parametrize(
    "texts", [("8.8.8.8", "10.0.0.1"), ("8.8.8.8", "::1"), ("10.0.0.1",), ("2606:4700::1", "fd00::1"), ("8.8.8.8", "x")]
)
def test_one_bad_address_spoils_the_whole_name(texts: tuple[str, ...]) -> None:
    with pytest.raises(AddressRefusedError):
        LIVE.check_all(texts, 443)


@pytest.mark.parametrize(
    "address",
    [
        ("127.0.0.1", 443),
        ("::1", 443, 0, 0),
        ("::ffff:127.0.0.1", 443, 0, 0),
        ("2606:4700::1", 443, 0, 2),
        ("0.0.0.0", 1),
    ],
)
def test_there_is_no_socket_for_an_address_that_is_refused(
    address: tuple[str, int] | tuple[str, int, int, int],
) -> None:
    with pytest.raises(AddressRefusedError):
        LIVE.open_socket(target(address))


def test_the_socket_for_a_permitted_address_does_not_block() -> None:
    with TEST.open_socket(target(("127.0.0.1", 443))) as opened:
        assert opened.getblocking() is False


def test_a_refusal_says_nothing_about_the_address() -> None:
    with pytest.raises(AddressRefusedError) as refused:
        LIVE.check_all(("10.11.12.13",), 443)
    assert "10.11" not in str(refused.value)
