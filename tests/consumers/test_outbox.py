"""The submitter: what waits is sent once the gateway is back, and a restart in between loses nothing."""

import threading
import time
from pathlib import Path

import pytest

from tests.consumers.gateways import FakeGateway
from vouchpost import RequestRefusedError, Verification
from vouchpost.outbox import Submission, Submitter
from vouchpost.stores.sqlite_outbox import SqliteOutbox

ANN, BOB = Submission("ann@example.com", subject_id="user_1"), Submission("bob@example.com")


@pytest.fixture
def outbox(tmp_path: Path) -> SqliteOutbox:
    made = SqliteOutbox(tmp_path / "db")
    made.add(ANN)
    made.add(BOB)
    return made


def until_nothing_waits(outbox: SqliteOutbox) -> None:
    for _ in range(500):
        if not outbox.oldest(1):
            return
        time.sleep(0.01)
    pytest.fail("something waits still")


def test_what_waits_is_sent_under_its_own_key_and_told_of(outbox: SqliteOutbox) -> None:
    gateway, told = FakeGateway(), list[tuple[str, int]]()

    def submitted(submission: Submission, verification: Verification) -> None:
        told.append((submission.email, verification.sequence))

    assert Submitter(client=gateway.client(), outbox=outbox, submitted=submitted).run_once() == 2

    assert list(gateway.taken) == [ANN.key, BOB.key]
    assert told == [("ann@example.com", 7), ("bob@example.com", 7)]
    assert list(outbox.oldest(9)) == []


def test_while_the_gateway_is_down_everything_waits(outbox: SqliteOutbox) -> None:
    gateway = FakeGateway(up=False)
    submitter = Submitter(client=gateway.client(), outbox=outbox)
    assert submitter.run_once() == 0

    gateway.up = True

    assert submitter.run_once() == 2


def test_a_crash_between_sending_and_removing_makes_no_second_verification(outbox: SqliteOutbox) -> None:
    gateway = FakeGateway()

    def crash(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Submitter(client=gateway.client(), outbox=outbox, submitted=crash).run_once()
    Submitter(client=gateway.client(), outbox=outbox).run_once()

    assert list(gateway.taken) == [ANN.key, BOB.key]
    assert list(outbox.oldest(9)) == []


@pytest.mark.parametrize(
    ("status", "left"),
    [
        pytest.param(422, 0, id="an address for the bin"),
        pytest.param(413, 0, id="too much metadata"),
        pytest.param(401, 2, id="a key that will be mended"),
    ],
)
def test_only_what_can_never_be_taken_is_dropped_and_told(outbox: SqliteOutbox, status: int, left: int) -> None:
    told: list[tuple[str, int]] = []

    def refused(submission: Submission, error: RequestRefusedError) -> None:
        told.append((submission.email, error.status))

    Submitter(client=FakeGateway(refuse_with=status).client(), outbox=outbox, refused=refused).run_once()

    assert len(outbox.oldest(9)) == left
    assert told == [("ann@example.com", status), ("bob@example.com", status)][left:]


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
def test_what_a_proxy_refuses_waits_and_the_log_says_that_it_was_no_gateway(
    outbox: SqliteOutbox, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """As nginx answers 400 to plain HTTP on its TLS port: a wrong VOUCHPOST_URL must not empty an outbox."""
    gateway, told = FakeGateway(proxy_says=status), list[Submission]()
    submitter = Submitter(client=gateway.client(), outbox=outbox, refused=lambda one, _: told.append(one))

    submitter.run_once()

    assert (len(outbox.oldest(9)), told) == (2, [])
    assert "outbox.waits not_a_gateway" in caplog.text


def test_a_key_of_the_applications_own_is_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = SqliteOutbox(tmp_path / "db")
    outbox.add(Submission("ann@example.com", key="signup:ann@example.com"))

    Submitter(client=FakeGateway(refuse_with=422).client(), outbox=outbox).run_once()

    assert "outbox.refused status=422" in caplog.text
    assert "ann@" not in caplog.text


def test_a_thread_of_its_own_sends_what_comes_in_and_outlives_failures(outbox: SqliteOutbox) -> None:
    gateway, failures = FakeGateway(), [True]

    def fails_once(*_: object) -> None:
        if failures.pop() if failures else False:
            raise OSError("the database is away")

    submitter = Submitter(client=gateway.client(), outbox=outbox, submitted=fails_once, every_s=0.01)
    submitter.start()
    try:
        until_nothing_waits(outbox)
    finally:
        submitter.stop()

    assert gateway.emails == ["ann@example.com", "bob@example.com"]


def test_a_submitter_that_was_stopped_can_be_started_again(outbox: SqliteOutbox) -> None:
    gateway = FakeGateway()
    submitter = Submitter(client=gateway.client(), outbox=outbox, every_s=0.01)
    for _ in range(2):
        submitter.start()
        until_nothing_waits(outbox)
        submitter.stop()
        outbox.add(Submission("cem@example.com"))

    assert submitter.run_once() == 1
    assert gateway.emails == ["ann@example.com", "bob@example.com", "cem@example.com", "cem@example.com"]


def test_stopping_waits_for_the_one_submission_under_way_alone(outbox: SqliteOutbox) -> None:
    gateway, sending, goes_on = FakeGateway(), threading.Event(), threading.Event()

    def submitted(*_: object) -> None:
        sending.set()
        goes_on.wait(5)

    submitter = Submitter(client=gateway.client(), outbox=outbox, submitted=submitted)
    submitter.start()
    sending.wait(5)
    stop = threading.Thread(target=submitter.stop)
    stop.start()
    while not submitter._wake.is_set():
        time.sleep(0.01)
    goes_on.set()
    stop.join(5)

    assert gateway.emails == ["ann@example.com"]
    assert list(outbox.oldest(9)) == [BOB]
