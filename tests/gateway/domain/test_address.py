# ruff: noqa: RUF001 - look-alike characters are the input here

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vouchpost_gateway.domain.address import is_loopback, is_public, is_within, parse_address, parse_networks

# Written out from the registries, not from the code: every range that must be refused.
DENIED = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
    *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32"),
    *("168.63.129.16/32", "::/128", "::1/128", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
    *("100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16"),
    *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
]
# The neighbour of an edge that lies in another denied range, or outside 2000::/3, is not public either.
PUBLIC_NEIGHBOURS = [
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
    *("169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0"),
    *("192.0.1.255", "192.0.3.0", "192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0"),
    *("192.88.98.255", "192.88.100.0", "192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0"),
    *("198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0"),
    *("223.255.255.255", "168.63.129.15", "168.63.129.17", "8.8.8.8", "2606:4700:4700::1111"),
    *("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::", "2001:db7:ffff::", "2001:db9::"),
    *("2001:ffff:ffff::", "2003::", "2620:4f:7fff::", "2620:4f:8001::", "3ffe:ffff::", "3fff:1000::"),
    "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
]


@pytest.mark.parametrize("network", DENIED)
def test_a_denied_range_is_denied_from_its_first_address_to_its_last(network: str) -> None:
    edges = ip_network(network)

    for address in (edges[0], edges[-1], edges[edges.num_addresses // 2]):
        assert not is_public(str(address))
        assert not is_public(address.exploded.upper())


@pytest.mark.parametrize("text", PUBLIC_NEIGHBOURS)
def test_the_addresses_beside_the_denied_ranges_are_public(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
            "::FFFF:10.0.0.1",
            "0:0:0:0:0:ffff:a9fe:a9fe",
            "::127.0.0.1",
            "::808:808",
        ),
        *("64:ff9b::127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::", "2001:0:4136:e378::f5ff:fefe"),
        *("fd00:ec2::254", "fe80::1", "::ffff:0:127.0.0.1"),
    ],
)
def test_an_address_that_carries_another_one_is_no_way_round(text: str) -> None:
    assert not is_public(text)


def test_a_mapped_address_is_the_address_it_carries() -> None:
    assert is_public("::ffff:8.8.8.8")
    assert parse_address("::ffff:8.8.8.8") == IPv4Address("8.8.8.8")
    assert is_loopback("::ffff:127.9.9.9")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "8.8.8.8 ", " 8.8.8.8", "8.8.8.8\n", "8.8.8", "8.8.8.8.", "08.8.8.8", "0x8.8.8.8", "134744072"),
        *("127.1", "0x7f000001", "0177.0.0.1", "017700000001", "0300.0250.1.1", "0", "2130706433"),
        *("2606:4700:4700::1111%lo", "2606:4700:4700::1111%25lo", "fe80::1%1", "[2606:4700:4700::1111]"),
        *("8.8.8.8/32", "example.com", "８.8.8.8", "\ud800", "8.8.8.8\x00"),
    ],
)
def test_what_is_not_exactly_one_address_is_not_public(text: str) -> None:
    assert not is_public(text)
    assert parse_address(text) is None


@given(st.ip_addresses(v=4))
@example(IPv4Address("192.88.99.1"))
def test_no_ipv4_address_is_public_that_the_standard_library_calls_otherwise(address: IPv4Address) -> None:
    assert not is_public(str(address)) or (address.is_global and not address.is_multicast)


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_is_public_that_the_standard_library_calls_otherwise(address: IPv6Address) -> None:
    assert not is_public(str(address)) or address.ipv4_mapped or (address.is_global and not address.is_multicast)


def test_the_edges_of_the_standard_librarys_own_tables_are_denied() -> None:
    """Private to `ipaddress`, and the most complete list of special ranges at hand."""
    tables = [ipaddress._IPv4Constants, ipaddress._IPv6Constants]  # type: ignore[attr-defined]
    ranges = [network for table in tables for network in table._private_networks]

    assert len(ranges) > 20
    mapped = ip_network("::ffff:0:0/96")
    assert [r for r in ranges if r != mapped and (is_public(str(r[0])) or is_public(str(r[-1])))] == []


@given(st.text(max_size=50))
def test_no_text_makes_it_raise(text: str) -> None:
    is_public(text)


@given(st.ip_addresses(v=4))
def test_a_public_address_is_public_in_its_mapped_spelling_too_and_no_other_is(address: IPv4Address) -> None:
    assert is_public(f"::ffff:{address}") is is_public(str(address))


def test_an_operators_networks_hold_what_they_list() -> None:
    networks = parse_networks(["10.1.0.0/16", " fd00::/8"])

    assert [is_within(text, networks) for text in ("10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd00::1")] == [
        True
    ] * 4
    assert [is_within(text, networks) for text in ("10.0.255.255", "10.2.0.0", "fc00::1", "nonsense")] == [False] * 4


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "all", ""])
def test_a_network_that_means_something_else_than_it_says_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text or "''")):
        parse_networks([text])


@given(st.ip_addresses())
def test_parsing_gives_the_address_back(address: IPv4Address | IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None

    assert parse_address(str(address)) == ip_address(mapped or address)
