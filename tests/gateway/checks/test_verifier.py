"""The seam: a question in, a verdict out."""

import asyncio
import itertools
import time
from collections.abc import Iterable
from dataclasses import replace

import pytest
from dnslib import DNSRecord  # type: ignore[import-untyped]  # it has no annotations

from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.tenant_policy import TenantPolicy
from vouchpost_gateway.domain.verification import Depth, Flags, ReasonCode, Status, Verdict
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.embedded.dns import SANDBOX_DOMAINS
from vouchpost_gateway.embedded.smtp import SANDBOX_MAILBOXES

from .conftest import Ask
from .peers import Behaviour, fails, name_server, zone
from .smtp_hosts import MailHost, mail_host


@pytest.mark.parametrize("domain", SANDBOX_DOMAINS)
def test_a_sandbox_domain_ends_as_its_table_says(ask: Ask, domain: str) -> None:
    expected = SANDBOX_DOMAINS[domain]

    *earlier, last = ask([f"jane.doe@{domain}"] * (expected.failures_first + 1))

    assert (last.status, last.reason_code) == (expected.status, expected.reason)
    assert all(verdict.status is Status.UNKNOWN and verdict.temporary for verdict in earlier)


@pytest.mark.parametrize("domain", ["servfail.example", "refused.example", "timeout.example"])
def test_what_a_name_server_could_not_tell_is_unknown_and_worth_another_try(ask: Ask, domain: str) -> None:
    (verdict,) = ask([f"jane@{domain}"])

    assert verdict.status is Status.UNKNOWN
    assert verdict.temporary


def test_a_disposable_domain_that_could_not_be_asked_is_unknown_and_still_flagged(ask: Ask) -> None:
    (verdict,) = ask(["jane@mailinator.com"], mode=Mode.LIVE)

    assert verdict.status is Status.UNKNOWN
    assert verdict.flags.disposable
    assert verdict.retry_after_s


def test_depth_syntax_asks_nobody_and_says_so_in_its_reason(ask: Ask) -> None:
    good, disposable, role = ask(
        ["jane@vouchpost.com", "jane@mailinator.com", "sales-eu@vouchpost.com"], depth=Depth.SYNTAX, mode=Mode.LIVE
    )

    assert (good.status, good.reason_code) == (Status.VALID, ReasonCode.SYNTAX_OK)
    assert (disposable.status, disposable.reason_code) == (Status.RISKY, ReasonCode.DISPOSABLE)
    assert (role.status, role.reason_code) == (Status.RISKY, ReasonCode.ROLE_ACCOUNT)


def test_depth_mailbox_without_a_mailbox_check_is_the_domain_verdict_and_names_what_was_skipped() -> None:
    """Not degraded: nothing is out of order and no recheck would tell more."""

    async def main() -> Verdict:
        async with name_server(zone("b.net. 60 IN MX 10 mx.b.net.\nmx.b.net. 60 IN A 1.1.1.1")) as dns:
            verifier = Verifier.open(dns_servers=[dns.server])
            verdict = await verifier.verify(Question("jane@b.net", Depth.MAILBOX, Mode.LIVE))
            await verifier.aclose()
            return verdict

    verdict = asyncio.run(main())

    assert (verdict.status, verdict.reason_code) == (Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL)
    assert verdict.checks_skipped == ("mailbox",)
    assert not verdict.degraded
    assert not verdict.temporary


@pytest.mark.parametrize("address", SANDBOX_MAILBOXES)
def test_a_sandbox_mailbox_ends_as_its_table_says(ask: Ask, address: str) -> None:
    expected = SANDBOX_MAILBOXES[address]
    questions = [address.replace("*", "jane")] * (expected.refusals_first + 1)

    *earlier, last = ask(questions, depth=Depth.MAILBOX)

    assert (last.status, last.reason_code) == (expected.status, expected.reason)
    assert [verdict.reason_code for verdict in earlier] == [ReasonCode.GREYLISTED] * expected.refusals_first
    assert all(verdict.temporary and verdict.retry_after_s == 60 for verdict in earlier)


