"""Listening to what scripts publish. Nothing depends on hearing it: whoever waits looks again after a while anyway."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import Address, Link, Reply, greeting, open_link

_PING_S = 10.0
_MAX_PAUSE_S = 1.0


class Listener:
    """One connection that subscribes to channels, and subscribes again when it was lost."""

    def __init__(self, url: str, hear: Callable[[str, bytes], None]) -> None:
        self._address = Address.parse(url)
        self._hear = hear
        self._channels: dict[str, asyncio.Event] = {}
        self._link: Link | None = None
        self._heard_at = 0.0

    def subscribe(self, channel: str) -> asyncio.Event:
        """The event is set once the subscription is in force."""
        if channel not in self._channels:
            self._channels[channel] = asyncio.Event()
            if self._link is not None and not self._link.lost:
                self._link.write(("SUBSCRIBE", channel))
        return self._channels[channel]

    def unsubscribe(self, channel: str) -> None:
        if self._channels.pop(channel, None) is not None and self._link is not None and not self._link.lost:
            self._link.write(("UNSUBSCRIBE", channel))

    async def forever(self) -> None:
        """Keeps listening until cancelled."""
        pause_s = 0.05
        while True:
            with contextlib.suppress(LedgerUnavailable, OSError, TimeoutError):
                async with asyncio.timeout(2):
                    self._link = await self._open()
                pause_s = 0.05
                await self._until_lost(self._link)
            for event in self._channels.values():
                event.clear()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    async def _open(self) -> Link:
        link = await open_link(self._address, reply_limit_s=None, on_push=self._on_push)
        for command in greeting(self._address):
            link.write(command)
        if self._channels:
            link.write(("SUBSCRIBE", *self._channels))
        return link

    async def _until_lost(self, link: Link) -> None:
        """Pings, because a peer that vanished without a word looks just like one with nothing to say."""
        loop = asyncio.get_running_loop()
        try:
            while not link.lost:
                asked_at = loop.time()
                link.write(("PING",))
                await asyncio.wait([link.when_lost], timeout=_PING_S)
                if self._heard_at < asked_at:
                    link.abort("nothing was heard")
        finally:
            link.abort("listening has ended")

    def _on_push(self, reply: Reply) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if not isinstance(reply, list):
            return
        kind, channel = reply[0], reply[1].decode() if isinstance(reply[1], bytes) else ""
        if kind == b"message":
            self._hear(channel, reply[2])
        elif kind == b"subscribe" and channel in self._channels:
            self._channels[channel].set()


class Wakes:
    """Wakes drains that linger: a script that added work to their lane says so.

    Each slice has an event of its own: one may begin while the last one of its lane is still settling.
    """

    def __init__(self) -> None:
        self._events: dict[str, list[asyncio.Event]] = {}

    def event(self, lane_id: str) -> asyncio.Event:
        woken = asyncio.Event()
        self._events.setdefault(lane_id, []).append(woken)
        return woken

    def forget(self, lane_id: str, woken: asyncio.Event) -> None:
        left = [event for event in self._events.pop(lane_id, ()) if event is not woken]
        if left:
            self._events[lane_id] = left

    def hear(self, channel: str, lane_id: bytes) -> None:
        if channel == keys.WAKE_CHANNEL:
            for woken in self._events.get(lane_id.decode(errors="replace"), ()):
                woken.set()


class Verdicts:
    """Tells those who wait that a verdict was committed. One subscription per verification, however many wait."""

    def __init__(self, url: str) -> None:
        self.listener = Listener(url, self._hear)
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._released = False

    @contextlib.asynccontextmanager
    async def announced(self, world: World, stem: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when a verdict is committed. Waits for the subscription, but no longer than a second."""
        channel = keys.done_channel(world, stem)
        told = asyncio.Event()
        if self._released:
            told.set()
        self._waiting.setdefault(channel, set()).add(told)
        in_force = self.listener.subscribe(channel)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await in_force.wait()
            yield told
        finally:
            self._waiting[channel].discard(told)
            if not self._waiting[channel]:
                del self._waiting[channel]
                self.listener.unsubscribe(channel)

    def release(self) -> None:
        """Ends every wait, and those to come: this process is about to stop."""
        self._released = True
        for waiting in self._waiting.values():
            for told in waiting:
                told.set()

    def _hear(self, channel: str, _message: bytes) -> None:
        for told in self._waiting.get(channel, ()):
            told.set()
