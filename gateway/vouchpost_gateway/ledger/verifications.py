"""Verifications: accepted, read, committed, listed and erased."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha1

from vouchpost_gateway.domain.commitment import CommitAnswer, Commitment
from vouchpost_gateway.domain.errors import Backlogged, IdempotencyConflict
from vouchpost_gateway.domain.ids import encode, time_ms
from vouchpost_gateway.domain.lane import QUEUE_OF, Claim, Ring, deliveries, fan_outs, verifications
from vouchpost_gateway.domain.page import ALWAYS, Span
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.verdict_cache import AlreadyKnown, BeingChecked
from vouchpost_gateway.domain.verification import Accepted, Depth, NewVerification, Verification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.accepting import Accepting, Backlog, Newcomer
from vouchpost_gateway.ledger.bounds import bounds
from vouchpost_gateway.ledger.committing import Committable, Committing, Destination
from vouchpost_gateway.ledger.connection import Argument, LedgerRefused
from vouchpost_gateway.ledger.crowds import AT_ONCE, Crowds
from vouchpost_gateway.ledger.lanes import BellLimits
from vouchpost_gateway.ledger.reading import Reading
from vouchpost_gateway.ledger.record import (
    Record,
    RequestSection,
    VerdictSection,
    pack_event,
    pack_request,
    pack_run,
    pack_targets,
    pack_verdict,
    unpack,
)
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.seal import TenantSeal
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.subscriptions import hour_of
from vouchpost_gateway.ledger.tenants import Tenants

_LOOK = load("look")
_ERASE = load("erase")
_BACKLOG_RETRY_S = 5


@dataclass(frozen=True, slots=True)
class VerificationRecords:
    """The verifications of all worlds."""

    store: Store
    tenants: Tenants
    backlog: Backlog = field(default_factory=Backlog)
    bells: BellLimits = field(default_factory=BellLimits)
    idempotency_ms: int = 86_400_000
    replicas: int = 0
    deliver_at_once: int = AT_ONCE
    _accepting: Accepting = field(init=False, repr=False)
    _committing: Committing = field(init=False, repr=False)
    _reading: Reading = field(init=False, repr=False)

    def __post_init__(self) -> None:
        accepting = Accepting(self.store, self.backlog, self.bells, self.idempotency_ms)
        crowds = Crowds(self.store, at_once=self.deliver_at_once)
        object.__setattr__(self, "_accepting", accepting)
        object.__setattr__(self, "_committing", Committing(self.store, self.bells, crowds))
        object.__setattr__(self, "_reading", Reading(self.store))

    async def accept(
        self, world: World, stem: str, new: NewVerification, *, idempotency_key: str | None, body: bytes
    ) -> tuple[Accepted, list[Ring]]:
        """Record, idempotency entry and place in line, in one write. Raises IdempotencyConflict and Backlogged."""
        seal = await self.tenants.seal(world)
        address = seal.seal(new.address, kind="address", owner=stem)
        tail = pack_request(
            RequestSection(address, new.depth, new.priority, new.subject_id, new.metadata, new.time_budget_s)
        )
        entry, digest = "", b""
        if idempotency_key is not None:
            entry = keys.idempotency(world, seal.name("idempotency", idempotency_key.encode()))
            digest = seal.digest("body", body)
        found = await self._accepting(world, Newcomer(stem, QUEUE_OF[new.priority], tail, entry, digest))
        if found.answer == "conflict":
            raise IdempotencyConflict(IdempotencyConflict.__doc__)
        if found.answer in {"full", "old"}:
            raise Backlogged(Backlogged.__doc__ or "", retry_after_s=_BACKLOG_RETRY_S)
        if self.replicas:  # the entry stands for its record, and outlives one that is erased
            await self.store.replicated(entry or keys.record(world, stem), keys.counters(world), self.replicas)
        return Accepted(found.stem, found.sequence, repeated=found.stem != stem), found.rings

    async def read(self, world: World, stem: str) -> Record | None:
        """The record as it is stored; None when there is none, or it was erased."""
        text = await self._reading(world, stem)
        return unpack(stem, text) if text else None

    async def view(self, world: World, stem: str) -> Verification | None:
        """The verification as its caller sees it; None when there is none."""
        record = await self.read(world, stem)
        if record is None or record.request is None:
            return None
        return verification_of(await self.tenants.seal(world), stem, record)

    async def views(self, world: World, stems: Sequence[str]) -> list[Verification]:
        """Those of these verifications that are still kept, in the same order."""
        found = await asyncio.gather(*(self.view(world, stem) for stem in stems))
        return [view for view in found if view is not None]

    async def address(self, world: World, stem: str) -> str | None:
        """The address that was asked about, for subscriptions that asked to be told it."""
        verification = await self.view(world, stem)
        return verification.address if verification else None

    async def look(
        self, world: World, stem: str, question: Question, normalised: str, *, policy: str, lease_ms: int
    ) -> BeingChecked | AlreadyKnown | None:
        """Who else answers for this address; None: nobody, it is ours to check, and our mark says so to others."""
        entry = await self._cache_entry(world, normalised, question.depth, policy)
        try:
            answer, detail = await self.store.run(_LOOK, [entry], [stem, lease_ms])
        except LedgerRefused as error:
            if error.code != "OOM":
                raise
            return None  # without room for the mark, checking twice beats not checking
        if answer == b"busy":
            return BeingChecked(int(detail))
        return AlreadyKnown(detail.decode()) if answer == b"known" else None

    async def commit(
        self, world: World, verification: Verification, claim: Claim, made: Commitment, *, normalised: str | None
    ) -> tuple[CommitAnswer, list[Ring]]:
        """Verdict, event and every delivery in one write."""
        seal = await self.tenants.seal(world)
        stem, cache = verification.stem, None
        if verification.depth is not Depth.SYNTAX:  # a check of syntax costs less than a look into the cache
            cache = await self._cache_entry(
                world, normalised or verification.address, verification.depth, made.verdict.policy_version
            )
        return await self._committing(
            Destination(world, tuple(made.targets), made.set_revision),
            Committable(
                stem=stem,
                token=claim.token,
                sections=self._sections(seal, verification, made, normalised),
                item=stem + encode(made.revision, 3),
                queue=QUEUE_OF[verification.priority],
                cache=cache,
                cache_ms=made.cache_ms,
                recheck_ms=made.recheck_ms,
                dead=made.dead,
            ),
        )

    async def email_hash(self, world: World, normalised: str) -> str:
        """What the tenant's events carry in place of this address."""
        return (await self.tenants.seal(world)).email_hash(normalised)

    def _sections(
        self, seal: TenantSeal, verification: Verification, made: Commitment, normalised: str | None
    ) -> bytes:
        sealed = None
        if normalised is not None and normalised != verification.address:
            sealed = seal.seal(normalised, kind="normalised", owner=verification.stem)
        verdict = VerdictSection(made.revision, made.checked_ms, made.verdict, sealed, made.email_hash, made.dead)
        sections = pack_run(made.run) + pack_verdict(verdict)
        if made.event is not None:
            sections += pack_event(made.event) + pack_targets(made.revision, made.targets)
        return sections

    async def _cache_entry(self, world: World, normalised: str, depth: Depth, policy: str) -> str:
        seal = await self.tenants.seal(world)
        return keys.verdict_cache(
            world, seal.name("verdict", normalised.encode(), depth.value.encode(), policy.encode())
        )

    async def stems(self, world: World, *, after: str | None, limit: int, span: Span = ALWAYS) -> list[str]:
        """The stems of records, newest first, older than `after`, made within the span."""
        high, low = bounds(after, span)
        latest = "+inf" if high == "+" else hour_of(high[1:])
        hours = await self.store.call("ZREVRANGEBYSCORE", keys.hours(world), latest, span.since_ms // 3_600_000)
        found: list[str] = []
        for hour in hours:
            room = limit - len(found)
            index = keys.hour_index(world, int(hour))
            page = await self.store.call("ZREVRANGEBYLEX", index, high, low, "LIMIT", 0, room)
            found += [stem.decode() for stem in page]
            if len(found) >= limit:
                break
        return found

    async def dead(self, world: World, *, after: str | None, limit: int, span: Span = ALWAYS) -> list[str]:
        """The stems of dead verifications that were made within the span, newest first."""
        dead = keys.dead_verifications(world)
        page = await self.store.call("ZREVRANGEBYLEX", dead, *bounds(after, span), "LIMIT", 0, limit)
        return [stem.decode() for stem in page]

    async def erase(self, world: World, stem: str) -> bool:
        """Removes a record with all that points at it; False when there was none. Harmless when repeated."""
        while (text := await self.store.call("GET", keys.record(world, stem))) is not None:
            answer = await self._erase(world, stem, text)
            if answer != b"changed":
                return answer == b"ok"
        return False

    async def erase_idle(self, world: World, stem: str, text: bytes) -> bool:
        """The same for a record that is still as it was read, of a verification that nobody asked for again."""
        return await self._erase(world, stem, text, idle=True) == b"ok"

    async def _erase(self, world: World, stem: str, text: bytes, *, idle: bool = False) -> bytes:
        names, arguments = await self._erasure(world, stem, unpack(stem, text))
        checksum = sha1(text, usedforsecurity=False).hexdigest()
        answer: bytes = await self.store.run(_ERASE, names, [*arguments[:2], checksum, int(idle), *arguments[2:]])
        return answer

    async def _erasure(self, world: World, stem: str, record: Record) -> tuple[list[str], list[Argument]]:
        lane = verifications(world)
        by_number: dict[int, list[str]] = {}
        for revision, number in record.delivery_ids():
            by_number.setdefault(number, []).append(stem + encode(revision, 3))
        names = [*keys.lane(lane), keys.record(world, stem), keys.hour_index(world, hour_of(stem))]
        names += [
            keys.dead_verifications(world),
            keys.dead_deliveries(world),
            await self._cached_at(world, stem, record),
        ]
        targets = {deliveries(world, number): items for number, items in by_number.items()}
        targets[fan_outs(world)] = sorted({item for items in by_number.values() for item in items})
        arguments: list[Argument] = [lane.id, stem, len(targets)]
        for target, items in targets.items():
            names += keys.lane(target)
            arguments += [target.id, len(items), *items]
        dead = [item + encode(number, 4) for number, items in by_number.items() for item in items]
        return names, [*arguments, len(dead), *dead, keys.done_channel(world, stem)]

    async def _cached_at(self, world: World, stem: str, record: Record) -> str:
        verdict = record.last_verdict
        if record.request is None or verdict is None:
            return keys.verdict_cache(world, "-")
        view = verification_of(await self.tenants.seal(world), stem, record)
        normalised = (view.verdict and view.verdict.normalised) or view.address
        return await self._cache_entry(world, normalised, view.depth, verdict.verdict.policy_version)


def verification_of(seal: TenantSeal, stem: str, record: Record) -> Verification:
    """The verification in a record, with its address opened."""
    request = record.request
    assert request is not None
    address = seal.open(request.sealed_address, kind="address", owner=stem).decode()
    last = record.last_verdict
    verdict = last.verdict if last else None
    if last and verdict:
        normalised = address
        if last.sealed_normalised is not None:
            normalised = seal.open(last.sealed_normalised, kind="normalised", owner=stem).decode()
        verdict = replace(verdict, normalised=normalised)
    return Verification(
        stem=stem,
        sequence=record.sequence,
        address=address,
        depth=request.depth,
        priority=request.priority,
        subject_id=request.subject_id,
        metadata=request.metadata,
        created_ms=time_ms(stem),
        revision=last.revision if last else 0,
        verdict=verdict,
        checked_ms=last.checked_ms if last else None,
        email_hash=last.email_hash if last else None,
        runs=tuple(record.runs),
        dead=last.dead if last else False,
        time_budget_s=request.time_budget_s,
    )
