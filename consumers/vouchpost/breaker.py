"""A circuit breaker: after several failures in a row, nobody waits for the gateway until it has had time to recover."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """Closed while things work. `failures` in a row open it for `open_s`; then one call at a time tries again."""

    def __init__(self, *, failures: int = 5, open_s: float = 10, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures_to_open = failures
        self._open_s = open_s
        self._clock = clock
        self._failed = 0
        self._open_until = 0.0
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether to call now. While open, the caller that is let through to try holds the others off."""
        with self._lock:
            if self._failed < self._failures_to_open:
                return True
            if self._clock() < self._open_until:
                return False
            self._open_until = self._clock() + self._open_s
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._failed = 0

    def failed(self) -> None:
        with self._lock:
            self._failed += 1
            self._open_until = self._clock() + self._open_s
