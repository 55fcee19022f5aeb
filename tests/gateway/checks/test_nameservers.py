"""How name servers are named in settings."""

import pytest

from vouchpost_gateway.checks.dns import NameServer
from vouchpost_gateway.checks.nameservers import parse_server, servers_of, system_servers
from vouchpost_gateway.domain.errors import Misconfigured


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("1.1.1.1", NameServer("1.1.1.1", 53)),
        (" 127.0.0.1:5353 ", NameServer("127.0.0.1", 5353)),
        ("2606:4700:4700::1111", NameServer("2606:4700:4700::1111", 53)),
        ("[::1]:5300", NameServer("::1", 5300)),
        ("[::1]", NameServer("::1", 53)),
    ],
)
def test_a_server_is_an_address_and_perhaps_a_port(text: str, server: NameServer) -> None:
    assert parse_server(text) == server


def test_a_host_name_is_resolved_once_at_the_start() -> None:
    assert parse_server("localhost:53").host in {"127.0.0.1", "::1"}


NO_SERVERS = ["", "1.1.1.1:0", "1.1.1.1:99999", "1.1.1.1:x", "no such.host:53", "a" * 300, "[::1", "[::1]x", "[]:53"]


@pytest.mark.parametrize("text", NO_SERVERS)
def test_anything_else_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(Misconfigured, match="name server"):
        parse_server(text)


def test_without_servers_the_systems_are_asked() -> None:
    assert servers_of(()) == system_servers()
    assert servers_of(["1.1.1.1", "9.9.9.9"]) == (NameServer("1.1.1.1"), NameServer("9.9.9.9"))
