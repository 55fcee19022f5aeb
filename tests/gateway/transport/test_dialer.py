import asyncio
import resource
import ssl
from collections.abc import Sequence

import pytest

from tests.gateway.transport.servers import serving
from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.transport.address_guard import AddressGuard, Reach
from vouchpost_gateway.transport.dialer import Dialer
from vouchpost_gateway.transport.failed import AttemptFailed
from vouchpost_gateway.transport.target import Origin

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Listed:
    """Names that lead where a test says, and how often each was looked up."""

    def __init__(self, *addresses: str) -> None:
        self.lookups = 0
        self._addresses = addresses

    async def addresses(self, _: str, /) -> Sequence[str]:
        self.lookups += 1
        return self._addresses


def dialer(names: Listed) -> Dialer:
    guards = {reach: AddressGuard(reach=reach) for reach in Reach}
    return Dialer(guards=guards, names=names, tls=ssl.create_default_context())


def failure(names: Listed, *, host: str, reach: Reach = Reach.LOOPBACK, port: int = 1) -> Failure:
    with pytest.raises(AttemptFailed) as failed:
        asyncio.run(dialer(names).dial(Origin(host, port, tls=False, reach=reach)))
    return failed.value.failure


def test_a_name_is_looked_up_once_and_connected_to() -> None:
    async def main() -> tuple[bool, int]:
        names = Listed("127.0.0.1")
        async with serving(OK) as server:
            connection = await dialer(names).dial(Origin("hook", server.port, tls=False, reach=Reach.LOOPBACK))
            is_open = connection.is_open
            connection.abort()
            await asyncio.sleep(0)
        return is_open, names.lookups

    assert asyncio.run(main()) == (True, 1)


@pytest.mark.parametrize("host", ["10.0.0.1", "127.1", "2130706433", "::ffff:10.0.0.1", "fe80::1", "1"])
def test_an_address_is_not_looked_up_but_judged_as_it_stands(host: str) -> None:
    names = Listed("127.0.0.1")

    assert failure(names, host=host) is Failure.ADDRESS_REFUSED
    assert names.lookups == 0


@pytest.mark.parametrize("reach", [Reach.PUBLIC, Reach.LOOPBACK])
@pytest.mark.parametrize("bad", ["10.0.0.1", "fd00::1", "::ffff:10.0.0.1", "0.0.0.0"])
def test_one_bad_address_beside_a_good_one_is_enough_to_refuse(bad: str, reach: Reach) -> None:
    good = "127.0.0.1" if reach is Reach.LOOPBACK else "8.8.8.8"

    assert failure(Listed(good, bad), host="hook", reach=reach) is Failure.ADDRESS_REFUSED
    assert failure(Listed(*[good] * 20, bad), host="hook", reach=reach) is Failure.ADDRESS_REFUSED


def test_every_address_may_refuse_the_connection() -> None:
    assert failure(Listed("127.0.0.1", "127.0.0.2", "::1"), host="hook") is Failure.CONNECTION_FAILED


def test_running_out_of_descriptors_is_not_the_subscribers_fault() -> None:
    async def main() -> None:
        async with serving(OK) as server:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                await dialer(Listed()).dial(Origin("127.0.0.1", server.port, tls=False, reach=Reach.LOOPBACK))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with pytest.raises(AttemptFailed) as failed:
        asyncio.run(main())
    assert failed.value.failure is Failure.INTERNAL
