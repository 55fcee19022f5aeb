"""A sender for as long as a block runs, and the shortest way to one answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.gateway.transport.servers import Reply, serving
from vouchpost_gateway.domain.address import parse_networks
from vouchpost_gateway.domain.outcome import Answer
from vouchpost_gateway.transport.names import Names
from vouchpost_gateway.transport.sender import Sender

# Loading the system's authorities takes longer than most of these tests.
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@asynccontextmanager
async def opened(
    *,
    timeout_s: float = 5.0,
    connections: int = 64,
    allow_networks: tuple[str, ...] = (),
    names: Names | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Sender]:
    sender = await Sender.open(
        timeout_s=timeout_s,
        connections=connections,
        allow_networks=parse_networks(allow_networks),
        names=names,
        tls=tls or NO_AUTHORITIES,
    )
    try:
        yield sender
    finally:
        await sender.aclose()


def answer_to(reply: bytes | Reply, *, timeout_s: float = 5.0) -> Answer:
    """What one post gives to a server that replies like this."""

    async def main() -> Answer:
        async with serving(reply) as server, opened(timeout_s=timeout_s) as sender:
            return await sender.post(url=server.url(), headers={}, body=b"{}", allow_loopback=True)

    return asyncio.run(main())
