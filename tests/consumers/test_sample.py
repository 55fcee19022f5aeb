"""`vouchpost sample` where it cannot send; that it does is followed with the README."""

import socket
import subprocess
import sys

from vouchpost.testing import SECRET


def sample(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "vouchpost", "sample", *arguments, "--secret", SECRET]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_status_that_no_verdict_has_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as receiver:
        receiver.setblocking(False)
        refused = sample(f"http://127.0.0.1:{receiver.getsockname()[1]}/", "--status", "wrong")
        reached = True
        try:
            receiver.accept()
        except BlockingIOError:
            reached = False

    assert refused.returncode == 2
    assert "risky" in refused.stderr
    assert not reached


def test_a_receiver_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"

    refused = sample(f"{url}/webhooks/vouchpost")

    assert refused.returncode == 1
    assert refused.stderr == f"Cannot reach {url}: connection refused.\n"
