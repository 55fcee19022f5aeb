"""Mailboxes asked about at hosts that misbehave in every phase: temporary never becomes definite, every wait ends."""

import asyncio
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import pytest
import trustme

from vouchpost_gateway.checks import mx
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.syntax import Mailbox
from vouchpost_gateway.checks.traffic import OneProcess, Traffic
from vouchpost_gateway.domain.traffic import Limits
from vouchpost_gateway.domain.verification import Finding

from .smtp_hosts import HANG_UP, MailHost, mail_host, serve_mail

JANE = Mailbox("jane", "b.test", "b.test", needs_smtputf8=False)
CONTROL = "xqzvnobody123"

SAYS_NO = {"mailbox_not_found", "mailbox_gone", "mailbox_disabled", "no_such_domain", "takes_no_mail"}


def only_jane(address: str) -> str:
    return "250 2.1.5 Ok" if address.startswith("jane@") else "550 5.1.1 User unknown"


def everybody(reply: str) -> Callable[[str], str]:
    return lambda _: reply


def _ask(
    host: MailHost,
    *,
    mailbox: Mailbox = JANE,
    name: str = "mx.b.test",
    times: int = 1,
    reply_s: float = 1.0,
    total_s: float = 3.0,
) -> list[Finding]:
    async def main() -> list[Finding]:
        async with mail_host(host):
            check = _check(host.port, reply_s=reply_s, total_s=total_s)
            route = [mx.MailHost(name, 10, ("127.0.0.1",))]
            try:
                return [await check.ask(mailbox, route) for _ in range(times)]
            finally:
                await check.aclose()

    return asyncio.run(main())


def _check(
    port: int, *, reply_s: float = 1.0, total_s: float = 3.0, now: Callable[[], float] = time.monotonic
) -> MailboxCheck:
    manners = Manners("probe.vouchpost.test", "probe@vouchpost.test", port=port, connect_s=0.5, reply_s=reply_s)
    traffic = Traffic(OneProcess(now), Limits(per_minute=100_000))
    return MailboxCheck(manners, total_s=total_s, traffic=traffic, now=now, control=lambda: CONTROL)


def _code(host: MailHost, *, mailbox: Mailbox = JANE, name: str = "mx.b.test") -> str:
    return _ask(host, mailbox=mailbox, name=name)[0].code


def _recipients(host: MailHost) -> list[str]:
    return [line[9:-1] for line in host.lines if line.startswith("RCPT")]


def test_a_mailbox_exists_when_it_is_taken_and_a_random_one_is_not() -> None:
    host = MailHost(recipient=only_jane)

    assert _code(host) == "mailbox_exists"
    assert _recipients(host) == ["jane@b.test", f"{CONTROL}@b.test"]


def test_a_host_that_takes_everybody_is_a_catch_all_and_that_is_remembered() -> None:
    host = MailHost()

    first, second = _ask(host, times=2)

    assert (first.code, second.code) == ("catch_all", "catch_all")
    assert _recipients(host).count(f"{CONTROL}@b.test") == 1


def test_a_clear_no_needs_no_control() -> None:
    host = MailHost(recipient=everybody("550 5.1.1 User unknown"))

    assert _code(host) == "mailbox_not_found"
    assert _recipients(host) == ["jane@b.test"]


def test_quit_comes_before_data_and_nothing_else_is_sent() -> None:
    host = MailHost(recipient=only_jane)

    _ask(host)

    assert [line.split()[0] for line in host.lines] == ["EHLO", "MAIL", "RCPT", "RCPT", "QUIT"]


