import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from vouchpost_gateway.cli.machine import plan_machine
from vouchpost_gateway.cli.up import banner
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.settings import load_settings

_LIMIT_S = 60


class Up:
    """A running `vouchpost up`, as somebody at a terminal sees it."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log
        assert process.stdout is not None
        self.banner = "".join(iter(process.stdout.readline, "Ctrl-C stops it; the data stays.\n"))
        assert process.poll() is None, log.read_text()

    @property
    def url(self) -> str:
        return str(re.findall(r"up at (\S+)", self.banner)[0])

    @property
    def key(self) -> str:
        return str(re.findall(r"\bvp_test_\w{14}_[\w-]{43}", self.banner)[0])

    def get(self, path: str) -> dict[str, Any]:
        answer = httpx.get(self.url + path, headers={"authorization": f"Bearer {self.key}"}, timeout=20)
        body: dict[str, Any] = answer.raise_for_status().json()
        return body

    def follow_the_curl_line(self) -> dict[str, Any]:
        """What the printed line says, without needing curl."""
        line = self.banner[self.banner.index("curl ") : self.banner.index("A key for real")]
        words = shlex.split(line)
        headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
        answer = httpx.post(words[2], headers=headers, content=words[words.index("-d") + 1], timeout=20)
        assert answer.status_code == 202
        body: dict[str, Any] = answer.json()
        return body

    def pids(self) -> dict[str, int]:
        """The latest process of each child, from the log."""
        told = [json.loads(line) for line in self._log.read_text().splitlines() if '"child.ready"' in line]
        return {event["child"]: event["pid"] for event in told}


@contextmanager
def running(data_dir: Path) -> Iterator[Up]:
    log = data_dir.with_suffix(".log")
    env = {**os.environ, "VOUCHPOST_API_PORT": "0", "VOUCHPOST_METRICS_PORT": "0"}
    command = [sys.executable, "-P", "-m", "vouchpost", "up", "--data-dir", str(data_dir)]
    with (
        log.open("w") as err,
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        try:
            yield Up(process, log)
        finally:
            process.kill()


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _LIMIT_S
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.timeout(180)
def test_every_line_that_up_prints_can_be_pasted(tmp_path: Path) -> None:
    """From somewhere else than its data, and with another port than the kit looks at by itself."""
    with running(tmp_path / "the data") as up:
        here = {name: value for name, value in os.environ.items() if not name.startswith("VOUCHPOST_")}
        env = here | dict(re.findall(r"export (VOUCHPOST_\w+)=(\S+)", up.banner))
        listen, create = re.findall(r"vouchpost (listen .*|keys .*)", up.banner)
        command = [sys.executable, "-P", "-u", "-m", "vouchpost"]

        key = subprocess.run(
            [*command, *shlex.split(create)], env=here, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
        assert key.stdout.startswith("vp_live_"), key.stderr
        listener = [*command, *shlex.split(listen), "--port", "0"]
        with subprocess.Popen(listener, env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Listening")
            up.follow_the_curl_line()
            assert "valid domain_accepts_mail" in process.stdout.readline()
            process.terminate()


@pytest.mark.timeout(300)  # ten processes start
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot tie a child to its parent")
def test_up_keeps_its_data_and_its_promises_through_kills(tmp_path: Path) -> None:
    """A first verdict from the printed line; then everything is killed, started again, and stopped in good order."""
    with running(tmp_path / "data") as up:
        accepted = up.follow_the_curl_line()
        verdict = up.get(f"/v1/verifications/{accepted['id']}?wait=20")
        key, killed = up.key, up.pids()
        assert (verdict["status"], verdict["verdict"]["reason_code"]) == ("valid", "domain_accepts_mail")
        up.process.kill()
    assert set(killed) == {"redis", "dns", "verify", "deliver", "api"}
    assert eventually(lambda: not any(map(is_alive, killed.values())))

    with running(tmp_path / "data") as up:
        assert up.key == key
        assert up.get(f"/v1/verifications/{accepted['id']}") == verdict
        before = up.pids()
        for name in ("redis", "api"):
            os.kill(before[name], signal.SIGKILL)
        assert eventually(lambda: all(up.pids()[name] != before[name] for name in ("redis", "api")))
        assert eventually(lambda: is_ready(up.url))
        assert up.get(f"/v1/verifications/{accepted['id']}") == verdict

        last = up.pids()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(_LIMIT_S) == 0
    assert not any(map(is_alive, last.values()))


def test_a_second_up_on_the_same_data_says_so(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    holder = "import fcntl, sys; lock = open(sys.argv[1], 'ab'); fcntl.flock(lock, 2); print(); sys.stdin.read()"
    first = [sys.executable, "-u", "-c", holder, str(tmp_path / "data" / "lock")]
    with subprocess.Popen(first, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        command = [sys.executable, "-P", "-m", "vouchpost", "up", "--data-dir", str(tmp_path / "data")]
        second = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        process.communicate()

    assert second.returncode == 2
    assert (
        second.stderr.strip()
        == f"{tmp_path / 'data'} is in use by another process: end that one, or name another directory"
    )


def test_a_redis_that_is_given_and_cannot_be_used_ends_it_before_anything_starts(tmp_path: Path) -> None:
    env = {**os.environ, "VOUCHPOST_LEDGER_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-P", "-m", "vouchpost", "up", "--data-dir", str(tmp_path / "data")]

    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_LIMIT_S, check=False)

    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("the Redis of VOUCHPOST_LEDGER_URL cannot be used: ")
    assert "refused" in line


def test_the_banner_says_whose_redis_holds_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", "redis://:hunter2@db/0")
    home = Home(tmp_path / "data")
    home.path.mkdir(mode=0o700)
    machine = plan_machine(load_settings(api_port=0, metrics_port=0), home, ledger_given=True)

    printed = banner(machine, home, "vp_test_key")

    assert "and in the Redis of VOUCHPOST_LEDGER_URL\n" in printed
    assert "hunter2" not in printed
