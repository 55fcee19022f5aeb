"""The package as a stranger gets it: a wheel in a new environment, with nothing of this repository beside it.

Runs where uv is and the package index can be reached, or uv has what it needs already.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.consumers.test_readme import ROOT, follow, line_with, run

SERVER_ONLY = {
    "arq",
    "redis",
    "cryptography",
    "structlog",
    "dnspython",
    "pydantic-settings",
    "itsdangerous",
    "aiosmtpd",
}

TYPED = """
from collections.abc import Sequence

from vouchpost import AsyncClient, Client, Message, Outcome, Receiver, Router, Submission, Verdict
from vouchpost.stores.memory import MemoryStore

router = Router()


@router.on_verdict
def learn(message: Message, db: object) -> None:
    verdict: Verdict = message.verdict
    status: str = verdict.status
    print(status, verdict.subject_id, verdict.metadata.get("plan"))


@router.on("subscription.disabled")
async def warn(message: Message, db: object) -> None:
    reason: str = message.notice.reason
    print(reason)


receiver = Receiver(secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], store=MemoryStore(), router=router)


def receive(headers: dict[str, str], body: bytes) -> Outcome:
    return receiver.receive(headers=headers, body=body)


def submit(client: Client, emails: Sequence[str]) -> list[int]:
    became = client.submit_many(Submission(email) for email in emails)
    return [one.verification.sequence for one in became if one.verification is not None]


async def wait(client: AsyncClient, verification: str) -> str:
    return (await client.wait(verification, seconds=5)).status
"""


def uv(*command: str, folder: Path) -> None:
    done = subprocess.run(["uv", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode and any(sign in done.stderr for sign in ("Failed to fetch", "connect", "resolve", "network")):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("uv") is None:
        pytest.skip("uv is not on PATH")
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--quiet", "--out-dir", str(folder), str(ROOT), folder=folder)
    return next(folder.glob("*.whl"))


def environment_with(folder: Path, packages: Sequence[str]) -> dict[str, str]:
    """A new virtual environment, as a shell in which it is active sees it."""
    uv("venv", "--quiet", "venv", folder=folder)
    uv("pip", "install", "--quiet", "--python", "venv/bin/python", *packages, folder=folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return kept | {"PATH": f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}"}


@pytest.mark.timeout(240)
def test_the_readme_is_followed_from_its_first_command(wheel: Path, tmp_path: Path) -> None:
    packages = line_with("pip install").removeprefix("pip install ").replace("'", "").split()

    environment = environment_with(tmp_path, [package.replace(".[", f"{wheel}[") for package in packages])

    follow(tmp_path, environment)


@pytest.mark.timeout(240)
def test_the_base_install_has_nothing_of_the_server_and_is_typed(wheel: Path, tmp_path: Path) -> None:
    environment = environment_with(tmp_path, [str(wheel), "mypy"])
    (tmp_path / "user.py").write_text(TYPED)

    listed = "import importlib.metadata as m, json; print(json.dumps([d.name.lower() for d in m.distributions()]))"
    names = set(json.loads(run(f"python -c '{listed}'", tmp_path, environment)))
    imported = run("python -c 'import vouchpost; print(vouchpost.Client, vouchpost.Receiver)'", tmp_path, environment)
    helped, started = (run(command, tmp_path, environment) for command in ("vouchpost --help", "vouchpost up 2>&1"))
    checked = run("mypy --strict --cache-dir=/dev/null user.py", tmp_path, environment)

    assert "vouchpost" in names
    assert not SERVER_ONLY & names
    assert "client.Client" in imported
    assert "up        (needs: pip install 'vouchpost[gateway]')" in helped
    assert "Install it with: pip install 'vouchpost[gateway]'" in started
    assert checked == "Success: no issues found in 1 source file"
