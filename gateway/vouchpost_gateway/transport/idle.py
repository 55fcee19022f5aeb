"""Connections between two requests: kept for a moment, newest first, and never more than so many."""

import asyncio
from collections import defaultdict

from vouchpost_gateway.transport.connection import Connection
from vouchpost_gateway.transport.target import Origin

# Servers close idle connections after 5 s at the earliest; staying below it keeps a request from crossing that close.
KEEP_ALIVE_S = 3.0


class IdleConnections:
    """Open connections without a request, by origin."""

    def __init__(self, *, limit: int, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        self._limit = limit
        self._sweep_every_s = keep_alive_s / 2
        self._loop = asyncio.get_running_loop()
        self._idle: defaultdict[Origin, list[Connection]] = defaultdict(list)
        self._count = 0
        self._sweep: asyncio.TimerHandle | None = None

    def take(self, origin: Origin) -> Connection | None:
        """An open connection to the origin, the one used last; None when there is none."""
        stack = self._idle.get(origin)
        while stack:
            connection = stack.pop()
            self._count -= 1
            if connection.is_open:
                return connection
        return None

    def keep(self, origin: Origin, connection: Connection) -> None:
        """Takes the connection back; the sweep ends it unless it is taken again soon."""
        if not connection.is_open:
            return
        if self._count >= self._limit:
            connection.abort()
            return
        connection.idle_since = self._loop.time()
        self._idle[origin].append(connection)
        self._count += 1
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._sweep_every_s, self._sweep_now)

    def close(self) -> None:
        """Ends all of them, and from now on any that `keep` is given."""
        self._limit = 0
        if self._sweep is not None:
            self._sweep.cancel()
        self._end_those_idle_since(self._loop.time())

    def _sweep_now(self) -> None:
        self._end_those_idle_since(self._loop.time() - self._sweep_every_s)
        self._sweep = self._loop.call_later(self._sweep_every_s, self._sweep_now) if self._count else None

    def _end_those_idle_since(self, moment: float) -> None:
        for origin, stack in list(self._idle.items()):
            young = [connection for connection in stack if connection.is_open and connection.idle_since > moment]
            for connection in stack:
                if connection.idle_since <= moment:
                    connection.abort()
            self._count -= len(stack) - len(young)
            if young:
                self._idle[origin] = young
            else:
                del self._idle[origin]
