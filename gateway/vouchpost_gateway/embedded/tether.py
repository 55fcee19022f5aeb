"""Children do not outlive their parent, however it dies: `tethered` wraps a command; run as a file, this is the wrap.

It asks the kernel to be killed when its parent is gone, then becomes the command: the same process, the same pid. It
is not done between fork and exec, where a process with threads may run no Python.
"""

import os
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
EXIT_NOT_FOUND = 127  # as shells have it


def tethered(command: Sequence[str]) -> tuple[str, ...]:
    """The command, killed by the kernel when its parent is gone; as it is where there is no such kernel.

    By SIGKILL, because the parent was killed too: what a crash leaves, the next start must cope with anyway. To be
    started from the main thread: the tie is to the thread.
    """
    if sys.platform != "linux":
        return tuple(command)
    return (sys.executable, "-I", "-S", __file__, str(os.getpid()), *command)


def _become(parent: int, command: tuple[str, ...]) -> None:
    import ctypes  # noqa: PLC0415  only the wrap needs it

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died in between
        sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606  it is what we were asked to become
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(EXIT_NOT_FOUND)


if __name__ == "__main__":
    _become(int(sys.argv[1]), tuple(sys.argv[2:]))