def test_at_other_domains_of_the_sandbox_the_mailbox_asked_about_exists(ask: Ask) -> None:
    (verdict,) = ask(["jane@valid.example"], depth=Depth.MAILBOX)

    assert (verdict.status, verdict.reason_code) == (Status.VALID, ReasonCode.MAILBOX_EXISTS)
    assert verdict.checks_skipped == ()


@pytest.mark.parametrize("reason", ReasonCode)
def test_every_reason_code_can_be_had_from_the_sandbox_at_once(ask: Ask, reason: ReasonCode) -> None:
    (verdict,) = ask([f"{reason.value}@reason.example"], depth=Depth.MAILBOX)

    assert verdict.reason_code is reason
    assert not verdict.temporary
    assert verdict.checks_skipped == ()


def test_every_final_status_can_be_had_from_the_sandbox_and_with_a_delay(ask: Ask) -> None:
    started = time.monotonic()

    verdicts = ask([f"{name}@reason.example" for name in ("mailbox_exists+1s", "catch_all", "no_mx", "greylisted")])

    assert [verdict.status for verdict in verdicts] == [status for status in Status if status is not Status.PENDING]
    assert time.monotonic() - started >= 1


def test_a_played_reason_carries_its_flag_and_is_played_for_test_questions_alone(ask: Ask) -> None:
    relay, disposable = ask(["alias_relay@reason.example", "disposable@reason.example"])
    (live,) = ask(["disposable@reason.example"], mode=Mode.LIVE)

    assert relay.flags.alias_relay
    assert disposable.flags.disposable
    assert live.reason_code is ReasonCode.RESERVED_DOMAIN


@pytest.mark.parametrize("name", ["disposible", "catch_all+3", "jane.doe"])
def test_a_name_that_is_no_reason_ends_unknown_and_says_so(ask: Ask, name: str) -> None:
    """Else whoever mistypes one takes the answer for that of the reason."""
    (verdict,) = ask([f"{name}@reason.example"])

    assert verdict.status is Status.UNKNOWN
    assert not verdict.temporary
    assert "no_such_reason" in _codes_of(verdict)


def test_the_sandbox_has_a_domain_that_looks_after_its_mail_and_one_that_does_not(ask: Ask) -> None:
    addresses = ["jane@healthy.example", "jane@careless.example", "jane@valid.example"]
    healthy, careless, valid = ask(addresses, health_from=Depth.DOMAIN)

    assert _codes_of(healthy) >= {"spf_sound", "dmarc_found", "dkim_found", "mta_sts_announced"}
    assert _codes_of(careless) >= {"spf_broken", "dmarc_missing", "dkim_not_provable", "mta_sts_missing"}
    assert {verdict.status for verdict in (healthy, careless, valid)} == {Status.VALID}
    assert healthy.score == careless.score == valid.score


def _live(question: Question) -> tuple[Verdict, int]:
    """The verdict, and how many questions a name server was asked for it."""

    async def main() -> tuple[Verdict, int]:
        zone_text = "b.net. 60 IN MX 10 mx.b.net.\nmx.b.net. 60 IN A 192.0.2.1"
        async with name_server(zone(zone_text)) as dns:
            verifier = Verifier.open(dns_servers=[dns.server], is_public=lambda _: True)
            verdict = await verifier.verify(question)
            await verifier.aclose()
            return verdict, dns.total

    return asyncio.run(main())


def _flaps(pattern: str) -> Behaviour:
    """A name server that wavers, over all that it is asked: `n` no such name, `y` a mail host, `f` SERVFAIL."""
    good, nothing, broken = zone("b.net. 0 IN MX 10 mx.b.net.\nmx.b.net. 0 IN A 192.0.2.1"), zone(""), fails("SERVFAIL")
    count = itertools.count()

    def behave(query: DNSRecord, before: int) -> Iterable[bytes]:
        turn = pattern[next(count) % len(pattern)]
        return {"n": nothing, "y": good, "f": broken}[turn](query, before)

    return behave


