"""The fault proxy breaks what it says it breaks, seen from both of its ends."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy, Mode


class Echo(threading.Thread):
    """Answers every chunk with itself, one connection at a time, and keeps what it heard."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.heard: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                self._echo(peer)

    def _echo(self, peer: socket.socket) -> None:
        try:
            while data := peer.recv(1000):
                self.heard.append(data)
                peer.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(timeout=5)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    server.start()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultProxy]:
    between = FaultProxy(echo.port)
    yield between
    between.close()


@pytest.fixture
def line(proxy: FaultProxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as connection:
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"
        yield connection


def test_it_passes_bytes_both_ways(line: socket.socket) -> None:
    line.sendall(b"more")

    assert line.recv(100) == b"more"


def test_held_replies_reach_nobody_but_the_request_arrives(echo: Echo, proxy: FaultProxy, line: socket.socket) -> None:
    proxy.mode = Mode.HOLD_REPLIES
    line.sendall(b"commit")

    with pytest.raises(TimeoutError):
        line.recv(100)
    assert echo.heard[-1] == b"commit"


def test_a_blackhole_swallows_the_request(echo: Echo, proxy: FaultProxy, line: socket.socket) -> None:
    proxy.mode = Mode.BLACKHOLE
    line.sendall(b"gone")

    with pytest.raises(TimeoutError):
        line.recv(100)
    assert b"gone" not in echo.heard


def test_a_reset_is_a_reset(proxy: FaultProxy, line: socket.socket) -> None:
    assert proxy.reset() == 2

    with pytest.raises(ConnectionResetError):
        line.recv(100)


def test_a_slow_line_is_late_by_its_latency(proxy: FaultProxy, line: socket.socket) -> None:
    proxy.latency_s = 0.1
    proxy.mode = Mode.SLOW
    started = time.monotonic()
    line.sendall(b"slow")

    assert line.recv(100) == b"slow"
    assert time.monotonic() - started >= 0.2


def test_it_refuses_new_connections(proxy: FaultProxy) -> None:
    proxy.mode = Mode.REFUSE

    with socket.create_connection(("127.0.0.1", proxy.port), timeout=1) as refused:
        try:
            ended = refused.recv(100) == b""
        except ConnectionResetError:
            ended = True
    assert ended
