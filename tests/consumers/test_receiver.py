"""The ladder as a whole: each way down it, and what the sender is told."""

import asyncio
import json
import logging
import threading
from typing import Any, ClassVar

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import BodyTooLargeError, ConfigurationError, Message, Outcome, Receiver, Router
from vouchpost.receiver import BodyBuffer
from vouchpost.stores.memory import MemoryStore
from vouchpost.testing import EventFactory, FrozenClock

THREE = ("webhook-id", "webhook-timestamp", "webhook-signature")


def receiver(effect: Any = lambda *_: None, **options: Any) -> Receiver:
    router = Router()
    router.on_verdict(effect)
    store = options.pop("store", None) or MemoryStore()
    return Receiver(secrets=SECRET, store=store, router=router, clock=lambda: NOW, **options)


def test_an_event_of_an_unknown_type_or_a_newer_schema_is_answered_2xx_and_counted() -> None:
    subject = receiver()
    unknown = event(kind="verification.invented")
    newer = json.dumps(json.loads(event()) | {"schema": 2, "new": {}}).encode()

    answers = [subject.answer(headers=headers(body), body=body) for body in (unknown, newer)]

    assert [answer.status for answer in answers] == [200, 200]
    assert subject.counts == {"ignored": 1, "applied": 1}


def test_an_ignored_event_leaves_no_mark_so_that_it_can_be_resent_once_there_is_a_handler() -> None:
    store, body = MemoryStore(), event()
    before = Receiver(secrets=SECRET, store=store, router=Router(), clock=lambda: NOW)
    assert before.receive(headers=headers(body), body=body) is Outcome.IGNORED

    assert receiver(store=store).receive(headers=headers(body), body=body) is Outcome.APPLIED


@pytest.mark.parametrize(
    ("headers_changed", "body_changed", "status", "reason"),
    [
        pytest.param({"webhook-signature": "v1,AAAA"}, None, 400, "no_matching_signature", id="signature"),
        pytest.param({"webhook-timestamp": "1"}, None, 400, "malformed_timestamp", id="timestamp"),
        pytest.param({"webhook-timestamp": "1000000000"}, None, 400, "timestamp_too_old", id="old"),
        pytest.param({}, b" " * 65_537, 413, "body_too_large", id="size"),
        pytest.param({}, b"{", 400, "not_json", id="not JSON"),
        pytest.param({}, b"{}", 400, "not_an_event", id="not an event"),
        pytest.param({}, event(data={"sequence": "x"}), 400, "not_an_event", id="not a verdict"),
    ],
)
def test_what_is_refused_is_a_problem_with_a_reason(
    headers_changed: dict[str, str], body_changed: bytes | None, status: int, reason: str
) -> None:
    body = event() if body_changed is None else body_changed

    answer = receiver().answer(headers=headers(body) | headers_changed, body=body)

    problem = json.loads(answer.body)
    assert (answer.status, problem["status"], problem["reason"]) == (status, status, reason)
    assert dict(answer.headers)["content-type"] == "application/problem+json"


def test_a_signature_that_does_not_match_says_that_a_proxy_may_have_changed_the_body() -> None:
    """Behind a proxy that decompresses or re-encodes, no signature can match."""
    body = event()
    re_encoded = json.dumps(json.loads(body), indent=1).encode()

    answer = receiver().answer(headers=headers(body), body=re_encoded)

    assert "changed the body" in json.loads(answer.body)["detail"]


def test_what_a_handler_raises_is_a_500_that_tells_the_sender_nothing() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("password is hunter2")

    body = event()
    answer = receiver(broken).answer(headers=headers(body), body=body)

    assert answer.status == 500
    assert b"hunter2" not in answer.body


def test_a_handler_that_takes_too_long_is_stopped_and_runs_again() -> None:
    started: list[str] = []

    async def slow(message: Message, handle: object) -> None:
        started.append(message.id)
        await asyncio.sleep(60 if len(started) == 1 else 0)

    async def main() -> list[str]:
        subject, body = receiver(slow, handler_limit_s=0.02), event()
        return [(await subject.answer_async(headers=headers(body), body=body)).outcome for _ in range(2)]

    assert asyncio.run(main()) == ["handler_failed", "applied"]