@pytest.mark.parametrize("pattern", ["ny", "nny", "yn", "nf", "nnf", "fn", "nyf", "yyn"])
def test_a_name_server_that_wavers_never_makes_a_domain_that_does_not_exist(pattern: str) -> None:
    """F-35: flapping never yields two different terminal verdicts."""

    async def main() -> set[Status]:
        async with name_server(_flaps(pattern)) as dns:
            found = set()
            for _ in range(12):
                verifier = Verifier.open(dns_servers=[dns.server], is_public=lambda _: True)
                found.add((await verifier.verify(Question("jane@b.net", Depth.DOMAIN, Mode.LIVE))).status)
                await verifier.aclose()
            return found

    assert asyncio.run(main()) <= {Status.VALID, Status.UNKNOWN}


def test_nobody_is_asked_about_an_address_that_the_tenant_denies() -> None:
    policy = TenantPolicy(deny=frozenset({"b.net"}))

    verdict, asked = _live(Question("jane@b.net", Depth.MAILBOX, Mode.LIVE, policy))

    assert (verdict.status, verdict.reason_code) == (Status.INVALID, ReasonCode.DENIED_BY_POLICY)
    assert verdict.checks_skipped == ("mx", "mailbox")
    assert policy.version in verdict.policy_version
    assert asked == 0


def test_an_address_that_the_tenant_allows_is_not_risky_for_what_its_domain_is() -> None:
    allowed = TenantPolicy(allow=frozenset({"sales@b.net"}))

    risky, _ = _live(Question("sales@b.net", Depth.DOMAIN, Mode.LIVE))
    valid, _ = _live(Question("sales@b.net", Depth.DOMAIN, Mode.LIVE, allowed))

    assert (risky.status, valid.status) == (Status.RISKY, Status.VALID)
    assert risky.policy_version != valid.policy_version


def test_a_stored_verdict_is_judged_by_the_policies_of_now_on_what_was_found_then() -> None:
    verifier = Verifier.open(dns_servers=["127.0.0.1:9"])
    then, _ = _live(Question("sales@b.net", Depth.DOMAIN, Mode.LIVE))
    denied, _ = _live(Question("sales@b.net", Depth.DOMAIN, Mode.LIVE, TenantPolicy(deny=frozenset({"b.net"}))))

    lenient = verifier.judge_again(then, TenantPolicy({"role_account": Status.VALID}))
    strict = verifier.judge_again(lenient, TenantPolicy(deny=frozenset({"b.net"})))
    undone = verifier.judge_again(strict)
    never_asked = verifier.judge_again(denied)

    assert [verdict.status for verdict in (then, lenient, strict, undone)] == ["risky", "valid", "invalid", "risky"]
    assert replace(undone, policy_version="") == replace(then, policy_version="")
    # Who was never asked about is not vouched for because the tenant has changed its mind.
    assert (never_asked.status, never_asked.reason_code) == (Status.UNKNOWN, ReasonCode.CHECK_SKIPPED)


@pytest.mark.parametrize(
    ("depth", "address", "code"),
    [
        (Depth.MAILBOX, "jane@b.net", "mailbox_not_enabled"),
        (Depth.MAILBOX, "jane@nowhere.net", "mailbox_not_enabled"),
    ],
)
def test_a_check_that_did_not_run_says_why(depth: Depth, address: str, code: str) -> None:
    verdict, _ = _live(Question(address, depth, Mode.LIVE))

    assert verdict.checks_skipped == ("mailbox",)
    assert code in _codes_of(verdict)


def test_the_health_of_a_domain_is_looked_at_from_the_depth_that_was_set(ask: Ask) -> None:
    (domain,) = ask(["jane@healthy.example"])
    (mailbox,) = ask(["jane@healthy.example"], depth=Depth.MAILBOX)

    assert "spf_sound" not in _codes_of(domain)
    assert "spf_sound" in _codes_of(mailbox)


def _codes_of(verdict: Verdict) -> set[str]:
    return {finding.code for finding in verdict.findings}


