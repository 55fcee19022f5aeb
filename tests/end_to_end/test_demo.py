"""`vouchpost demo` as a newcomer runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

_COMMAND = [sys.executable, "-P", "-m", "vouchpost", "demo"]


def leftovers(marker: Path) -> list[str]:
    """Processes that were started in or for this directory."""
    lines = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(marker) in line]


@pytest.mark.timeout(100)
def test_the_demo_loses_nothing_and_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_COMMAND, "--keep", str(tmp_path / "kept")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    (totals,) = re.findall(
        r"acknowledged (\d+) · delivered (\d+) · redelivered after the kills (\d+)"
        r" · applied (\d+) · applied twice (\d+) · lost (\d+)",
        done.stdout,
    )
    acknowledged, delivered, redelivered, applied, twice, lost = map(int, totals)
    assert acknowledged >= 190
    assert delivered == applied == 3 * acknowledged
    assert redelivered > 0
    assert (twice, lost) == (0, 0)
    assert int(re.findall(r"held (\d+) leased deliveries", done.stdout)[0]) >= 10
    assert "SIGKILL to Redis" in done.stdout
    assert leftovers(tmp_path) == []


def test_a_demo_that_is_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(_COMMAND, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("Starting")
        time.sleep(2)
        demo.send_signal(signal.SIGINT)
        said = demo.stdout.read()

    assert demo.returncode == 130
    assert "every process is ended" in said
    assert leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_is_told_again_and_again_still_cleans_up(tmp_path: Path) -> None:
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(_COMMAND, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        assert demo.stdout.readline().startswith("Starting")
        while demo.poll() is None:
            demo.send_signal(signal.SIGTERM)
            time.sleep(0.005)
        said = demo.stdout.read()

    assert "every process is ended" in said
    assert leftovers(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
