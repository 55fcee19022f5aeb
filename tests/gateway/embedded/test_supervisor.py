import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vouchpost_gateway.embedded.supervisor import Child, ChildFailedError, Supervisor

OWNER = """
import asyncio, sys
from vouchpost_gateway.embedded.supervisor import Child, Supervisor
async def main():
    stages = [[Child(name, ["sleep", "60"])] for name in ("one", "two")]
    async with Supervisor(stages, tell=lambda *_, **__: None) as supervisor:
        print(supervisor.pid("one"), supervisor.pid("two"), flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
DEAF = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(60)"
DIARY = """
import signal, sys, time
diary = open(sys.argv[1], "a", buffering=1)
diary.write(f"{sys.argv[2]} started\\n")
def end(*_):
    diary.write(f"{sys.argv[2]} ended\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + "." + sys.argv[2], "w")
time.sleep(60)
"""


class Told:
    """What the supervisor said."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self.events if name == event]


def python(name: str, source: str, *arguments: str, **rest: Any) -> Child:
    return Child(name, [sys.executable, "-c", source, *arguments], **rest)


def exists(path: Path) -> Callable[[int], Any]:
    async def probe(_: int) -> bool:
        return os.path.exists(path)  # noqa: ASYNC240, PTH110  it is on this machine's disk

    return probe


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def eventually(holds: Callable[[], bool], *, limit_s: float = 5) -> bool:
    deadline = time.monotonic() + limit_s
    while not holds() and time.monotonic() < deadline:  # noqa: ASYNC110  another process sends no event
        await asyncio.sleep(0.01)
    return holds()


async def gone(pid: int) -> bool:
    return await eventually(lambda: not is_alive(pid))


def diarist(name: str, diary: Path) -> Child:
    return python(name, DIARY, str(diary), name, ready=exists(Path(f"{diary}.{name}")))


def test_stages_start_in_order_and_stop_in_reverse(tmp_path: Path) -> None:
    diary = tmp_path / "diary"

    async def main() -> None:
        stages = [[diarist("redis", diary)], [diarist("worker", diary)], [diarist("api", diary)]]
        async with Supervisor(stages, tell=Told()):
            pass

    asyncio.run(main())
    assert diary.read_text().splitlines() == [
        "redis started",
        "worker started",
        "api started",
        "api ended",
        "worker ended",
        "redis ended",
    ]


def test_a_killed_child_is_started_again_within_two_seconds() -> None:
    async def main() -> None:
        async with Supervisor([[Child("one", ["sleep", "60"])]], tell=told) as supervisor:
            first = supervisor.pid("one")
            assert first is not None
            os.kill(first, signal.SIGKILL)

            assert await eventually(lambda: supervisor.pid("one") not in {first, None}, limit_s=2)

    told = Told()
    asyncio.run(main())
    assert told.of("child.ended") == [{"child": "one", "exit_code": -signal.SIGKILL, "again_in_s": 0.1}]


def test_a_child_that_keeps_ending_is_given_longer_pauses_up_to_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vouchpost_gateway.embedded.supervisor._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("vouchpost_gateway.embedded.supervisor._LONGEST_PAUSE_S", 0.04)

    async def main() -> None:
        async with Supervisor([[Child("one", ["false"])]], tell=told) as supervisor:
            assert await eventually(lambda: supervisor.starts("one") >= 6)

    told = Told()
    asyncio.run(main())
    assert [fields["again_in_s"] for fields in told.of("child.ended")][:5] == [0.01, 0.02, 0.04, 0.04, 0.04]


def test_readiness_is_asked_anew_after_a_restart(tmp_path: Path) -> None:
    served: list[int] = []

    async def probe(pid: int) -> bool:
        served.append(pid)
        return len(served) > 3

    async def main() -> None:
        async with Supervisor([[Child("one", ["sleep", "60"], ready=probe)]], tell=told) as supervisor:
            first = supervisor.pid("one")
            await supervisor.kill("one")
            await supervisor.until_ready("one")
            assert served[-1] == supervisor.pid("one") != first

    told = Told()
    asyncio.run(main())
    assert len(told.of("child.ready")) == 2


def test_what_must_happen_before_each_start_happens_before_each_start() -> None:
    prepared: list[float] = []

    async def main() -> None:
        child = Child("one", ["sleep", "60"], before_start=lambda: prepared.append(time.monotonic()))
        async with Supervisor([[child]], tell=Told()) as supervisor:
            os.kill(supervisor.pid("one") or 0, signal.SIGKILL)
            assert await eventually(lambda: supervisor.starts("one") >= 2)

    asyncio.run(main())
    assert len(prepared) == 2


def test_a_child_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        deaf = python("deaf", DEAF, str(tmp_path / "up"), ready=exists(tmp_path / "up"), stop_grace_s=0.1)
        async with Supervisor([[deaf]], tell=told):
            pass

    told = Told()
    asyncio.run(main())
    assert told.of("child.killed") == [{"child": "deaf", "grace_s": 0.1}]


def test_somebody_in_a_hurry_waits_for_no_grace(tmp_path: Path) -> None:
    async def main() -> None:
        deaf = python("deaf", DEAF, str(tmp_path / "up"), ready=exists(tmp_path / "up"), stop_grace_s=60)
        async with Supervisor([[deaf]], tell=Told()) as supervisor:
            supervisor.hurry()
            assert supervisor.pid("deaf") is not None
            asyncio.get_running_loop().call_later(0.1, supervisor.hurry)

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 30


def test_a_frozen_child_is_stopped_too() -> None:
    async def main() -> None:
        async with Supervisor([[Child("one", ["sleep", "60"], stop_grace_s=5)]], tell=told) as supervisor:
            os.kill(supervisor.pid("one") or 0, signal.SIGSTOP)

    told = Told()
    asyncio.run(main())
    assert told.of("child.killed") == []


def test_a_child_that_is_misconfigured_ends_the_start_and_the_others(tmp_path: Path) -> None:
    pids: list[int] = []

    async def remember(pid: int) -> bool:
        pids.append(pid)
        return True

    async def never(_: int) -> bool:
        return False

    async def main() -> None:
        good = Child("good", ["sleep", "60"], ready=remember)
        wrong = python("wrong", "import sys; sys.exit(2)", ready=never)
        with pytest.raises(ChildFailedError, match="wrong cannot run with these settings"):
            async with Supervisor([[good], [wrong]], tell=Told()):
                pass
        assert await gone(pids[0])

    asyncio.run(main())


def test_a_child_that_always_ends_before_it_is_ready_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vouchpost_gateway.embedded.supervisor._FIRST_PAUSE_S", 0.01)

    async def never(_: int) -> bool:
        return False

    async def main() -> None:
        failing = Child("failing", ["false"], ready=never, hint="its log says why")
        with pytest.raises(ChildFailedError, match="failing ended 5 times before it was ready; its log says why"):
            async with Supervisor([[failing]], tell=Told()):
                pass

    asyncio.run(main())


def test_a_command_that_does_not_exist_is_not_tried_again() -> None:
    async def main() -> None:
        async with Supervisor([[Child("absent", ["/absent"])]], tell=Told()) as supervisor:
            with pytest.raises(ChildFailedError, match="absent cannot run"):
                await supervisor.run()
            assert supervisor.starts("absent") == 1

    asyncio.run(main())


def test_a_child_that_is_never_ready_ends_the_start() -> None:
    async def never(_: int) -> bool:
        return False

    async def main() -> None:
        lazy = Child("lazy", ["sleep", "60"], ready=never, start_limit_s=0.2)
        with pytest.raises(ChildFailedError, match=r"lazy was not ready within 0\.2 s"):
            async with Supervisor([[lazy]], tell=Told()):
                pass

    asyncio.run(main())


def test_running_ends_when_a_child_is_beyond_help() -> None:
    async def main() -> None:
        wrong = python("wrong", "import sys, time; time.sleep(0.3); sys.exit(2)")
        async with Supervisor([[wrong]], tell=Told()) as supervisor:
            with pytest.raises(ChildFailedError):
                await supervisor.run()

    asyncio.run(main())


def test_running_ends_when_it_is_told_to() -> None:
    async def main() -> None:
        told_to = asyncio.Event()
        async with Supervisor([[Child("one", ["sleep", "60"])]], tell=Told(), until=told_to) as supervisor:
            asyncio.get_running_loop().call_later(0.05, told_to.set)
            await supervisor.run()
            assert supervisor.pid("one") is not None

    asyncio.run(main())


def test_told_to_end_while_it_starts_it_starts_no_more() -> None:
    async def never(_: int) -> bool:
        return False

    async def main() -> None:
        told_to = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, told_to.set)
        stages = [[Child("slow", ["sleep", "60"], ready=never)], [Child("next", ["sleep", "60"])]]
        async with Supervisor(stages, tell=Told(), until=told_to) as supervisor:
            await supervisor.run()
            assert (supervisor.starts("slow"), supervisor.starts("next")) == (1, 0)

    asyncio.run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot tie a child to its parent")
def test_a_killed_supervisor_leaves_no_orphans() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert all(map(is_alive, pids))
        owner.kill()

    assert all(asyncio.run(gone(pid)) for pid in pids)


def test_a_child_with_a_log_writes_both_kinds_of_output_there(tmp_path: Path) -> None:
    speak = "import sys, time; print('said', flush=True); print('complained', file=sys.stderr); time.sleep(60)"
    log = tmp_path / "speaker.log"

    async def complained(_: int) -> bool:
        return "complained" in log.read_text()

    async def main() -> None:
        async with Supervisor([[python("speaker", speak, log=log, ready=complained)]], tell=Told()):
            pass

    asyncio.run(main())

    assert log.read_text() == "said\ncomplained\n"
