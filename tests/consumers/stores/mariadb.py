"""A private MariaDB for the stores' tests, where the machine has one; nothing is left of it afterwards."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql

_OURS = ["--no-defaults", "--user=root"]


def server() -> str | None:
    """The server's program, on PATH or where Debian puts it; None when there is no MariaDB here."""
    return shutil.which("mariadbd", path="/usr/local/bin:/usr/bin:/usr/sbin:/usr/local/sbin")


@contextmanager
def private_server(program: str) -> Iterator[str]:
    """Runs on a socket in a folder of its own and yields the end of its URL."""
    folder = Path(tempfile.mkdtemp(prefix="vmy", dir="/tmp"))
    data, socket = folder / "data", folder / "s"
    install = ["mariadb-install-db", *_OURS, f"--datadir={data}", "--auth-root-authentication-method=normal"]
    subprocess.run([*install, "--skip-test-db"], check=True, capture_output=True, cwd=folder)
    options = [*_OURS, f"--datadir={data}", f"--socket={socket}", f"--pid-file={folder / 'pid'}", "--skip-networking"]
    tuned = ["--innodb-flush-log-at-trx-commit=0", "--innodb-lock-wait-timeout=10", "--max-connections=120"]
    process = subprocess.Popen([program, *options, *tuned], stderr=subprocess.DEVNULL, cwd=folder)
    try:
        _wait(socket)
        yield f"root@localhost/kit?unix_socket={socket}&charset=utf8mb4"
    finally:
        process.terminate()
        process.wait(timeout=30)
        shutil.rmtree(folder)


def _wait(socket: Path) -> None:
    for _ in range(400):
        if not socket.exists():  # pymysql leaves a socket open when there is nothing to connect to
            time.sleep(0.05)
            continue
        try:
            with pymysql.connect(unix_socket=str(socket), user="root") as connection:
                connection.cursor().execute("CREATE DATABASE IF NOT EXISTS kit CHARACTER SET utf8mb4")
        except pymysql.err.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("MariaDB did not start")
