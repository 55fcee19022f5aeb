# ruff: noqa: FBT001, PLR0917  what hypothesis draws is passed by name
"""The ledger against a model that is a dict: whatever is done, in whatever order, nothing is lost or let go twice.

Time passes by short leases that end and by bells whose time is set back; everything else goes through the Python API.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.gateway.ledger.bench import START_MS, Bench
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.errors import IdempotencyConflict, NotFound
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef, encode
from vouchpost_gateway.domain.lane import (
    BellState,
    Claim,
    Lane,
    LaneLimits,
    LaneNews,
    NextStep,
    Ring,
    Settlement,
    SettlementKind,
    deliveries,
    fan_outs,
    recoveries,
    verifications,
)
from vouchpost_gateway.domain.retention import Retention
from vouchpost_gateway.domain.subscription import DisabledReason, Subscription
from vouchpost_gateway.domain.verification import Priority
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.retention import RetentionRecords
from vouchpost_gateway.pipeline.retain import NoArchive, Retain

FAR_MS = 3_600_000
LANE_CAP = 3
WORLD_CAP = 4
AT_ONCE = 1
SHORT_LEASE = 0.003
FAST = LaneLimits(lease_ms=60_000, lane_cap=LANE_CAP, world_fast_cap=WORLD_CAP, world_slow_cap=2)
CRASHING = LaneLimits(lease_ms=1, lane_cap=LANE_CAP, world_fast_cap=WORLD_CAP, world_slow_cap=2)
ROUNDS = 120


@dataclass
class Item:
    """What the model knows of an item in a lane."""

    far: bool = False
    token: int | None = None
    live: bool = False

    @property
    def due(self) -> bool:
        return not self.far and self.token is None


class Silent:
    """A report that nobody reads."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: None


