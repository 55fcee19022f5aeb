"""Whether an address is good: runs the checks in order of cost, as far as the question goes, and folds what they saw.

Knows nothing of where questions come from or where verdicts go. Never raises for anything a caller or a name server can
do, and always answers within its time limit.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from vouchpost_gateway.checks.confusable import twin_of
from vouchpost_gateway.checks.dns import Resolver
from vouchpost_gateway.checks.gibberish import gibberish
from vouchpost_gateway.checks.lists import DomainLists, packaged_lists
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.mx import Route, find_route
from vouchpost_gateway.checks.nameservers import parse_server, servers_of
from vouchpost_gateway.checks.policy import Policy, default_policy
from vouchpost_gateway.checks.reserved import is_reserved, is_sandbox
from vouchpost_gateway.checks.role import RoleNames, packaged_roles
from vouchpost_gateway.checks.sandbox import SandboxMail, is_sandbox_host
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.syntax import Mailbox, Malformed, normalise
from vouchpost_gateway.checks.typo import suggestion
from vouchpost_gateway.domain.address import is_public
from vouchpost_gateway.domain.verification import Depth, Finding, Flags, Question, Verdict
from vouchpost_gateway.domain.world import Mode

# For all the name servers are asked about one address.
_TIME_LIMIT_S: Final = 10.0
_HOSTS_TO_TRY: Final = 2
_ADDRESSES_KEPT: Final = 65_536
_NEARLY_SURE: Final = 0.8


@dataclass(frozen=True, slots=True)
class _World:
    """What a mode asks, and whom it trusts: live the Internet, test the sandbox and nothing else."""

    resolver: Resolver | None
    is_public: Callable[[str], bool]
    sandbox: bool


class Verifier:
    """`verify` is the seam: a question in, a verdict out. Open one per process and close it."""

    def __init__(
        self,
        *,
        live: Resolver,
        sandbox: Resolver | None,
        is_public: Callable[[str], bool] = is_public,
        mailbox: MailboxCheck | None = None,
        sandbox_mail: SandboxMail | None = None,
        policy: Policy | None = None,
        lists: DomainLists | None = None,
        roles: RoleNames | None = None,
    ) -> None:
        self._resolvers = [live, sandbox] if sandbox else [live]
        self._worlds = {
            Mode.LIVE: _World(live, lru_cache(_ADDRESSES_KEPT)(is_public), sandbox=False),
            Mode.TEST: _World(sandbox, is_sandbox_host, sandbox=True),
        }
        self._mailbox = mailbox
        self._sandbox_mail = sandbox_mail
        self._policy = policy or default_policy()
        self._lists = lists or packaged_lists()
        self._roles = roles or packaged_roles()
        self.policy_version = f"{self._policy.version}+{self._lists.version}"

    @classmethod
    def open(
        cls,
        *,
        dns_servers: Sequence[str] = (),
        dns_timeout_s: float = 5.0,
        sandbox_dns: str | None = None,
        is_public: Callable[[str], bool] = is_public,
        manners: Manners | None = None,
        smtp_timeout_s: float = 25.0,
    ) -> Self:
        """From plain settings. No servers named means the system's; without a sandbox, test questions stay unknown.

        `manners` enables the mailbox check for live questions: who we say we are to mail hosts. Test questions have the
        sandbox's own mail host.

        Raises Misconfigured for a server that is none.
        """
        live = Resolver(servers_of(dns_servers), timeout_s=dns_timeout_s)
        mailbox = MailboxCheck(manners, total_s=smtp_timeout_s) if manners else None
        if sandbox_dns is None:
            return cls(live=live, sandbox=None, is_public=is_public, mailbox=mailbox)
        server = parse_server(sandbox_dns)
        # Failures of the sandbox are played on purpose and counted, so none is kept.
        sandbox = Resolver([server], timeout_s=dns_timeout_s, failure_ttl_s=0, silence_ttl_s=0)
        mail = SandboxMail(sandbox, server)
        return cls(live=live, sandbox=sandbox, is_public=is_public, mailbox=mailbox, sandbox_mail=mail)

    async def aclose(self) -> None:
        for resolver in self._resolvers:
            await resolver.aclose()

    async def verify(self, question: Question) -> Verdict:
        """The verdict on one address, as deep as asked."""
        mailbox = normalise(question.address)
        if isinstance(mailbox, Malformed):
            return self._verdict([Finding("syntax", "malformed", {"flaw": mailbox.flaw.value})], None)
        world = self._worlds[question.mode]
        findings = [Finding("syntax", "well_formed", {"smtputf8": mailbox.needs_smtputf8})]
        if is_reserved(mailbox.domain) and not (world.sandbox and is_sandbox(mailbox.domain)):
            return self._verdict([*findings, Finding("domain", "reserved_domain")], mailbox)
        findings += self._local_findings(mailbox)
        if question.depth is not Depth.SYNTAX:
            findings += await self._remote_findings(mailbox, question.depth, world)
        if not world.sandbox:
            findings += _typo_findings(mailbox, findings)
        return self._verdict(findings, mailbox, _skipped(question.depth, findings))

    async def _remote_findings(self, mailbox: Mailbox, depth: Depth, world: _World) -> list[Finding]:
        """What name servers say and, where it is asked for and enabled, what the mail host says."""
        check = await self._mailbox_check(world) if depth is Depth.MAILBOX else None
        route = await self._mail_route(mailbox.domain, world, wanted=_HOSTS_TO_TRY if check else 1)
        findings = [route.finding, *self._lists.look_up_hosts(host.name for host in route.hosts)]
        if check and route.hosts:
            findings.append(await check.ask(mailbox, route.hosts))
        return findings

    async def _mailbox_check(self, world: _World) -> MailboxCheck | None:
        if not world.sandbox:
            return self._mailbox
        return await self._sandbox_mail.check() if self._sandbox_mail else None

    def _local_findings(self, mailbox: Mailbox) -> list[Finding]:
        """What needs no network: the lists, and the kind of name."""
        findings = list(self._lists.look_up(mailbox.domain))
        if twin := twin_of(mailbox.display_domain):
            findings.append(Finding("idn", "idn_confusable", {"looks_like": twin}))
        if role := self._roles.role_of(mailbox.local_part):
            findings.append(Finding("role", "role_account", {"role": role}))
        elif (probability := gibberish(mailbox.local_part)) >= _NEARLY_SURE:
            findings.append(Finding("name", "gibberish", {"probability": probability}))
        return findings

    async def _mail_route(self, domain: str, world: _World, *, wanted: int) -> Route:
        if world.resolver is None or (world.sandbox and not is_sandbox(domain)):
            # Test keys never touch the network, so about a real domain there is nothing to be told.
            return Route(Finding("mx", "outside_sandbox"))
        try:
            async with asyncio.timeout(_TIME_LIMIT_S):
                return await find_route(
                    domain, resolver=world.resolver, is_public=world.is_public, sandbox=world.sandbox, wanted=wanted
                )
        except TimeoutError:
            return Route(Finding("mx", "timed_out"))

    def _verdict(self, findings: Sequence[Finding], mailbox: Mailbox | None, skipped: tuple[str, ...] = ()) -> Verdict:
        ruling = self._policy.judge(findings)
        return Verdict(
            status=ruling.status,
            reason_code=ruling.reason,
            score=ruling.score,
            flags=_flags(findings) if mailbox else Flags(),
            findings=tuple(findings),
            normalised=mailbox.address if mailbox else None,
            domain=mailbox.domain if mailbox else None,
            policy_version=self.policy_version,
            checks_skipped=skipped,
            temporary=ruling.temporary,
            degraded=ruling.finding == "egress_closed",
            retry_after_s=_retry_after_s(findings) if ruling.temporary else None,
        )


def _typo_findings(mailbox: Mailbox, findings: Sequence[Finding]) -> list[Finding]:
    codes = {finding.code for finding in findings}
    takes_mail = True if "accepts_mail" in codes else False if codes & _TAKES_NO_MAIL else None
    meant = suggestion(mailbox.domain, takes_mail=takes_mail)
    return [Finding("typo", "typo_suspected", {"suggestion": meant})] if meant else []


_TAKES_NO_MAIL = frozenset({"no_domain", "no_mx", "null_mx"})


def _skipped(depth: Depth, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Checks that the depth asks for and that did not run."""
    codes = {finding.code for finding in findings}
    skipped = ("mx",) if "outside_sandbox" in codes else ()
    ran = any(finding.check == "mailbox" and finding.code not in _DID_NOT_ASK for finding in findings)
    return (*skipped, "mailbox") if depth is Depth.MAILBOX and not ran else skipped


_DID_NOT_ASK = frozenset({"egress_closed", "mx_resting"})


def _flags(findings: Sequence[Finding]) -> Flags:
    codes = {finding.code for finding in findings}
    return Flags(
        disposable=bool(codes & {"disposable", "disposable_mail_host"}),
        role="role_account" in codes,
        free="free_provider" in codes,
        catch_all=True if "catch_all" in codes else False if "mailbox_exists" in codes else None,
    )


def _retry_after_s(findings: Sequence[Finding]) -> float | None:
    """What a host hinted, as a floor for the next check."""
    hints = (finding.facts.get("retry_after_s") for finding in findings)
    return next((float(hint) for hint in hints if hint), None)
