"""Settings -> live objects. Opens and closes them; the only place that knows which implementation serves which need."""

import asyncio
import random
import secrets
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import structlog

from vouchpost_gateway.api.services import Services
from vouchpost_gateway.checks.syntax import Mailbox, normalise
from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.draw import SEED_BYTES, Draw
from vouchpost_gateway.domain.lane import LaneLimits
from vouchpost_gateway.domain.retention import Retention
from vouchpost_gateway.domain.verification import Status
from vouchpost_gateway.engine import opened_verifier
from vouchpost_gateway.ledger.accepting import Backlog
from vouchpost_gateway.ledger.bells import Bells
from vouchpost_gateway.ledger.connection import Address
from vouchpost_gateway.ledger.deliveries import DeliveryRecords
from vouchpost_gateway.ledger.fanning import Fanning
from vouchpost_gateway.ledger.keyed import KeyedRequests
from vouchpost_gateway.ledger.lanes import BellLimits, Lanes
from vouchpost_gateway.ledger.listening import Verdicts
from vouchpost_gateway.ledger.operators import OperatorRecords
from vouchpost_gateway.ledger.policies import PolicyRecords
from vouchpost_gateway.ledger.retention import RetentionRecords
from vouchpost_gateway.ledger.seal import MasterKeys
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import SubscriptionRecords
from vouchpost_gateway.ledger.tenants import AccessRecords, Tenants
from vouchpost_gateway.ledger.verifications import VerificationRecords
from vouchpost_gateway.ledger.watch import Watch
from vouchpost_gateway.metrics import Metrics
from vouchpost_gateway.pipeline.accept import Accept
from vouchpost_gateway.pipeline.access import Access, SignIn
from vouchpost_gateway.pipeline.attempt import AttemptRules, Deliver
from vouchpost_gateway.pipeline.check_rules import CheckRules
from vouchpost_gateway.pipeline.commit import Commit, CommitRules
from vouchpost_gateway.pipeline.desks import (
    DeadLetterDesk,
    DeliveryDesk,
    EventDesk,
    SubscriptionDesk,
    VerificationDesk,
)
from vouchpost_gateway.pipeline.resend import Resend
from vouchpost_gateway.pipeline.retain import NoArchive, Retain
from vouchpost_gateway.pipeline.subscribe import Subscribe
from vouchpost_gateway.pipeline.verify import Verify
from vouchpost_gateway.pipeline.wait import Wait
from vouchpost_gateway.reporting import Reporter
from vouchpost_gateway.setting_types import Durability
from vouchpost_gateway.settings import Settings
from vouchpost_gateway.transport.names import SystemNames
from vouchpost_gateway.transport.sender import Sender

_SLOW_PER_WORLD = 64
_STRETCH = 8
_JANITOR_INTERVAL_S = 300.0
ROOM = 2000


def now_ms() -> int:
    """The wall clock, for what is not decided by the ledger's own."""
    return time.time_ns() // 1_000_000


def random_bits() -> int:
    return random.getrandbits(80)


def draw() -> Draw:
    """What a request draws: ids, and secrets."""
    return Draw(now_ms(), secrets.token_bytes(SEED_BYTES))


@dataclass(frozen=True, slots=True)
class Gateway:
    """All that a process shares, whatever its role."""

    settings: Settings
    store: Store
    bells: Bells
    tenants: Tenants
    access_records: AccessRecords
    verifications: VerificationRecords
    deliveries: DeliveryRecords
    fanning: Fanning
    subscriptions: SubscriptionRecords
    policies: PolicyRecords
    lanes: Lanes
    verdicts: Verdicts
    watch: Watch
    metrics: Metrics
    report: Reporter
    subscribe: Subscribe
    resend: Resend
    services: Services


