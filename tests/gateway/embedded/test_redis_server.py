import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.redis_servers import running
from vouchpost_gateway.embedded.data_directory import DataDirectoryInUseError
from vouchpost_gateway.embedded.redis_server import EmbeddedRedis, RedisDidNotStartError
from vouchpost_gateway.embedded.server_binary import find_server

OWNER = """
import sys, time
from pathlib import Path
from vouchpost_gateway.embedded import redis_server
if sys.argv[2] == "untied":
    redis_server.tethered = lambda command: command
server = redis_server.EmbeddedRedis.start(Path(sys.argv[1]))
print(server.pid, server.url, flush=True)
time.sleep(60)
"""


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def is_alive(pid: int) -> bool:
    """Not gone, and not a zombie that nobody has reaped."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def killed_owner(data_dir: Path, *, tied: bool) -> tuple[int, str]:
    """The pid and URL of a server whose owner was killed with SIGKILL."""
    command = [sys.executable, "-c", OWNER, str(data_dir), "tied" if tied else "untied"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid, url = owner.stdout.readline().split()
        redis.Redis.from_url(url).set("kept", "yes")
        owner.kill()
    return int(pid), url


def test_it_runs_as_the_ledger_needs_it(every_redis: EmbeddedRedis) -> None:
    with client(every_redis) as ask:
        config = ask.config_get()

    assert {name: config[name] for name in ("appendonly", "appendfsync", "maxmemory-policy", "save", "bind")} == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "bind": "127.0.0.1",
    }
    assert config["maxmemory"] == str(512 * 1024 * 1024)


def test_what_was_answered_survives_a_kill_of_the_server(tmp_path: Path, every_redis: EmbeddedRedis) -> None:
    with EmbeddedRedis.start(tmp_path / "data", binary=every_redis.plan.binary) as server:
        url, first_pid = server.url, server.pid
        with client(server) as ask:
            ask.set("kept", "yes")

        server.kill()
        server.start_again()

        assert (server.url, server.pid != first_pid) == (url, True)
        with client(server) as ask:
            assert ask.get("kept") == "yes"


def test_data_is_kept_between_runs(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server, client(server) as ask:
        ask.set("kept", "yes")

    with running(tmp_path / "data") as server, client(server) as ask:
        assert ask.get("kept") == "yes"


def test_only_the_owner_may_read_the_data(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        assert stat.S_IMODE(server.plan.data_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.plan.config_file.stat().st_mode) == 0o600


def test_a_password_keeps_other_users_of_the_machine_out(tmp_path: Path) -> None:
    with EmbeddedRedis.start(tmp_path / "data", password="open-sesame") as server:
        with client(server) as ask:
            assert ask.ping()
        with (
            redis.Redis(port=server.plan.port) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        assert "open-sesame" not in repr(server.plan)


def test_two_owners_of_one_directory_are_one_too_many(tmp_path: Path) -> None:
    with running(tmp_path / "data"), pytest.raises(DataDirectoryInUseError, match="in use by another process"):
        EmbeddedRedis.start(tmp_path / "data")


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels cannot tie a child to its parent")
def test_a_killed_owner_leaves_no_server_behind(tmp_path: Path) -> None:
    pid, _ = killed_owner(tmp_path / "data", tied=True)

    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert not is_alive(pid)


@pytest.mark.parametrize("hung", [False, True], ids=["running", "hung"])
def test_a_server_left_behind_is_ended_before_its_data_is_opened(tmp_path: Path, *, hung: bool) -> None:
    pid, _ = killed_owner(tmp_path / "data", tied=False)
    if hung:
        os.kill(pid, signal.SIGSTOP)

    with running(tmp_path / "data") as server, client(server) as ask:
        assert not is_alive(pid)
        assert ask.get("kept") == "yes"


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """The machine was restarted: the pid in the file is by now any process."""
    with running(tmp_path / "data"):
        pass
    with subprocess.Popen(["sleep", "30"]) as bystander:
        (tmp_path / "data" / "redis.pid").write_text(str(bystander.pid))

        with running(tmp_path / "data"):
            pass

        assert bystander.poll() is None
        bystander.kill()


def test_a_server_that_cannot_start_says_why(tmp_path: Path, redis_server: EmbeddedRedis) -> None:
    with pytest.raises(RedisDidNotStartError, match="Address already in use"):
        EmbeddedRedis.start(tmp_path / "data", port=redis_server.plan.port, binary=find_server())


def test_stopping_twice_is_stopping_once(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        server.stop()

    assert not is_alive(server.pid)


def test_a_server_that_cannot_end_yet_is_asked_again(tmp_path: Path) -> None:
    """Redis drops a SIGTERM that comes while it writes the first append-only file."""
    server = EmbeddedRedis.start(tmp_path / "data")
    with client(server) as ask:
        ask.config_set("appendonly", "no")
        ask.config_set("rdb-key-save-delay", "1000")
        ask.mset({str(number): "x" for number in range(1000)})
        ask.config_set("appendonly", "yes")

    started = time.monotonic()
    server.stop()

    assert time.monotonic() - started < 5
    assert "Writing initial AOF, can't exit" in server.plan.log_file.read_text()