def test_a_plain_handler_does_not_hold_up_the_event_loop() -> None:
    ran_in: list[threading.Thread] = []

    subject, body = receiver(lambda *_: ran_in.append(threading.current_thread())), event()
    outcome = asyncio.run(subject.receive_async(headers=headers(body), body=body))

    assert outcome is Outcome.APPLIED
    assert ran_in != [threading.main_thread()]


def test_an_object_whose_call_is_async_is_awaited() -> None:
    class Handler:
        ran_in: ClassVar[list[threading.Thread]] = []

        async def __call__(self, *_: object) -> None:
            self.ran_in.append(threading.current_thread())

    subject, body = receiver(Handler()), event()
    asyncio.run(subject.receive_async(headers=headers(body), body=body))

    assert Handler.ran_in == [threading.main_thread()]


def test_a_cancelled_delivery_leaves_nothing_behind() -> None:
    async def hanging(*_: object) -> None:
        await asyncio.sleep(60)

    async def main() -> Outcome:
        store, body = MemoryStore(), event()
        task = asyncio.create_task(receiver(hanging, store=store).receive_async(headers=headers(body), body=body))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return receiver(store=store).receive(headers=headers(body), body=body)

    assert asyncio.run(main()) is Outcome.APPLIED


def test_one_in_flight_is_answered_503_with_retry_after_until_its_mark_is_committed() -> None:
    async def main() -> tuple[int, str, int]:
        applying, go_on = asyncio.Event(), asyncio.Event()

        async def waiting(*_: object) -> None:
            applying.set()
            await go_on.wait()

        subject, body = receiver(waiting), event()
        first = asyncio.create_task(subject.answer_async(headers=headers(body), body=body))
        await applying.wait()
        second = await subject.answer_async(headers=headers(body), body=body)
        go_on.set()
        await first
        third = await subject.answer_async(headers=headers(body), body=body)
        return second.status, dict(second.headers)["retry-after"], third.status

    assert asyncio.run(main()) == (503, "1", 200)


def test_logs_hold_no_address_and_no_signature(caplog: pytest.LogCaptureFixture) -> None:
    body = event(data={"email": "ann@example.com", "sequence": "x"})
    three = headers(body)

    with caplog.at_level(logging.DEBUG, logger="vouchpost"):
        receiver().answer(headers=three, body=body)
        receiver().answer(headers=three | {"webhook-signature": "v1,c2VjcmV0"}, body=body)

    assert "event.refused not_an_event" in caplog.text
    assert "ann@" not in caplog.text
    assert "c2VjcmV0" not in caplog.text


def test_old_marks_are_removed_at_the_first_event_and_once_an_hour_after(vouchpost_clock: FrozenClock) -> None:
    class Counting(MemoryStore):
        swept: ClassVar[list[int]] = []

        def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
            self.swept.append(before_s)
            return super().forget(receiver=receiver, before_s=before_s, limit=limit)

    router, make = Router(), EventFactory(clock=vouchpost_clock)
    router.on_verdict(lambda *_: None)
    subject = Receiver(secrets=make.secret, store=Counting(), router=router, clock=vouchpost_clock)

    for after_s in (0, 60, 3539, 1):
        vouchpost_clock.advance(after_s)
        event_now = make()
        subject.receive(headers=event_now.headers, body=event_now.body)

    now_s = int(vouchpost_clock.now_s)
    assert Counting.swept == [now_s - 3600 - 35 * 86_400, now_s - 35 * 86_400]


def test_marks_that_would_not_outlive_a_senders_retries_are_refused() -> None:
    from datetime import timedelta

    with pytest.raises(ConfigurationError):
        receiver(retention=timedelta(days=1))


def test_a_body_buffer_gives_up_at_the_first_byte_too_many() -> None:
    buffer = BodyBuffer(4)
    buffer.feed(b"ab")
    buffer.feed(b"cd")

    with pytest.raises(BodyTooLargeError):
        buffer.feed(b"e")
    assert buffer.body == b"abcd"
