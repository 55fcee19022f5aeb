"""`vouchpost verify`: one address through the same checks as the workers', and every finding as a readable tree."""

import asyncio
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from vouchpost_gateway.checks.canonical import canonical_of
from vouchpost_gateway.checks.lists import DomainLists
from vouchpost_gateway.checks.traffic import OneProcess
from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.verification import Depth, Finding, Status, Verdict
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.embedded import dns
from vouchpost_gateway.engine import mailbox_check
from vouchpost_gateway.settings import Settings, load_settings

# For scripts; 2 is typer's own, for a command line that is wrong.
EXIT_CODES: Mapping[Status, int] = MappingProxyType(
    {Status.VALID: 0, Status.INVALID: 1, Status.RISKY: 3, Status.UNKNOWN: 4}
)

_PLAYED = (
    *("played_provider_unavailable", "played_poisoned", "played_free_provider", "played_alias_relay"),
    "played_gibberish",
)

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "well_formed": "an address by RFC 5321, 6531 and IDNA 2008",
        "malformed": "not an address",
        "reserved_domain": "a name set aside; no mail on the Internet reaches it",
        "disposable": "a throw-away mailbox service",
        "disposable_mail_host": "its mail host is that of a throw-away mailbox service",
        "alias_relay": "forwards to a person's own mailbox; privacy, not throw-away",
        "free_provider": "a mailbox provider open to anybody",
        "role_account": "names a function, not a person",
        "gibberish": "looks as if typed by nobody; a sign, not a verdict",
        "idn_confusable": "a domain in another script that looks like a Latin one",
        "typo_suspected": "nothing takes mail there, and a name that does is a slip away",
        "accepts_mail": "a mail host takes mail for the domain",
        "null_mx": "the domain says that it takes no mail (RFC 7505)",
        "no_mx": "no mail host that could be reached, and all answers were definite",
        "no_domain": "no such name, and the name servers said it twice",
        "unsafe_mx": "its mail hosts are not on the public Internet",
        "mailbox_exists": "the mail host takes mail for it, and not for a random address",
        "mailbox_busy": "the mailbox exists, and is receiving too much at the moment",
        "catch_all": "the mail host takes mail for any address of the domain",
        "mailbox_not_found": "the mail host says that there is no such mailbox",
        "mailbox_gone": "the mailbox was there once, and takes no mail any more",
        "mailbox_disabled": "the mailbox is there, and closed",
        "mailbox_full": "the mailbox is there, and full",
        "mailbox_moved": "the person has another address now",
        "no_such_domain": "the mail host does not know the domain",
        "takes_no_mail": "the mail host says that it takes none",
        "greylisted": "the mail host wants us to come back later",
        "temporary": "the mail host cannot tell at the moment",
        "blocked_by_policy": "the mail host refuses us; that says nothing about the mailbox",
        "blocked_for_now": "the mail host refuses us for the moment",
        "tls_required": "the mail host wants an encrypted connection, and there was none",
        "smtputf8_unsupported": "the mail host does not speak of addresses beyond ASCII",
        "protocol_error": "the mail host does not keep to the protocol",
        "blanket_reject": "the mail host refuses any address in the same words",
        "refusal_untold": "a refusal that could be about anything, and no control to compare it with",
        "catch_all_untold": "accepted, and no control to compare it with",
        "not_probative": "accepted by an operator that accepts addresses that do not exist",
        "accepts_unseen": "accepted without being looked up (252)",
        "mx_resting": "the operator has refused us lately, or is talking to as many of us as it may",
        "mx_unreachable": "no mail host could be connected to",
        "connection_dropped": "the mail host ended the conversation",
        "smtp_timed_out": "the mail host took too long",
        "denied": "the tenant's own policy refuses it",
        "allowed": "the tenant's own policy lets it pass; suspicions are not held against it",
        "not_asked": "nobody was asked, since the tenant does not want it",
        "disposable_suspected": "a list of less worth calls it throw-away; alone that flags nothing",
        "mailbox_not_enabled": "no mail host was asked: VOUCHPOST_SMTP_MAIL_FROM is not set",
        "mailbox_without_route": "no mail host was asked: none is known",
        "mx_crowded": "as many of us as may are talking to the operator; no check was made",
        "daily_cap_reached": "as many conversations as a day may have were had today",
        "proxy_failed": "the proxy to mail hosts cannot be used",
        "spf_sound": "says who may send in its name, and can be evaluated",
        "spf_missing": "does not say who may send in its name",
        "spf_broken": "says who may send in its name, in a way that nobody can evaluate (RFC 7208)",
        "spf_passes_anybody": "lets anybody send in its name",
        "spf_untold": "the name servers could not tell",
        "dmarc_found": "says what to do with mail that only seems to be its own (RFC 9989)",
        "dmarc_missing": "does not say what to do with mail that only seems to be its own",
        "dmarc_untold": "the name servers could not tell",
        "dkim_found": "signs its mail: a key was found",
        "dkim_not_provable": "no key under the usual names; that it has none cannot be proven",
        "dkim_untold": "the name servers could not tell",
        "mta_sts_announced": "announces that mail to it must be encrypted (RFC 8461)",
        "mta_sts_missing": "does not announce that mail to it must be encrypted",
        "mta_sts_untold": "the name servers could not tell",
        **dict.fromkeys(_PLAYED, "played by the sandbox"),
        "no_such_reason": "the sandbox plays reason codes, and none is named so",
        "egress_closed": "no mail host at all answers: port 25 seems closed from here",
        "dns_timeout": "the name servers did not answer; a later check may tell",
        "dns_failure": "the name servers could not tell; a later check may",
        "timed_out": "the checks took too long; a later one may tell",
        "outside_sandbox": "test questions are about the sandbox's domains; nobody was asked",
    }
)

