import msgpack
import pytest

from vouchpost_gateway.domain.delivery import KEPT_ATTEMPTS, Attempt, DeliveryProgress, DeliveryState, Outcome
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.verification import (
    CheckRun,
    Depth,
    Finding,
    Flags,
    Priority,
    ReasonCode,
    Status,
    Verdict,
)
from vouchpost_gateway.ledger.record import (
    HEAD,
    RequestSection,
    VerdictSection,
    pack_delivery,
    pack_delivery_state,
    pack_event,
    pack_request,
    pack_run,
    pack_targets,
    pack_verdict,
    unpack,
    unpack_delivery_state,
)

STEM = "0" * 19
BEGINNING = HEAD + b"1795341600123456"
REQUEST = RequestSection(b"sealed", Depth.MAILBOX, Priority.LOW, "user_1", {"k": "v"})
RUN = CheckRun(1, 5, 7, ReasonCode.NO_MX, (Finding("mx", "no_mx", {"hosts": 0, "x": None}),), "late")
VERDICT = Verdict(
    status=Status.INVALID,
    reason_code=ReasonCode.NO_MX,
    score=0.25,
    flags=Flags(disposable=False, role=True),
    findings=RUN.findings,
    normalised=None,
    domain="example.com",
    policy_version="7",
    degraded=True,
    checks_skipped=("smtp",),
    provider="p",
)
SECTION = VerdictSection(1, 9, VERDICT, b"sealed", "ab" * 32, dead=True)


def _attempt(number: int) -> Attempt:
    return Attempt(number, 10 * number, 3, Outcome.RETRYABLE, 503, None, "busy")


def test_a_record_comes_back_as_it_was_written() -> None:
    event = Event(STEM, 1, "verification.completed", b'{"a":1}')
    text = BEGINNING + pack_request(REQUEST) + pack_run(RUN) + pack_verdict(SECTION)

    record = unpack(STEM, text + pack_event(event) + pack_targets(1, [2, 3]))

    assert record.sequence == 1795341600123456
    assert (record.request, record.runs, record.last_verdict) == (REQUEST, [RUN], SECTION)
    assert (record.events, record.targets) == ({1: event}, {1: [2, 3]})
    assert list(record.delivery_ids()) == [(1, 2), (1, 3)]


def test_the_sequence_stands_where_the_script_that_accepts_puts_it() -> None:
    assert BEGINNING[0] == 1
    assert msgpack.unpackb(BEGINNING[1:]) == "1795341600123456"


def test_of_two_sections_about_one_thing_the_later_one_counts() -> None:
    ended = DeliveryProgress(DeliveryState.DEAD, 3, (_attempt(3),), 99)
    again = DeliveryProgress(DeliveryState.PENDING, 3, (_attempt(3),), None, 100, 3)

    record = unpack(STEM, BEGINNING + pack_delivery(1, 2, ended) + pack_delivery(1, 2, again))

    assert record.deliveries == {(1, 2): again}


def test_of_attempts_the_last_ones_are_kept_and_all_are_counted() -> None:
    progress = DeliveryProgress(DeliveryState.PENDING, 9, tuple(_attempt(number) for number in range(1, 10)))

    kept = unpack_delivery_state(pack_delivery_state(progress))

    assert kept.attempt_count == 9
    assert [attempt.number for attempt in kept.attempts] == list(range(10 - KEPT_ATTEMPTS, 10))


def test_a_delivery_that_was_never_attempted_has_no_state() -> None:
    assert unpack_delivery_state(b"") == DeliveryProgress()


def test_a_record_of_a_later_format_is_refused_in_words() -> None:
    with pytest.raises(LedgerUnavailable, match="later release"):
        unpack(STEM, b"\x02" + BEGINNING[1:])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x01",
        b"\xc1",
        b"\xff" * 40,
        BEGINNING + b"\x05",
        BEGINNING + b"\xc1",
        BEGINNING + msgpack.packb(["?", 1]),
        BEGINNING + msgpack.packb(["e", 1]),
        BEGINNING + msgpack.packb(["r"]),
        BEGINNING + msgpack.packb([["e"]]),
        b"\x01" + msgpack.packb("not a number"),
        BEGINNING + pack_run(RUN)[:-1],
    ],
)
def test_a_record_that_cannot_be_read_is_our_own_error_and_spoils_no_other(text: bytes) -> None:
    with pytest.raises(LedgerUnavailable):
        unpack(STEM, text)

    assert unpack(STEM, BEGINNING + pack_run(RUN)).runs == [RUN]
