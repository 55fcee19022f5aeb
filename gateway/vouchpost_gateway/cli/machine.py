"""All of Vouchpost on one machine, as stages for the supervisor: Redis, sandbox DNS, workers, API. Starts nothing."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from vouchpost_gateway.cli.binding import bindable
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.embedded.redis_server import RedisPlan, new_password, prepare
from vouchpost_gateway.embedded.server_binary import find_server
from vouchpost_gateway.embedded.supervisor import Child, Probe
from vouchpost_gateway.setting_types import HostPort
from vouchpost_gateway.settings import Settings, load_settings, variable

LOOPBACK = "127.0.0.1"

_PROBE_LIMIT_S = 2.0
_ROLES = ("api", "verify", "deliver")


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs here: the settings that all processes share, the embedded Redis if there is one, and the stages."""

    settings: Settings
    redis: RedisPlan | None
    stages: tuple[tuple[Child, ...], ...]

    @property
    def url(self) -> str:
        return f"http://{HostPort(_within_reach(self.settings.api_host), self.settings.api_port)}"


def plan_machine(settings: Settings, home: Home, *, ledger_given: bool) -> Machine:
    """Decides ports, makes what must exist, and writes the files that the children read. Misconfigured if it cannot."""
    home.make_master_key()
    redis = None if ledger_given else _plan_redis(settings, home)
    if redis is not None:
        home.keep_ledger_url(redis.url)
    settings = _resolved(settings, home, redis)
    env = _environment(settings, home, redis)
    return Machine(settings, redis, _stages(settings, redis, env))


def _plan_redis(settings: Settings, home: Home) -> RedisPlan:
    return RedisPlan(
        binary=find_server(settings.redis_server),
        data_dir=home.redis_dir,
        port=free_port(),
        password=new_password(),
        maxmemory_bytes=settings.redis_maxmemory_bytes,
    )


def _resolved(settings: Settings, home: Home, redis: RedisPlan | None) -> Settings:
    """The settings with everything decided that could be left open."""
    decided: dict[str, object] = settings.model_dump()
    if redis is not None:
        decided["ledger_url"] = redis.url
    if not settings.master_keys:
        decided["master_keys"] = home.master_key_file.read_text(encoding="ascii")
    decided["api_port"] = bindable("api_port", settings.api_host, settings.api_port)
    decided["sandbox_dns"] = settings.sandbox_dns or HostPort(LOOPBACK, free_port())
    for offset in range(len(_ROLES) if settings.metrics_port else 0):
        bindable("metrics_port", settings.metrics_host, settings.metrics_port + offset)
    return load_settings(**decided)


def _environment(settings: Settings, home: Home, redis: RedisPlan | None) -> dict[str, str]:
    """Our own environment and what was decided. Secrets go by file: an environment is easily printed."""
    env = dict(os.environ)
    if redis is not None:
        env[f"{variable('ledger_url')}_FILE"] = str(home.ledger_url_file)
    if not any(env.get(name) for name in (variable("master_keys"), f"{variable('master_keys')}_FILE")):
        env[f"{variable('master_keys')}_FILE"] = str(home.master_key_file)
    env[variable("api_port")] = str(settings.api_port)
    env[variable("metrics_port")] = str(settings.metrics_port)
    env[variable("sandbox_dns")] = str(settings.sandbox_dns)
    env[variable("log_format")] = settings.log_format.value
    return env


def _stages(settings: Settings, redis: RedisPlan | None, env: Mapping[str, str]) -> tuple[tuple[Child, ...], ...]:
    assert settings.sandbox_dns is not None
    ours = settings.sandbox_dns.host == LOOPBACK and not os.environ.get(variable("sandbox_dns"))
    below = [*([_redis_child(redis)] if redis else []), *([_dns_child(settings.sandbox_dns, env)] if ours else [])]
    above = [*(_worker_child(settings, role, env) for role in _ROLES[1:]), _api_child(settings, env)]
    return tuple(tuple(stage) for stage in (below, above) if stage)


def _redis_child(plan: RedisPlan) -> Child:
    async def serves(pid: int) -> bool:
        return await asyncio.to_thread(plan.is_served_by, pid)

    return Child(
        "redis",
        plan.command,
        ready=serves,
        before_start=lambda: prepare(plan),
        quiet=True,
        hint=f"{plan.log_file} says why",
    )


def _dns_child(address: HostPort, env: Mapping[str, str]) -> Child:
    command = _python("vouchpost_gateway.embedded.dns", "--host", address.host, "--port", str(address.port))
    return Child("dns", command, env, ready=listens(address), quiet=True)


def _worker_child(settings: Settings, role: str, env: Mapping[str, str]) -> Child:
    port = settings.metrics_port and settings.metrics_port + _ROLES.index(role)
    return Child(
        role,
        _python("vouchpost", "worker", "--role", role),
        {**env, variable("metrics_port"): str(port)},
        ready=listens(HostPort(settings.metrics_host, port)) if port else None,
        stop_grace_s=settings.stop_grace_s,
    )


def _api_child(settings: Settings, env: Mapping[str, str]) -> Child:
    address = HostPort(settings.api_host, settings.api_port)
    return Child("api", _python("vouchpost", "api"), env, ready=is_up(address), stop_grace_s=20)


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    """`-P`: a file in the directory where `up` was typed must not stand in for a module."""
    return (sys.executable, "-P", "-m", module, *arguments)


def listens(address: HostPort) -> Probe:
    """Whether something accepts connections there."""

    async def probe(_: int) -> bool:
        return await _first_line(address, b"") is not None

    return probe


def is_up(address: HostPort) -> Probe:
    """Whether GET /healthz is answered 200 there."""
    request = f"GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()

    async def probe(_: int) -> bool:
        line = await _first_line(address, request)
        return line is not None and line.split(b" ")[1:2] == [b"200"]

    return probe


async def _first_line(address: HostPort, request: bytes) -> bytes | None:
    """The first line of the answer, empty without a request; None when nothing listens."""
    try:
        async with asyncio.timeout(_PROBE_LIMIT_S):
            reader, writer = await asyncio.open_connection(_within_reach(address.host), address.port)
            try:
                writer.write(request)
                return await reader.readline() if request else b""
            finally:
                writer.close()
    except (OSError, ValueError, TimeoutError):
        return None


def _within_reach(host: str) -> str:
    """Where to connect to what listens on every address: one of them."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
