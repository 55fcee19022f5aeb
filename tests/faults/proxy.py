"""A TCP proxy that breaks on command: between a process and Redis, or between a worker and a subscriber."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import Enum
from typing import Any

_CHUNK = 65_536
_RST = struct.pack("ii", 1, 0)  # SO_LINGER with a time of zero: closing sends RST, not FIN


class Mode(Enum):
    """What the proxy does to bytes and to connections."""

    PASS = "pass"
    SLOW = "slow"  # every chunk is late by `latency_s`
    BLACKHOLE = "blackhole"  # both directions vanish, connections stay open
    HOLD_REPLIES = "hold replies"  # what the server does still happens; nobody hears of it
    REFUSE = "refuse"  # new connections are closed at once


class FaultProxy:
    """Listens on a loopback port of its own, in a thread of its own; `mode` may be changed at any time."""

    def __init__(self, target_port: int, *, latency_s: float = 0.05) -> None:
        self.mode = Mode.PASS
        self.latency_s = latency_s
        self._target_port = target_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def reset(self) -> int:
        """Ends every open connection with RST; the number of them."""
        ended: int = self._call(self._reset())
        return ended

    def close(self) -> None:
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.REFUSE:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, far_writer}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer, replies=False))
                tasks.create_task(self._pump(far_reader, writer, replies=True))
        finally:
            self._writers -= both
            for end in both:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        """Copies one direction. What was held is never sent late: its connection has lost it."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self.mode is Mode.SLOW:
                    await asyncio.sleep(self.latency_s)
                if self.mode is Mode.BLACKHOLE or (replies and self.mode is Mode.HOLD_REPLIES):
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def _reset(self) -> int:
        ended = len(self._writers)
        for writer in list(self._writers):
            sock: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # its other end may just have closed it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            writer.transport.abort()
        return ended

    async def _shut(self) -> None:
        self._server.close()
        await self._reset()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)  # sockets are closed a turn later
