"""Real child processes, each with a log file of its own: started, killed, frozen and started again by name.

Logs go to files, never to pipes: a full pipe that nobody reads would freeze the process under test.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[2]


class NotReadyError(RuntimeError):
    """A process ended, or did not become ready in time; the message ends with the tail of its log."""


@dataclass
class Child:
    """One named process and how to start it, so that it can be killed and started again as it was."""

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cpus: frozenset[int] | None = None
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if self.cpus:
            os.sched_setaffinity(self.popen.pid, self.cpus)

    @property
    def pid(self) -> int:
        if self.popen is None:
            raise NotReadyError(f"{self.name} was never started")
        return self.popen.pid

    @property
    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and no return before the process is gone."""
        self.signal(signal.SIGKILL)
        self._reap(limit_s=10)

    def stop(self, *, limit_s: float = 30) -> float:
        """SIGTERM; the seconds it took to end. SIGKILL when it does not end in time, which is an error."""
        started = time.monotonic()
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self._reap(limit_s=limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NotReadyError(f"{self.name} did not end within {limit_s} s of SIGTERM{self.tail()}") from None
        return time.monotonic() - started

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def wait_until(self, ready: Callable[[], bool], *, limit_s: float = 60) -> None:
        """Returns once `ready` holds; NotReadyError when the process ends first or the time is over."""
        deadline = time.monotonic() + limit_s
        while not ready():
            if not self.running:
                raise NotReadyError(f"{self.name} ended with {self.popen and self.popen.returncode}{self.tail()}")
            if time.monotonic() > deadline:
                raise NotReadyError(f"{self.name} was not ready after {limit_s} s{self.tail()}")
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """User and system time of the process so far (proc_pid_stat(5), fields 14 and 15)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n" + "\n".join(text.splitlines()[-lines:])

    def _reap(self, *, limit_s: float) -> None:
        if self.popen is not None:
            self.popen.wait(timeout=limit_s)


def answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