@pytest.mark.parametrize(
    "address",
    ["a@valid.example", "a@example.com", "a@b.test", "a@foo.internal", "a@metadata.google.internal", "a@x.onion"],
)
def test_live_questions_about_reserved_names_are_answered_without_asking(ask: Ask, address: str) -> None:
    (verdict,) = ask([address], mode=Mode.LIVE)

    assert (verdict.status, verdict.reason_code) == (Status.INVALID, ReasonCode.RESERVED_DOMAIN)


def test_test_questions_about_real_domains_are_unknown_since_test_keys_reach_no_network(ask: Ask) -> None:
    (verdict,) = ask(["jane@gmail.com"])

    assert (verdict.status, verdict.reason_code) == (Status.UNKNOWN, ReasonCode.CHECK_SKIPPED)
    assert verdict.checks_skipped == ("mx",)
    assert not verdict.temporary


def test_flags_are_told_apart_from_the_verdict(ask: Ask) -> None:
    plain, free, relay = ask(["jane@valid.example", "jane@free.example", "jane@relay.example"])

    assert plain.flags == Flags(disposable=False, role=False, free=False, catch_all=None, alias_relay=False)
    assert free.flags.free
    assert relay.flags.disposable is False
    assert "alias_relay" in {finding.code for finding in relay.findings}
    assert plain.score > free.score > relay.score


def test_a_verdict_carries_the_normal_form_and_the_policy_it_was_judged_by(ask: Ask) -> None:
    (verdict,) = ask(["Jane@B\u00fccher.Valid.EXAMPLE"])

    assert verdict.normalised == "Jane@xn--bcher-kva.valid.example"
    assert verdict.domain == "xn--bcher-kva.valid.example"
    assert verdict.policy_version


def test_no_finding_holds_the_address(ask: Ask) -> None:
    verdicts = ask(
        ["canary-7f3a@valid.example", "canary-7f3a@@x", '"canary-7f3a"@valid.example', "canary-7f3a@nomx.example"]
    )

    assert "canary" not in repr([verdict.findings for verdict in verdicts])


HOSTILE = [
    "", "@", "a", "a" * 100_000, "a@" + "\u0660" * 5000, "a@" + "xn--" * 5000, "a@" + "b." * 200 + "example",
    "a" + "\u0301" * 50_000 + "@b.example", "\ud800@b.example", "\x00@\x00", "a@b\x00.example", "a@[127.0.0.1]",
    "a@b.com\r\nRCPT TO:<x@y>", "a@\u202evalid.example", "a@valid.example\u2028",
]  # fmt: skip