@pytest.mark.parametrize(
    ("real", "control", "code"),
    [
        ("550 Rejected", "550 Rejected", "blanket_reject"),
        ("550 Rejected", "250 Ok", "mailbox_not_found"),
        ("550 Rejected", "554 Go away", "mailbox_not_found"),
        ("550 Rejected", "450 later", "refusal_untold"),
        ("550 Rejected", HANG_UP, "refusal_untold"),
        ("550 5.7.1 No such user", "550 5.7.1 No such user", "blanket_reject"),
        ("550 5.7.1 No such user", "550 5.1.1 User unknown", "mailbox_not_found"),
        ("250 Ok", "450 later", "catch_all_untold"),
        ("250 Ok", "550 5.7.1 Policy", "catch_all_untold"),
        ("250 Ok", HANG_UP, "catch_all_untold"),
        ("250 Ok", "550 Rejected", "mailbox_exists"),
    ],
)
def test_a_doubtful_answer_is_compared_with_that_for_a_random_address(real: str, control: str, code: str) -> None:
    assert _code(MailHost(recipient=lambda address: real if address.startswith("jane@") else control)) == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("450 4.2.0 Greylisted, try again in 300 seconds", "greylisted"),
        ("421 4.3.0 Too busy", "temporary"),
        ("451 4.7.650 IP reputation, rate limited", "blocked_for_now"),
        ("554 5.7.1 Client host blocked using zen.spamhaus.org", "blocked_by_policy"),
        ("252 2.0.0 Cannot VRFY", "accepts_unseen"),
        ("452 4.2.2 Mailbox full", "mailbox_full"),
        ("551 5.1.6 User has moved to <jane@c.test>", "mailbox_moved"),
        ("450 4.2.1 receiving mail at a rate that prevents", "mailbox_busy"),
        ("550 5.2.1 account is disabled", "mailbox_disabled"),
        ("503 5.5.1 Bad sequence", "protocol_error"),
        (HANG_UP, "connection_dropped"),
        ("what", "connection_dropped"),
        ("\r\n", "connection_dropped"),
        ("\x00\xff 250 Ok", "connection_dropped"),
    ],
    ids=range(14),
)
def test_every_reply_to_a_recipient_has_its_finding(reply: str, code: str) -> None:
    assert _code(MailHost(recipient=everybody(reply))) == code


@pytest.mark.parametrize(
    "reply",
    ["250 " + "a" * 5000, "250-" + "a" * 5000, "\r\n".join(["250-more"] * 100) + "\r\n250 end", "250-a\r\n" * 3000],
    ids=["a long line", "a long line and more", "many lines", "endless"],
)
def test_a_reply_without_measure_is_cut_off(reply: str) -> None:
    (finding,) = _ask(MailHost(recipient=everybody(reply)))

    assert finding.facts["trouble"] in {"reply_too_long", "dropped"}


@pytest.mark.parametrize("phase", ["greeting", "hello", "sender"])
def test_a_reply_too_many_is_not_taken_for_that_to_the_recipient(phase: str) -> None:
    whole = {"greeting": "220 mx.test", "hello": "250 mx.test", "sender": "250 Ok"}[phase]
    host = MailHost(**{phase: f"{whole}\r\n550 5.1.1 User unknown"})  # type: ignore[arg-type]  # the three are text

    (finding,) = _ask(host)

    assert (finding.code, finding.facts["trouble"]) == ("connection_dropped", "out_of_step")


def test_a_line_of_ten_megabytes_is_hung_up_on() -> None:
    started = time.monotonic()

    (finding,) = _ask(MailHost(recipient=everybody("250 " + "a" * 10_000_000)))

    assert finding.code == "connection_dropped"
    assert time.monotonic() - started < 2


def test_a_hinted_delay_is_passed_on() -> None:
    (finding,) = _ask(MailHost(recipient=everybody("450 4.2.0 Greylisted, try again in 300 seconds")))

    assert finding.facts["retry_after_s"] == 300


@pytest.mark.parametrize(
    "reply", ["550 5.1.1 User unknown", "554 No SMTP service", "421 Go", "550 No such user", HANG_UP, "junk"]
)
@pytest.mark.parametrize("phase", ["greeting", "hello", "sender"])
def test_before_the_recipient_nothing_is_said_about_the_mailbox(phase: str, reply: str) -> None:
    """Phase first: many hosts refuse us in the very words that others use for a missing user."""
    host = MailHost(**{phase: reply})  # type: ignore[arg-type]  # the three are text

    assert _code(host) in {"blocked_by_policy", "temporary", "connection_dropped", "protocol_error"}


def test_a_host_that_greets_with_521_takes_no_mail() -> None:
    assert _code(MailHost(greeting="521 5.3.2 mx.test accepts no mail")) == "takes_no_mail"


def _two(
    first: MailHost, second: MailHost | None, *, mx_set: tuple[str, ...] = ("mx1.b.test", "mx2.c.test")
) -> Finding:
    """Two hosts of one domain on two addresses of this machine; without a second, nobody listens there."""

    async def main() -> Finding:
        async with mail_host(first) as one:
            other = await asyncio.start_server(_as(second), "127.0.0.2", one.port) if second else None
            check = _check(one.port)
            route = [mx.MailHost("mx1.b.test", 10, ("127.0.0.1",)), mx.MailHost("mx2.c.test", 20, ("127.0.0.2",))]
            finding = await check.ask(JANE, route, mx_set=mx_set)
            await check.aclose()
            if other:
                other.close()
            return finding

    return asyncio.run(main())


def _as(host: MailHost | None) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    assert host is not None
    return partial(serve_mail, host)


TAKES_NONE = "521 5.3.2 mx.test accepts no mail"


second_address = pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 is this machine on Linux alone")


