"""Whether an address is good: runs the checks in order of cost, as far as the question goes, and folds what they saw.

Knows nothing of where questions come from or where verdicts go. Never raises for anything a caller or a name server can
do, and always answers within its time limit.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Self

from vouchpost_gateway.checks.confusable import twin_of
from vouchpost_gateway.checks.dns import Resolver
from vouchpost_gateway.checks.folding import flags_of, is_degraded, is_put_off, retry_after_s, skipped
from vouchpost_gateway.checks.gibberish import gibberish
from vouchpost_gateway.checks.health.check import HealthCheck
from vouchpost_gateway.checks.lists import DomainLists, packaged_lists
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.mx import Route, find_route
from vouchpost_gateway.checks.nameservers import WITNESS, parse_server, servers_of
from vouchpost_gateway.checks.played import PLAYED_AT, played
from vouchpost_gateway.checks.policy import Policy, default_policy
from vouchpost_gateway.checks.reserved import is_reserved, is_sandbox
from vouchpost_gateway.checks.role import RoleNames, packaged_roles
from vouchpost_gateway.checks.sandbox import SandboxMail, is_sandbox_host
from vouchpost_gateway.checks.syntax import Mailbox, Malformed, normalise
from vouchpost_gateway.checks.typo import suggestion
from vouchpost_gateway.domain.address import is_public
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.tenant_policy import NO_POLICY, TenantPolicy
from vouchpost_gateway.domain.verification import Depth, Finding, Flags, Verdict
from vouchpost_gateway.domain.world import Mode

# For all the name servers are asked about one address.
_TIME_LIMIT_S: Final = 10.0
_HOSTS_TO_TRY: Final = 2
_ADDRESSES_KEPT: Final = 65_536
_NEARLY_SURE: Final = 0.8
_POLICIES_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class _World:
    """What a mode asks, and whom it trusts: live the Internet, test the sandbox and nothing else."""

    resolver: Resolver | None
    is_public: Callable[[str], bool]
    sandbox: bool
    health: HealthCheck | None = None


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
        health_from: Depth = Depth.MAILBOX,
        policy: Policy | None = None,
        lists: DomainLists | None = None,
        roles: RoleNames | None = None,
    ) -> None:
        self._resolvers = [live, sandbox] if sandbox else [live]
        self._worlds = {
            Mode.LIVE: _World(live, lru_cache(_ADDRESSES_KEPT)(is_public), sandbox=False, health=HealthCheck(live)),
            Mode.TEST: _World(sandbox, is_sandbox_host, sandbox=True, health=HealthCheck(sandbox) if sandbox else None),
        }
        self._mailbox = mailbox
        self._sandbox_mail = sandbox_mail
        self._policy = policy or default_policy()
        self._lists = lists or packaged_lists()
        self._roles = roles or packaged_roles()
        self._health_from = health_from
        self._policy_of = lru_cache(_POLICIES_KEPT)(self._policy.amended)

    @classmethod
    def open(
        cls,
        *,
        dns_servers: Sequence[str] = (),
        dns_timeout_s: float = 5.0,
        sandbox_dns: str | None = None,
        is_public: Callable[[str], bool] = is_public,
        mailbox: MailboxCheck | None = None,
        health_from: Depth = Depth.MAILBOX,
        lists: DomainLists | None = None,
    ) -> Self:
        """From plain settings. No servers named means the system's; without a sandbox, test questions stay unknown.

        `mailbox` enables the mailbox check for live questions. Test questions have the sandbox's own mail host. The
        health of domains costs some ten questions to name servers for each, so it is looked at from a depth on.

        Raises Misconfigured for a server that is none.
        """
        # Servers that were named are believed; those that the system happens to have must know a name that exists.
        live = Resolver(servers_of(dns_servers), timeout_s=dns_timeout_s, witness=None if dns_servers else WITNESS)
        if sandbox_dns is None:
            return cls(
                live=live, sandbox=None, is_public=is_public, mailbox=mailbox, health_from=health_from, lists=lists
            )
        server = parse_server(sandbox_dns)
        # Failures of the sandbox are played on purpose and counted, so none is kept.
        sandbox = Resolver([server], timeout_s=dns_timeout_s, failure_ttl_s=0, silence_ttl_s=0)
        mail = SandboxMail(sandbox, server)
        return cls(
            live=live,
            sandbox=sandbox,
            is_public=is_public,
            mailbox=mailbox,
            sandbox_mail=mail,
            health_from=health_from,
            lists=lists,
        )

    def policy_version(self, tenant: TenantPolicy = NO_POLICY) -> str:
        """Of everything that a verdict is judged by: rulings, the tenant's amendments, and lists."""
        return f"{self._judge(tenant).version}+{self._lists.version}"

    def judge_again(self, verdict: Verdict, tenant: TenantPolicy = NO_POLICY) -> Verdict:
        """A verdict as the policies of today have it, by what was found then and without another check."""
        findings = [finding for finding in verdict.findings if finding.check != "tenant"]
        if verdict.normalised and verdict.domain:
            findings += _tenant_findings(tenant, verdict.normalised, verdict.domain)
        ruling = self._judge(tenant).judge(findings)
        _, plus, lists = verdict.policy_version.partition("+")
        return replace(
            verdict,
            status=ruling.status,
            reason_code=ruling.reason,
            score=ruling.score,
            findings=tuple(findings),
            policy_version=f"{self._judge(tenant).version}{plus}{lists}",
        )

    async def aclose(self) -> None:
        for check in (self._mailbox, self._sandbox_mail):
            if check is not None:
                await check.aclose()
        for resolver in self._resolvers:
            await resolver.aclose()

    async def verify(self, question: Question) -> Verdict:
        """The verdict on one address, as deep as asked."""
        mailbox = normalise(question.address)
        if isinstance(mailbox, Malformed):
            return self._verdict(question, [Finding("syntax", "malformed", {"flaw": mailbox.flaw.value})], None)
        world = self._worlds[question.mode]
        findings = [Finding("syntax", "well_formed", {"smtputf8": mailbox.needs_smtputf8})]
        if is_reserved(mailbox.domain) and not (world.sandbox and is_sandbox(mailbox.domain)):
            return self._verdict(question, [*findings, Finding("domain", "reserved_domain")], mailbox)
        findings += _tenant_findings(question.policy, mailbox.address, mailbox.domain)
        if world.sandbox and mailbox.domain == PLAYED_AT:
            findings += await played(mailbox.local_part, self._policy)
            return replace(self._verdict(question, findings, mailbox), temporary=False)
        findings += self._local_findings(mailbox)
        if question.depth is not Depth.SYNTAX:
            denied = any(finding.code == "denied" for finding in findings)
            findings += (
                _not_asked(question.depth) if denied else await self._remote_findings(mailbox, question.depth, world)
            )
        if not world.sandbox:
            findings += _typo_findings(mailbox, findings)
        return self._verdict(question, findings, mailbox)

    async def _remote_findings(self, mailbox: Mailbox, depth: Depth, world: _World) -> list[Finding]:
        """What name servers say and, where it is asked for and enabled, what the mail host says."""
        check = await self._mailbox_check(world) if depth is Depth.MAILBOX else None
        wanted = _HOSTS_TO_TRY if check else 1
        route, health = await asyncio.gather(
            self._mail_route(mailbox.domain, world, wanted=wanted), self._health(mailbox.domain, depth, world)
        )
        findings = [route.finding, *self._lists.look_up_hosts(host.name for host in route.hosts)]
        if route.hosts:  # how well a domain looks after its mail is of no interest where it takes none
            findings += health
        if depth is Depth.MAILBOX:
            findings.append(await self._mailbox_finding(mailbox, check, route))
        return findings

    async def _mailbox_finding(self, mailbox: Mailbox, check: MailboxCheck | None, route: Route) -> Finding:
        """What the mail host says, or why it was not asked."""
        if check is None:
            return Finding("mailbox", "mailbox_not_enabled")
        if not route.hosts:
            return Finding("mailbox", "mailbox_without_route", {"mx": route.finding.code})
        return await check.ask(mailbox, route.hosts, mx_set=route.exchangers)

    async def _mailbox_check(self, world: _World) -> MailboxCheck | None:
        if not world.sandbox:
            return self._mailbox
        return await self._sandbox_mail.check() if self._sandbox_mail else None

    async def _health(self, domain: str, depth: Depth, world: _World) -> Sequence[Finding]:
        too_shallow = depth is Depth.DOMAIN and self._health_from is Depth.MAILBOX
        if too_shallow or world.health is None or (world.sandbox and not is_sandbox(domain)):
            return ()
        return await world.health.findings(domain)

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

    def _verdict(self, question: Question, findings: Sequence[Finding], mailbox: Mailbox | None) -> Verdict:
        ruling = self._judge(question.policy).judge(findings)
        degraded = is_degraded(ruling.finding)
        return Verdict(
            status=question.policy.degraded_status if degraded else ruling.status,
            reason_code=ruling.reason,
            score=ruling.score,
            flags=flags_of(findings) if mailbox else Flags(),
            findings=tuple(findings),
            normalised=mailbox.address if mailbox else None,
            domain=mailbox.domain if mailbox else None,
            policy_version=self.policy_version(question.policy),
            checks_skipped=skipped(question.depth, findings) if mailbox else (),
            temporary=ruling.temporary,
            degraded=degraded,
            put_off=is_put_off(ruling.finding),
            retry_after_s=retry_after_s(findings) if ruling.temporary else None,
        )

    def _judge(self, tenant: TenantPolicy) -> Policy:
        return self._policy_of(tenant) if tenant.version else self._policy


def _not_asked(depth: Depth) -> list[Finding]:
    """Nobody is asked about an address that the tenant does not want."""
    checks = ("mx", "mailbox") if depth is Depth.MAILBOX else ("mx",)
    return [Finding(check, "not_asked", {"why": "denied"}) for check in checks]


def _tenant_findings(tenant: TenantPolicy, address: str, domain: str) -> list[Finding]:
    said = tenant.says_of(address, domain)
    return [Finding("tenant", said)] if said else []


def _typo_findings(mailbox: Mailbox, findings: Sequence[Finding]) -> list[Finding]:
    codes = {finding.code for finding in findings}
    takes_mail = True if "accepts_mail" in codes else False if codes & _TAKES_NO_MAIL else None
    meant = suggestion(mailbox.domain, takes_mail=takes_mail)
    return [Finding("typo", "typo_suspected", {"suggestion": meant})] if meant else []


_TAKES_NO_MAIL = frozenset({"no_domain", "no_mx", "null_mx"})
