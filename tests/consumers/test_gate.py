"""The gate, for both clients: wrong addresses stop here, everything else goes through whatever the gateway does."""

import asyncio
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from tests.consumers.gateways import FakeGateway
from vouchpost import ConfigurationError, InvalidAddressError
from vouchpost.breaker import Breaker
from vouchpost.gate import Gate, Gated, State
from vouchpost.outbox import Submitter
from vouchpost.stores.sql_outbox import AsyncSqlOutbox
from vouchpost.stores.sqlite_outbox import SqliteOutbox


class Bench:
    def __init__(self, outbox: SqliteOutbox, *, awaited: bool) -> None:
        self.gateway, self.outbox, self.awaited = FakeGateway(), outbox, awaited

    def check(
        self, email: str, *, times: int = 1, metadata: dict[str, str] | None = None, **options: Any
    ) -> list[Gated]:
        told: Any = {"subject_id": "user_1", "metadata": metadata}
        if not self.awaited:
            gate = Gate(client=self.gateway.client(), outbox=self.outbox, **options)
            return [gate.check(email, **told) for _ in range(times)]

        async def main() -> list[Gated]:
            gate = Gate(async_client=self.gateway.async_client(), outbox=self.outbox, **options)
            return [await gate.check_async(email, **told) for _ in range(times)]

        return asyncio.run(main())

    def waiting(self) -> list[str]:
        return [submission.email for submission in self.outbox.oldest(100)]


