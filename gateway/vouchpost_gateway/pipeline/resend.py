"""Deliveries again: one by hand, or all of a subscription since a time, the time it was disabled included."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.delivery import DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import Conflict, InvalidField, NotFound
from vouchpost_gateway.domain.event import Event, EventType, timestamp_text
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, decode, encode
from vouchpost_gateway.domain.lane import (
    Claim,
    Lane,
    LaneLimits,
    Ring,
    Settlement,
    SettlementKind,
    Turn,
    recoveries,
)
from vouchpost_gateway.domain.page import Span
from vouchpost_gateway.domain.subscription import Recovery, Subscription
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.work import Done

_STEP = 200
_LEASE_MS = 30_000
_STEP_S = 10
_QUEUE_BY_HAND = 0
_QUEUE_RECOVERED = 2
_PACE_MS = 20


class ResendRecords(Protocol):
    async def resend(
        self,
        world: World,
        ref: DeliveryRef,
        *,
        queue: int,
        now_ms: int,
        draw: Draw | None = ...,
        ends_rest: bool = ...,
    ) -> list[Ring]: ...

    async def events_of(self, world: World, stem: str) -> list[tuple[Event, dict[int, DeliveryState]]]:
        """The events of a record, and how the delivery of each to each subscription stands."""


class Index(Protocol):
    async def stems(self, world: World, *, after: str | None, limit: int, span: Span = ...) -> list[str]: ...


class Enlist(Protocol):
    async def enlist(self, lane: Lane, item: str, *, queue: int, state: bytes = ...) -> tuple[str, list[Ring]]: ...


class Subscriptions(Protocol):
    async def find(self, world: World, number: int) -> Subscription | None: ...


@dataclass(frozen=True, slots=True)
class Resend:
    """Puts deliveries back in line. One that is in line or in flight already is not sent twice for it."""

    records: ResendRecords
    lanes: Enlist
    subscriptions: Subscriptions
    ring: Callable[[Sequence[Ring]], None]
    now_ms: Callable[[], int]

    async def one(self, world: World, ref: DeliveryRef, *, draw: Draw | None = None) -> None:
        """One delivery, due now; with the same draw, once.

        Where the subscription rests, it is tried again, and what else waits goes along.
        NotFound when its event or subscription is gone; Conflict while it is disabled.
        """
        subscription = await self.subscriptions.find(world, ref.subscription_number)
        if subscription is not None and not subscription.enabled:
            raise Conflict("the subscription is disabled; enable it first")
        now_ms = self.now_ms()  # not the draw's: a schedule that began hours ago would end too soon
        self.ring(await self.records.resend(world, ref, queue=_QUEUE_BY_HAND, now_ms=now_ms, draw=draw, ends_rest=True))

    async def all_since(
        self, world: World, subscription: Subscription, *, since_ms: int, until_ms: int | None
    ) -> Recovery:
        """Enlists the recovery; the workers carry it out step by step. Asked again, it begins again."""
        if not subscription.enabled:
            raise Conflict("the subscription is disabled; enable it first")
        recovery = Recovery(subscription.id, since_ms, until_ms or self.now_ms())
        if recovery.since_ms > recovery.until_ms:
            raise InvalidField("since", "lies in the future")
        bookmark = json.dumps({"since": recovery.since_ms, "until": recovery.until_ms, "after": None}).encode()
        item = encode(subscription.number, 4)
        answer, rings = await self.lanes.enlist(recoveries(world), item, queue=1, state=bookmark)
        if answer == "in_flight":
            raise Conflict("a recovery of this subscription is under way")
        self.ring(rings)
        return recovery


@dataclass(frozen=True, slots=True)
class Recover:
    """The work of a recovery lane: a bounded step back through the events, then a bookmark for the next one.

    A step that runs twice finds in line what it put there the first time. It ends long before its lease, however far
    away Redis is.
    """

    records: ResendRecords
    index: Index
    subscriptions: Subscriptions
    ring: Callable[[Sequence[Ring]], None]
    step_s: float = _STEP_S

    async def limits(self, lane: Lane) -> LaneLimits:  # noqa: ARG002  all recovery lanes have the same
        return LaneLimits(lease_ms=_LEASE_MS, lane_cap=4)

    async def after_turn(self, lane: Lane, turn: Turn) -> None:
        """A recovery lane has no health of its own."""

    async def __call__(self, lane: Lane, claim: Claim, turn: Turn) -> Done:
        """Resends what a page of the index holds for this subscription and was not delivered, as far as time allows."""
        bookmark = json.loads(claim.note)
        subscription = await self.subscriptions.find(lane.world, decode(claim.item))
        span = Span(bookmark["since"], bookmark["until"] + 1)
        stems = await self.index.stems(lane.world, after=bookmark["after"], limit=_STEP, span=span)
        if subscription is None or not subscription.enabled or not stems:
            return Done(Settlement(SettlementKind.DONE, claim.item, claim.token))
        clock = asyncio.get_running_loop().time
        gives_up = clock() + self.step_s
        for stem in stems:
            await self._resend_missing(lane.world, stem, subscription, turn.now_ms)
            bookmark["after"] = stem
            if clock() >= gives_up:
                break
        again = json.dumps(bookmark).encode()
        return Done(Settlement(SettlementKind.LATER, claim.item, claim.token, delay_ms=_PACE_MS, note=again))

    async def _resend_missing(self, world: World, stem: str, subscription: Subscription, now_ms: int) -> None:
        for event, states in await self.records.events_of(world, stem):
            if not _owed(event, states.get(subscription.number), subscription):
                continue
            ref = DeliveryRef(EventRef(stem, event.revision), subscription.number)
            with suppress(NotFound, Conflict):  # erased meanwhile, or sent again too often: the others go on
                self.ring(await self.records.resend(world, ref, queue=_QUEUE_RECOVERED, now_ms=now_ms))


def _owed(event: Event, state: DeliveryState | None, subscription: Subscription) -> bool:
    """Whether a recovery sends this event: it did not arrive, or it came while the subscription was disabled.

    Of the events that never went to it, some are not sent: a test, which was meant for another subscription, and, to a
    partner, that somebody else's subscription was disabled, or what came about before its own was there. A tenant may
    fill a new one of its own with what was before.
    """
    if state is not None:
        return state not in {DeliveryState.DELIVERED, DeliveryState.PENDING}
    if event.type == EventType.SUBSCRIPTION_TEST:
        return False
    if subscription.owner is not None and (
        event.type == EventType.SUBSCRIPTION_DISABLED or event.timestamp < timestamp_text(subscription.created_ms)
    ):
        return False
    return subscription.wants(event.type)
