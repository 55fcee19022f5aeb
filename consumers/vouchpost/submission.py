"""An address to be verified, with its idempotency key: two processes may send it, or one again after a crash."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from vouchpost.errors import ApiError, ConfigurationError
from vouchpost.resources import Verification

_is_key: Final = re.compile(r"[\x21-\x7e]{1,255}").fullmatch


@dataclass(frozen=True, slots=True)
class Submission:
    """An address to be verified, and for whom. What an application fills in may hold the address too."""

    email: str = field(repr=False)
    subject_id: str | None = field(default=None, repr=False)
    depth: str | None = None
    priority: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str = field(default_factory=lambda: uuid4().hex, repr=False)

    def __post_init__(self) -> None:
        checked_key(self.key)

    def details(self) -> dict[str, Any]:
        """What is neither the key nor the address, ready for JSON."""
        return {
            "subject_id": self.subject_id,
            "depth": self.depth,
            "priority": self.priority,
            "metadata": dict(self.metadata),
        }

    def options(self) -> dict[str, Any]:
        """What `Client.submit` takes beside the address."""
        return self.details() | {"idempotency_key": self.key}


def checked_key(key: str) -> str:
    """Refused where it is made: in an outbox, a key that cannot be sent would hold up all that wait behind it."""
    if not _is_key(key):
        raise ConfigurationError("an idempotency key is 1 to 255 visible ASCII characters")
    return key


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one submission of many: the verification, or the error that kept it from being taken."""

    submission: Submission
    result: Verification | ApiError

    @property
    def verification(self) -> Verification | None:
        return self.result if isinstance(self.result, Verification) else None

    @property
    def error(self) -> ApiError | None:
        return self.result if isinstance(self.result, ApiError) else None
