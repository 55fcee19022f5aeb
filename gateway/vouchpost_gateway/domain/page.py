"""One page of a list, newest first, and the stretch of time that a list is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; `next` is the `after` of the following page, None at the end."""

    items: Sequence[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class Span:
    """From `since_ms` on and before `until_ms`, by the time in the id; without an `until_ms` it has no end."""

    since_ms: int = 0
    until_ms: int | None = None


ALWAYS = Span()
