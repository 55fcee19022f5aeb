"""Settings -> the verifier, with everything that it asks and remembers. Opens and closes it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from vouchpost_gateway.checks.dns import Resolver
from vouchpost_gateway.checks.lists import DomainLists
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.nameservers import servers_of
from vouchpost_gateway.checks.selftest import PortWatch
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.traffic import Shared, Traffic
from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.address import is_public
from vouchpost_gateway.domain.traffic import Limits
from vouchpost_gateway.domain.verification import Depth
from vouchpost_gateway.settings import TURN_S, Settings

_LEASE_SLACK_S = 5.0


@asynccontextmanager
async def opened_verifier(
    settings: Settings, *, shared: Shared, told: Callable[[str], None], now: Callable[[], float]
) -> AsyncIterator[Verifier]:
    """The verifier of a worker. While it is open, `told` hears whether mail hosts can be reached from here at all."""
    mailbox = mailbox_check(settings, shared, now=now)
    verifier = Verifier.open(
        dns_servers=[str(server) for server in settings.dns_servers],
        dns_timeout_s=settings.dns_timeout_s,
        sandbox_dns=str(settings.sandbox_dns) if settings.sandbox_dns else None,
        is_public=is_public,
        mailbox=mailbox,
        health_from=Depth(settings.domain_health_from),
        lists=DomainLists.at(settings.lists_dir),
    )
    watching = asyncio.create_task(_watched(settings, mailbox, told)) if mailbox else None
    try:
        yield verifier
    finally:
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        await verifier.aclose()


def manners_of(settings: Settings) -> Manners | None:
    """Who mail hosts are asked by; None where none are. Raises Misconfigured."""
    if settings.smtp_mail_from is None:
        return None
    return Manners.introduced(
        mail_from=settings.smtp_mail_from,
        helo_name=settings.smtp_helo_name,
        source_address=str(settings.smtp_source_address) if settings.smtp_source_address else None,
        proxy_url=settings.smtp_proxy.get_secret_value() if settings.smtp_proxy else None,
    )


def mailbox_check(settings: Settings, shared: Shared, *, now: Callable[[], float]) -> MailboxCheck | None:
    manners = manners_of(settings)
    if manners is None:
        return None
    limits = Limits(
        at_once=settings.smtp_at_once,
        per_minute=settings.smtp_per_minute,
        daily_cap=settings.smtp_operator_daily_cap,
        total_daily_cap=settings.smtp_daily_cap,
        lease_s=settings.smtp_timeout_s + _LEASE_SLACK_S,
    )
    traffic = Traffic(shared, limits, patience_s=TURN_S)
    return MailboxCheck(manners, total_s=settings.smtp_timeout_s, traffic=traffic, now=now)


async def _watched(settings: Settings, mailbox: MailboxCheck, told: Callable[[str], None]) -> None:
    servers = servers_of([str(server) for server in settings.dns_servers])
    resolver = Resolver(servers, timeout_s=settings.dns_timeout_s)
    try:
        await PortWatch(
            resolver, mailbox.manners, is_public, mailbox.egress, settings.smtp_selftest_domains, told
        ).forever()
    finally:
        await resolver.aclose()
