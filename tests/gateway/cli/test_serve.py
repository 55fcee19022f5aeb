import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from typer.testing import CliRunner

from vouchpost_gateway.cli.keys import app as keys_app


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (("api",), "VOUCHPOST_API_PORT"),
        (("api",), "VOUCHPOST_METRICS_PORT"),
        (("worker", "--role", "deliver"), "VOUCHPOST_METRICS_PORT"),
    ],
)
def test_a_role_whose_port_is_taken_says_so_by_the_name_of_the_setting(role: tuple[str, ...], name: str) -> None:
    """It exits 1, not 2: whoever keeps it running may try again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        master_key = base64.b64encode(os.urandom(32)).decode()
        ports = {"VOUCHPOST_API_PORT": "0", "VOUCHPOST_METRICS_PORT": "0", name: port}
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "vouchpost", *role],
            env={**os.environ, "VOUCHPOST_MASTER_KEYS": master_key, **ports},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{name}: cannot listen on 127.0.0.1:{port}: ")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("role", ["api", "up"])
def test_a_host_that_is_not_of_this_machine_is_named_by_its_setting(tmp_path: Path, role: str) -> None:
    env = {**os.environ, "VOUCHPOST_API_HOST": "192.0.2.1", "VOUCHPOST_METRICS_PORT": "0"}
    command = [sys.executable, "-P", "-m", "vouchpost", role]

    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("VOUCHPOST_API_HOST: cannot listen on 192.0.2.1:8080: ")


@contextmanager
def _serving(log: Path, *role: str) -> Iterator[subprocess.Popen[str]]:
    env = {**os.environ, "VOUCHPOST_API_PORT": "0", "VOUCHPOST_METRICS_PORT": "0"}
    command = [sys.executable, "-P", "-m", "vouchpost", *role]
    with log.open("w") as err, subprocess.Popen(command, env=env, stderr=err, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _lines(log: Path) -> dict[str, dict[str, Any]]:
    return {line["event"]: line for line in map(json.loads, log.read_text().splitlines())}


def _told(log: Path, event: str) -> dict[str, Any]:
    """The line of this event, once it is there."""
    gives_up = time.monotonic() + 30
    while event not in _lines(log) and time.monotonic() < gives_up:
        time.sleep(0.05)
    return _lines(log)[event]


@pytest.mark.parametrize("role", [("api",), ("worker", "--role", "verify"), ("worker", "--role", "deliver")])
def test_a_role_says_when_it_has_started_and_when_it_has_stopped(
    ledger: redis.Redis, tmp_path: Path, role: tuple[str, ...]
) -> None:
    with _serving(tmp_path / "log", *role) as process:
        started = _told(tmp_path / "log", "process.started")
        if role == ("api",):
            host, port = started["listens_on"].split(":")
            socket.create_connection((host, int(port))).close()
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 0

    assert "process.stopped" in _lines(tmp_path / "log")


def test_a_role_that_waits_for_its_redis_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS", base64.b64encode(b"m" * 32).decode())

    with _serving(tmp_path / "log", "api") as process:
        assert "refused" in _told(tmp_path / "log", "ledger.waiting")["reason"]
        assert process.poll() is None


def test_a_key_that_asks_faster_than_the_operator_lets_it_is_told_when_to_come_back(
    ledger: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOUCHPOST_KEY_REQUESTS_PER_S", "0.05")
    hasty, other = (CliRunner().invoke(keys_app, ["create", "--mode", "live"]).stdout.strip() for _ in range(2))

    with _serving(tmp_path / "log", "api"):
        base = f"http://{_told(tmp_path / 'log', 'process.started')['listens_on']}"
        first, second, third = (
            httpx.get(f"{base}/v1/verifications", headers={"Authorization": f"Bearer {key}"})
            for key in (hasty, hasty, other)
        )

    assert (first.status_code, first.headers["ratelimit-policy"]) == (200, '"key";q=1;w=20')
    assert (second.status_code, second.headers["content-type"]) == (429, "application/problem+json")
    assert 18 <= int(second.headers["retry-after"]) <= 20
    assert third.status_code == 200
