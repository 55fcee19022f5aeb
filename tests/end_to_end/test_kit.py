"""The consumer kit against a real gateway: what its README says, `vouchpost listen`, and the three examples."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, eventually
from vouchpost import Submission
from vouchpost_gateway.embedded.ports import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "consumers" / "README.md").read_text()
APP, SUBSCRIBE, SUBMIT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[:3]

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tenant: Account, tmp_path: Path) -> Iterator[Run]:
    """Starts a Python process in a folder of its own, as a caller with the tenant's key in the environment."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "VOUCHPOST_API_KEY": tenant.key,
        "VOUCHPOST_URL": tenant.url,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }

    def start(*arguments: str, **extra: str) -> "subprocess.Popen[str]":
        log = (tmp_path / f"{len(started)}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=tmp_path, env=environment | extra, stdout=log, stderr=log, text=True
        )
        log.close()
        started.append(process)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def is_up(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def test_the_second_half_of_the_readme_is_followed(run: Run, tenant: Account, tmp_path: Path) -> None:
    """Subscribe, start the application with the secret that this shows, submit: the contact has its verdict."""
    port = free_port()
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "subscribe.py").write_text(literally(SUBSCRIBE, tenant, port))
    (tmp_path / "submit.py").write_text(literally(SUBMIT, tenant, port))

    assert run("subscribe.py").wait(timeout=20) == 0
    secret = (tmp_path / "0.log").read_text().strip()
    run("-m", "uvicorn", "app:app", "--port", str(port), VOUCHPOST_SIGNING_SECRET=secret)
    assert eventually(lambda: is_up(port))
    assert run("submit.py").wait(timeout=30) == 0

    def contacts() -> list[tuple[str, str]]:
        if not (tmp_path / "crm.db").exists():
            return []
        with closing(sqlite3.connect(tmp_path / "crm.db")) as database:
            tables = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'contacts'").fetchall()
            return database.execute("SELECT * FROM contacts").fetchall() if tables else []

    assert (tmp_path / "2.log").read_text().strip() == "valid"
    assert eventually(contacts)
    assert contacts() == [("user_42", "valid")]


def literally(code: str, tenant: Account, port: int) -> str:
    """The README's lines, with this test's key and ports for those that it shows."""
    code = code.replace("vp_test_…", tenant.key).replace("http://127.0.0.1:8080", tenant.url)
    return code.replace("127.0.0.1:8090", f"127.0.0.1:{port}")


def test_listen_shows_an_event_and_leaves_no_subscription(run: Run, tenant: Account, tmp_path: Path) -> None:
    listening = run("-m", "vouchpost", "listen", "--port", "0", "--subscribe")

    def printed() -> str:
        return (tmp_path / "0.log").read_text()

    assert eventually(lambda: "Listening on" in printed())
    verification = tenant.submit("ada@valid.example", subject_id="user_42")

    assert eventually(lambda: verification in printed())
    assert "verification.completed" in printed()
    listening.send_signal(signal.SIGTERM)
    listening.wait(timeout=20)
    assert tenant.items("/v1/subscriptions") == []


@pytest.mark.timeout(300)  # three frameworks are imported at once, beside a gateway
def test_the_three_examples_follow_a_real_gateway(run: Run, tenant: Account) -> None:
    signup, crm, marketing = (free_port() for _ in range(3))
    processes = [
        run("-m", f"consumers.examples.{name}", PORT=str(port))
        for name, port in (("signup", signup), ("crm", crm), ("marketing", marketing))
    ]
    assert eventually(lambda: all(is_up(port) for port in (signup, crm, marketing)), limit_s=120)

    def get(port: int, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)

    made = httpx.post(f"http://127.0.0.1:{signup}/signup", json={"email": "ada@valid.example"}, trust_env=False)
    put = httpx.put(f"http://127.0.0.1:{crm}/contacts/ada", json={"email": "ada@valid.example"}, trust_env=False)

    assert (made.status_code, put.status_code) == (201, 202)
    assert eventually(lambda: get(signup, f"/accounts/{made.json()['id']}").json()["status"] == "valid")
    assert eventually(lambda: "<li>" in get(crm, "/contacts/ada").text)
    assert eventually(lambda: get(marketing, "/segments").json()["safe"] == 2)
    assert get(marketing, "/segments/safe.csv").text.count("ada@valid.example,valid") == 2

    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    assert tenant.items("/v1/subscriptions") == []


USERS = """
from sqlalchemy import select, table, column
everybody = select(table("users", column("id"), column("email")))
"""


@pytest.mark.timeout(240)
def test_existing_users_are_verified_again_each_of_them_once_though_the_run_is_killed(
    run: Run, tenant: Account, consumer: Consumer, tmp_path: Path
) -> None:
    count = 300
    (tmp_path / "shop.py").write_text(USERS)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as database:
        database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT)")
        rows = [(f"p{number}@valid.example",) for number in range(count)]
        database.executemany("INSERT INTO users (email) VALUES (?)", rows)
        database.commit()
    tenant.subscribe(consumer)
    command = ["-m", "vouchpost", "reverify", "shop:everybody", "--database", "sqlite:///shop.db", "--chunk", "20"]

    killed = run(*command)
    assert eventually(lambda: (tmp_path / "reverify.json").exists() and len(consumer.pushes) > 20)
    killed.kill()
    killed.wait(timeout=20)
    first = json.loads((tmp_path / "reverify.json").read_text())
    again = run(*command)
    assert again.wait(timeout=60) == 0

    def subjects() -> list[str]:
        return sorted(push.event["data"]["subject_id"] for push in consumer.pushes)

    printed = (tmp_path / "1.log").read_text()
    assert not first["finished"]
    assert f"accepted {count} · refused 0" in printed
    assert f"{count}/{count}" in printed
    assert eventually(lambda: len(set(subjects())) == count)
    assert len({push.event["data"]["verification_id"] for push in consumer.pushes}) == count


def test_the_client_reads_what_was_sent_and_has_it_sent_again(tenant: Account, consumer: Consumer) -> None:
    sub = tenant.subscribe(consumer)
    people = [Submission(f"p{number}@valid.example", subject_id=f"user_{number}") for number in range(30)]

    with tenant.client() as client:
        became = list(client.submit_many(people))
        assert eventually(lambda: len(list(client.deliveries(sub, state="delivered"))) == 30)
        delivery = next(client.deliveries(sub))
        rotated = client.rotate_secret(sub)
        consumer.secrets = [rotated.secret]
        resent = client.resend(delivery.id)
        assert eventually(lambda: [push.event["id"] for push in consumer.pushes].count(delivery.event_id) == 2)
        listed = [(one.id, one.url, one.enabled) for one in client.subscriptions()]

        assert [one.error for one in became] == [None] * 30
        assert (resent.id, client.delivery(delivery.id).subscription_id) == (delivery.id, sub)
        assert listed == [(sub, consumer.url, True)]
        assert client.subscription(sub).url == consumer.url
