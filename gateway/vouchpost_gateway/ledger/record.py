"""A record: everything kept of one verification, or of one event that stands alone, as one packed string.

A record only grows: a format number, the sequence, then sections, each a MessagePack array that starts with its tag.
Steps append sections and never rewrite one, so Lua can treat them as opaque bytes; of two sections about the same
thing the later one counts.

| tag | section   | holds                                                                  |
|-----|-----------|------------------------------------------------------------------------|
| q   | request   | sealed address, depth, priority, subject id, metadata, time budget     |
| c   | run       | one run of the checks: when, how long, what it found                   |
| r   | verdict   | a revision of the verdict                                              |
| e   | event     | its revision, type, and the exact bytes that are pushed                |
| p   | fan-out   | the numbers of the subscriptions that the event went to                |
| d   | delivery  | how the delivery to one subscription ended, or that it is open again   |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from vouchpost_gateway.domain.delivery import KEPT_ATTEMPTS, Attempt, DeliveryProgress, DeliveryState, Outcome
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.verification import (
    CheckRun,
    Depth,
    Finding,
    Flags,
    Priority,
    ReasonCode,
    Status,
    Verdict,
)

FORMAT = 1
HEAD = b"\x01\xb0"
"""The format number and the mark of a 16-character text: the script that accepts puts the sequence behind it."""


@value(frozen=True, slots=True)
class RequestSection:
    sealed_address: bytes
    depth: Depth
    priority: Priority
    subject_id: str | None
    metadata: Mapping[str, str]
    time_budget_s: int | None = None


@value(frozen=True, slots=True)
class VerdictSection:
    """A verdict as stored: its address is sealed, and absent when it equals the one that was asked about."""

    revision: int
    checked_ms: int
    verdict: Verdict
    sealed_normalised: bytes | None
    email_hash: str
    dead: bool


@dataclass(slots=True)
class Record:
    """A record as read. `deliveries` has an entry for each delivery that has ended or was opened again by hand."""

    sequence: int
    request: RequestSection | None = None
    runs: list[CheckRun] = field(default_factory=list)
    verdicts: dict[int, VerdictSection] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    targets: dict[int, list[int]] = field(default_factory=dict)
    deliveries: dict[tuple[int, int], DeliveryProgress] = field(default_factory=dict)

    @property
    def last_verdict(self) -> VerdictSection | None:
        return self.verdicts[max(self.verdicts)] if self.verdicts else None

    def delivery_ids(self) -> Iterable[tuple[int, int]]:
        """Every (revision, subscription number) that a delivery of this record has or had."""
        fanned_out = ((revision, number) for revision, numbers in self.targets.items() for number in numbers)
        return dict.fromkeys((*fanned_out, *self.deliveries))


def pack_request(request: RequestSection) -> bytes:
    metadata = dict(request.metadata) or None
    budget = () if request.time_budget_s is None else (request.time_budget_s,)
    words = (request.depth, request.priority, request.subject_id, metadata, *budget)
    return _pack("q", request.sealed_address, *words)


def pack_run(run: CheckRun) -> bytes:
    findings = [[finding.check, finding.code, dict(finding.facts)] for finding in run.findings]
    return _pack("c", run.number, run.at_ms, run.duration_ms, run.reason_code, findings, run.error)


def pack_verdict(section: VerdictSection) -> bytes:
    """The findings are those of the last run, so they are not written again."""
    v = section.verdict
    flags = [v.flags.disposable, v.flags.role, v.flags.free, v.flags.catch_all, v.flags.alias_relay]
    body = [v.status, v.reason_code, v.score, flags, v.domain, v.policy_version, v.degraded]
    rest = [list(v.checks_skipped), v.provider, section.sealed_normalised, bytes.fromhex(section.email_hash)]
    return _pack("r", section.revision, section.checked_ms, *body, *rest, section.dead)


def pack_event(event: Event) -> bytes:
    return _pack("e", event.revision, event.type, event.body)


def pack_targets(revision: int, numbers: Iterable[int]) -> bytes:
    return _pack("p", revision, list(numbers))


def pack_delivery(revision: int, number: int, section: DeliveryProgress) -> bytes:
    return _pack("d", revision, number, *_delivery_fields(section))


def pack_delivery_state(section: DeliveryProgress) -> bytes:
    """What a subscription's lane keeps of a delivery between attempts."""
    return _pack(*_delivery_fields(section))


def unpack_delivery_state(text: bytes) -> DeliveryProgress:
    return _delivery(msgpack.unpackb(text)) if text else DeliveryProgress()


def unpack(stem: str, text: bytes) -> Record:
    """The record; LedgerUnavailable for a format that this release does not read, or for what is no record."""
    try:
        return _read(stem, text)
    except _UNREADABLE as error:
        raise LedgerUnavailable("a record cannot be read: it was changed by someone else") from error


