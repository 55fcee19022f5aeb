"""Being told to stop by SIGTERM, SIGINT or SIGHUP: heard from the first moment, and harmless in the last ones.

asyncio's own signal handlers end with its loop. A second Ctrl-C, or the SIGTERM that `timeout` and `uv run` both pass
on, would then end a process that is still cleaning up.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TOLD_BY = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Signals:
    """What has been told so far, and whom to call in which loop."""

    def __init__(self) -> None:
        self._told = 0
        self._call: Callable[[], object] | None = None

    def call(self, heed: Callable[[], object]) -> None:
        """From now on `heed` is called in the running loop for each signal, and for each that came before."""
        loop = asyncio.get_running_loop()

        def pass_on() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(heed)

        self._call = pass_on
        for _ in range(self._told):
            pass_on()

    def tell(self) -> None:
        self._told += 1
        if self._call is not None:
            self._call()


@contextmanager
def heeded() -> Iterator[Signals]:
    """Within the block no such signal ends the process; what is to be done about one, `call` says.

    A SIGHUP that is ignored already stays ignored: that is what nohup(1) is for.
    """
    signals = Signals()
    told_by = [number for number in _TOLD_BY if not _is_nohup(number)]
    before = {number: signal.signal(number, lambda *_: signals.tell()) for number in told_by}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_nohup(number: signal.Signals) -> bool:
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
