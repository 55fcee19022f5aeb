"""A private Redis for one machine: durable, bound to loopback, in a data directory of its own.

It keeps every promise that the ledger needs (AOF, fsync before each answer, no eviction). One owner at a time holds
the data directory; a server that a killed owner left behind is ended before its data is opened again.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.embedded.data_directory import DataDirectory, write_private
from vouchpost_gateway.embedded.ports import HOST, free_port
from vouchpost_gateway.embedded.server_binary import ServerBinary, find_server
from vouchpost_gateway.embedded.tether import tethered

DEFAULT_MAXMEMORY_BYTES = 512 * 1024 * 1024
START_LIMIT_S = 60.0
STOP_LIMIT_S = 10.0

_POLL_S = 0.02
_ASK_AGAIN_S = 0.3
_LOG_TAIL_BYTES = 2000


class RedisDidNotStartError(Misconfigured):
    """The embedded Redis ended, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class RedisPlan:
    """How one embedded Redis runs: all that its configuration file says. The password opens it."""

    binary: ServerBinary
    data_dir: Path
    port: int
    password: str
    maxmemory_bytes: int = DEFAULT_MAXMEMORY_BYTES

    def __repr__(self) -> str:
        return f"RedisPlan({self.binary.label}, {self.data_dir}, port {self.port})"

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}{HOST}:{self.port}/0"

    @property
    def command(self) -> tuple[str, ...]:
        return (str(self.binary.path), str(self.config_file))

    @property
    def config_file(self) -> Path:
        return self.data_dir / "redis.conf"

    @property
    def pid_file(self) -> Path:
        return self.data_dir / "redis.pid"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "redis.log"

    def config(self) -> str:
        """redis.conf(5). Each durability line is one that `ledger.fitness` insists on."""
        lines = (
            f"bind {HOST}",
            f"port {self.port}",
            "protected-mode yes",
            f"dir {_quoted(self.data_dir)}",
            f"pidfile {_quoted(self.pid_file)}",
            f"logfile {_quoted(self.log_file)}",
            "daemonize no",
            # The title stays the command line, by which a server left behind is known again.
            "set-proc-title no",
            "appendonly yes",
            "appendfsync always",
            "no-appendfsync-on-rewrite no",
            "aof-use-rdb-preamble yes",
            # A rewrite takes a core for a second or more, which a busy small machine does not have to spare every half
            # a minute; a file of this size loads in a few seconds.
            "auto-aof-rewrite-min-size 256mb",
            "aof-load-truncated yes",
            'save ""',
            f"maxmemory {self.maxmemory_bytes}",
            "maxmemory-policy noeviction",
            "maxclients 2000",
            "timeout 0",
            "tcp-keepalive 60",
            *([f"requirepass {self.password}"] if self.password else []),
        )
        return "\n".join(lines) + "\n"

    def is_served_by(self, pid: int) -> bool:
        """Whether this very process serves now; not while it loads its data, not when another has the port."""
        client = redis.Redis(host=HOST, port=self.port, password=self.password or None, socket_timeout=1)
        try:
            facts: Any = client.info("server")
            return bool(client.ping()) and facts["process_id"] == pid
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()


def prepare(plan: RedisPlan) -> None:
    """Ends what a killed owner left behind and writes the configuration. Whoever calls this holds the directory."""
    plan.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    end_left_over(plan)
    write_private(plan.config_file, plan.config())


def end_left_over(plan: RedisPlan) -> None:
    """Ends the server of this directory that outlived its owner, if there is one; its data is on disk already."""
    pid = _left_over_pid(plan)
    if pid is None:
        return
    for ending in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ending)
        if ending is not signal.SIGCONT and _is_gone(pid, plan, limit_s=STOP_LIMIT_S / 2):
            break
    plan.pid_file.unlink(missing_ok=True)


class EmbeddedRedis:
    """One running server, owned by this process: it can be killed, started again on its data, and stopped."""

    def __init__(self, plan: RedisPlan, directory: DataDirectory) -> None:
        self.plan = plan
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        binary: ServerBinary | None = None,
        port: int = 0,
        password: str = "",
        maxmemory_bytes: int = DEFAULT_MAXMEMORY_BYTES,
    ) -> Self:
        """Serves the data in `data_dir` on loopback; `port` 0 takes a free one."""
        directory = DataDirectory(data_dir)
        directory.hold()
        plan = RedisPlan(binary or find_server(), directory.path, port or free_port(), password, maxmemory_bytes)
        server = cls(plan, directory)
        try:
            server.start_again()
        except BaseException:
            directory.release()
            raise
        return server

    @property
    def url(self) -> str:
        return self.plan.url

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RedisDidNotStartError("the embedded Redis is not running")
        return self._process.pid

    def start_again(self, *, limit_s: float = START_LIMIT_S) -> None:
        """Starts the server on the same port and data, after it was killed or stopped, and waits until it serves."""
        prepare(self.plan)
        self._process = subprocess.Popen(  # noqa: S603  the binary was found by us
            tethered(self.plan.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for its owner, who stops it last
        )
        try:
            self._wait_until_it_serves(limit_s)
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL: what was answered is on disk, and nothing else is promised."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ends the server in good order and lets go of the directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._ask_to_end(STOP_LIMIT_S)
        self.kill()
        self._directory.release()

    def _ask_to_end(self, limit_s: float) -> None:
        """Asks until it ends: Redis ignores a SIGTERM that comes while it writes its first append-only file."""
        deadline = time.monotonic() + limit_s
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_ASK_AGAIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_it_serves(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while not self.plan.is_served_by(self.pid):
            if self._process is None or self._process.poll() is not None:
                raise RedisDidNotStartError(f"{self.plan.binary.path} ended at once:\n{_log_tail(self.plan)}")
            if time.monotonic() > deadline:
                raise RedisDidNotStartError(f"{self.plan.binary.path} did not serve within {limit_s:g} s")
            time.sleep(_POLL_S)


def new_password() -> str:
    return secrets.token_urlsafe(32)


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _left_over_pid(plan: RedisPlan) -> int | None:
    try:
        pid = int(plan.pid_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return pid if str(plan.config_file) in _command_line(pid) else None


def _command_line(pid: int) -> str:
    """How a process was started, empty when it is gone: a pid alone may by now be somebody else's."""
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    answer = subprocess.run(  # noqa: S603
        ["ps", "-o", "command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout


def _is_gone(pid: int, plan: RedisPlan, *, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while str(plan.config_file) in _command_line(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _log_tail(plan: RedisPlan) -> str:
    try:
        return plan.log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
    except OSError:
        return "it wrote no log"
