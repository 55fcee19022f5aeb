"""One HTTP request out, and what came back of it. It follows nothing, decodes nothing and keeps little.

Whatever a subscriber answers, and however slowly, ends in an `Answer` within the total limit. A client of its own,
because it is the hot path: one signed POST over a kept connection is all that it needs to do well.
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from typing import Self

from vouchpost_gateway.domain.address import Network
from vouchpost_gateway.domain.outcome import Answer, Failure
from vouchpost_gateway.transport.address_guard import AddressGuard, Reach
from vouchpost_gateway.transport.connection import MAX_KEPT_BYTES, Reply
from vouchpost_gateway.transport.dialer import Dialer
from vouchpost_gateway.transport.failed import AttemptFailed
from vouchpost_gateway.transport.idle import IdleConnections
from vouchpost_gateway.transport.names import Names, SystemNames
from vouchpost_gateway.transport.target import Origin, parse_target

MAX_RETRY_AFTER_CHARACTERS = 64

# RFC 9110, 5.6.2 and 5.5: a token, then visible characters; and none of those that say where a request ends.
_HEADERS = re.compile(
    r"(?:(?!(?i:host|content-length|transfer-encoding|connection|upgrade|expect|te|trailer):)"
    r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x20-\x7e\t]*\r\n)*"
)
# C0, DEL, C1, the bidirectional and invisible format characters, and the two separators.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


class Sender:
    """The one client of a process."""

    def __init__(self, *, dialer: Dialer, idle: IdleConnections, timeout_s: float) -> None:
        self._dialer = dialer
        self._idle = idle
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(
        cls,
        *,
        timeout_s: float,
        connections: int,
        allow_networks: tuple[Network, ...] = (),
        closed_ports: frozenset[int] = frozenset(),
        names: Names | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Self:
        """`connections` is how many may be kept open between requests; requests in flight are the caller's to limit."""
        guards = {
            reach: AddressGuard(
                reach=reach,
                allow_networks=() if reach is Reach.LOOPBACK else allow_networks,
                closed_ports=closed_ports,
            )
            for reach in Reach
        }
        dialer = Dialer(guards=guards, names=names or SystemNames(), tls=tls or ssl.create_default_context())
        return cls(dialer=dialer, idle=IdleConnections(limit=connections), timeout_s=timeout_s)

    async def aclose(self) -> None:
        self._idle.close()
        await asyncio.sleep(0)  # the event loop learns of aborted connections one turn later

    async def post(self, *, url: str, headers: Mapping[str, str], body: bytes, allow_loopback: bool = False) -> Answer:
        """The answer, whatever a subscriber does. `allow_loopback` is for test mode; plain HTTP goes only there."""
        started = self._loop.time()
        failure = Failure.INTERNAL
        try:
            target = parse_target(url, allow_loopback=allow_loopback)
            request = b"%bContent-Length: %d\r\n%b\r\n%b" % (target.head, len(body), _header_lines(headers), body)
            reply = await self._exchange(target.origin, request, deadline=started + self._timeout_s)
        except AttemptFailed as error:
            failure = error.failure
        except TimeoutError:
            failure = Failure.TIMED_OUT
        except Exception:  # noqa: BLE001, S110 - the promise is an answer; a bug of ours is `internal`
            pass
        else:
            return _answer(reply, duration_s=self._loop.time() - started)
        return Answer(duration_s=self._loop.time() - started, failure=failure)

    async def _exchange(self, origin: Origin, request: bytes, *, deadline: float) -> Reply:
        """Over a kept connection when there is one.

        One that the other side closed in the very moment of re-use says nothing about the subscriber, so the request
        goes out once more, on a connection of its own; the receiver knows it by its event id.
        """
        connection = self._idle.take(origin)
        if connection is not None:
            try:
                reply = await connection.exchange(request, deadline=deadline)
            except AttemptFailed as error:
                if error.failure is not Failure.CONNECTION_FAILED or not connection.is_untouched:
                    raise
            else:
                self._idle.keep(origin, connection)
                return reply
        async with asyncio.timeout_at(deadline):
            connection = await self._dialer.dial(origin)
        reply = await connection.exchange(request, deadline=deadline)
        self._idle.keep(origin, connection)
        return reply


def _header_lines(headers: Mapping[str, str]) -> bytes:
    """The headers as they are sent; AttemptFailed when one of them would be more, or other, than one line of ASCII."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or not _HEADERS.fullmatch(lines):
        raise AttemptFailed(Failure.PROTOCOL_ERROR)
    return lines.encode("ascii")


def _answer(reply: Reply, *, duration_s: float) -> Answer:
    if 200 <= reply.status_code < 300:
        return Answer(duration_s=duration_s, status_code=reply.status_code)
    retry_after = reply.retry_after
    return Answer(
        duration_s=duration_s,
        status_code=reply.status_code,
        retry_after=None if retry_after is None else retry_after.decode("latin-1")[:MAX_RETRY_AFTER_CHARACTERS],
        excerpt="" if reply.encoded else excerpt(reply.body),
    )


def excerpt(body: bytes) -> str:
    """The bytes as text that prints on one line and has at most 512 bytes of UTF-8."""
    text = _UNPRINTABLE.sub(" ", body.decode("utf-8", "replace"))
    return text.encode()[:MAX_KEPT_BYTES].decode("utf-8", "ignore")
