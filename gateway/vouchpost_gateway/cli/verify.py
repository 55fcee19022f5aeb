"""`vouchpost verify`: one address through the same checks as the workers', and every finding as a readable tree."""

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.domain.verification import Depth, Finding, Question, Status, Verdict
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.embedded import dns

# For scripts; 2 is typer's own, for a command line that is wrong.
EXIT_CODES: Mapping[Status, int] = MappingProxyType(
    {Status.VALID: 0, Status.INVALID: 1, Status.RISKY: 3, Status.UNKNOWN: 4}
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
        str, typer.Option(envvar="VOUCHPOST_DNS_SERVERS", help="Name servers, by commas; the system's if none.")
    ] = "",
    dns_timeout_s: Annotated[float, typer.Option(envvar="VOUCHPOST_DNS_TIMEOUT_S", min=0.1, max=60)] = 5.0,
    mail_from: Annotated[
        str,
        typer.Option(
            envvar="VOUCHPOST_SMTP_MAIL_FROM",
            help="An address of yours that asks mail hosts; without it none is asked.",
        ),
    ] = "",
    helo_name: Annotated[
        str,
        typer.Option(envvar="VOUCHPOST_SMTP_HELO_NAME", help="This machine's public host name, said to mail hosts."),
    ] = "",
) -> None:
    """Checks one address and prints every finding. Exits 0 for valid, 1 for invalid, 3 for risky, 4 for unknown."""
    servers = [server for server in dns_servers.split(",") if server.strip()]
    try:
        manners = Manners.introduced(mail_from=mail_from, helo_name=helo_name) if mail_from else None
        work = _sandboxed if sandbox else partial(_live, servers=servers, manners=manners)
        verdict = asyncio.run(work(address, depth, timeout_s=dns_timeout_s))
    except Misconfigured as error:
        raise typer.BadParameter(str(error)) from error
    Console().print(tree_of(address, verdict, explain=explain))
    raise typer.Exit(EXIT_CODES[verdict.status])


async def _sandboxed(address: str, depth: Depth, *, timeout_s: float) -> Verdict:
    async with dns.serve() as port:
        verifier = Verifier.open(dns_timeout_s=timeout_s, sandbox_dns=f"127.0.0.1:{port}")
        return await _asked(verifier, Question(address, depth, Mode.TEST))


async def _live(
    address: str, depth: Depth, *, timeout_s: float, servers: list[str], manners: Manners | None
) -> Verdict:
    verifier = Verifier.open(dns_servers=servers, dns_timeout_s=timeout_s, manners=manners)
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
