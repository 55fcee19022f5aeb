"""What goes wrong with a request or a step and reaches its caller, as one tree; modules above hang their own into it.

Where the raiser has nothing more to say, the docstring is the message. Errors that a module catches itself, and
texts that have no meaning (`Malformed…Error` of this package), are not in it.

VouchpostError
├── RequestRefused            the caller can do something about it
│   ├── InvalidField              names the field
│   ├── NotFound
│   ├── Conflict
│   │   ├── IdempotencyConflict
│   │   └── IdempotencyPending
│   ├── NotAuthenticated
│   └── NotAllowed
├── Overloaded                later will do
│   └── Backlogged
├── LedgerUnavailable         Redis did not answer in time, refused, or is not what it must be
│   └── NotReplicated             written, and on no replica yet
└── Misconfigured             the process must not start
"""


class VouchpostError(Exception):
    """The root of all errors that Vouchpost raises on purpose."""


class RequestRefused(VouchpostError):  # noqa: N818
    """The request cannot be carried out as it is."""


class InvalidField(RequestRefused):
    """A field of the request is not acceptable."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class NotFound(RequestRefused):
    """There is no such thing, or it is not yours."""

    def __init__(self, noun: str) -> None:
        super().__init__(f"no such {noun}")
        self.noun = noun


class Conflict(RequestRefused):
    """The request does not fit the state of the thing it is about."""


class IdempotencyConflict(Conflict):
    """The idempotency key was used before with another body."""


class IdempotencyPending(Conflict):
    """A request with this idempotency key is under way."""

    retry_after_s = 1  # it is done in milliseconds, unless its process died


class NotAuthenticated(RequestRefused):
    """The API key is missing, wrong, revoked or expired."""


class NotAllowed(RequestRefused):
    """The API key is good, but its scopes do not cover this."""


class Overloaded(VouchpostError):  # noqa: N818
    """There is more to do than can be done now; try again later."""

    def __init__(self, reason: str, *, retry_after_s: int) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Backlogged(Overloaded):
    """The line of this tenant is as long, or as old, as it may get."""


class LedgerUnavailable(VouchpostError):  # noqa: N818
    """The ledger did not answer in time, refused to write, or is not in a state to be trusted."""


class NotReplicated(LedgerUnavailable):
    """The write has not reached the replicas in time."""


class Misconfigured(VouchpostError):  # noqa: N818
    """The settings, or what they point at, would break a promise; the process must not start."""