@asynccontextmanager
async def opened(settings: Settings, *, reply_limit_s: float = 2.0) -> AsyncIterator[Gateway]:
    """Everything but the role's own work. Nothing is connected yet but what listens and watches."""
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        report = Reporter(metrics)
        url = settings.ledger_url.get_secret_value()
        store = Store(url, reply_limit_s=reply_limit_s)
        stack.push_async_callback(store.aclose)
        bell_store = Store(settings.ring_url.get_secret_value(), reply_limit_s=reply_limit_s)
        stack.push_async_callback(bell_store.aclose)
        bells = Bells(bell_store, rung=lambda count: report.rung(count, swept=False))
        stack.push_async_callback(bells.aclose)
        gateway = _assemble(settings, store, bells, metrics, report)
        await gateway.watch.start()
        await gateway.tenants.check_master_keys()
        await owned(stack, gateway.watch.forever())
        yield gateway


def janitor(gateway: Gateway) -> Retain:
    """What removes all that is past its time."""
    settings = gateway.settings
    records = RetentionRecords(
        gateway.store, gateway.tenants, gateway.verifications, gateway.deliveries, gateway.subscriptions
    )
    rules = Retention(
        round(settings.retain_verdicts_s * 1000),
        round(settings.retain_delivered_s * 1000),
        round(settings.retain_dead_letters_s * 1000),
    )
    return Retain(records, rules, gateway.report, NoArchive(), _JANITOR_INTERVAL_S)


def _assemble(settings: Settings, store: Store, bells: Bells, metrics: Metrics, report: Reporter) -> Gateway:
    limits = BellLimits(linger_ms=round(settings.linger_s * 1000))
    tenants = Tenants(store, MasterKeys(settings.sealing_keys()), settings.partitions)
    access_records = AccessRecords(store)
    verifications = VerificationRecords(
        store,
        tenants,
        backlog=Backlog(settings.backlog_max_items, round(settings.backlog_max_age_s * 1000)),
        bells=limits,
        idempotency_ms=round(settings.idempotency_s * 1000),
        replicas=1 if settings.durability is Durability.REPLICA else 0,
    )
    deliveries = DeliveryRecords(store, limits, round(settings.idempotency_s * 1000))
    subscriptions = SubscriptionRecords(store, tenants, limits)
    policies = PolicyRecords(store, tenants)
    lanes = Lanes(store, limits)
    verdicts = Verdicts(settings.ledger_url.get_secret_value())
    sign_in = SignIn(access_records, now_ms, settings.partitions)

    def forget_all() -> None:
        for cache in (tenants, subscriptions, policies, sign_in):
            cache.forget()

    watch = Watch(
        store,
        partitions=settings.partitions,
        accept_loss=settings.accept_loss,
        needs_replica=settings.durability is Durability.REPLICA,
        ceiling=settings.memory_ceiling,
        replaced=forget_all,
        waiting=report.waiting,
        changed=report.readiness,
        seen=lambda used, limit: metrics.ledger_memory(used_bytes=used, max_bytes=limit),
    )
    subscribe = Subscribe(
        subscriptions,
        access_records,
        bells.ring,
        report,
        now_ms,
        draw,
        settings.max_matches,
        settings.max_partner_matches,
    )
    resend = Resend(deliveries, lanes, subscribe, bells.ring, now_ms)
    services = Services(
        authentication=sign_in,
        verifications=VerificationDesk(
            verifications,
            lanes,
            Accept(verifications, bells.ring, report, now_ms, random_bits, watch.has_room),
            Wait(verifications, verdicts, settings.wait_max_waiters),
            bells.ring,
        ),
        subscriptions=SubscriptionDesk(subscribe, deliveries, resend, now_ms, round(settings.retain_verdicts_s * 1000)),
        deliveries=DeliveryDesk(deliveries, subscribe, resend),
        dead_letters=DeadLetterDesk(deliveries, verifications, subscribe),
        events=EventDesk(deliveries, subscribe),
        access=Access(access_records, tenants, subscribe, sign_in.forget, now_ms, draw, secrets.token_bytes),
        policies=policies,
        keyed=KeyedRequests(store, tenants, draw, watch.has_room, round(settings.idempotency_s * 1000)),
        health=watch,
    )
    return Gateway(
        settings=settings,
        store=store,
        bells=bells,
        tenants=tenants,
        access_records=access_records,
        verifications=verifications,
        deliveries=deliveries,
        fanning=Fanning(store, bells.ring, limits),
        subscriptions=subscriptions,
        policies=policies,
        lanes=lanes,
        verdicts=verdicts,
        watch=watch,
        metrics=metrics,
        report=report,
        subscribe=subscribe,
        resend=resend,
        services=services,
    )