_COLOURS = {Status.VALID: "green", Status.RISKY: "yellow", Status.INVALID: "red", Status.UNKNOWN: "blue"}


def verify(
    address: Annotated[str, typer.Argument(help="The address to check.")],
    *,
    depth: Annotated[Depth, typer.Option(help="How far the checks go.")] = Depth.DOMAIN,
    explain: Annotated[bool, typer.Option(help="Say what each finding means.")] = False,
    sandbox: Annotated[bool, typer.Option(help="Ask the sandbox's zone, as test keys do.")] = False,
    dns_servers: Annotated[
        str, typer.Option(help="Name servers, by commas; those of the settings if none, else the system's.")
    ] = "",
    dns_timeout_s: Annotated[
        float | None, typer.Option(min=0.1, max=60, help="Limit of one DNS question; that of the settings if none.")
    ] = None,
    mail_from: Annotated[
        str, typer.Option(help="An address of yours that asks mail hosts; that of the settings if none.")
    ] = "",
    helo_name: Annotated[str, typer.Option(help="This machine's public host name, said to mail hosts.")] = "",
) -> None:
    """Checks one address and prints every finding. Exits 0 for valid, 1 for invalid, 3 for risky, 4 for unknown."""
    given = {
        "dns_servers": dns_servers,
        "dns_timeout_s": dns_timeout_s,
        "smtp_mail_from": mail_from,
        "smtp_helo_name": helo_name,
    }
    try:
        settings = load_settings(**{name: value for name, value in given.items() if value})
        work = _sandboxed if sandbox else _live
        verdict = asyncio.run(work(address, depth, settings))
    except Misconfigured as error:
        raise typer.BadParameter(str(error)) from error
    Console().print(tree_of(address, verdict, explain=explain))
    raise typer.Exit(EXIT_CODES[verdict.status])


async def _sandboxed(address: str, depth: Depth, settings: Settings) -> Verdict:
    async with dns.serve() as port:
        verifier = Verifier.open(
            dns_timeout_s=settings.dns_timeout_s, sandbox_dns=f"127.0.0.1:{port}", health_from=Depth.DOMAIN
        )
        return await _asked(verifier, Question(address, depth, Mode.TEST))


async def _live(address: str, depth: Depth, settings: Settings) -> Verdict:
    verifier = Verifier.open(
        dns_servers=[str(server) for server in settings.dns_servers],
        dns_timeout_s=settings.dns_timeout_s,
        mailbox=mailbox_check(settings, OneProcess(), now=time.monotonic),
        health_from=Depth.DOMAIN,
        lists=DomainLists.at(settings.lists_dir),
    )
    return await _asked(verifier, Question(address, depth, Mode.LIVE))


async def _asked(verifier: Verifier, question: Question) -> Verdict:
    try:
        return await verifier.verify(question)
    finally:
        await verifier.aclose()


def tree_of(address: str, verdict: Verdict, *, explain: bool) -> Tree:
    """The address, what each check saw, and the verdict that it came to. Nothing in it is read as markup."""
    tree = Tree(_plain(verdict.normalised or address, "bold"))
    for finding in verdict.findings:
        _add_finding(tree, finding, explain=explain)
    other = canonical_of(verdict.normalised)
    if other and other != verdict.normalised:
        tree.add(_plain(f"the same mailbox as {other}", "dim"))
    for check in verdict.checks_skipped:
        tree.add(_plain(f"{check}: skipped", "dim"))
    colour = _COLOURS[verdict.status]
    end = tree.add(_plain(f"{verdict.status.value}: {verdict.reason_code.value}", f"bold {colour}"))
    end.add(_plain(f"score {verdict.score:.2f}, policy {verdict.policy_version}", "dim"))
    if verdict.temporary:
        end.add(_plain("a gateway would check again", "dim"))
    return tree


def _add_finding(tree: Tree, finding: Finding, *, explain: bool) -> None:
    branch = tree.add(_plain(f"{finding.check}: {finding.code}", ""))
    if explain and finding.code in MEANINGS:
        branch.add(_plain(MEANINGS[finding.code], "italic"))
    for name, value in finding.facts.items():
        branch.add(_plain(f"{name.replace('_', ' ')}: {_word(value)}", "dim"))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _plain(text: str, style: str) -> Text:
    """Text for a terminal: what it cannot show, and what could steer it, is spelt out."""
    return Text("".join(char if char.isprintable() else repr(char)[1:-1] for char in text), style=style)
