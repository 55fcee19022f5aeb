"""Mail hosts asked through a SOCKS5 proxy: what the proxy says is told apart from what the host says."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from vouchpost_gateway.checks import mx
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.socks import Socks
from vouchpost_gateway.checks.syntax import Mailbox
from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.domain.verification import Finding

from .smtp_hosts import MailHost, mail_host

JANE = Mailbox("jane", "b.test", "b.test", needs_smtputf8=False)


@dataclass
class Proxy:
    """A SOCKS5 server (RFC 1928), as plain as it gets; keeps where it was asked to connect to."""

    user: bytes = b""
    password: bytes = b""
    reply: int = 0
    silent: bool = False
    port: int = 0
    targets: list[tuple[str, int]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            if self.silent:
                await reader.read()
            elif await self._signed_in(reader, writer):
                await self._relay(reader, writer)
        writer.close()

    async def _signed_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self.user else 0
        writer.write(bytes((5, wanted if wanted in methods else 0xFF)))
        if wanted not in methods:
            return False
        if not wanted:
            return True
        _, length = await reader.readexactly(2)
        user = await reader.readexactly(length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        good = (user, password) == (self.user, self.password)
        writer.write(bytes((1, 0 if good else 1)))
        return good

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        *_, kind = await reader.readexactly(4)
        address = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.targets.append((address, port))
        answer = bytes((5, self.reply, 0, 1, 0, 0, 0, 0, 0, 0))
        if self.reply:
            writer.write(answer)
            return
        there, back = await asyncio.open_connection(address, port)
        try:
            # In one packet with what the host says: nothing of it may be lost.
            writer.write(answer + await there.read(1024))
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        finally:
            back.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1024):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def running(proxy: Proxy) -> AsyncIterator[Proxy]:
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(asyncio.CancelledError):  # only ever cancelled below, to end
            await proxy.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _asked(proxy: Proxy, host: MailHost, *, sign_in: str = "") -> Finding:
    async def main() -> Finding:
        async with running(proxy), mail_host(host):
            url = f"socks5://{sign_in}127.0.0.1:{proxy.port}"
            manners = Manners("probe.b.test", "probe@b.test", port=host.port, reply_s=1, proxy=Socks.parse(url))
            check = MailboxCheck(manners, total_s=5)
            finding = await check.ask(JANE, [mx.MailHost("mx.b.test", 10, ("127.0.0.1",))])
            await check.aclose()
            return finding

    return asyncio.run(main())


def _only_jane(address: str) -> str:
    return "250 Ok" if address.startswith("jane@") else "550 5.1.1 User unknown"


@pytest.mark.parametrize(("user", "sign_in"), [(b"", ""), (b"us er", "us%20er:pa%3Ass@")])
def test_a_mailbox_is_asked_about_through_the_proxy_at_the_address_that_was_checked(user: bytes, sign_in: str) -> None:
    proxy, host = Proxy(user, b"pa:ss"), MailHost(recipient=_only_jane)

    assert _asked(proxy, host, sign_in=sign_in).code == "mailbox_exists"
    assert proxy.targets == [("127.0.0.1", host.port)]


@pytest.mark.parametrize(
    ("reply", "code", "trouble"),
    [
        (1, "proxy_failed", "proxy_failed"),
        (2, "proxy_failed", "proxy_failed"),
        (3, "mx_unreachable", "unreachable"),
        (4, "mx_unreachable", "unreachable"),
        (5, "mx_unreachable", "connection_refused"),
        (6, "mx_unreachable", "connect_timed_out"),
        (9, "proxy_failed", "proxy_failed"),
    ],
)
def test_what_the_proxy_says_of_the_host_is_told_apart_from_what_it_says_of_us(
    reply: int, code: str, trouble: str
) -> None:
    finding = _asked(Proxy(reply=reply), MailHost())

    assert (finding.code, finding.facts["trouble"]) == (code, trouble)


@pytest.mark.parametrize(
    ("proxy", "sign_in"),
    [(Proxy(b"u", b"p"), "u:wrong@"), (Proxy(b"u", b"p"), ""), (Proxy(silent=True), "")],
    ids=["wrong password", "no password", "silent"],
)
def test_a_proxy_that_cannot_be_used_is_no_mail_host_that_is_gone(proxy: Proxy, sign_in: str) -> None:
    assert _asked(proxy, MailHost(), sign_in=sign_in).code == "proxy_failed"


def test_a_proxy_that_is_down_is_told_as_such_and_no_operator_pays_for_it() -> None:
    async def main() -> list[str]:
        manners = Manners("probe.b.test", "probe@b.test", proxy=Socks.parse("socks5://127.0.0.1:9"))
        check = MailboxCheck(manners)
        route = [mx.MailHost("mx.b.test", 10, ("192.0.2.1",))]
        found = [(await check.ask(JANE, route)).code for _ in range(7)]
        await check.aclose()
        return found

    assert asyncio.run(main()) == ["proxy_failed"] * 7


@pytest.mark.parametrize(
    "url", ["http://a:1", "socks5://a", "socks5://:1080", "socks5://a:99999", "socks5://a:1/x", "socks4://a:1", ""]
)
def test_a_proxy_that_is_written_wrong_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Socks.parse(url.replace("//", "//user:hunter2@") if "//" in url else url)

    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(Socks.parse("socks5://user:hunter2@a:1"))
