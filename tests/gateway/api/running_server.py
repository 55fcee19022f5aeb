"""The real server on a free port of this machine, for as long as a test needs it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from vouchpost_gateway.api.connection import Limits
from vouchpost_gateway.api.server import build_server


@asynccontextmanager
async def serving(app: ASGIApp, limits: Limits | None = None) -> AsyncIterator[int]:
    """The port on which the application is served."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = build_server(app, port=0, limits=limits)
    running = asyncio.create_task(server._serve([listener]))
    while not server.started:  # noqa: ASYNC110 -- uvicorn offers nothing to wait for
        await asyncio.sleep(0.005)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running
        listener.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw connection, closed for good at the end whatever the server did to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def send(port: int, data: bytes) -> bytes:
    """Everything that comes back for these bytes until the server closes the connection, or falls silent."""
    async with connected(port) as (reader, writer):
        writer.write(data)
        return await read_all(reader)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        async with asyncio.timeout(5):
            while chunk := await reader.read(65_536):
                received += chunk
    return received
