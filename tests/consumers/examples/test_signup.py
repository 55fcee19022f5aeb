"""The signup example: the account at once, what it may do by the verdict, and the worst day it can have."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from consumers.examples.signup.accounts import GRACE_S, Account, close_invalid
from consumers.examples.signup.app import Links, application
from consumers.examples.signup.service import SignupService
from tests.consumers.asgi_client import AsgiClient
from tests.consumers.examples.interleaved import between
from tests.consumers.gateways import FakeGateway
from vouchpost.testing import SECRET, EventFactory


class Bench:
    """The service beside a gateway that answers from memory; `push` delivers a verdict for what it has taken."""

    def __init__(self, folder: Path) -> None:
        self.gateway = FakeGateway()
        self.engine = create_engine(f"sqlite:///{folder / 'db'}", connect_args={"timeout": 30})
        self.links = Links("secret")
        self.told: list[str] = []
        self.service = SignupService(
            engine=self.engine,
            client=self.gateway.client(),
            signing_secret=SECRET,
            told=lambda account: self.told.append(self.links.token(account)),
        )
        self.http = AsgiClient(application(self.service, self.links))
        self.events = EventFactory()

    def push(self, submission: dict[str, Any], status: str) -> int:
        event = self.events(status=status, subject_id=submission["subject_id"], metadata=submission["metadata"])
        return self.http.post("/webhooks/vouchpost", content=event.body, headers=event.headers).status_code

    def verify(self, status: str) -> None:
        """Everything submitted so far, verified."""
        self.service.submitter.run_once()
        assert self.push(list(self.gateway.taken.values())[-1], status) == 200

    def sign_up(self, email: str = "ann@example.com") -> str:
        account: str = self.http.post("/signup", json={"email": email}).json()["id"]
        return account

    def change_address(self, account: str) -> None:
        self.http.put(f"/accounts/{account}/email", json={"email": "new@example.com"})

    def shown(self, account: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.http.get(f"/accounts/{account}").json()
        return shown


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.dispose()


def test_the_account_is_there_at_once_and_learns_its_verdict(bench: Bench) -> None:
    account = bench.sign_up()
    at_once = bench.shown(account)["status"]

    bench.verify("valid")

    assert (at_once, bench.shown(account)["status"]) == ("pending", "valid")


def test_a_typing_mistake_is_turned_away_in_words_for_people(bench: Bench) -> None:
    answer = bench.http.post("/signup", json={"email": "ann@example,com"})

    assert answer.status_code == 422
    assert "typing mistakes" in answer.json()["detail"]


def test_invites_open_with_a_good_address_that_was_confirmed(bench: Bench) -> None:
    account = bench.sign_up()
    statuses = [bench.http.post(f"/accounts/{account}/invites").status_code]
    bench.verify("risky")
    statuses.append(bench.http.post(f"/accounts/{account}/invites").status_code)
    bench.http.get(f"/confirm/{bench.told[-1]}")
    statuses.append(bench.http.post(f"/accounts/{account}/invites").status_code)

    assert statuses == [403, 403, 202]


def test_a_changed_address_starts_again_and_the_old_one_says_nothing_more(bench: Bench) -> None:
    account, old_link = bench.sign_up(), bench.told[-1]
    bench.verify("valid")
    old = next(iter(bench.gateway.taken.values()))

    bench.change_address(account)
    bench.push(old, "invalid")
    confirmed = bench.http.get(f"/confirm/{old_link}").json()["confirmed"]

    assert bench.shown(account) | {"id": ""} == {
        "id": "",
        "status": "pending",
        "confirmed": False,
        "closed": False,
        "may_invite": False,
    }
    assert confirmed is False
    bench.verify("risky")
    assert bench.shown(account)["status"] == "risky"


def test_a_verdict_that_comes_while_the_address_changes_says_nothing_of_the_new_one(bench: Bench) -> None:
    account = bench.sign_up()
    bench.service.submitter.run_once()
    old = next(iter(bench.gateway.taken.values()))

    with between(bench.engine, "UPDATE accounts", lambda: bench.push(old, "valid")):
        bench.change_address(account)

    assert bench.shown(account)["status"] == "pending"


def test_a_refusal_of_the_old_address_says_nothing_of_one_that_is_changed_meanwhile(bench: Bench) -> None:
    account = bench.sign_up()
    bench.gateway.refuse_with = 422

    with between(bench.engine, "UPDATE accounts", lambda: bench.change_address(account)):
        bench.service.submitter.run_once(limit=1)

    assert bench.shown(account)["status"] == "pending"


def test_a_link_of_the_old_address_does_not_confirm_one_that_is_changed_meanwhile(bench: Bench) -> None:
    account, link = bench.sign_up(), bench.told[-1]

    with between(bench.engine, "UPDATE accounts", lambda: bench.change_address(account)):
        bench.http.get(f"/confirm/{link}")

    assert not bench.shown(account)["confirmed"]


def test_an_address_that_the_gateway_refuses_does_not_stay_pending(bench: Bench) -> None:
    account = bench.sign_up()
    bench.gateway.refuse_with = 422

    bench.service.submitter.run_once()

    assert bench.shown(account)["status"] == "invalid"


def test_an_account_that_stays_invalid_is_closed_after_the_grace_period_and_not_before(bench: Bench) -> None:
    account, now_s = bench.sign_up(), int(time.time())
    bench.verify("invalid")

    def closed_at(later_s: int) -> bool:
        with Session(bench.engine) as session, session.begin():
            close_invalid(session, now_s=now_s + later_s)
        return bool(bench.shown(account)["closed"])

    assert not closed_at(GRACE_S - 60)
    assert closed_at(GRACE_S + 60)


def test_an_account_that_was_mended_in_time_stays_open(bench: Bench) -> None:
    account, now_s = bench.sign_up(), int(time.time())
    bench.verify("invalid")
    bench.change_address(account)
    with Session(bench.engine) as session, session.begin():
        close_invalid(session, now_s=now_s + 2 * GRACE_S)

    assert not bench.shown(account)["closed"]


@pytest.mark.parametrize("token", ["x", "a.b.c", Links("another").token(Account(id="1", address_version=1))])
def test_a_forged_link_confirms_nothing(bench: Bench, token: str) -> None:
    assert bench.http.get(f"/confirm/{token}").status_code == 400


def test_the_page_and_an_account_that_is_not_there(bench: Bench) -> None:
    account = bench.sign_up()

    assert "Your account" in bench.http.get(f"/accounts/{account}/page").text
    assert "Sign up" in bench.http.get("/").text
    assert bench.http.get("/accounts/none").status_code == 404
    assert bench.http.put("/accounts/none/email", json={"email": "ann@example.com"}).status_code == 404


def burst(bench: Bench, people: range) -> float:
    """Signs people up, forty at a time; the 99th percentile of how long one took."""
    app, taken = application(bench.service, bench.links), list[float]()

    async def one(client: httpx.AsyncClient, number: int, slots: asyncio.Semaphore) -> None:
        async with slots:
            started = time.perf_counter()
            answer = await client.post("/signup", json={"email": f"person{number}@example.com"})
            taken.append(time.perf_counter() - started)
            assert answer.status_code == 201

    async def main() -> None:
        slots = asyncio.Semaphore(40)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            await asyncio.gather(*(one(client, number, slots) for number in people))

    asyncio.run(main())
    return sorted(taken)[int(len(taken) * 0.99) - 1]


def test_on_the_worst_day_nobody_waits_longer_and_every_account_settles(bench: Bench) -> None:
    worst_day(bench, people=150)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_on_the_worst_day_of_ten_thousand_people_nobody_waits_longer_and_every_account_settles(bench: Bench) -> None:
    worst_day(bench, people=10_000)


def worst_day(bench: Bench, *, people: int) -> None:
    """The gateway is up, then hangs, then is down, and comes back, while people go on signing up."""
    usual_s = burst(bench, range(people // 3))

    hung = threading.Event()
    bench.gateway.hang = hung
    bench.service.submitter.start()
    hung_s = burst(bench, range(people // 3, 2 * people // 3))
    bench.gateway.up = False
    hung.set()
    down_s = burst(bench, range(2 * people // 3, people))
    bench.service.submitter.stop()

    bench.gateway.up = True
    while bench.service.submitter.run_once():
        pass
    for submission in list(bench.gateway.taken.values()):
        bench.push(submission, "valid")

    assert max(hung_s, down_s) <= 2 * usual_s + 0.25
    assert sorted(bench.gateway.emails) == sorted(f"person{number}@example.com" for number in range(people))
    with Session(bench.engine) as session:
        assert {account.status for account in session.query(Account)} == {"valid"}
