"""Ports of the loopback address for servers of our own, out of the way of outgoing connections."""

import contextlib
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"

_LOWEST = 10_000
# Where Linux does not say otherwise. IANA's dynamic range (RFC 6335, section 6) and macOS begin higher.
_FIRST_OUTGOING = 32_768
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES = 200
_CHOICE = random.SystemRandom()


def free_port() -> int:
    """A port that nothing uses now, and that the system gives to no outgoing connection.

    A port that `bind` picks for 0 comes from the range of outgoing connections: while its server restarts, a client
    elsewhere may be given it, and one that knocks on it may even reach itself. OSError when no port is free.
    """
    first_outgoing = _first_outgoing()
    if first_outgoing <= _LOWEST:
        return _bound(0)
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            return _bound(_CHOICE.randrange(_LOWEST, first_outgoing))
    return _bound(0)


def _bound(port: int) -> int:
    with socket.socket() as probe:
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


def _first_outgoing() -> int:
    """The first port of outgoing connections, as ip(7) has it in `ip_local_port_range`."""
    try:
        return int(_RANGE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _FIRST_OUTGOING
