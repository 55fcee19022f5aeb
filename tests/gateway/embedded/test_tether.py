import subprocess
import sys

import pytest

from vouchpost_gateway.embedded.tether import EXIT_NOT_FOUND, tethered

PARENT = """
import subprocess, sys, time
from vouchpost_gateway.embedded.tether import tethered
child = subprocess.Popen(tethered(["cat"]), stdin=subprocess.PIPE, stdout=1)
print("started", flush=True)
time.sleep(60)
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot tie a child to its parent")


def test_the_command_is_the_process_that_was_started() -> None:
    """Whoever signals the pid signals the command, not something in front of it."""
    command = tethered([sys.executable, "-c", "import os; print(os.getpid())"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        output, _ = child.communicate(timeout=20)

    assert int(output) == child.pid


def test_arguments_arrive_as_they_are() -> None:
    command = tethered([sys.executable, "-c", "import sys; print(sys.argv[1:])", "", "a b", "--", "$x"])

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "['', 'a b', '--', '$x']\n"


@linux_only
def test_a_command_that_does_not_exist_is_told_as_shells_tell_it() -> None:
    ended = subprocess.run(tethered(["/absent"]), capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (EXIT_NOT_FOUND, "/absent: No such file or directory\n")


@linux_only
def test_a_child_ends_when_its_parent_is_killed() -> None:
    """The child holds the pipe open; reading to its end means that the child is gone."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
        assert parent.stdout.read() == ""


def test_elsewhere_a_command_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert tethered(["redis-server", "redis.conf"]) == ("redis-server", "redis.conf")