@pytest.fixture(params=[False, True], ids=["plain", "awaited"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(SqliteOutbox(tmp_path / "db"), awaited=request.param)


def test_an_address_is_accepted_now_and_verified_later(bench: Bench) -> None:
    (gated,) = bench.check("ann@example.com")

    assert gated.state is State.PENDING
    assert gated.verification is not None
    assert (gated.verification.sequence, bench.gateway.emails) == (7, ["ann@example.com"])
    assert bench.waiting() == []


def test_a_typing_mistake_is_turned_away_without_a_call_in_words_for_people(bench: Bench) -> None:
    with pytest.raises(InvalidAddressError) as turned_away:
        bench.check("ann@example,com")

    assert bench.gateway.calls == 0
    assert "check it for typing mistakes" in str(turned_away.value)


@pytest.mark.parametrize(
    ("verdict", "state"),
    [("valid", State.VALID), ("risky", State.RISKY), ("unknown", State.UNKNOWN), ("pending", State.PENDING)],
)
def test_with_a_budget_the_verdict_is_waited_for(bench: Bench, verdict: str, state: State) -> None:
    bench.gateway.verdict = verdict

    (gated,) = bench.check("ann@example.com", wait_s=0.1)

    assert gated.state is state


def test_a_status_that_only_a_newer_gateway_knows_is_unknown(bench: Bench) -> None:
    bench.gateway.verdict = "greyish"

    assert bench.check("ann@example.com", wait_s=1)[0].state is State.UNKNOWN


def test_with_a_budget_an_invalid_address_is_turned_away_and_nothing_says_why(bench: Bench) -> None:
    bench.gateway.verdict = "invalid"

    with pytest.raises(InvalidAddressError) as turned_away:
        bench.check("ann@example.com", wait_s=1)

    assert str(turned_away.value) == InvalidAddressError.__doc__


def test_a_gateway_that_is_down_lets_everybody_through_and_loses_nobody(bench: Bench) -> None:
    bench.gateway.up = False
    gated = bench.check("ann@example.com", times=3)
    assert [one.state for one in gated] == [State.UNVERIFIED] * 3

    bench.gateway.up = True
    Submitter(client=bench.gateway.client(), outbox=bench.outbox).run_once()

    assert bench.gateway.emails == ["ann@example.com"] * 3
    assert bench.waiting() == []


class CutOff(FakeGateway):
    """Takes what it is sent, and its answers are lost."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: set[bytes] = set()

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.bodies.add(request.content)
        raise httpx.ReadError("cut off")


@pytest.mark.parametrize("metadata", [None, {"address_version": "2"}])
def test_what_was_perhaps_taken_is_sent_again_byte_for_byte(bench: Bench, metadata: dict[str, str] | None) -> None:
    """Under a key that it knows, the gateway refuses another body, and the submission would be dropped."""
    gateway = bench.gateway = CutOff()
    bench.check("ann@example.com", metadata=metadata)

    Submitter(client=gateway.client(), outbox=bench.outbox).run_once()

    (body,) = gateway.bodies
    assert json.loads(body).get("metadata") == (metadata or {})


def test_nobody_waits_for_a_gateway_that_is_known_to_be_down(bench: Bench) -> None:
    bench.gateway.up = False
    bench.check("ann@example.com", times=5, breaker=(breaker := Breaker(failures=5, open_s=60)))
    before, started = bench.gateway.calls, time.monotonic()

    bench.check("ann@example.com", times=20, breaker=breaker)

    assert bench.gateway.calls == before
    assert time.monotonic() - started < 2
    assert len(bench.waiting()) == 25


@pytest.mark.parametrize(("status", "field"), [(422, "email"), (422, "subject_id"), (401, None)])
def test_a_gateway_that_refuses_is_known_to_be_back(bench: Bench, status: int, field: str | None) -> None:
    now = [0.0]
    breaker = Breaker(failures=2, open_s=10, clock=lambda: now[0])
    bench.gateway.up = False
    bench.check("ann@example.com", times=2, breaker=breaker)

    now[0] = 11
    bench.gateway.up, bench.gateway.refuse_with, bench.gateway.refused_field = True, status, field
    with suppress(InvalidAddressError):
        bench.check("bob@example.com", breaker=breaker)

    assert breaker.allows()


def test_a_key_that_is_wrong_is_not_the_visitors_fault(bench: Bench) -> None:
    bench.gateway.refuse_with = 401

    assert bench.check("ann@example.com")[0].state is State.UNVERIFIED
    assert bench.waiting() == ["ann@example.com"]


def test_a_subject_id_that_the_gateway_refuses_is_not_the_visitors_fault(bench: Bench) -> None:
    bench.gateway.refuse_with, bench.gateway.refused_field = 422, "subject_id"

    assert bench.check("ann@example.com")[0].state is State.UNVERIFIED


@pytest.mark.parametrize("field", [None, "email"])
def test_what_the_gateway_calls_no_address_is_turned_away(bench: Bench, field: str | None) -> None:
    bench.gateway.refuse_with, bench.gateway.refused_field = 422, field

    with pytest.raises(InvalidAddressError):
        bench.check("ann@example.com")
    assert bench.waiting() == []


@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_a_proxy_refuses_is_not_the_visitors_fault(bench: Bench, status: int) -> None:
    bench.gateway.proxy_says = status

    assert bench.check("ann@example.com")[0].state is State.UNVERIFIED
    assert bench.waiting() == ["ann@example.com"]


def test_later_costs_no_call_at_all(bench: Bench) -> None:
    gate = Gate(client=bench.gateway.client(), outbox=bench.outbox)

    gated = gate.later(None, "ann@example.com", subject_id="user_1")

    assert (gated.state, bench.gateway.calls, bench.waiting()) == (State.UNVERIFIED, 0, ["ann@example.com"])


def test_representations_hold_no_address(bench: Bench) -> None:
    (gated,) = bench.check("ann@example.com")

    assert "ann@" not in repr(gated)


def test_a_gate_without_the_client_it_would_need_says_so(tmp_path: Path) -> None:
    gateway, outbox = FakeGateway(), SqliteOutbox(tmp_path / "db")

    with pytest.raises(ConfigurationError, match="needs a client"):
        Gate(outbox=outbox)
    with pytest.raises(ConfigurationError, match="check_async"):
        Gate(outbox=outbox, async_client=gateway.async_client()).check("ann@example.com")
    with pytest.raises(ConfigurationError, match="async_client"):
        asyncio.run(Gate(outbox=outbox, client=gateway.client()).check_async("ann@example.com"))


def test_an_outbox_that_the_client_could_not_use_on_the_worst_day_is_refused_at_once(tmp_path: Path) -> None:
    gateway, awaited = FakeGateway(), AsyncSqlOutbox(create_async_engine("sqlite+aiosqlite://"))

    with pytest.raises(ConfigurationError, match="async_client alone"):
        Gate(outbox=awaited, client=gateway.client(), async_client=gateway.async_client())
    with pytest.raises(ConfigurationError, match="later_async"):
        Gate(outbox=awaited, async_client=gateway.async_client()).later(None, "ann@example.com")
    gate = Gate(outbox=SqliteOutbox(tmp_path / "db"), async_client=gateway.async_client())
    with pytest.raises(ConfigurationError, match="call later"):
        asyncio.run(gate.later_async(None, "ann@example.com"))
