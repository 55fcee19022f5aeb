"""A new user's path, followed literally: what `consumers/README.md` says is typed in, and what it shows comes out."""

import asyncio
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

import vouchpost
from tests.consumers.gateways import FakeGateway
from vouchpost.gate import Gate
from vouchpost.outbox import Submitter
from vouchpost.stores.sqlite import SqliteStore
from vouchpost.stores.sqlite_outbox import SqliteOutbox
from vouchpost.testing import SECRET, EventFactory
from vouchpost_gateway.embedded.ports import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "consumers" / "README.md").read_text()
PYTHON: list[str] = [block.strip() for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL)]
CONSOLE: list[str] = [
    line.removeprefix("$ ")
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
APP, SUBSCRIBE, SUBMIT, CHANGE, CHANGE_AT_ONCE, GATE, ASYNC_GATE, TEST = PYTHON


def line_with(text: str) -> str:
    (found,) = [line for line in CONSOLE if text in line]
    return found


def output_after(command: str) -> str:
    return CONSOLE[CONSOLE.index(command) + 1]


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or done.stderr


def wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


def test_what_is_installed_is_what_the_package_offers() -> None:
    package, server = line_with("pip install").replace("'", "").split()[-2:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    (extra,) = re.fullmatch(r"\.\[(\w+)\]", package).groups()  # type: ignore[union-attr]
    assert extra in project["optional-dependencies"]
    assert shutil.which(server, path=str(Path(sys.executable).parent))


def test_the_first_event_is_applied_with_the_lines_as_they_stand(tmp_path: Path) -> None:
    follow(tmp_path, on_path())


def follow(folder: Path, environment: dict[str, str]) -> None:
    """From the fifteen lines to the first event, with the commands that stand there; only the port is another."""
    (folder / "app.py").write_text(APP)
    port = str(free_port())
    secret = run(
        line_with("export VOUCHPOST_SIGNING_SECRET").removeprefix("export ") + "; echo $VOUCHPOST_SIGNING_SECRET",
        folder,
        environment,
    )
    environment |= {"VOUCHPOST_SIGNING_SECRET": secret}
    serve = next(line for line in CONSOLE if line.startswith("uvicorn app:app")).replace("8090", port)
    server = subprocess.Popen(["bash", "-c", f"exec {serve} --log-level warning"], cwd=folder, env=environment)
    try:
        wait_for(int(port))
        sample, look = line_with("vouchpost sample"), line_with("SELECT * FROM contacts")
        sent = run(sample.replace("8090", port), folder, environment)
        stored = run(look, folder, environment)
    finally:
        server.terminate()
        server.wait(timeout=10)

    assert sent == output_after(sample)
    assert stored == output_after(look)


def test_the_fifteen_lines_are_fifteen() -> None:
    """Blank lines aside."""
    assert len([line for line in APP.splitlines() if line]) == 15


def test_nothing_is_submitted_before_the_application_has_the_secret_of_its_subscription() -> None:
    """An event that is signed with another secret than the application has is refused, and comes late."""
    steps = [SUBSCRIBE, line_with("VOUCHPOST_SIGNING_SECRET=whsec_… uvicorn"), SUBMIT]

    assert [README.index(step) for step in steps] == sorted(README.index(step) for step in steps)
    assert "submit" not in SUBSCRIBE
    assert "subscribe" not in SUBMIT


@pytest.mark.parametrize("name", re.findall(r"from vouchpost import (.*)", README))
def test_what_is_imported_is_there(name: str) -> None:
    assert all(hasattr(vouchpost, one) for one in name.split(", "))


def test_the_example_of_an_address_change_works_though_the_old_address_waits_still(tmp_path: Path) -> None:
    gateway, outbox = FakeGateway(up=False), SqliteOutbox(tmp_path / "db")
    gate, db = Gate(client=gateway.client(), outbox=outbox), sqlite3.connect(tmp_path / "db")
    db.execute("CREATE TABLE contacts (id TEXT PRIMARY KEY, email TEXT, version INTEGER, status TEXT)")
    db.execute("INSERT INTO contacts VALUES ('user_42', 'old@example.com', 1, 'pending')")
    db.commit()
    gate.check("old@example.com", subject_id="user_42", metadata={"version": "1"})
    router = vouchpost.Router()
    names = {"db": db, "gate": gate, "router": router, "Message": vouchpost.Message, "sqlite3": sqlite3}
    exec(compile(CHANGE, "change.py", "exec"), names)  # noqa: S102
    gateway.up = True
    Submitter(client=gateway.client(), outbox=outbox).run_once()

    receiver = vouchpost.Receiver(secrets=SECRET, store=SqliteStore(tmp_path / "db"), router=router)
    make, statuses = EventFactory(), []
    for submission, status in zip(gateway.taken.values(), ["invalid", "valid"], strict=True):
        event = make(subject_id="user_42", status=status, metadata=submission["metadata"])
        assert receiver.receive(headers=event.headers, body=event.body) == "applied"
        statuses += db.execute("SELECT status FROM contacts").fetchone()
    db.close()

    assert gateway.emails == ["old@example.com", "new@example.com"]
    assert statuses == ["pending", "valid"]


def test_the_example_of_an_address_change_without_an_outbox_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOUCHPOST_SIGNING_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    names: dict[str, object] = {}
    exec(compile(APP, "app.py", "exec"), names)  # noqa: S102 - that is what following it literally means
    make = EventFactory(secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    receiver = names["receiver"]
    assert isinstance(receiver, vouchpost.Receiver)
    old = make()

    class Submitter:
        def submit(self, *_: object, **__: object) -> vouchpost.Verification:
            return vouchpost.Verification("vrf_1", "pending", old.message.verdict.sequence + 1)

    db = sqlite3.connect("crm.db")
    db.execute("CREATE TABLE contacts (id TEXT PRIMARY KEY, status TEXT, email TEXT)")
    exec(compile(CHANGE_AT_ONCE, "change.py", "exec"), names | {"client": Submitter(), "db": db})  # noqa: S102
    db.close()

    assert receiver.receive(headers=old.headers, body=old.body) == "stale"


def test_the_example_of_a_gate_works(tmp_path: Path) -> None:
    gateway = FakeGateway()
    code = GATE.replace("Client(total_s=1)", "client").replace("app.db", str(tmp_path / "app.db"))
    names: dict[str, Any] = {"__name__": "gate", "client": gateway.client()}

    exec(compile(code, "gate.py", "exec"), names)  # noqa: S102

    answer = names["app"].test_client().post("/signup", json={"email": "ann@example.com"})
    assert answer.json == {"state": "pending"}


def test_the_example_of_a_gate_on_fastapi_works_while_the_gateway_is_away(tmp_path: Path) -> None:
    gateway = FakeGateway(up=False)
    code = ASYNC_GATE.replace("AsyncClient(total_s=1)", "client").replace("app.db", str(tmp_path / "app.db"))
    names: dict[str, Any] = {"client": gateway.async_client()}

    exec(compile(code, "gate.py", "exec"), names)  # noqa: S102

    async def sign_up() -> str:
        app = names["app"]
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as browser:
            answer = await browser.post("http://app/signup", json={"email": "ann@example.com"})
            gateway.up = True
            for _ in range(400):
                await asyncio.sleep(0 if gateway.emails else 0.05)
        return str(answer.json())

    assert asyncio.run(sign_up()) == "unverified"
    assert gateway.emails == ["ann@example.com"]


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("stores.sqlite", "SqliteStore"),
        ("stores.sql", "SqlStore"),
        ("stores.sql", "AsyncSqlStore"),
        ("stores.redis", "RedisStore"),
        ("stores.memory", "MemoryStore"),
        ("stores.sql_outbox", "AsyncSqlOutbox"),
        ("async_outbox", "AsyncSubmitter"),
        ("outbox", "Submitter"),
        ("integrations.starlette", "endpoint"),
        ("integrations.flask", "view"),
        ("integrations.asgi", "Webhook"),
        ("integrations.wsgi", "Webhook"),
        ("integrations.aws_lambda", "function"),
    ],
)
def test_what_the_tables_name_is_there(module: str, name: str) -> None:
    assert module in README
    assert name in README
    assert hasattr(import_module(f"vouchpost.{module}"), name)


def test_the_example_of_a_test_is_a_test(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    fixture = "import pytest, sqlite3\nfrom app import remember\n@pytest.fixture\ndef db():\n"
    fixture += "    db = sqlite3.connect(':memory:')\n    yield db\n    db.close()\n\n"
    (tmp_path / "test_app.py").write_text(fixture + TEST)
    environment = on_path() | {"VOUCHPOST_SIGNING_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}

    shown = run("python -m pytest -q -p no:cacheprovider test_app.py", tmp_path, environment)

    assert "1 passed" in shown


def on_path() -> dict[str, str]:
    """The environment of a shell in which the kit's virtual environment is active."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
