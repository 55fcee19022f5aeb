"""Which network addresses a stranger may make us talk to. Pure rules over addresses as text; names are not for here.

The table is stricter than the IANA special-purpose registries (RFC 6890): what is refused here is a superset of what
`ipaddress` calls not global, on every Python. A text that is not exactly one address is never public.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; some clouds keep their metadata here
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, reachable from every machine there
        "169.254.0.0/16",  # link-local; most clouds keep their metadata here
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # and the broadcast address
    )
)
# Only global unicast is considered at all: that alone refuses ::, ::1, IPv4-compatible ::/96, NAT64 64:ff9b::/96 and
# 64:ff9b:1::/48, discard 100::/64, 5f00::/16, fc00::/7, fe80::/10, fec0::/10 and ff00::/8.
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarks and other protocol assignments
        "2001:db8::/32",
        "2002::/16",  # 6to4 carries any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",
    )
)


def parse_address(text: str) -> Address | None:
    """The address that a connection to `text` would reach: IPv4-mapped IPv6 is the IPv4 address it carries.

    None for everything that is not one address in its usual spelling, and for addresses with a zone.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    if address.scope_id is not None:
        return None
    return address.ipv4_mapped or address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The networks of an operator's list; ValueError for one that is no CIDR, or has host bits set."""
    return tuple(ip_network(text.strip()) for text in texts)


def is_public(text: str) -> bool:
    """Whether `text` is an address on the open Internet; anything that cannot be parsed is not."""
    address = parse_address(text)
    if address is None:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    return address in _GLOBAL_UNICAST_V6 and not any(address in network for network in _DENIED_V6)


def is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback


def is_within(text: str, networks: Iterable[Network]) -> bool:
    address = parse_address(text)
    return address is not None and any(address in network for network in networks)
