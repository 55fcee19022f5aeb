import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.gateway.transport.servers import Served, serving
from vouchpost_gateway.transport.address_guard import Reach
from vouchpost_gateway.transport.connection import Connection
from vouchpost_gateway.transport.idle import IdleConnections
from vouchpost_gateway.transport.target import Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@asynccontextmanager
async def kept(*, limit: int = 9, keep_alive_s: float = 60) -> AsyncIterator[tuple[IdleConnections, Origin, Served]]:
    idle = IdleConnections(limit=limit, keep_alive_s=keep_alive_s)
    async with serving(OK) as server:
        yield idle, Origin("127.0.0.1", server.port, tls=False, reach=Reach.LOOPBACK), server
        idle.close()
        await asyncio.sleep(0)


async def connected(origin: Origin) -> Connection:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(Connection, origin.host, origin.port))[1]


def test_the_connection_used_last_is_taken_first_and_only_once() -> None:
    async def main() -> None:
        async with kept() as (idle, origin, _):
            first, second = await connected(origin), await connected(origin)
            idle.keep(origin, first)
            idle.keep(origin, second)

            assert [idle.take(origin), idle.take(origin), idle.take(origin)] == [second, first, None]
            first.abort()
            second.abort()

    asyncio.run(main())


def test_a_connection_serves_its_own_origin_only() -> None:
    async def main() -> None:
        async with kept() as (idle, origin, _):
            idle.keep(origin, await connected(origin))

            assert idle.take(Origin(origin.host, origin.port, tls=False, reach=Reach.PUBLIC)) is None
            assert idle.take(Origin("127.0.0.2", origin.port, tls=False, reach=Reach.LOOPBACK)) is None

    asyncio.run(main())


def test_a_connection_that_the_other_side_closed_is_passed_over() -> None:
    async def main() -> None:
        async with kept() as (idle, origin, _):
            open_one, closed_one = await connected(origin), await connected(origin)
            idle.keep(origin, open_one)
            idle.keep(origin, closed_one)
            closed_one.abort()
            idle.keep(origin, closed_one)

            assert idle.take(origin) is open_one
            assert idle.take(origin) is None
            open_one.abort()

    asyncio.run(main())


def test_no_more_than_the_limit_are_kept() -> None:
    async def main() -> list[bool]:
        async with kept(limit=2) as (idle, origin, _):
            connections = [await connected(origin) for _ in range(3)]
            for connection in connections:
                idle.keep(origin, connection)
            return [connection.is_open for connection in connections]

    assert asyncio.run(main()) == [True, True, False]


def test_a_connection_that_nobody_takes_is_ended_and_leaves_room() -> None:
    async def main() -> tuple[bool, bool]:
        async with kept(limit=1, keep_alive_s=0.1) as (idle, origin, _):
            old = await connected(origin)
            idle.keep(origin, old)
            await asyncio.sleep(0.25)
            young = await connected(origin)
            idle.keep(origin, young)
            return old.is_open, young.is_open

    assert asyncio.run(main()) == (False, True)


def test_after_closing_none_is_kept() -> None:
    async def main() -> tuple[bool, bool]:
        async with kept() as (idle, origin, _):
            before, after = await connected(origin), await connected(origin)
            idle.keep(origin, before)
            idle.close()
            idle.keep(origin, after)
            return before.is_open, after.is_open

    assert asyncio.run(main()) == (False, False)
