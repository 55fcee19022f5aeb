"""The HTTP server around the application: uvicorn on httptools and uvloop, with guarded connections.

TLS, and anything a first line of defence does, is for the proxy in front; what is here keeps an exposed port alive.
"""

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from vouchpost_gateway.api.connection import Guard, GuardedConfig, Limits

KEEP_ALIVE_S = 5
GRACE_S = 10
# uvicorn counts idle connections too, so this guards memory only; the application sheds load by itself.
_MAX_CONNECTIONS = 20_000


class Server(uvicorn.Server):
    """Tells when it stops, so that requests which merely wait are answered within the grace, and not cut off."""

    def __init__(self, config: uvicorn.Config, *, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)


def build_server(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    limits: Limits | None = None,
    stopping: Callable[[], None] = lambda: None,
) -> uvicorn.Server:
    """A server ready for `serve()`. It says nothing of itself, trusts no forwarding header, and logs no request.

    `stopping` is called when it was told to stop, before it waits for what is under way.
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
    return Server(config, stopping=stopping)