class LedgerMachine(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        with redis.Redis.from_url(self.url) as client:
            client.flushall()
        self.bench = Bench(self.url, deliver_at_once=AT_ONCE)
        self.world = self.bench.world
        self.retention = RetentionRecords(
            self.bench.store,
            self.bench.tenants,
            self.bench.verifications,
            self.bench.deliveries,
            self.bench.subscriptions,
        )
        self.v = verifications(self.world)
        self.f = fan_outs(self.world)
        self.lanes: dict[Lane, dict[str, Item]] = {self.v: {}, self.f: {}, recoveries(self.world): {}}
        self.subscriptions: dict[int, Subscription] = {}
        self.records: dict[str, int] = {}  # stem -> revisions committed
        self.named: dict[str, list[int]] = {}  # item -> whom the commit left to the fan-out
        self.dead: set[str] = set()
        self.ended: dict[tuple[str, int], DeliveryState] = {}  # item and subscription -> how it ended
        self.letters: set[tuple[str, int]] = set()
        self.stale: list[tuple[Lane, Claim]] = []
        self.tokens: dict[Lane, int] = {}
        self.sequence = 0
        self.keyed: dict[str, tuple[str, int]] = {}

    def teardown(self) -> None:
        try:
            self._all_that_is_due_gets_done()
        finally:
            self.bench.__exit__(None, None, None)

    # what can be done

    @rule(priority=st.sampled_from(Priority), key=st.sampled_from([None, "k1", "k2"]))
    def accept(self, priority: Priority, key: str | None) -> None:
        accepted, rings = self.bench.accept_and_ring(priority=priority, key=key)
        if key in self.keyed:
            assert accepted.repeated
            assert (accepted.stem, accepted.sequence) == self.keyed[key]
            assert rings == []
            return
        assert not accepted.repeated
        assert accepted.sequence > self.sequence
        self.sequence = accepted.sequence
        if key is not None:
            self.keyed[key] = (accepted.stem, accepted.sequence)
        self.records[accepted.stem] = 0
        self.lanes[self.v][accepted.stem] = Item()
        self._no_lane_is_silent_now(self.v)

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def accept_again_after_a_lost_reply(self, data: st.DataObject) -> None:
        stem = data.draw(st.sampled_from(sorted(self.records)))

        accepted = self.bench.accept(stem=stem)

        assert accepted.stem == stem
        assert accepted.sequence <= self.sequence

    @precondition(lambda self: self.keyed)
    @rule()
    def accept_another_body_under_the_same_key(self) -> None:
        with pytest.raises(IdempotencyConflict):
            self.bench.accept(key=next(iter(self.keyed)), body=b"other")

    @rule(data=st.data(), want=st.integers(0, 4), crash=st.booleans(), step=st.sampled_from(NextStep))
    def claim(self, data: st.DataObject, want: int, crash: bool, step: NextStep) -> None:
        lane = data.draw(st.sampled_from(list(self.lanes)))
        turn = self.bench.turn(lane, want=want, limits=CRASHING if crash else FAST, step=step)
        assert turn.bell is not BellState.SUPERSEDED or not self.bench.raw.exists(keys.lane_part(lane, "m"))
        self._claimed(lane, turn.claims, live=not crash)
        if crash:
            time.sleep(SHORT_LEASE)

    @rule(data=st.data(), want=st.integers(1, 4))
    def claim_with_a_bell_of_the_past(self, data: st.DataObject, want: int) -> None:
        lane = data.draw(st.sampled_from(list(self.lanes)))
        turn = self.bench.turn(lane, want=want, generation=self.bench.rung(lane) + 7, limits=FAST)
        assert turn.bell is BellState.SUPERSEDED
        assert turn.claims == ()

    @precondition(lambda self: self._flying())
    @rule(
        data=st.data(),
        kind=st.sampled_from(SettlementKind),
        far=st.booleans(),
        held=st.booleans(),
        slow=st.sampled_from([None, True, False]),
        twice=st.booleans(),
    )
    def settle(
        self,
        data: st.DataObject,
        kind: SettlementKind,
        far: bool,
        held: bool,
        slow: bool | None,
        twice: bool,
    ) -> None:
        lane, item = data.draw(st.sampled_from(self._flying()))
        if lane.kind != "d" and kind is SettlementKind.DEAD:
            kind = SettlementKind.LATER
        if lane == self.v and kind is SettlementKind.DONE and not self.records.get(item):
            kind = SettlementKind.LATER  # a verification without a verdict is never done
        if lane == self.f and kind is SettlementKind.DONE:
            self._hand_out(item)
        token = self.lanes[lane][item].token
        assert token is not None
        settlement = _settlement(lane, item, kind, token, far=far)
        news = LaneNews(delivered=int(kind is SettlementKind.DONE), failed=int(kind is SettlementKind.DEAD), slow=slow)
        generation = self.bench.rung(lane) if held else 0
        turn = self.bench.turn(lane, settlement, generation=generation, limits=FAST, news=news)
        assert turn.answers == ("ok",)
        self._settled(lane, item, kind, far=far)
        if not held:
            self._no_lane_is_silent_now(lane)
        if twice:
            assert self.bench.turn(lane, settlement, generation=0, limits=FAST).answers[0] in {"stale", "gone"}

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), kind=st.sampled_from(SettlementKind))
    def settle_with_a_token_of_the_past(self, data: st.DataObject, kind: SettlementKind) -> None:
        """Changes nothing, except that a delivery which did arrive has arrived."""
        lane, claim = data.draw(st.sampled_from(self.stale))
        item = self.lanes.get(lane, {}).get(claim.item)
        arrived = lane.kind == "d" and kind is SettlementKind.DONE
        here = item is not None or self._is_dead_letter(lane, claim.item)

        turn = self.bench.turn(lane, _settlement(lane, claim.item, kind, claim.token), generation=0, limits=FAST)

        if arrived and here:
            assert turn.answers == ("ok",)
            self._settled(lane, claim.item, kind, far=False)
        else:
            assert turn.answers[0] in {"stale", "gone"}

    @precondition(lambda self: self._flying(self.v))
    @rule(data=st.data(), moved=st.booleans(), recheck=st.booleans(), twice=st.booleans())
    def commit(self, data: st.DataObject, moved: bool, recheck: bool, twice: bool) -> None:
        _, stem = data.draw(st.sampled_from(self._flying(self.v)))
        token = self.lanes[self.v][stem].token
        assert token is not None
        claim = Claim(stem, token, 1, 1)
        revision = self.records[stem] + 1
        targets = sorted(number for number, s in self.subscriptions.items() if s.enabled)
        if moved:
            assert self.bench.commit(claim, targets, revision=revision, set_revision=99_999) == "changed"
            return
        answer = self.bench.commit(claim, targets, revision=revision, recheck_ms=FAR_MS if recheck else None)
        assert answer == "ok"
        self.records[stem] = revision
        del self.lanes[self.v][stem]
        if recheck:
            self.lanes[self.v][stem] = Item(far=True)
        for lane in self._committed(EventRef(stem, revision).item, targets):
            self._no_lane_is_silent_now(lane)
        if twice:
            assert self.bench.commit(claim, targets, revision=revision) == "stale"

    @rule(count=st.integers(1, 3))
    def verify_some(self, count: int) -> None:
        """Accepted, claimed and committed, so that there are deliveries to do things to."""
        for _ in range(count):
            self.records[self.bench.accept(stem=self.bench.stem()).stem] = 0
            self.lanes[self.v][max(self.records)] = Item()
        self.sequence = max(self.sequence, self.bench.accept(stem=max(self.records)).sequence)
        self._claimed(self.v, self.bench.turn(self.v, want=count, limits=FAST).claims, live=True)
        targets = sorted(number for number, s in self.subscriptions.items() if s.enabled)
        for _, stem in self._flying(self.v):
            token = self.lanes[self.v].pop(stem).token
            assert token is not None
            self.records[stem] += 1
            assert self.bench.commit(Claim(stem, token, 1, 1), targets, revision=self.records[stem]) == "ok"
            self._committed(EventRef(stem, self.records[stem]).item, targets)

    @precondition(lambda self: self._flying(self.f))
    @rule(data=st.data())
    def hand_out(self, data: st.DataObject) -> None:
        """And then crash, or be late: what is handed out again is in line once."""
        _, item = data.draw(st.sampled_from(self._flying(self.f)))
        for lane in self._hand_out(item):
            self._no_lane_is_silent_now(lane)

    @precondition(lambda self: any(lane == self.v for lane, _ in self.stale))
    @rule(data=st.data())
    def commit_with_a_token_of_the_past(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from([claim for lane, claim in self.stale if lane == self.v]))
        revision = self.records.get(claim.item, 0) + 1
        assert self.bench.commit(claim, revision=revision) in {"stale", "erased"}

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def recheck(self, data: st.DataObject) -> None:
        stem = data.draw(st.sampled_from(sorted(self.records)))
        known = self.lanes[self.v].get(stem)

        answer, _ = self.bench.run(self.bench.lanes.enlist(self.v, stem, queue=0))

        assert answer == ("in_flight" if known is not None and known.token is not None else "ok")
        if answer == "ok":
            self.lanes[self.v][stem] = Item()
            self._no_lane_is_silent_now(self.v)

    @precondition(lambda self: self.subscriptions)
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        lane, item = recoveries(self.world), f"{data.draw(st.sampled_from(sorted(self.subscriptions))):04d}"
        known = self.lanes[lane].get(item)
        answer, _ = self.bench.run(self.bench.lanes.enlist(lane, item, queue=1, state=b"{}"))
        assert answer == ("in_flight" if known is not None and known.token is not None else "ok")
        if answer == "ok":
            self.lanes[lane][item] = Item()

    @precondition(lambda self: self._delivery_keys())
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        item, number = data.draw(st.sampled_from(self._delivery_keys()))
        lane = deliveries(self.world, number)
        ref = DeliveryRef(EventRef.from_item(item), number)
        if lane not in self.lanes or ref.event.stem not in self._stems():
            with pytest.raises(NotFound):
                self.bench.run(self.bench.deliveries.resend(self.world, ref, queue=0, now_ms=START_MS))
            return
        self.bench.run(self.bench.deliveries.resend(self.world, ref, queue=0, now_ms=START_MS))
        known = self.lanes[lane].get(item)
        if known is None or known.token is None:
            self.lanes[lane][item] = Item()
            self.ended.pop((item, number), None)
            self.letters.discard((item, number))
            self._no_lane_is_silent_now(lane)

    @rule()
    def subscribe(self) -> None:
        if len(self.subscriptions) < 4:
            made = self.bench.subscribe()
            self.subscriptions[made.number] = made
            self.lanes[deliveries(self.world, made.number)] = {}

    @precondition(lambda self: self.subscriptions)
    @rule(data=st.data())
    def disable_or_enable(self, data: st.DataObject) -> None:
        before = self.subscriptions[data.draw(st.sampled_from(sorted(self.subscriptions)))]
        reason = DisabledReason.BY_OWNER if before.enabled else None
        after = self.bench.change(before, enabled=not before.enabled, disabled_reason=reason)
        self.subscriptions[after.number] = after
        if after.enabled:
            self._no_lane_is_silent_now(deliveries(self.world, after.number))

    @precondition(lambda self: self.subscriptions)
    @rule(data=st.data())
    def delete_subscription(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.subscriptions)))
        self.bench.run(self.bench.subscriptions.remove(self.world, self.subscriptions.pop(number)))
        del self.lanes[deliveries(self.world, number)]

    @precondition(lambda self: self.subscriptions)
    @rule(data=st.data())
    def announce(self, data: st.DataObject) -> None:
        subscription = self.subscriptions[data.draw(st.sampled_from(sorted(self.subscriptions)))]
        ref = self.bench.announce(subscription)
        self.dead.add(ref.event.stem)  # an event that stands alone: nothing verifies it
        self.lanes[deliveries(self.world, subscription.number)][ref.event.item] = Item()

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        stem = data.draw(st.sampled_from(sorted(self.records)))

        assert self.bench.run(self.bench.verifications.erase(self.world, stem))

        assert not self.bench.run(self.bench.verifications.erase(self.world, stem))
        self._erased(stem)

    @precondition(lambda self: len(self._stems()) > 6)
    @rule()
    def retain(self) -> None:
        """Past all retention, waiting deliveries become dead letters first; a record goes once nothing is open."""
        rules = Retention(verdicts_ms=1000, delivered_ms=1000, dead_letters_ms=1000)
        janitor = Retain(self.retention, rules, Silent(), NoArchive(), 3600)
        going = [stem for stem in self._stems() if not self._pending(stem)]
        opened = {stem for stem in going if self._open(stem)}

        removed = self.bench.run(janitor.once(START_MS + 10 * FAR_MS))

        assert removed == len(going) - len(opened)
        for stem in going:
            if stem not in opened:
                self._erased(stem)
        for lane, item in self._waiting_deliveries(opened):
            del self.lanes[lane][item]
            self.ended[item, lane.number] = DeliveryState.DEAD
        self.letters.clear()  # all are past their time

    @rule(data=st.data())
    def lose_a_bell(self, data: st.DataObject) -> None:
        self._silence(data.draw(st.sampled_from(list(self.lanes))))

    @rule()
    def sweep(self) -> None:
        """Rings exactly the lanes that are due and silent, each at its next generation."""
        now = self.bench.now_ms()
        silent = {
            lane.id: self._bell(lane)[0]
            for lane in self.lanes
            if self._is_due(lane, now) and self._is_silent(lane, now)
        }

        rings = {ring.lane_id: ring.generation for ring in self.bench.sweep()}

        assert rings == {lane_id: generation + 1 for lane_id, generation in silent.items()}
        assert self.bench.sweep() == []

    # what holds after each of these

    @invariant()
    def nothing_is_lost_and_nothing_comes_from_nowhere(self) -> None:
        for lane, items in self.lanes.items():
            waiting, flying = self.bench.waiting(lane), self.bench.in_flight(lane)
            assert set(waiting) == {item for item, known in items.items() if known.token is None}, lane.id
            assert set(flying) == {item for item, known in items.items() if known.token is not None}, lane.id

    @invariant()
    def every_accepted_verification_has_a_verdict_or_a_place_in_line(self) -> None:
        for stem, revisions in self.records.items():
            assert revisions or stem in self.lanes[self.v]

    @invariant()
    def every_delivery_is_in_line_or_ended_as_it_did(self) -> None:
        for item, number in self._delivery_keys():
            ref = DeliveryRef(EventRef.from_item(item), number)
            if ref.event.stem not in self._stems():
                continue
            delivery = self.bench.run(self.bench.deliveries.get(self.world, ref))
            lane = deliveries(self.world, number)
            expected = self.ended.get((item, number), DeliveryState.DROPPED)
            if lane in self.lanes and item in self.lanes[lane]:
                expected = DeliveryState.PENDING
            assert delivery.state is expected
        letters = self.bench.raw.zrange(keys.dead_deliveries(self.world), 0, -1)
        assert {letter.decode() for letter in letters} == {item + encode(number, 4) for item, number in self.letters}

    @invariant()
    def the_index_of_due_lanes_is_exact(self) -> None:
        index = dict(self.bench.raw.zrange(keys.due_lanes(self.world.partition), 0, -1, withscores=True))
        expected = {lane.id.encode(): due for lane in self.lanes if (due := self._earliest(lane)) is not None}
        assert index == expected

    @invariant()
    def what_the_world_has_in_flight_is_the_sum_of_its_lanes(self) -> None:
        totals = {"0": 0, "1": 0}
        live = 0
        for lane in self.lanes:
            counted = self.bench.raw.hget(keys.lane_part(lane, "m"), "counted")
            if counted:
                count, slow = counted.decode().split()
                totals[slow] += int(count)
            if lane.kind == "d":
                live += sum(item.live for item in self.lanes[lane].values())
        for slow, total in totals.items():
            assert int(self.bench.raw.hget(keys.counters(self.world), f"flight{slow}") or 0) == total
        assert live <= sum(totals.values())

    # the model

    def _claimed(self, lane: Lane, claims: tuple[Claim, ...], *, live: bool) -> None:
        items = self.lanes[lane]
        for claim in claims:
            known = items[claim.item]
            assert not known.far, "claimed before it was due"
            assert not known.live, "claimed while its lease held"
            assert claim.token > self.tokens.get(lane, 0), "a token that was given before"
            self.tokens[lane] = claim.token
            if known.token is not None:
                self.stale.append((lane, Claim(claim.item, known.token, 1, 1)))
            known.token, known.live = claim.token, live
        if claims:
            assert sum(item.live for item in items.values()) <= LANE_CAP
        if claims and lane.kind == "d":
            subscription = self.subscriptions[lane.number]
            assert subscription.enabled or all(self.tokens[lane] for _ in claims)
            flying = sum(i.live for at, items in self.lanes.items() if at.kind == "d" for i in items.values())
            assert flying <= WORLD_CAP + 2

    def _committed(self, item: str, targets: Sequence[int]) -> list[Lane]:
        """Each target has the event in line, or is named by the fan-out; which, the ledger chooses."""
        named = json.loads(self.bench.raw.hget(keys.lane_part(self.f, "s"), item) or "[]")
        assert set(named) <= set(targets)
        assert len(targets) - len(named) <= AT_ONCE
        lanes = [deliveries(self.world, number) for number in targets if number not in named]
        if named:
            self.named[item] = named
            lanes.append(self.f)
        for lane in lanes:
            self.lanes[lane][item] = Item()
        return lanes

    def _hand_out(self, item: str) -> list[Lane]:
        """Those that the fan-out names have the event in line, unless they had it before or are gone."""
        lanes = [deliveries(self.world, number) for number in self.named[item]]
        missing = [lane for lane in lanes if lane in self.lanes and not self._had(lane, item)]
        self.bench.run(self.bench.fanning.hand_out(self.world, self.named[item], item, 1))
        for lane in missing:
            self.lanes[lane][item] = Item()
        return missing

    def _had(self, lane: Lane, item: str) -> bool:
        return self.bench.raw.zscore(keys.lane_part(lane, "y"), item) is not None

    def _settled(self, lane: Lane, item: str, kind: SettlementKind, *, far: bool) -> None:
        known = self.lanes[lane].pop(item, None)
        if known is not None and known.token is not None:
            self.stale.append((lane, Claim(item, known.token, 1, 1)))
        if kind is SettlementKind.LATER:
            self.lanes[lane][item] = Item(far=far)
        elif lane.kind == "d":
            done = kind is SettlementKind.DONE
            self.ended[item, lane.number] = DeliveryState.DELIVERED if done else DeliveryState.DEAD
            (self.letters.discard if done else self.letters.add)((item, lane.number))

    def _erased(self, stem: str) -> None:
        self.records.pop(stem, None)
        self.dead.discard(stem)
        for items in self.lanes.values():
            for item in [item for item in items if item.startswith(stem)]:
                del items[item]
        for item, number in [key for key in self.ended if key[0].startswith(stem)]:
            del self.ended[item, number]
        self.letters = {letter for letter in self.letters if not letter[0].startswith(stem)}

    def _stems(self) -> set[str]:
        return set(self.records) | self.dead

    def _flying(self, only: Lane | None = None) -> list[tuple[Lane, str]]:
        return [
            (lane, item)
            for lane, items in self.lanes.items()
            for item, known in items.items()
            if known.token is not None and only in {None, lane}
        ]

    def _delivery_keys(self) -> list[tuple[str, int]]:
        here = [(item, lane.number) for lane, items in self.lanes.items() if lane.kind == "d" for item in items]
        return sorted({*here, *self.ended})

    def _waiting_deliveries(self, stems: set[str]) -> list[tuple[Lane, str]]:
        return [
            (lane, item)
            for lane, items in self.lanes.items()
            if lane.kind == "d"
            for item, known in items.items()
            if item[:19] in stems and known.token is None
        ]

    def _pending(self, stem: str) -> bool:
        return stem in self.records and (self.records[stem] == 0 or stem in self.lanes[self.v])

    def _open(self, stem: str) -> bool:
        named = ((item, number) for item in self.lanes[self.f] for number in self.named[item])
        return any(
            item[:19] == stem for lane, items in self.lanes.items() if lane.kind == "d" for item in items
        ) or any(item[:19] == stem and n in self.subscriptions and (item, n) not in self.ended for item, n in named)

    def _is_dead_letter(self, lane: Lane, item: str) -> bool:
        return (item, lane.number) in self.letters

    # what Redis holds, read without the scripts

    def _bell(self, lane: Lane) -> tuple[int, int, str]:
        text = self.bench.raw.hget(keys.bells(self.world.partition), lane.id)
        generation, until, slow = text.decode().split() if text else ("0", "0", "0")
        return int(generation), int(until), slow

    def _is_silent(self, lane: Lane, now: float) -> bool:
        return self._bell(lane)[1] <= now

    def _is_due(self, lane: Lane, now: float) -> bool:
        due = self.bench.due(lane)
        return due is not None and due <= now

    def _no_lane_is_silent_now(self, lane: Lane) -> None:
        now = self.bench.now_ms()
        assert not self._is_due(lane, now) or not self._is_silent(lane, now), "due, and nobody was told"

    def _earliest(self, lane: Lane) -> float | None:
        meta = self.bench.raw.hgetall(keys.lane_part(lane, "m"))
        times = []
        waiting = self.bench.waiting(lane)
        if waiting and b"paused" not in meta and b"full" not in meta:
            times.append(max(min(waiting.values()), float(meta.get(b"not_before", 0))))
        flying = self.bench.in_flight(lane)
        if flying:
            times.append(min(flying.values()))
        return min(times, default=None)

    def _all_that_is_due_gets_done(self) -> None:
        """Liveness: with the sweeper alone, every lane is emptied of what is due, whoever crashed before."""
        for subscription in [s for s in self.subscriptions.values() if not s.enabled]:
            changed = self.bench.change(subscription, enabled=True, disabled_reason=None)
            self.subscriptions[changed.number] = changed
        for lane, items in self.lanes.items():
            self._all_leases_end(lane, items)
        for _ in range(ROUNDS):
            if all(item.far for items in self.lanes.values() for item in items.values()):
                return
            for lane in self.lanes:
                self._silence(lane)
            rings = self.bench.sweep()
            for ring in rings:
                self._drain(ring)
            if not rings:
                time.sleep(0.02)
        raise AssertionError("work that is due is never done")

    def _all_leases_end(self, lane: Lane, items: dict[str, Item]) -> None:
        for item in [item for item, known in items.items() if known.live]:
            items[item].live = False
            self.bench.raw.zadd(keys.lane_part(lane, "f"), {item: 1})
            self.bench.raw.zadd(keys.due_lanes(self.world.partition), {lane.id: 1})

    def _silence(self, lane: Lane) -> None:
        generation, _, slow = self._bell(lane)
        self.bench.raw.hset(keys.bells(self.world.partition), lane.id, f"{generation} 0 {slow}")

    def _drain(self, ring: Ring) -> None:
        lane = Lane.parse(ring.lane_id)
        turn = self.bench.turn(lane, want=8, generation=ring.generation, limits=FAST)
        self._claimed(lane, turn.claims, live=True)
        for claim in turn.claims if lane == self.f else ():
            self._hand_out(claim.item)
        ended = [_settlement(lane, claim.item, SettlementKind.DONE, claim.token) for claim in turn.claims]
        turn = self.bench.turn(
            lane, *ended, generation=ring.generation, limits=FAST, step=NextStep.END, news=LaneNews(delivered=1)
        )
        assert set(turn.answers) <= {"ok"}
        for settlement in ended:
            self._settled(lane, settlement.item, SettlementKind.DONE, far=False)


def _settlement(lane: Lane, item: str, kind: SettlementKind, token: int, *, far: bool = False) -> Settlement:
    state = {SettlementKind.DONE: DeliveryState.DELIVERED, SettlementKind.DEAD: DeliveryState.DEAD}
    progress = DeliveryProgress(state.get(kind, DeliveryState.PENDING), attempt_count=1) if lane.kind == "d" else None
    return Settlement(kind, item, token, delay_ms=FAR_MS if far else 0, progress=progress)


def _run(url: str, *, examples: int, steps: int, phases: Sequence[Phase] = tuple(Phase)) -> None:
    machine = type("Machine", (LedgerMachine,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            phases=phases,
        ),
    )


def test_whatever_is_done_in_whatever_order_the_ledger_does_what_the_model_says(quick_redis: str) -> None:
    _run(quick_redis, examples=12, steps=25)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_model_holds_for_an_hour(quick_redis: str) -> None:
    _run(quick_redis, examples=int(os.environ.get("SOAK_EXAMPLES", "2000")), steps=80, phases=[Phase.generate])
