"""Keeps a set of processes running: started in stages, started again when they end, stopped in reverse order.

It knows commands, not what they do. A child dies with this process, however this one dies.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from vouchpost_gateway.domain.errors import VouchpostError
from vouchpost_gateway.embedded.tether import EXIT_NOT_FOUND, tethered

EXIT_MISCONFIGURED = 2
"""A child that ends with this, or whose command does not exist, is not started again: it would end the same way."""

_BEYOND_HELP = frozenset({EXIT_MISCONFIGURED, EXIT_NOT_FOUND})
_LIVES_BEFORE_READY = 5
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_STEADY_AFTER_S = 10.0
_PROBE_EVERY_S = 0.05

Probe = Callable[[int], Coroutine[Any, Any, bool]]


class ChildFailedError(VouchpostError):
    """A child ended in a way that starting it again does not mend, or was not ready in time."""


class Tell(Protocol):
    """Where the supervisor says what happened: a constant event name and fields."""

    def __call__(self, event: str, /, **fields: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running. `ready` is asked with its pid until it answers True; None is ready at once.

    `hint` says where to look when it cannot be kept running.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] | None = None
    ready: Probe | None = None
    before_start: Callable[[], None] = field(default=lambda: None)
    start_limit_s: float = 60.0
    stop_grace_s: float = 10.0
    quiet: bool = False
    hint: str = ""
    log: Path | None = None
    """Where its output is appended, of both kinds; None leaves it where ours goes."""


class Supervisor:
    """Starts on entering, stage by stage, each when the one before is ready; stops on leaving, in reverse.

    When `until` is set, `run` returns; set while it still starts, it starts no more.
    """

    def __init__(self, stages: Sequence[Sequence[Child]], *, tell: Tell, until: asyncio.Event | None = None) -> None:
        self._until = until or asyncio.Event()
        self._stages = [[_Keeper(child, tell) for child in stage] for stage in stages]
        self._keepers = {keeper.child.name: keeper for stage in self._stages for keeper in stage}

    async def __aenter__(self) -> Self:
        try:
            await self._unless_told(self._start())
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def run(self) -> None:
        """Returns when `until` is set; ChildFailedError when a child cannot be kept running."""
        keeping = [keeper.task for keeper in self._keepers.values() if keeper.task]
        await self._unless_told(_first_to_end(keeping))

    async def stop(self) -> None:
        """Ends every child, the last stage first; whoever outlasts its grace is killed. Harmless when repeated."""
        for stage in reversed(self._stages):
            await asyncio.gather(*(keeper.stop() for keeper in stage))

    def hurry(self) -> None:
        """Cuts short the grace of every child that is being stopped: somebody is waiting."""
        for keeper in self._keepers.values():
            keeper.hurry()

    def pid(self, name: str) -> int | None:
        """The process that runs now under this name; None between two runs."""
        return self._keepers[name].pid

    def starts(self, name: str) -> int:
        """How often this child was started."""
        return self._keepers[name].starts

    async def kill(self, name: str) -> None:
        """SIGKILL, as a crash would; returns when the child is gone, before it is started again."""
        await self._keepers[name].kill()

    async def until_ready(self, name: str) -> None:
        """Returns when this child is ready, as after `kill`."""
        await self._keepers[name].until_ready()

    async def _start(self) -> None:
        for stage in self._stages:
            for keeper in stage:
                keeper.begin()
            await asyncio.gather(*(keeper.until_ready() for keeper in stage))

    async def _unless_told(self, work: Coroutine[Any, Any, None]) -> None:
        """Does the work until it is done or `until` is set."""
        working = asyncio.ensure_future(work)
        told = asyncio.ensure_future(self._until.wait())
        try:
            await asyncio.wait([working, told], return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            told.cancel()
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)


async def _first_to_end(tasks: Sequence[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


class _Keeper:
    """One child and the task that keeps it running."""

    def __init__(self, child: Child, tell: Tell) -> None:
        self.child = child
        self.task: asyncio.Task[None] | None = None
        self.starts = 0
        self._tell = tell
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._was_ready = False
        self._stopping = False
        self._hint = f"; {child.hint}" if child.hint else ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    def begin(self) -> None:
        self.task = asyncio.ensure_future(self._keep())

    async def until_ready(self) -> None:
        """Returns when the child is ready; ChildFailedError when it cannot become so, or not in time."""
        assert self.task is not None
        ready = asyncio.ensure_future(self._ready.wait())
        limit = self.child.start_limit_s
        done, _ = await asyncio.wait([ready, self.task], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.task in done:
            self.task.result()
        if not done:
            raise ChildFailedError(f"{self.child.name} was not ready within {limit:g} s{self._hint}")

    async def kill(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def hurry(self) -> None:
        if self._stopping:
            self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        self._stopping = True
        if self.task is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        grace = self.child.stop_grace_s if self.pid else 0
        await asyncio.wait([self.task], timeout=grace)
        if self.pid:
            self._tell("child.killed", child=self.child.name, grace_s=grace)
            self._signal(signal.SIGKILL)
        elif not self.task.done():
            self.task.cancel()  # it sleeps between two runs
        await asyncio.gather(self.task, return_exceptions=True)  # what it failed of was told by `run`
        self._tell("child.stopped", child=self.child.name)

    async def _keep(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stopping:
            started = time.monotonic()
            code = await self._run_once()
            if self._stopping:
                return
            self._give_up_on(code)
            lived = time.monotonic() - started
            pause = _FIRST_PAUSE_S if lived > _STEADY_AFTER_S else pause
            self._tell("child.ended", child=self.child.name, exit_code=code, again_in_s=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _give_up_on(self, code: int) -> None:
        """ChildFailedError when starting the child again would not help."""
        if code in _BEYOND_HELP:
            raise ChildFailedError(f"{self.child.name} cannot run with these settings{self._hint}")
        if not self._was_ready and self.starts >= _LIVES_BEFORE_READY:
            raise ChildFailedError(f"{self.child.name} ended {self.starts} times before it was ready{self._hint}")

    async def _run_once(self) -> int:
        """One life of the child, from start to end."""
        await asyncio.to_thread(self.child.before_start)
        self._process = await self._spawn()
        self.starts += 1
        probing = asyncio.ensure_future(self._probe(self._process.pid))
        try:
            return await self._process.wait()
        finally:
            self._ready.clear()
            probing.cancel()

    async def _spawn(self) -> asyncio.subprocess.Process:
        if self.child.log is None:
            return await self._spawn_with(stdout=asyncio.subprocess.DEVNULL if self.child.quiet else None, stderr=None)
        with self.child.log.open("ab") as log:
            return await self._spawn_with(stdout=log, stderr=log)

    async def _spawn_with(
        self, *, stdout: IO[bytes] | int | None, stderr: IO[bytes] | None
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *tethered(self.child.command),
            env=self.child.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor, who stops them in order
        )

    async def _probe(self, pid: int) -> None:
        while self.child.ready is not None and not await self.child.ready(pid):  # noqa: ASYNC110  it sends no event
            await asyncio.sleep(_PROBE_EVERY_S)
        self._was_ready = True
        self._ready.set()
        self._tell("child.ready", child=self.child.name, pid=pid)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
