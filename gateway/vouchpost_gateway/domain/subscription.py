"""A webhook subscription: where events go, which ones, how they are signed, and its own limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vouchpost_gateway.domain.secret import SigningSecret


class DisabledReason(StrEnum):
    BY_OWNER = "by_owner"
    GONE = "gone"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscriber URL of a tenant or of one of its partners.

    `event_types` empty means all. `schedule_s` holds the seconds between attempts, the first one the delay before
    attempt 1; None means the default of `retry.py`. `number` is unique in its world and never given again.
    """

    id: str
    number: int
    url: str
    event_types: frozenset[str]
    secrets: tuple[SigningSecret, ...]
    created_ms: int
    owner: str | None = None
    description: str = ""
    enabled: bool = True
    disabled_reason: DisabledReason | None = None
    disabled_ms: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    schedule_s: tuple[float, ...] | None = None
    max_in_flight: int | None = None
    include_address: bool = False
    version: int = 1

    def wants(self, event_type: str) -> bool:
        """Whether an event of this type goes to this subscription now."""
        return self.enabled and (not self.event_types or event_type in self.event_types)


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A subscription as asked for, every field already checked. None for `secret_key` lets the ledger make one."""

    url: str
    event_types: frozenset[str]
    description: str
    headers: dict[str, str]
    schedule_s: tuple[float, ...] | None
    max_in_flight: int | None
    include_address: bool
    enabled: bool
    secret_key: bytes | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `recover` will do: it runs on the workers, and may be asked for again without harm."""

    subscription_id: str
    since_ms: int
    until_ms: int