@pytest.mark.parametrize("address", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_addresses_end_invalid(ask: Ask, address: str) -> None:
    (verdict,) = ask([address])

    assert (verdict.status, verdict.reason_code) == (Status.INVALID, ReasonCode.INVALID_SYNTAX)
    assert verdict.normalised is None


def test_without_a_sandbox_test_questions_stay_unknown() -> None:
    async def main() -> Verdict:
        return await Verifier.open().verify(Question("jane@valid.example", Depth.DOMAIN, Mode.TEST))

    assert asyncio.run(main()).status is Status.UNKNOWN


def test_depth_mailbox_asks_the_mail_host_where_that_is_enabled() -> None:
    """The whole way: name server, guard, mail host. Other depths never connect."""

    async def main() -> list[Verdict]:
        zone_text = "b.net. 60 IN MX 10 mx.b.net.\nmx.b.net. 60 IN A 127.0.0.1"
        async with name_server(zone(zone_text)) as dns, mail_host(MailHost(recipient=_only_jane)) as host:
            manners = Manners("probe.vouchpost.test", "probe@vouchpost.test", port=host.port)
            verifier = Verifier.open(dns_servers=[dns.server], is_public=lambda _: True, mailbox=MailboxCheck(manners))
            questions = [
                Question("jane@b.net", Depth.DOMAIN, Mode.LIVE),
                Question("jane@b.net", Depth.MAILBOX, Mode.LIVE),
                Question("joe@b.net", Depth.MAILBOX, Mode.LIVE),
                Question("sales@b.net", Depth.MAILBOX, Mode.LIVE),
            ]
            verdicts = [await verifier.verify(question) for question in questions]
            await verifier.aclose()
            assert host.connections == 3
            return verdicts

    domain, jane, joe, sales = asyncio.run(main())

    assert (domain.status, domain.reason_code) == (Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL)
    assert (jane.status, jane.reason_code) == (Status.VALID, ReasonCode.MAILBOX_EXISTS)
    assert (joe.status, joe.reason_code) == (Status.INVALID, ReasonCode.MAILBOX_NOT_FOUND)
    assert (sales.status, sales.reason_code) == (Status.INVALID, ReasonCode.MAILBOX_NOT_FOUND)
    assert jane.score > domain.score
    assert jane.checks_skipped == ()
    assert jane.flags.catch_all is False


def test_a_mail_host_on_a_private_network_is_never_connected_to() -> None:
    """A-79."""

    async def main() -> tuple[Verdict, int]:
        zone_text = "b.net. 60 IN MX 10 mx.b.net.\nmx.b.net. 60 IN A 127.0.0.1"
        async with name_server(zone(zone_text)) as dns, mail_host(MailHost()) as host:
            manners = Manners("probe.vouchpost.test", "probe@vouchpost.test", port=host.port)
            verifier = Verifier.open(dns_servers=[dns.server], mailbox=MailboxCheck(manners))
            verdict = await verifier.verify(Question("jane@b.net", Depth.MAILBOX, Mode.LIVE))
            await verifier.aclose()
            return verdict, host.connections

    verdict, connections = asyncio.run(main())

    assert (verdict.status, verdict.reason_code) == (Status.INVALID, ReasonCode.UNSAFE_MX)
    assert connections == 0


def _only_jane(address: str) -> str:
    return "250 2.1.5 Ok" if address.startswith("jane@") else "550 5.1.1 User unknown"


def test_a_slip_is_suggested_where_nothing_takes_mail_and_the_reason_stays_what_was_found() -> None:
    async def main() -> list[Verdict]:
        async with name_server(zone("mailw.com. 60 IN MX 10 mx.mailw.com.\nmx.mailw.com. 60 IN A 1.1.1.1")) as dns:
            verifier = Verifier.open(dns_servers=[dns.server])
            addresses = ["jane@hotmial.com", "jane@mailw.com"]
            verdicts = [await verifier.verify(Question(address, Depth.DOMAIN, Mode.LIVE)) for address in addresses]
            await verifier.aclose()
            return verdicts

    gone, real = asyncio.run(main())

    assert (gone.status, gone.reason_code) == (Status.INVALID, ReasonCode.NO_DOMAIN)
    assert [finding.facts for finding in gone.findings if finding.check == "typo"] == [{"suggestion": "hotmail.com"}]
    assert (real.status, [finding for finding in real.findings if finding.check == "typo"]) == (Status.VALID, [])


def test_a_suffix_that_does_not_exist_is_a_slip_even_when_nobody_is_asked(ask: Ask) -> None:
    (verdict,) = ask(["jane@gmail.cmo"], depth=Depth.SYNTAX, mode=Mode.LIVE)

    assert (verdict.status, verdict.reason_code) == (Status.RISKY, ReasonCode.TYPO_SUSPECTED)


def test_a_domain_nobody_has_listed_is_disposable_by_its_mail_host() -> None:
    async def main() -> Verdict:
        records = "fresh.net. 60 IN MX 10 mail.mailinator.com.\nmail.mailinator.com. 60 IN A 1.1.1.1"
        async with name_server(zone(records)) as dns:
            verifier = Verifier.open(dns_servers=[dns.server])
            verdict = await verifier.verify(Question("jane@fresh.net", Depth.DOMAIN, Mode.LIVE))
            await verifier.aclose()
            return verdict

    verdict = asyncio.run(main())

    assert (verdict.status, verdict.reason_code) == (Status.RISKY, ReasonCode.DISPOSABLE)
    assert verdict.flags.disposable


def test_gibberish_lowers_the_score_and_decides_nothing(ask: Ask) -> None:
    plain, noise = ask(["jane@valid.example", "asdfghjkl@valid.example"])

    assert noise.status is plain.status is Status.VALID
    assert noise.score < plain.score
    assert "gibberish" in {finding.code for finding in noise.findings}
