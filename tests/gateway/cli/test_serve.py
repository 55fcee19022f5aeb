import base64
import os
import socket
import subprocess
import sys

import pytest


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
