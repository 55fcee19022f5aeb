"""Whether a process can keep its promises now."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether this process can keep its promises now; `problems` in words an operator can act on."""

    ready: bool
    problems: Sequence[str]