def unpack_event(stem: str, text: bytes, revision: int) -> Event | None:
    """One event of a record, without reading the rest of it: every attempt needs just this."""
    try:
        return _read_event(stem, text, revision)
    except _UNREADABLE as error:
        raise LedgerUnavailable("a record cannot be read: it was changed by someone else") from error


def _read(stem: str, text: bytes) -> Record:
    sequence, sections = _sections(text)
    record = Record(int(sequence))
    for tag, *fields in sections:
        _ADD[tag](record, stem, fields)
    return record


def _read_event(stem: str, text: bytes, revision: int) -> Event | None:
    _, sections = _sections(text)
    for section in sections:
        if section[0] == "e" and section[1] == revision:
            return Event(stem, revision, section[2], section[3])
    return None


def _sections(text: bytes) -> tuple[Any, list[Any]]:
    """The sequence of a record, and its sections."""
    if text[:1] != HEAD[:1]:
        raise LedgerUnavailable("a record was written by a later release, in a format that this one does not read")
    _, sequence, *sections = _READER.read(text)
    return sequence, sections


class _Reader:
    """Reads texts one after the other with one unpacker: to make one costs as much as to read three records."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(strict_map_key=False)

    def read(self, text: bytes) -> list[Any]:
        """All that is in the text; raises one of `_UNREADABLE` for what is no MessagePack, or ends too soon."""
        unpacker, ends, found = self._unpacker, self._unpacker.tell() + len(text), None
        try:
            unpacker.feed(text)
            found = list(unpacker)
        finally:
            if found is None or unpacker.tell() != ends:
                self._unpacker = msgpack.Unpacker(strict_map_key=False)  # its remains must not begin the next text
        if unpacker.tell() != ends:
            raise ValueError("the last section is not whole")
        return found


_READER = _Reader()
_PACKER = msgpack.Packer()
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, msgpack.UnpackException)


def _pack(*fields: Any) -> bytes:
    """A section; members of enums are packed as their text."""
    packed = _PACKER.pack(fields)
    assert isinstance(packed, bytes)
    return packed


def _delivery_fields(section: DeliveryProgress) -> list[Any]:
    attempts = [
        [a.number, a.at_ms, a.duration_ms, a.outcome, a.status_code, a.error, a.excerpt]
        for a in section.attempts[-KEPT_ATTEMPTS:]
    ]
    return [
        section.state,
        section.attempt_count,
        attempts,
        section.ended_ms,
        section.since_ms,
        section.attempts_before,
    ]


def _delivery(fields: list[Any]) -> DeliveryProgress:
    state, count, attempts, ended_ms, since_ms, before = fields
    kept = tuple(Attempt(n, at, took, Outcome(o), code, error, text) for n, at, took, o, code, error, text in attempts)
    return DeliveryProgress(DeliveryState(state), count, kept, ended_ms, since_ms, before)


def _add_request(record: Record, _stem: str, fields: list[Any]) -> None:
    sealed, depth, priority, subject_id, metadata, *budget = fields
    record.request = RequestSection(sealed, Depth(depth), Priority(priority), subject_id, metadata or {}, *budget)


def _add_run(record: Record, _stem: str, fields: list[Any]) -> None:
    number, at_ms, duration_ms, reason_code, findings, error = fields
    seen = tuple(Finding(check, code, facts) for check, code, facts in findings)
    record.runs.append(CheckRun(number, at_ms, duration_ms, ReasonCode(reason_code), seen, error))


def _add_verdict(record: Record, _stem: str, fields: list[Any]) -> None:
    revision, checked_ms, status, reason, score, flags, domain, policy, degraded, skipped, provider, *rest = fields
    sealed_normalised, email_hash, dead = rest
    findings = record.runs[-1].findings if record.runs else ()
    verdict = Verdict(
        Status(status),
        ReasonCode(reason),
        score,
        Flags(*flags),
        findings,
        None,
        domain,
        policy,
        degraded=degraded,
        checks_skipped=tuple(skipped),
        provider=provider,
    )
    record.verdicts[revision] = VerdictSection(revision, checked_ms, verdict, sealed_normalised, email_hash.hex(), dead)


def _add_event(record: Record, stem: str, fields: list[Any]) -> None:
    revision, kind, body = fields
    record.events[revision] = Event(stem, revision, kind, body)


def _add_targets(record: Record, _stem: str, fields: list[Any]) -> None:
    revision, numbers = fields
    record.targets[revision] = numbers


def _add_delivery(record: Record, _stem: str, fields: list[Any]) -> None:
    revision, number, *rest = fields
    record.deliveries[revision, number] = _delivery(rest)


_ADD = {
    "q": _add_request,
    "c": _add_run,
    "r": _add_verdict,
    "e": _add_event,
    "p": _add_targets,
    "d": _add_delivery,
}
