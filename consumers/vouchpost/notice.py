"""What a `subscription.…` event says: something about a subscription, and nothing about any address."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from vouchpost.fields import optional_text, others, text

NOTICE_TYPES: Final = frozenset({"subscription.disabled", "subscription.test"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionNotice:
    """`reason` is why it was disabled: `gone`, `failing` or `by_owner`; empty in a test event."""

    subscription_id: str
    reason: str = ""
    partner_id: str | None = None
    message: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


_FIELDS: Final = frozenset(one.name for one in fields(SubscriptionNotice)) - {"extra"}


def notice_of(data: Mapping[str, Any]) -> SubscriptionNotice:
    return SubscriptionNotice(
        subscription_id=text(data, "subscription_id"),
        reason=optional_text(data, "reason") or "",
        partner_id=optional_text(data, "partner_id"),
        message=optional_text(data, "message") or "",
        extra=others(data, _FIELDS),
    )
