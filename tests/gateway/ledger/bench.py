"""A ledger on a real Redis, with one tenant, and short words for what the tests do to it."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

import redis

from vouchpost_gateway.domain.commitment import CommitAnswer, Commitment
from vouchpost_gateway.domain.event import EventType, build, verdict_event
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, new_stem, subscription_id
from vouchpost_gateway.domain.lane import (
    Claim,
    Lane,
    LaneKind,
    LaneLimits,
    LaneNews,
    NextStep,
    Ring,
    Settlement,
    Turn,
    deliveries,
    verifications,
)
from vouchpost_gateway.domain.secret import SigningSecret
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import (
    Accepted,
    CheckRun,
    Depth,
    Finding,
    Flags,
    NewVerification,
    Priority,
    ReasonCode,
    Status,
    Verdict,
    Verification,
)
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.accepting import Backlog
from vouchpost_gateway.ledger.crowds import AT_ONCE
from vouchpost_gateway.ledger.deliveries import DeliveryRecords
from vouchpost_gateway.ledger.fanning import Fanning
from vouchpost_gateway.ledger.lanes import BellLimits, Lanes
from vouchpost_gateway.ledger.seal import MasterKeys
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import SubscriptionRecords
from vouchpost_gateway.ledger.tenants import Tenants
from vouchpost_gateway.ledger.verifications import VerificationRecords

MASTER_KEY = bytes(range(32))
PARTITIONS = 2
START_MS = 1_795_341_600_000
LONG = BellLimits(ring_ms=60_000, linger_ms=1000)
LIMITS = LaneLimits(lease_ms=60_000, lane_cap=16, world_fast_cap=1000, world_slow_cap=64)

VALID = Verdict(
    status=Status.VALID,
    reason_code=ReasonCode.DOMAIN_ACCEPTS_MAIL,
    score=0.9,
    flags=Flags(disposable=False, role=False, free=True),
    findings=(Finding("mx", "mx_found", {"hosts": 2}),),
    normalised="a@example.com",
    domain="example.com",
    policy_version="1",
)

T = TypeVar("T")


class Bench:
    """The ledger of one test. Everything runs on one event loop, step by step."""

    def __init__(
        self,
        url: str,
        *,
        backlog: Backlog | None = None,
        bells: BellLimits = LONG,
        deliver_at_once: int = AT_ONCE,
        raw: Any = None,
        world: World | None = None,
    ) -> None:
        self.url = url
        self.runner = asyncio.Runner()
        self.raw: Any = raw or redis.Redis.from_url(url)  # its types cannot tell the plain client from the async one
        self.store = Store(url)
        self.tenants = Tenants(self.store, MasterKeys([MASTER_KEY]), PARTITIONS)
        self.verifications = VerificationRecords(
            self.store, self.tenants, backlog or Backlog(), bells, deliver_at_once=deliver_at_once
        )
        self.fanned_out: list[Ring] = []
        self.fanning = Fanning(self.store, self.fanned_out.extend, bells)
        self.subscriptions = SubscriptionRecords(self.store, self.tenants, bells)
        self.deliveries = DeliveryRecords(self.store, bells)
        self.lanes = Lanes(self.store, bells)
        self.world = world or self.new_world("acme")
        self._serial = count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.store.aclose())
        self.runner.close()
        self.raw.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def new_world(self, name: str) -> World:
        return self.run(self.tenants.create(name, now_ms=START_MS)).world(Mode.LIVE)

    def stem(self) -> str:
        return new_stem(now_ms=START_MS, random_bits=next(self._serial))

    def accept(
        self,
        address: str = "a@example.com",
        *,
        stem: str | None = None,
        key: str | None = None,
        body: bytes = b"{}",
        priority: Priority = Priority.NORMAL,
        world: World | None = None,
    ) -> Accepted:
        return self.accept_and_ring(address, stem=stem, key=key, body=body, priority=priority, world=world)[0]

    def accept_and_ring(
        self,
        address: str = "a@example.com",
        *,
        stem: str | None = None,
        key: str | None = None,
        body: bytes = b"{}",
        priority: Priority = Priority.NORMAL,
        world: World | None = None,
    ) -> tuple[Accepted, list[Ring]]:
        new = self.new(address, priority=priority)
        return self.run(
            self.verifications.accept(world or self.world, stem or self.stem(), new, idempotency_key=key, body=body)
        )

    def new(self, address: str = "a@example.com", *, priority: Priority = Priority.NORMAL) -> NewVerification:
        return NewVerification(address, Depth.DOMAIN, priority, "user_1", {"k": "v"})

    def lane(self) -> Lane:
        return verifications(self.world)

    def generation(self, lane: Lane) -> int:
        """The current generation of a lane's bell, 0 when it never rang."""
        text = self.raw.hget(keys.bells(lane.world.partition), lane.id)
        return int(text.split()[0]) if text else 0

    def lose_bell(self, lane: Lane) -> None:
        """As if the ring was lost and the time that it counted for had passed."""
        self.raw.hset(keys.bells(lane.world.partition), lane.id, f"{self.generation(lane)} 1 0")

    def end_bell(self, lane: Lane) -> None:
        """As if a slice ended that left nothing due."""
        self.raw.hset(keys.bells(lane.world.partition), lane.id, f"{self.generation(lane)} 0 0")

    def rung(self, lane: Lane) -> int:
        """A generation that holds the lane, whatever was rung before."""
        generation = self.generation(lane)
        if generation:
            return generation
        self.raw.hset(keys.bells(lane.world.partition), lane.id, "1 0 0")
        return 1

    def turn(
        self,
        lane: Lane,
        *settlements: Settlement,
        want: int = 0,
        generation: int | None = None,
        limits: LaneLimits = LIMITS,
        news: LaneNews | None = None,
        step: NextStep = NextStep.HOLD,
    ) -> Turn:
        if lane.kind is not LaneKind.DELIVERIES:
            limits = LaneLimits(limits.lease_ms, limits.lane_cap)
        return self.run(
            self.lanes.turn(
                lane,
                self.rung(lane) if generation is None else generation,
                limits=limits,
                want=want,
                settlements=settlements,
                news=news or LaneNews(),
                next_step=step,
            )
        )

    def claim(self, lane: Lane, *, limits: LaneLimits = LIMITS) -> Claim:
        """One item, which must be there."""
        [claim] = self.turn(lane, want=1, limits=limits).claims
        return claim

    def subscribe(self, *, enabled: bool = True, event_types: frozenset[str] = frozenset()) -> Subscription:
        number = self.run(self.subscriptions.next_number(self.world))
        made = Subscription(
            id=subscription_id(now_ms=START_MS, random_bits=number, number=number),
            number=number,
            url="https://example.com/hook",
            event_types=event_types,
            secrets=(SigningSecret(bytes([number % 256]) * 32),),
            created_ms=START_MS,
            enabled=enabled,
        )
        self.run(self.subscriptions.write(self.world, made, new=True))
        return made

    def change(self, subscription: Subscription, **changes: Any) -> Subscription:
        after = replace(subscription, version=subscription.version + 1, **changes)
        self.run(self.subscriptions.write(self.world, after, new=False))
        return after

    def commit(self, claim: Claim, targets: Sequence[int] = (), **made: Any) -> str:
        return self.commit_and_ring(claim, targets, **made)[0]

    def commit_and_ring(self, claim: Claim, targets: Sequence[int] = (), **made: Any) -> tuple[str, list[Ring]]:
        """Commits with an event at the current revision of the subscription set, unless another one is given."""
        return self.run(self._commit(claim, targets, **made))

    async def _commit(self, claim: Claim, targets: Sequence[int], **made: Any) -> tuple[str, list[Ring]]:
        verification = await self.verifications.view(self.world, claim.item)
        if verification is None:
            return "erased", []
        return await self.commit_view(verification, claim, targets, **made)

    async def commit_view(
        self,
        verification: Verification,
        claim: Claim,
        targets: Sequence[int] = (),
        *,
        verdict: Verdict = VALID,
        revision: int = 1,
        checked_ms: int = START_MS,
        set_revision: int | None = None,
        recheck_ms: int | None = None,
        cache_ms: int = 0,
    ) -> tuple[CommitAnswer, list[Ring]]:
        event = verdict_event(
            verification, verdict, revision=revision, at_ms=START_MS, checked_ms=checked_ms, email_hash="00" * 32
        )
        known = await self.subscriptions.fresh(self.world)
        made = Commitment(
            run=CheckRun(1, START_MS, 5, verdict.reason_code, verdict.findings),
            verdict=verdict,
            revision=revision,
            checked_ms=checked_ms,
            email_hash="00" * 32,
            event=event,
            targets=targets,
            set_revision=known.revision if set_revision is None else set_revision,
            cache_ms=cache_ms,
            recheck_ms=recheck_ms,
            dead=verdict.status is Status.UNKNOWN,
        )
        return await self.verifications.commit(self.world, verification, claim, made, normalised=verdict.normalised)

    def delivered_to(self, *subscriptions: Subscription) -> EventRef:
        """A verification that was accepted and committed, its event in line for these subscriptions."""
        stem = self.accept().stem
        claim = self.claim(self.lane())
        assert claim.item == stem
        assert self.commit(claim, [s.number for s in subscriptions]) == "ok"
        return EventRef(stem, 1)

    def announce(self, subscription: Subscription) -> DeliveryRef:
        """A test event to this subscription alone."""
        event = build(self.stem(), 0, EventType.SUBSCRIPTION_TEST, at_ms=START_MS, data={})
        self.run(self.subscriptions.announce(self.world, event, [subscription.number]))
        return DeliveryRef(EventRef(event.stem, 0), subscription.number)

    def lane_of(self, subscription: Subscription) -> Lane:
        return deliveries(self.world, subscription.number)

    def sweep(self) -> list[Ring]:
        return self.run(self.lanes.sweep(self.world.partition, LaneKind))

    def waiting(self, lane: Lane) -> dict[str, float]:
        """What is in line, with the time it is due."""
        found: dict[str, float] = {}
        for part in "012":
            page = self.raw.zrange(keys.lane_part(lane, part), 0, -1, withscores=True)
            found |= {item.decode(): score for item, score in page}
        return found

    def in_flight(self, lane: Lane) -> dict[str, float]:
        """What is leased, with the end of its lease."""
        page = self.raw.zrange(keys.lane_part(lane, "f"), 0, -1, withscores=True)
        return {item.decode(): score for item, score in page}

    def due(self, lane: Lane) -> float | None:
        """When the partition's index says that the lane is due."""
        due: float | None = self.raw.zscore(keys.due_lanes(lane.world.partition), lane.id)
        return due

    def now_ms(self) -> float:
        seconds, micros = self.raw.time()
        return float(seconds * 1000 + micros / 1000)
