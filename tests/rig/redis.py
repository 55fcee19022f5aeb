"""A real Redis with a log that is synced on every write, from PATH or from the packages of the development group."""

from pathlib import Path

import redis

from tests.rig.processes import Child
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.embedded.server_binary import find_server


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
        "auto-aof-rewrite-min-size": "256mb",
        "maxmemory": maxmemory,
        "maxmemory-policy": "noeviction",
    }
    command = [server or str(find_server().path)]
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
    """The server in use, such as redis 8.2.3."""
    found = find_server()
    return f"{found.name} {'.'.join(map(str, found.version))}"