async def owned(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """A task that ends with the stack. Should it fail before, the process ends too, in good order.

    One that lost its watch, its sweeper or its janitor would look alive and keep no promise; its supervisor starts
    another.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_must_not_fail)

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    stack.push_async_callback(end)


def _must_not_fail(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        structlog.get_logger().critical(
            "task.failed", task=getattr(task.get_coro(), "__qualname__", ""), exc_info=error
        )
        signal.raise_signal(signal.SIGTERM)


class Checks:
    """The verifier as the pipeline needs it."""

    def __init__(self, verifier: Verifier) -> None:
        self.policy_version = verifier.policy_version
        self.verify = verifier.verify
        self.judge_again = verifier.judge_again

    def normalised(self, address: str) -> str | None:
        mailbox = normalise(address)
        return mailbox.address if isinstance(mailbox, Mailbox) else None


@asynccontextmanager
async def verify_work(gateway: Gateway) -> AsyncIterator[Verify]:
    """The work of verification lanes, with its name servers."""
    settings = gateway.settings
    rules = CommitRules(
        cache_ms={
            Status.VALID: round(settings.cache_valid_s * 1000),
            Status.INVALID: round(settings.cache_invalid_s * 1000),
            Status.RISKY: round(settings.cache_risky_s * 1000),
            Status.UNKNOWN: round(settings.cache_unknown_s * 1000),
        },
        recheck_delays_ms=[round(delay * 1000) for delay in settings.recheck_delays_s],
    )
    async with opened_verifier(
        settings, shared=OperatorRecords(gateway.store), told=gateway.report.egress, now=time.monotonic
    ) as verifier:
        yield Verify(
            gateway.verifications,
            gateway.policies,
            Checks(verifier),
            Commit(gateway.verifications, gateway.subscriptions, rules, gateway.bells.ring, gateway.report),
            CheckRules(settings.checks_max, settings.checks_window_s, settings.check_timeout_s),
            LaneLimits(
                lease_ms=round(settings.verify_lease_s * 1000),
                lane_cap=settings.verify_in_flight,
                stretch=_STRETCH * settings.verify_in_flight,
            ),
            gateway.report,
            random.random,
        )


@asynccontextmanager
async def deliver_work(gateway: Gateway) -> AsyncIterator[Deliver]:
    """The work of subscriptions' lanes, with its one HTTP client."""
    settings = gateway.settings
    sender = await Sender.open(
        timeout_s=settings.push_timeout_s,
        connections=ROOM,
        allow_networks=tuple(settings.push_allow_networks),
        closed_ports=own_ports(settings),
        names=SystemNames(
            servers=[(server.host, server.port) for server in settings.dns_servers], timeout_s=settings.dns_timeout_s
        ),
    )
    try:
        rules = AttemptRules(
            schedule_s=tuple(settings.delivery_schedule_s),
            max_age_s=settings.delivery_max_age_s,
            max_in_flight=settings.push_in_flight,
            lease_ms=round(settings.lease_s * 1000),
            world_in_flight=settings.tenant_in_flight,
            world_slow=_SLOW_PER_WORLD,
        )
        yield Deliver(_Events(gateway), gateway.subscribe, sender, rules, gateway.report, random.random)
    finally:
        await sender.aclose()


def own_ports(settings: Settings) -> frozenset[int]:
    """Where our own services listen: no subscriber lives there, whatever a test key may reach on this machine.

    Which of the three ports of metrics that `up` uses is this process's own, it does not know.
    """
    urls = (settings.ledger_url.get_secret_value(), settings.ring_url.get_secret_value())
    ports = {Address.parse(url).port for url in urls} | {settings.api_port}
    if settings.sandbox_dns is not None:
        ports.add(settings.sandbox_dns.port)
    return frozenset(ports | {settings.metrics_port + offset for offset in range(-2, 3) if settings.metrics_port})


class _Events:
    """Events come from where deliveries are read; the address, for those who asked for it, from the verification."""

    def __init__(self, gateway: Gateway) -> None:
        self.event = gateway.deliveries.event
        self.address = gateway.verifications.address
