"""The HTTP server around the application: uvicorn on httptools and uvloop, with guarded connections.

TLS, and anything a first line of defence does, is for the proxy in front; what is here keeps an exposed port alive.
"""

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from vouchpost_gateway.api.connection import Guard, GuardedConfig, Limits

KEEP_ALIVE_S = 5
GRACE_S = 10
# uvicorn counts idle connections too, so this guards memory only; the application sheds load by itself.
_MAX_CONNECTIONS = 20_000


class Server(uvicorn.Server):
    """Tells when it stops, so that requests which merely wait are answered within the grace, and not cut off."""

    def __init__(
        self, config: uvicorn.Config, *, started: Callable[[str, int], None], stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._started = started
        self._stopping = stopping

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """A signal that was heeded is not raised again: what the process still has to close and to log, it does."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port, *_ = self.servers[0].sockets[0].getsockname()
        self._started(host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def build_server(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    limits: Limits | None = None,
    started: Callable[[str, int], None] = lambda _host, _port: None,
    stopping: Callable[[], None] = lambda: None,
) -> uvicorn.Server:
    """A server ready for `serve()`. It says nothing of itself, trusts no forwarding header, and logs no request.

    `started` is called once it listens, with host and port; `stopping` when it was told to stop, before it waits for
    what is under way.
    """
    config = GuardedConfig(
        app,
        guard=Guard(limits or Limits()),
        host=host,
        port=port,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    return Server(config, started=started, stopping=stopping)
