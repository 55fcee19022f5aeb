"""One connection for several recipients: only where somebody waits, and never at the price of a wrong answer."""

import asyncio
from collections.abc import Callable

import pytest

from vouchpost_gateway.checks import mx
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.syntax import Mailbox
from vouchpost_gateway.checks.traffic import OneProcess, Traffic
from vouchpost_gateway.domain.traffic import Limits

from .smtp_hosts import HANG_UP, MailHost, mail_host

NAMES = ("jane", "joe", "ann", "bob", "eve", "kim", "lee", "max")


def _known(address: str) -> str:
    return "250 2.1.5 Ok" if address.partition("@")[0] in NAMES[:4] else "550 5.1.1 User unknown"


def _asked(host: MailHost, *, name: str = "mx.b.test", at_once: int = 1) -> list[str]:
    """All names at once, through so few connections that they wait for each other."""

    async def main() -> list[str]:
        async with mail_host(host):
            manners = Manners("probe.vouchpost.test", "probe@vouchpost.test", port=host.port, reply_s=2)
            traffic = Traffic(OneProcess(), Limits(at_once=at_once, per_minute=1_000_000))
            check = MailboxCheck(manners, traffic=traffic)
            route = [mx.MailHost(name, 10, ("127.0.0.1",))]
            mailboxes = [Mailbox(local, "b.test", "b.test", needs_smtputf8=False) for local in NAMES]
            findings = await asyncio.gather(*(check.ask(mailbox, route) for mailbox in mailboxes))
            await check.aclose()
            return [finding.code for finding in findings]

    return asyncio.run(main())


RIGHT = ["mailbox_exists"] * 4 + ["mailbox_not_found"] * 4


def test_those_who_wait_share_a_connection_within_measure() -> None:
    host = MailHost(recipient=_known)

    assert _asked(host) == RIGHT
    # Eight mailboxes and one control address, at most five recipients a connection.
    assert host.connections == 2
    assert sum(line.startswith("RCPT") for line in host.lines) == 9
    assert sum(line == "QUIT" for line in host.lines) == 2
    assert not any(line.startswith("DATA") for line in host.lines)


def test_an_operator_that_holds_a_second_recipient_against_us_has_a_connection_for_each() -> None:
    host = MailHost(recipient=_known)

    assert _asked(host, name="b-test.olc.protection.outlook.com") == RIGHT
    assert host.connections == 9


def _limited(most: int, then: str) -> tuple[MailHost, Callable[[str], str]]:
    """A host that takes so many recipients on a connection and no more."""
    host = MailHost()
    count: dict[int, int] = {}

    def recipient(address: str) -> str:
        count[host.connections] = count.get(host.connections, 0) + 1
        return _known(address) if count[host.connections] <= most else then

    host.recipient = recipient
    return host, recipient


@pytest.mark.parametrize(
    "then", ["452 4.5.3 Too many recipients", "421 4.7.0 Too many errors", "550 5.7.1 Blocked", HANG_UP]
)
@pytest.mark.parametrize("most", [1, 2, 3])
def test_what_a_host_says_to_one_recipient_too_many_is_nobodys_verdict(then: str, most: int) -> None:
    host, _ = _limited(most, then)

    assert _asked(host) == RIGHT


def test_a_connection_that_nobody_waits_for_is_closed_at_once() -> None:
    host = MailHost(recipient=_known)

    assert _asked(host, at_once=20) == RIGHT
    assert host.connections == len(NAMES)
