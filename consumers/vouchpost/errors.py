"""Everything that can go wrong in the kit, as one tree. The docstring is the message; `reason` is a stable code.

VouchpostError
├── ConfigurationError            the process must not start
│   └── SecretError                   a signing secret is not one
├── SignatureError                stage 1: nobody knows who sent this
│   ├── MissingHeaderError
│   ├── DuplicateHeaderError
│   ├── MalformedHeaderError
│   ├── TimestampError                too old or too new
│   └── NoMatchingSignatureError
├── MessageError                  stage 2: authentic bytes, but not an event
│   ├── BodyTooLargeError
│   ├── NotJsonError
│   └── NotAnEventError
├── ApplyError                    stage 3: nothing was committed, the sender should try again
│   ├── InFlightError                 another delivery of the same event is being applied right now
│   ├── StoreUnavailableError
│   ├── HandlerError                  the handler raised; `__cause__` is what it raised
│   └── ParkError                     for handlers to raise: this event can never be applied
├── InvalidAddressError           an address that is certainly wrong; the message is fit for who typed it
└── ApiError                      the other direction: a call to the gateway failed
    ├── UnreachableError              no answer within the time limit
    │   └── NotAGatewayError              something else answered
    ├── OverloadedError               "later", still after all retries
    └── RequestRefusedError           the request itself is wrong

No error carries a secret, a signature, an address or an unverified body.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class VouchpostError(Exception):
    """The root of all errors that the kit raises on purpose."""

    reason: str = "error"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or type(self).__doc__)

    def __reduce__(self) -> tuple[Any, ...]:
        """Worker queues pickle errors. `__init__` is not asked again: what it takes is not what `args` holds."""
        return _unpickled, (type(self), *self.args), vars(self)


def _unpickled(kind: type[VouchpostError], *args: object) -> VouchpostError:
    return kind.__new__(kind, *args)


class ConfigurationError(VouchpostError):
    """The kit is set up in a way that would break a promise."""

    reason = "configuration"


class SecretError(ConfigurationError):
    """A signing secret is `whsec_` followed by the base64 of 24 to 64 bytes."""

    reason = "malformed_secret"


class SignatureError(VouchpostError):
    """The request is not authentic."""

    reason = "signature"


class MissingHeaderError(SignatureError):
    """One of webhook-id, webhook-timestamp and webhook-signature is missing."""

    reason = "missing_header"


class DuplicateHeaderError(SignatureError):
    """One of webhook-id, webhook-timestamp and webhook-signature is there twice."""

    reason = "duplicate_header"


class MalformedHeaderError(SignatureError):
    """A header is not what Standard Webhooks allows; `reason` says which one."""

    def __init__(self, *, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class TimestampError(SignatureError):
    """The attempt was made too long ago, or lies in the future; look at both clocks."""

    def __init__(self, *, reason: str, off_by_s: float) -> None:
        super().__init__(f"{self.__doc__} It is off by {abs(off_by_s):.0f} seconds.")
        self.reason = reason
        self.off_by_s = off_by_s


class NoMatchingSignatureError(SignatureError):
    """No signature matches: another secret was used, or something on the way changed the body."""

    reason = "no_matching_signature"


class MessageError(VouchpostError):
    """The request cannot be read as an event."""

    reason = "message"


class BodyTooLargeError(MessageError):
    """The body is larger than this receiver reads."""

    reason = "body_too_large"


class NotJsonError(MessageError):
    """The body is authentic, but not JSON in UTF-8 (RFC 8259)."""

    reason = "not_json"


class NotAnEventError(MessageError):
    """The body is authentic JSON, but not an event."""

    reason = "not_an_event"


class ApplyError(VouchpostError):
    """The event was not applied, and nothing of it was committed."""

    reason = "apply"
    retry_after_s: ClassVar[int] = 5


class InFlightError(ApplyError):
    """Another delivery of this event, or another event of its subject, is being applied at this moment."""

    reason = "in_flight"
    retry_after_s = 1


class StoreUnavailableError(ApplyError):
    """The consumer's own database did not do what it was asked."""

    reason = "store_unavailable"


class HandlerError(ApplyError):
    """The handler of this event type failed; its transaction was rolled back."""

    reason = "handler_failed"


class ParkError(ApplyError):
    """The event can never be applied as it is: set it aside, and do not send it again."""

    reason = "parked"


class InvalidAddressError(VouchpostError):
    """The email address does not seem to work. Please check it for typing mistakes, or use another one."""

    reason = "invalid_address"


class ApiError(VouchpostError):
    """A call to the gateway failed."""

    reason = "api"


class UnreachableError(ApiError):
    """The gateway gave no complete answer within the time limit."""

    reason = "unreachable"


class NotAGatewayError(UnreachableError):
    """What answered is not a gateway: look at VOUCHPOST_URL, and at what stands in between."""

    reason = "not_a_gateway"

    def __init__(self, why: str) -> None:
        super().__init__(f"{self.__doc__} Its answer: {why}.")


class OverloadedError(ApiError):
    """The gateway asks to come back later, and the time limit of the call does not allow it."""

    reason = "overloaded"

    def __init__(self, *, status: int, retry_after_s: float | None) -> None:
        super().__init__(f"{self.__doc__} Status {status}.")
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class FieldError:
    """A field of the request, and what is wrong with it."""

    field: str
    reason: str


class RequestRefusedError(ApiError):
    """The gateway refused the request (RFC 9457 problem); asking again will not help."""

    reason = "refused"

    def __init__(self, *, status: int, title: str, detail: str = "", fields: Sequence[FieldError] = ()) -> None:
        where = "; ".join(f"{field.field}: {field.reason}" for field in fields)
        # A gateway's `detail` says of fields nothing that they do not say themselves.
        super().__init__(" · ".join(part for part in (f"{status} {title}", where or detail) if part))
        self.status = status
        self.title = title
        self.detail = detail
        self.fields = tuple(fields)

    @property
    def is_about_content(self) -> bool:
        """Whether it is this one content that is wrong; else it is the key, or what it may do, and others fail too."""
        return self.status in {400, 413, 422}
