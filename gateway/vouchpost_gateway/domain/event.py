"""An event: an immutable fact, built once as the exact bytes that are stored and pushed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from vouchpost_gateway.domain.ids import event_id, verification_id
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.verification import Verdict, Verification

SCHEMA = 1


class EventType(StrEnum):
    VERIFICATION_COMPLETED = "verification.completed"
    VERIFICATION_UPDATED = "verification.updated"
    SUBSCRIPTION_DISABLED = "subscription.disabled"
    SUBSCRIPTION_TEST = "subscription.test"


@value(frozen=True, slots=True)
class Event:
    """An event as stored: its place, its type and the bytes that every attempt pushes."""

    stem: str
    revision: int
    type: str
    body: bytes

    @property
    def id(self) -> str:
        return event_id(self.stem, self.revision)

    @property
    def timestamp(self) -> str:
        """When it came about, as `timestamp_text`: such texts are in the order of their times."""
        return str(from_json(self.body)["timestamp"])


def timestamp_text(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.123Z`."""
    return f"{_second_text(ms // 1000)}.{ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def verdict_event(
    verification: Verification,
    verdict: Verdict,
    *,
    revision: int,
    at_ms: int,
    checked_ms: int,
    email_hash: str,
) -> Event:
    """The event of a verdict: completed for the first one, updated for those of later rechecks. Never the address."""
    kind = EventType.VERIFICATION_COMPLETED if revision == 1 else EventType.VERIFICATION_UPDATED
    flags = verdict.flags
    data = {
        "verification_id": verification_id(verification.stem),
        "subject_id": verification.subject_id,
        "sequence": verification.sequence,
        "revision": revision,
        "status": verdict.status,
        "reason_code": verdict.reason_code,
        "score": round(verdict.score, 4),
        "depth": verification.depth,
        "degraded": verdict.degraded,
        "checks_skipped": list(verdict.checks_skipped),
        "flags": {
            "disposable": flags.disposable,
            "role": flags.role,
            "free": flags.free,
            "catch_all": flags.catch_all,
            "alias_relay": flags.alias_relay,
        },
        "email_hash": email_hash,
        "checked_at": timestamp_text(checked_ms),
        "policy_version": verdict.policy_version,
        "metadata": dict(verification.metadata),
    }
    return build(verification.stem, revision, kind, at_ms=at_ms, data=data)


def build(stem: str, revision: int, kind: EventType, *, at_ms: int, data: Mapping[str, Any]) -> Event:
    """The envelope around `data`, as compact UTF-8 JSON."""
    envelope = {
        "id": event_id(stem, revision),
        "type": kind,
        "timestamp": timestamp_text(at_ms),
        "schema": SCHEMA,
        "data": data,
    }
    return Event(stem, revision, kind, to_json(envelope))


_BEFORE_ADDRESS = b'"email_hash":"'


def with_address(body: bytes, address: str) -> bytes:
    """The event with `email` behind `email_hash`, for subscriptions that ask for it; the stored event never holds it.

    Inside a JSON text a quote is escaped, so the first match is the field itself.
    """
    start = body.find(_BEFORE_ADDRESS)
    if start < 0:
        return body
    end = body.index(b'"', start + len(_BEFORE_ADDRESS)) + 1
    return b"%b,%b%b" % (body[:end], b'"email":' + to_json(address), body[end:])
