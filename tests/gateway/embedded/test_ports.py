"""Ports for servers of our own are free, and stay out of the way of outgoing connections."""

import socket
from pathlib import Path

import pytest

from vouchpost_gateway.embedded import ports
from vouchpost_gateway.embedded.ports import free_port


def test_a_port_can_be_listened_on() -> None:
    socket.create_server(("127.0.0.1", free_port())).close()


def test_no_outgoing_connection_is_given_a_port_of_a_server() -> None:
    """What the kernel picks for a connection comes from a range that begins above every port handed out here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        outgoing = []
        for _ in range(50):
            with socket.create_connection(server.getsockname()) as client:
                outgoing.append(client.getsockname()[1])

    assert max(free_port() for _ in range(200)) < min(outgoing)


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        picks = iter([port, port, free_port()])
        monkeypatch.setattr(ports._CHOICE, "randrange", lambda *_: next(picks))

        assert free_port() != port


@pytest.mark.parametrize("text", ["", "many", "1024\t60999\n"])
def test_a_machine_that_says_nothing_useful_still_gives_ports(
    text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = tmp_path / "range"
    said.write_text(text)
    monkeypatch.setattr(ports, "_RANGE", said)

    assert free_port() > 0
