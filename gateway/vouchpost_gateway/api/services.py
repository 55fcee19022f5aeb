"""What the API needs of the rest: narrow Protocols that `wiring` fulfils. No HTTP in here.

Every method may raise `LedgerUnavailable`; those that look something up raise `NotFound`; lists take an exclusive
`after` position (opaque text from the previous page, None for the first) and return newest first. A `span` is about
the time in the id: when the verification was accepted, and of a delivery, that behind its event. What is made with a
`draw` is made once, however often it is asked for; with None, it is made anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.access import ApiKey, Partner
from vouchpost_gateway.domain.delivery import Delivery, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.event import Event, EventType
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef
from vouchpost_gateway.domain.keyed import Begun, Keyed
from vouchpost_gateway.domain.page import Page, Span
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.domain.subscription import NewSubscription, Recovery, Subscription
from vouchpost_gateway.domain.tenant_policy import TenantPolicy
from vouchpost_gateway.domain.verification import Accepted, NewVerification, Status, Verification
from vouchpost_gateway.domain.world import Principal, Scope, World


class Authentication(Protocol):
    async def sign_in(self, key_text: str) -> Principal:
        """Who presents this key; NotAuthenticated otherwise, in the same time whatever is wrong with it."""


class Verifications(Protocol):
    async def accept(self, world: World, new: NewVerification, *, idempotency_key: str | None, body: bytes) -> Accepted:
        """One atomic write, then the promise. `body` is the raw request, compared under the idempotency key.

        Raises IdempotencyConflict, Backlogged, Overloaded.
        """

    async def get(self, world: World, stem: str) -> Verification: ...

    async def wait(self, world: World, stem: str, *, seconds: float) -> Verification:
        """The verification once it has a verdict, or as it is after `seconds`; Overloaded past the waiter limit."""

    async def list(
        self,
        world: World,
        *,
        status: Status | None,
        subject_id: str | None,
        span: Span,
        after: str | None,
        limit: int,
    ) -> Page[Verification]: ...

    async def recheck(self, world: World, stem: str) -> Verification: ...

    async def judge_again(self, world: World, stem: str) -> Verification: ...

    async def erase(self, world: World, stem: str) -> None: ...


class Subscriptions(Protocol):
    """`partner_id` None sees all of the world's subscriptions; otherwise only those the partner owns exist."""

    async def create(
        self, world: World, partner_id: str | None, new: NewSubscription, *, draw: Draw | None
    ) -> Subscription: ...

    async def get(self, world: World, partner_id: str | None, subscription_id: str) -> Subscription: ...

    async def list(
        self, world: World, partner_id: str | None, *, after: str | None, limit: int
    ) -> Page[Subscription]: ...

    async def resting(self, world: World, subscriptions: Sequence[Subscription]) -> dict[int, int]:
        """Until when those of them rest that do, by number."""

    async def replace(self, world: World, partner_id: str | None, changed: Subscription) -> Subscription:
        """Stores `changed` if its `version` is still the stored one (it becomes version + 1); Conflict otherwise."""

    async def delete(self, world: World, partner_id: str | None, subscription_id: str) -> None: ...

    async def rotate_secret(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        overlap_ms: int,
        new_key: bytes | None,
        draw: Draw | None,
    ) -> Subscription: ...

    async def test(
        self, world: World, partner_id: str | None, subscription_id: str, *, draw: Draw | None
    ) -> DeliveryRef:
        """Sends one `subscription.test` event to this subscription alone."""

    async def recover(
        self, world: World, partner_id: str | None, subscription_id: str, *, since_ms: int, until_ms: int | None
    ) -> Recovery: ...

    async def deliveries(
        self,
        world: World,
        partner_id: str | None,
        subscription_id: str,
        *,
        state: DeliveryState | None,
        event_type: EventType | None,
        span: Span,
        after: str | None,
        limit: int,
    ) -> Page[Delivery]: ...


class Deliveries(Protocol):
    async def get(self, world: World, partner_id: str | None, ref: DeliveryRef) -> Delivery: ...

    async def resend(
        self, world: World, partner_id: str | None, ref: DeliveryRef, *, draw: Draw | None
    ) -> Delivery: ...


class DeadLetters(Protocol):
    async def verifications(self, world: World, *, span: Span, after: str | None, limit: int) -> Page[Verification]: ...

    async def deliveries(
        self, world: World, partner_id: str | None, *, span: Span, after: str | None, limit: int
    ) -> Page[Delivery]: ...


class Events(Protocol):
    async def get(self, world: World, partner_id: str | None, ref: EventRef) -> Event:
        """A partner sees what went to one of its subscriptions."""


class Access(Protocol):
    async def keys(self, world: World, *, after: str | None, limit: int) -> Page[ApiKey]: ...

    async def create_key(
        self,
        world: World,
        *,
        scopes: frozenset[Scope],
        label: str,
        partner_id: str | None,
        expires_ms: int | None,
    ) -> tuple[ApiKey, str]:
        """The key as stored and its full text, which is never seen again."""

    async def revoke_key(self, world: World, key_id: str) -> None:
        """`key_id` is an `ApiKey.id` of the world's mode; NotFound when it is not the tenant's."""

    async def partners(self, world: World, *, after: str | None, limit: int) -> Page[Partner]: ...

    async def create_partner(self, world: World, *, name: str, draw: Draw | None) -> Partner: ...

    async def delete_partner(self, world: World, partner_id: str) -> None:
        """Revokes the partner's keys and deletes its subscriptions as well."""

    async def email_hash_key(self, world: World) -> bytes:
        """The HMAC-SHA256 key of `email_hash`, 32 bytes, the same for both modes of the tenant."""


class Policies(Protocol):
    async def read(self, world: World) -> TenantPolicy: ...

    async def write(self, world: World, policy: TenantPolicy) -> None: ...


class KeyedRequests(Protocol):
    """Requests under idempotency keys. What was begun must be ended, in one of three ways."""

    async def begin(self, world: World, keyed: Keyed) -> Begun | bytes:
        """The request, to be carried out now, or the answer that was given before.

        Raises IdempotencyConflict, IdempotencyPending, Overloaded.
        """

    async def answer(self, world: World, begun: Begun, answer: bytes) -> None: ...

    async def forget(self, world: World, begun: Begun) -> None:
        """Nothing was done."""

    async def leave(self, world: World, begun: Begun) -> None:
        """It may or may not have been done."""


class Health(Protocol):
    def readiness(self) -> Readiness:
        """As of the last look at the ledger, at most two seconds ago; never waits."""


@dataclass(frozen=True, slots=True)
class Services:
    """All of the above, as the application is given them."""

    authentication: Authentication
    verifications: Verifications
    subscriptions: Subscriptions
    deliveries: Deliveries
    dead_letters: DeadLetters
    events: Events
    access: Access
    policies: Policies
    keyed: KeyedRequests
    health: Health
