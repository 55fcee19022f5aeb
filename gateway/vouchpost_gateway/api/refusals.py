"""What can be wrong with an HTTP request itself, before any noun is touched. No status codes in here.

RequestRefused
├── MalformedRequest          headers or query that no rule here can read
├── MalformedCursor
├── NoSuchPath
├── MethodNotAllowed          carries the methods that are
├── UnsupportedMediaType
├── BodyTooLarge
├── IdempotencyKeyRefused     carries why
├── InvalidFields             several fields at once, each with its reason
└── RateLimited               carries when to come back, and the headers that tell the standing
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vouchpost_gateway.domain.errors import RequestRefused


@dataclass(frozen=True, slots=True)
class FieldError:
    """One unacceptable field, and why; never its value."""

    field: str
    reason: str


class MalformedRequest(RequestRefused):
    """A header or the query string cannot be read."""


class MalformedCursor(RequestRefused):
    """The cursor is not one that this list gave out."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class NoSuchPath(RequestRefused):
    """There is nothing at this path."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


class MethodNotAllowed(RequestRefused):
    """The path does not know the method."""

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(self.__doc__)
        self.allowed = allowed


class UnsupportedMediaType(RequestRefused):
    """The body is not plain application/json."""


class BodyTooLarge(RequestRefused):
    """The body is larger than this API reads."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body may have at most {limit_bytes} bytes")


class IdempotencyKeyRefused(RequestRefused):
    """The operation takes no idempotency key."""


class InvalidFields(RequestRefused):
    """Some fields of the request are not acceptable."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(self.__doc__)
        self.errors = errors


class RateLimited(RequestRefused):
    """The API key asks faster than it may."""

    def __init__(self, retry_after_s: int, standing: Sequence[tuple[bytes, bytes]]) -> None:
        super().__init__(self.__doc__)
        self.retry_after_s = retry_after_s
        self.standing = standing


class ClientLeft(Exception):  # noqa: N818
    """The client closed the connection: there is nobody to answer."""
