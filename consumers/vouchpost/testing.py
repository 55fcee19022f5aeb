"""What a sender does, for tests and samples: events as the gateway writes them, and their signatures.

The signatures are real. A test that passes with these passes with the gateway's.
"""

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Any, Final, Self

from vouchpost.message import Message
from vouchpost.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, Verifier

SECRET: Final = "whsec_" + base64.b64encode(b"for tests, never elsewhere").decode()
"""A signing secret that everybody knows."""


@dataclass(slots=True)
class FrozenClock:
    """Stands still at the time it was made, until it is told to go on. Give it to a receiver as `clock`."""

    now_s: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(frozen=True, slots=True)
class SignedEvent:
    """One delivery of an event: the headers and the body of a request."""

    id: str
    body: bytes
    secret: str
    at_s: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "content-type": "application/json",
            ID_HEADER: self.id,
            TIMESTAMP_HEADER: str(self.at_s),
            SIGNATURE_HEADER: sign(secret=self.secret, event_id=self.id, at_s=self.at_s, body=self.body),
        }

    @property
    def message(self) -> Message:
        """The verified message, to call a handler with."""
        return Verifier(self.secret, clock=lambda: self.at_s).verify(headers=self.headers, body=self.body)

    def again(self, *, after_s: int = 5) -> Self:
        """The next attempt: the same event, a new timestamp, a new signature."""
        return type(self)(self.id, self.body, self.secret, self.at_s + after_s)


class EventFactory:
    """Makes verdicts, each newer than the one before: `factory(status="invalid", subject_id="user_42")`."""

    def __init__(self, *, secret: str = SECRET, clock: Callable[[], float] = time.time) -> None:
        self.secret = secret
        self._clock = clock
        self._numbers = count(1)

    def __call__(self, kind: str = "verification.completed", **data: Any) -> SignedEvent:
        """An event of this type, signed now; `data` is laid over the fields of a verdict."""
        number, now_s = next(self._numbers), self._clock()
        event_id = f"evt_{int(now_s * 1000):010x}{number:016d}"
        body = json.dumps(_event(event_id, kind, now_s, number, data), separators=(",", ":")).encode()
        return SignedEvent(event_id, body, self.secret, int(now_s))


def sign(*, secret: str, event_id: str, at_s: int, body: bytes) -> str:
    """One `v1` entry, as Standard Webhooks 1.0 writes it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    content = b"%b.%d.%b" % (event_id.encode(), at_s, body)
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def _event(event_id: str, kind: str, now_s: float, number: int, data: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    verdict = {
        "verification_id": event_id.replace("evt_", "vrf_"),
        "subject_id": "user_42",
        "sequence": int(now_s * 1_000_000) + number,
        "revision": 1,
        "status": "valid",
        "reason_code": "domain_accepts_mail",
        "score": 0.9,
        "depth": "domain",
        "degraded": False,
        "checks_skipped": [],
        "flags": {"disposable": False, "role": False, "free": False, "catch_all": None, "alias_relay": False},
        "email_hash": sha256(event_id.encode()).hexdigest(),
        "checked_at": at,
        "policy_version": "test",
        "metadata": {},
    }
    return {"id": event_id, "type": kind, "timestamp": at, "schema": 1, "data": verdict | data}
