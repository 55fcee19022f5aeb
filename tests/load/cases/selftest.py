"""The instruments prove themselves on a dummy server before anything else is believed."""

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.load.joined import join
from tests.load.percentiles import quantile
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import Farm, receiver_child, run_generator, verification
from tests.rig.processes import Child, answers
from vouchpost_gateway.embedded.ports import free_port

_RATE = 200
_STALL_S = 20
_FROZEN_S = 2.05  # a little more than the 2 s that must show, which no request spends whole


def stall(_seconds: float) -> Result:
    """A server frozen for 2 s in 20 s must show as about a tenth of late requests, or the generator is useless."""
    with _dummy(drop_every=0) as (home, dummy, _):
        timer = threading.Timer(_STALL_S / 2, _freeze, [dummy])
        timer.start()
        done = run_generator(home, [_stream()], port=int(dummy.command[-3]), seconds=_STALL_S)
        timer.join()
    late = [(one.answered or one.intended + 99) - one.intended for one in done.sent]
    share = sum(latency > 0.05 for latency in late) / len(late)
    p99, worst = quantile(late, 0.99), max(late)
    expected = _FROZEN_S / _STALL_S
    ok = 0.8 * expected <= share <= 1.3 * expected and worst >= 2.0 and p99 >= 1.8
    return Result(
        case="selftest_stall",
        what="generator's self-test: server frozen 2 s of 20 s",
        must="~10 % late, max ≥ 2.0 s, p99 ≥ 1.8 s",
        aim="",
        measured=f"{share:.1%} late, max {worst:.2f} s, p99 {p99:.2f} s, generator's CPU {done.cpu_share:.0%}",
        ok=ok,
        figures={"late_share": share, "max_s": worst, "p99_s": p99, "cpu_share": done.cpu_share},
    )


def negative_control(seconds: float) -> Result:
    """One of 1,000 pushes dropped on purpose must turn the oracle red, and none dropped must not."""
    whole, holed = _lost(seconds, drop_every=0), _lost(seconds, drop_every=1000)
    ok = whole == 0 and holed == int(_requests(seconds)) // 1000
    return Result(
        case="selftest_oracle",
        what="oracle's negative control: 1 of 1,000 pushes dropped",
        must="red with drops, green without",
        aim="",
        measured=f"lost {holed} with drops, {whole} without",
        ok=ok,
        figures={"lost_with_drops": holed, "lost_without": whole},
    )


def _requests(seconds: float) -> float:
    return max(2000.0, 400 * min(seconds, 10))


def _lost(seconds: float, *, drop_every: int) -> int:
    with _dummy(drop_every=drop_every) as (home, dummy, farm):
        stream = Stream("load", 1000, "key", verification("load"))
        done = run_generator(home, [stream], port=int(dummy.command[-3]), seconds=_requests(seconds) / 1000)
        farm.wait_for(len(done.sent), limit_s=1)
        return join(done.sent, farm.records(), paths=["/ok/1"]).lost


def _stream() -> Stream:
    return Stream("load", _RATE, "key", verification("load"))


def _freeze(dummy: Child) -> None:
    dummy.freeze()
    time.sleep(_FROZEN_S)
    dummy.thaw()


@contextlib.contextmanager
def _dummy(*, drop_every: int) -> Iterator[tuple[Path, Child, Farm]]:
    with tempfile.TemporaryDirectory(prefix="vouchpost-load-") as place:
        home = Path(place)
        farm = Farm(receiver_child(home), 0)
        farm.port = int(farm.child.command[-1])
        port = free_port()
        command = [sys.executable, "-m", "tests.load.dummy", str(port), str(farm.port), str(drop_every)]
        dummy = Child("dummy", command, home / "dummy.log")
        try:
            farm.child.start()
            farm.child.wait_until(lambda: answers(farm.port))
            dummy.start()
            dummy.wait_until(lambda: answers(port))
            yield home, dummy, farm
        finally:
            dummy.kill()
            farm.child.kill()
