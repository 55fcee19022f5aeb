"""Deliveries as a sender makes them. Signed by the `standardwebhooks` package, so never by the code under test."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = 1795341600


def event(
    *, event_id: str = "evt_1", kind: str = "verification.completed", data: Mapping[str, Any] | None = None
) -> bytes:
    """An event's exact bytes; `data` is laid over the fields of a verdict."""
    verdict = {
        "verification_id": "vrf_1",
        "subject_id": "user_42",
        "sequence": 1_795_341_600_123_456,
        "revision": 1,
        "status": "valid",
        "reason_code": "domain_accepts_mail",
        "score": 0.9,
        "depth": "domain",
        "degraded": False,
        "checks_skipped": [],
        "flags": {"disposable": False, "role": False, "free": True, "catch_all": None},
        "email_hash": "ab" * 32,
        "checked_at": "2026-11-22T10:00:00.123Z",
        "policy_version": "1",
        "metadata": {},
    }
    content = {
        "id": event_id,
        "type": kind,
        "timestamp": "2026-11-22T10:00:00.123Z",
        "schema": 1,
        "data": verdict | dict(data or {}),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def headers(body: bytes, *, event_id: str = "evt_1", at: int = NOW, secret: str = SECRET) -> dict[str, str]:
    """The three headers of one attempt, made at `at`."""
    signature = Webhook(secret).sign(event_id, datetime.fromtimestamp(at, UTC), body.decode())
    return {"webhook-id": event_id, "webhook-timestamp": str(at), "webhook-signature": signature}