@second_address
def test_no_mail_is_taken_only_when_every_host_says_so() -> None:
    assert _two(MailHost(greeting=TAKES_NONE), MailHost(greeting=TAKES_NONE)).code == "takes_no_mail"
    assert _two(MailHost(greeting=TAKES_NONE), MailHost(recipient=only_jane)).code == "mailbox_exists"
    assert _two(MailHost(greeting=TAKES_NONE), None).code == "mx_unreachable"
    three = ("mx1.b.test", "mx2.c.test", "mx3.d.test")
    unasked = _two(MailHost(greeting=TAKES_NONE), MailHost(greeting=TAKES_NONE), mx_set=three)
    assert unasked.code == "mx_unreachable"


@second_address
@pytest.mark.parametrize("phase", ["greeting", "hello", "sender"])
def test_a_host_that_is_busy_sends_us_on_to_the_next(phase: str) -> None:
    """RFC 5321 5.1; a first host may be busy on purpose (nolisting's kin)."""
    busy = MailHost(**{phase: "421 4.3.2 Too busy"})  # type: ignore[arg-type]  # the three are text

    assert _two(busy, MailHost(recipient=only_jane)).code == "mailbox_exists"
    assert _two(busy, None).code in {"mx_unreachable", "temporary"}


@pytest.mark.parametrize("reply", ["220 mx.test", "221 bye", "235 ok", "354 go on", "200 hm", "299 x"])
def test_a_yes_to_another_command_is_no_yes_to_the_recipient(reply: str) -> None:
    assert _code(MailHost(recipient=everybody(reply))) == "protocol_error"


def test_a_host_from_before_ehlo_is_greeted_with_helo() -> None:
    host = MailHost(hello="502 what", recipient=only_jane)

    assert _code(host) == "mailbox_exists"
    assert host.lines[:2] == ["EHLO probe.vouchpost.test", "HELO probe.vouchpost.test"]


@pytest.mark.parametrize("silent_at", ["EHLO", "MAIL", "RCPT"])
def test_silence_ends_at_the_limit_and_is_no_answer(silent_at: str) -> None:
    started = time.monotonic()

    (finding,) = _ask(MailHost(silent_at=silent_at), reply_s=0.3)

    assert finding.code == "connection_dropped"
    assert time.monotonic() - started < 2


def test_a_tarpit_that_drips_gains_nothing_by_it() -> None:
    """Each byte comes well within the limit of a read; the whole reply does not."""
    started = time.monotonic()

    (finding,) = _ask(MailHost(drip_s=0.1), reply_s=0.5)

    assert finding.code == "connection_dropped"
    assert time.monotonic() - started < 2


def test_the_whole_has_a_limit_too() -> None:
    started = time.monotonic()

    (finding,) = _ask(MailHost(drip_s=0.005), reply_s=5, total_s=0.4)

    assert finding.code == "smtp_timed_out"
    assert time.monotonic() - started < 2


def test_nobody_listening_is_not_a_missing_mailbox() -> None:
    async def main() -> Finding:
        return await _check(9).ask(JANE, [mx.MailHost("mx.b.test", 10, ("127.0.0.1",))])

    finding = asyncio.run(main())

    assert finding.code == "mx_unreachable"
    assert finding.facts["trouble"] == "connection_refused"


def test_the_next_host_is_asked_when_there_is_no_talking_to_the_first() -> None:
    async def main() -> Finding:
        async with mail_host(MailHost(recipient=only_jane)) as host:
            hosts = [mx.MailHost("mx1.b.test", 5, ("127.0.0.2",)), mx.MailHost("mx2.b.test", 10, ("127.0.0.1",))]
            return await _check(host.port).ask(JANE, hosts)

    finding = asyncio.run(main())

    assert (finding.code, finding.facts["host"]) == ("mailbox_exists", "mx2.b.test")


@pytest.mark.parametrize("name", ["mta5.am0.yahoodns.net", "b-test.mail.protection.outlook.com", "mxs.mail.ru"])
def test_an_operator_that_takes_everybody_proves_nothing_by_taking(name: str) -> None:
    host = MailHost(recipient=only_jane)

    assert _code(host, name=name) == "not_probative"
    assert _recipients(host) == ["jane@b.test"]


def test_a_no_of_such_an_operator_still_counts() -> None:
    host = MailHost(recipient=everybody("550 5.4.1 Recipient address rejected: Access denied"))

    assert _code(host, name="b-test.mail.protection.outlook.com") == "mailbox_not_found"


def test_the_control_goes_on_its_own_connection_where_a_second_recipient_is_held_against_us() -> None:
    host = MailHost(recipient=only_jane)

    assert _code(host, name="eur.olc.protection.outlook.com") == "mailbox_exists"
    assert host.connections == 2


