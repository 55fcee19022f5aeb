"""How a subscription is shown. Its secret is not part of it: only create and rotate say that, once."""

from typing import Any

from vouchpost_gateway.domain.event import timestamp_text
from vouchpost_gateway.domain.subscription import Recovery, Subscription


def subscription_view(subscription: Subscription, *, resting_ms: int | None) -> dict[str, Any]:
    reason = subscription.disabled_reason
    return {
        "id": subscription.id,
        "url": subscription.url,
        "event_types": sorted(subscription.event_types),
        "description": subscription.description,
        "enabled": subscription.enabled,
        "disabled_reason": None if reason is None else reason.value,
        "disabled_at": _instant(subscription.disabled_ms),
        "resting_until": _instant(resting_ms),
        "partner_id": subscription.owner,
        "headers": dict(subscription.headers),
        "schedule_s": None if subscription.schedule_s is None else list(subscription.schedule_s),
        "max_in_flight": subscription.max_in_flight,
        "include": ["address"] if subscription.include_address else [],
        "retiring_secret_until": _instant(_retires_ms(subscription)),
        "created_at": timestamp_text(subscription.created_ms),
    }


def with_secret(subscription: Subscription, *, resting_ms: int | None) -> dict[str, Any]:
    """The view with the current secret: for the one who just made it, and nobody later."""
    current = next(secret for secret in subscription.secrets if secret.retires_ms is None)
    return subscription_view(subscription, resting_ms=resting_ms) | {"secret": current.text}


def recovery_view(recovery: Recovery) -> dict[str, Any]:
    return {
        "subscription_id": recovery.subscription_id,
        "since": timestamp_text(recovery.since_ms),
        "until": timestamp_text(recovery.until_ms),
    }


def _retires_ms(subscription: Subscription) -> int | None:
    return max((secret.retires_ms for secret in subscription.secrets if secret.retires_ms is not None), default=None)


def _instant(ms: int | None) -> str | None:
    return None if ms is None else timestamp_text(ms)
