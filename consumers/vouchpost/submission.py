"""An address to be verified, with its idempotency key: two processes may send it, or one again after a crash."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from vouchpost.errors import ApiError
from vouchpost.resources import Verification


@dataclass(frozen=True, slots=True)
class Submission:
    """An address to be verified, and for whom."""

    email: str = field(repr=False)
    subject_id: str | None = None
    depth: str | None = None
    priority: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    key: str = field(default_factory=lambda: uuid4().hex)

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