def test_an_address_beyond_ascii_is_asked_about_only_where_it_can_be() -> None:
    jane = Mailbox("j\u00e4ne", "b.test", "b.test", needs_smtputf8=True)
    able = MailHost(recipient=lambda address: "250 Ok" if address.startswith("j\u00e4ne") else "550 5.1.1 no such user")
    unable = MailHost(hello="250 mx.test")

    assert _code(able, mailbox=jane) == "mailbox_exists"
    assert "MAIL FROM:<probe@vouchpost.test> SMTPUTF8" in able.lines
    assert _code(unable, mailbox=jane) == "smtputf8_unsupported"
    assert _recipients(unable) == []


@pytest.fixture(scope="module")
def certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("somebody.else.test").configure_cert(context)
    return context


OFFERS_TLS = "250-mx.test\r\n250 STARTTLS"


def test_tls_is_used_where_it_is_offered_whoever_the_certificate_names(certificate: ssl.SSLContext) -> None:
    host = MailHost(hello=OFFERS_TLS, tls=certificate, recipient=only_jane)

    assert _code(host) == "mailbox_exists"
    assert host.encrypted == 1


@pytest.mark.parametrize("starttls", ["454 4.7.0 not now", "220 Ready", HANG_UP])
def test_a_host_whose_tls_is_broken_is_asked_without(starttls: str) -> None:
    host = MailHost(hello=OFFERS_TLS, starttls=starttls, recipient=only_jane)

    assert _code(host) in {"mailbox_exists", "connection_dropped"}


def test_plain_text_behind_starttls_ends_the_dialogue(certificate: ssl.SSLContext) -> None:
    """A-82: what an attacker adds before the handshake must not be taken for the host's words after it."""
    host = MailHost(hello=OFFERS_TLS, starttls="220 Ready\r\n250-mx.test\r\n250 Ok", tls=certificate)

    (finding,) = _ask(host)

    assert finding.facts["trouble"] == "tls_injection"
    assert _recipients(host) == []


def test_no_address_can_add_a_command() -> None:
    host = MailHost()
    hostile = Mailbox("jane>\r\nDATA\r\n", "b.test", "b.test", needs_smtputf8=False)

    with pytest.raises(ValueError, match="one line"):
        _ask(host, mailbox=hostile)

    assert not any(line.startswith("DATA") for line in host.lines)


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 0.001  # turns are rationed by time
        return self.seconds


def _sequence(check: MailboxCheck, names: Sequence[str]) -> list[str]:
    async def main() -> list[str]:
        return [(await check.ask(JANE, [mx.MailHost(name, 1, ("127.0.0.1",))])).code for name in names]

    return asyncio.run(main())


def test_an_operator_that_keeps_refusing_is_left_alone_for_a_while() -> None:
    clock = Clock()
    check = _check(9, now=clock)

    codes = _sequence(check, ["mx.b.test"] * 6)
    clock.seconds += 61
    later = _sequence(check, ["mx.b.test"])

    assert codes == ["mx_unreachable"] * 5 + ["mx_resting"]
    assert later == ["mx_unreachable"]


def test_another_operator_is_not_made_to_pay_for_it() -> None:
    check = _check(9, now=Clock())

    codes = _sequence(check, [*["mx.b.test"] * 6, "mx.c.test.net"])

    assert codes[-1] == "mx_unreachable"


def test_no_more_than_a_few_connections_at_once_to_one_operator() -> None:
    async def main() -> int:
        async with mail_host(MailHost(silent_at="EHLO")) as host:
            check = _check(host.port, reply_s=0.6, total_s=0.6)
            route = [mx.MailHost("mx.b.test", 1, ("127.0.0.1",))]
            asking = [asyncio.create_task(check.ask(JANE, route)) for _ in range(8)]
            await asyncio.sleep(0.3)
            connections = host.connections
            await asyncio.gather(*asking)
            return connections

    assert asyncio.run(main()) == 3


def test_those_who_never_got_a_turn_are_not_held_against_the_operator() -> None:
    async def main() -> list[Finding]:
        async with mail_host(MailHost(silent_at="EHLO")) as host:
            talking, waiting = _check(host.port, reply_s=1, total_s=1), _check(host.port)
            waiting.traffic = Traffic(talking.traffic.shared, patience_s=0.3)
            route = [mx.MailHost("mx.b.test", 1, ("127.0.0.1",))]
            holding = [asyncio.create_task(talking.ask(JANE, route)) for _ in range(3)]
            await asyncio.sleep(0.1)
            waited = await asyncio.gather(*(waiting.ask(JANE, route) for _ in range(5)))
            await asyncio.gather(*holding)
            return waited

    assert {finding.code for finding in asyncio.run(main())} == {"mx_crowded"}
