"""The server's own end: what waits is told to hurry, and is still answered."""

import asyncio
import socket

from starlette.types import Receive, Scope, Send

from vouchpost_gateway.api.server import build_server

REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def test_a_request_that_merely_waits_is_answered_when_the_server_stops() -> None:
    async def main() -> bytes:
        told, waits = asyncio.Event(), asyncio.Event()

        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            waits.set()
            await told.wait()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = build_server(app, port=0, stopping=told.set)
            running = asyncio.create_task(server._serve([listener]))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(REQUEST)
            await waits.wait()
            server.should_exit = True
            answer = await asyncio.wait_for(reader.read(), 5)
            await running
            writer.close()
            return answer

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200")
