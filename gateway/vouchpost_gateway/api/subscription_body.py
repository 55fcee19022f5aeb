"""What the bodies of /v1/subscriptions may hold, and the records they become."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vouchpost_gateway.api.fields import Instant, WholeNumber, printable, refuse
from vouchpost_gateway.api.operation import Body
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.event import EventType
from vouchpost_gateway.domain.secret import MalformedSecretError, parse_secret
from vouchpost_gateway.domain.subscription import DisabledReason, NewSubscription, Subscription
from vouchpost_gateway.domain.url import UrlPolicy, check_headers, parse_url

MAX_ATTEMPTS = 20
MAX_DELAY_S = 86_400
MAX_OVERLAP_S = 7 * 86_400


def _once_each(types: list[EventType]) -> list[EventType]:
    if len(set(types)) < len(types):
        raise refuse("must name each event type once")
    return types


def _secret(text: str) -> str:
    try:
        parse_secret(text)
    except MalformedSecretError:
        raise refuse("must be whsec_ followed by the base64 of 24 to 64 bytes") from None
    return text


Description = Annotated[str, AfterValidator(printable(low=0, high=256))]
EventTypes = Annotated[list[Annotated[EventType, Field(strict=False)]], AfterValidator(_once_each)]
Schedule = Annotated[list[Annotated[float, Field(ge=0, le=MAX_DELAY_S)]], Field(min_length=1, max_length=MAX_ATTEMPTS)]
InFlight = Annotated[WholeNumber, Field(ge=1, le=1000)]
Include = Annotated[list[Literal["address"]], Field(max_length=1)]
Secret = Annotated[str, AfterValidator(_secret)]


class NewSubscriptionBody(Body):
    """What POST /v1/subscriptions takes. No event types means all of them, those of later releases too."""

    url: str
    event_types: EventTypes = Field(default_factory=list)
    description: Description = ""
    headers: dict[str, str] = Field(default_factory=dict)
    schedule_s: Schedule | None = None
    max_in_flight: InFlight | None = None
    include: Include = Field(default_factory=list)
    enabled: bool = True
    secret: Secret | None = None

    def record(self, policy: UrlPolicy) -> NewSubscription:
        return NewSubscription(
            url=parse_url(self.url, policy=policy),
            event_types=frozenset(self.event_types),
            description=self.description,
            headers=check_headers(self.headers),
            schedule_s=None if self.schedule_s is None else tuple(self.schedule_s),
            max_in_flight=self.max_in_flight,
            include_address=bool(self.include),
            enabled=self.enabled,
            secret_key=None if self.secret is None else parse_secret(self.secret),
        )


class SubscriptionPatch(Body):
    """What PATCH /v1/subscriptions/{id} takes: the fields to change (RFC 7396 for one flat object).

    The defaults never count: only what was given is looked at. `null` stands for the server's default where it may.
    """

    url: str = ""
    event_types: EventTypes = Field(default_factory=list)
    description: Description = ""
    headers: dict[str, str] = Field(default_factory=dict)
    schedule_s: Schedule | None = None
    max_in_flight: InFlight | None = None
    include: Include = Field(default_factory=list)
    enabled: bool = True

    def applied(self, before: Subscription, *, policy: UrlPolicy, now_ms: int) -> Subscription:
        """The subscription with the given fields changed, and nothing else."""
        given = self.model_fields_set
        after = before
        if "url" in given:
            after = replace(after, url=parse_url(self.url, policy=policy))
        if "event_types" in given:
            after = replace(after, event_types=frozenset(self.event_types))
        if "description" in given:
            after = replace(after, description=self.description)
        if "headers" in given:
            after = replace(after, headers=check_headers(self.headers))
        if "schedule_s" in given:
            after = replace(after, schedule_s=None if self.schedule_s is None else tuple(self.schedule_s))
        if "max_in_flight" in given:
            after = replace(after, max_in_flight=self.max_in_flight)
        if "include" in given:
            after = replace(after, include_address=bool(self.include))
        if "enabled" in given and self.enabled != before.enabled:
            after = _switched(after, enabled=self.enabled, now_ms=now_ms)
        return after


def _switched(before: Subscription, *, enabled: bool, now_ms: int) -> Subscription:
    reason, since = (None, None) if enabled else (DisabledReason.BY_OWNER, now_ms)
    return replace(before, enabled=enabled, disabled_reason=reason, disabled_ms=since)


class RotationBody(Body):
    """What POST …/rotate-secret takes: a secret of one's own, and how long the present one goes on signing."""

    secret: Secret | None = None
    overlap_s: Annotated[WholeNumber, Field(ge=0, le=MAX_OVERLAP_S)] | None = None


class RecoveryBody(Body):
    """What POST …/recover takes: the events of this time are delivered again where they were not delivered."""

    since: Instant
    until: Instant | None = None


def check_order(*, since_ms: int, until_ms: int | None) -> None:
    if until_ms is not None and until_ms <= since_ms:
        raise InvalidField("until", "must be later than since")
