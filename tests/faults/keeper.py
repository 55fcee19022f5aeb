"""What a supervisor is to an operator: starts again what ended by itself, and counts that it had to."""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.rig.processes import Child

_LOOK_EVERY_S = 0.3


class Keeper(threading.Thread):
    """Watches all children but those that a fault has taken over."""

    def __init__(self, children: Mapping[str, Child]) -> None:
        super().__init__(name="keeper", daemon=True)
        self.ended_by_itself = Counter[str]()
        self._children = children
        self._held: set[str] = set()
        self._done = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        while not self._done.wait(_LOOK_EVERY_S):
            with self._lock:
                self._look()

    @contextmanager
    def leaving_alone(self, *names: str) -> Iterator[None]:
        """The fault itself decides when these run."""
        with self._lock:
            self._held |= set(names)
        try:
            yield
        finally:
            with self._lock:
                self._held -= set(names)

    def finish(self) -> None:
        self._done.set()
        if self.is_alive():
            self.join(timeout=5)

    def _look(self) -> None:
        for name, child in self._children.items():
            if name not in self._held and not child.running:
                self.ended_by_itself[name] += 1
                child.start()
