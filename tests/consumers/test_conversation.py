"""What is said to the gateway and when again, driven step by step with a clock and a chance of our own."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.consumers.gateways import REFUSED
from vouchpost import ConfigurationError, NotAGatewayError, OverloadedError, RequestRefusedError, UnreachableError
from vouchpost.conversation import Chances, Conversations, NoReply, Reply, Send, retry_after_s

NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)
ACCEPTED = Reply(202, b'{"id": "vrf_1", "status": "pending", "sequence": 7, "subject_id": "user_42"}')
VALID = Reply(200, b'{"id": "vrf_1", "status": "valid", "sequence": 7, "verdict": {"reason_code": "syntax_ok"}}')
PENDING = Reply(200, ACCEPTED.body)
SUBSCRIBED = Reply(201, b'{"id": "sub_1", "secret": "whsec_x"}')
DELIVERY = Reply(
    202, b'{"id": "dlv_1", "event_id": "evt_1", "state": "pending", "attempt_count": 3, "subscription_id": "sub_1"}'
)
DOWN = NoReply("ConnectError.")
CUT_OFF = NoReply("ReadError.")
NGINX = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"


def refusal(status: int) -> Reply:
    return Reply(status, json.dumps(REFUSED).encode())


class Gateway:
    """Plays back replies, one a send; pauses and waits move the clock. The last reply repeats for ever."""

    def __init__(self, *replies: Reply | NoReply, chance: float = 0.5, takes_s: float = 0.0) -> None:
        self.replies, self.takes_s, self.time_s = list(replies), takes_s, 0.0
        self.sent: list[Send] = []
        self.pauses: list[float] = []
        chances = Chances(
            monotonic=lambda: self.time_s,
            uniform=lambda: chance,
            new_key=iter(f"key-{number}" for number in range(9)).__next__,
            now=lambda: NOW,
        )
        self.say = Conversations(key="vp_test_1", total_s=10, chances=chances)

    def run(self, steps: Any) -> Any:
        reply = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return done.value
            reply = None
            if isinstance(step, Send):
                self.sent.append(step)
                self.time_s += self.takes_s
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            else:
                self.pauses.append(step.seconds)
                self.time_s += step.seconds


def submit(gateway: Gateway, **content: Any) -> Any:
    return gateway.run(gateway.say.submit({"email": "ann@example.com"} | content, idempotency_key=None))


def test_a_submission_says_what_was_given_and_nothing_else() -> None:
    gateway = Gateway(ACCEPTED)

    verification = submit(gateway, subject_id="user_42", depth=None)

    (sent,) = gateway.sent
    assert (sent.method, sent.path) == ("POST", "/v1/verifications")
    assert json.loads(sent.body or b"") == {"email": "ann@example.com", "subject_id": "user_42"}
    assert sent.headers["authorization"] == "Bearer vp_test_1"
    assert (verification.id, verification.sequence, verification.is_pending) == ("vrf_1", 7, True)


@pytest.mark.parametrize(
    "first",
    [
        DOWN,
        CUT_OFF,
        Reply(408, b""),
        Reply(429, b""),
        Reply(500, b""),
        Reply(502, b"<html>"),
        Reply(503, b"{}"),
        Reply(504, b""),
    ],
    ids=str,
)
def test_what_may_be_better_later_is_said_again_under_the_same_idempotency_key(first: Reply | NoReply) -> None:
    gateway = Gateway(first, first, ACCEPTED)

    submit(gateway)
    submit(gateway)

    assert [sent.headers["idempotency-key"] for sent in gateway.sent] == ["key-0"] * 3 + ["key-1"]


def test_an_idempotency_key_of_the_caller_is_kept() -> None:
    gateway = Gateway(ACCEPTED)

    gateway.run(gateway.say.submit({"email": "ann@example.com"}, idempotency_key="mine"))

    assert gateway.sent[0].headers["idempotency-key"] == "mine"


@pytest.mark.parametrize("key", ["", "Änderung-42", "two words", "one\nline", "k" * 256])
def test_a_key_that_no_gateway_takes_is_refused_before_anything_is_sent(key: str) -> None:
    gateway = Gateway(ACCEPTED)

    with pytest.raises(ConfigurationError, match="255 visible ASCII"):
        gateway.run(gateway.say.submit({"email": "ann@example.com"}, idempotency_key=key))
    assert gateway.sent == []


def test_pauses_have_full_jitter_and_a_cap() -> None:
    """uniform(0, min(cap, base·2^n)): at most 0.2, 0.4, 0.8, 1.6 … up to 5 seconds."""
    late, early = Gateway(DOWN, chance=1.0), Gateway(*[DOWN] * 20, ACCEPTED, chance=0.0)

    with pytest.raises(UnreachableError):
        submit(late)
    submit(early)

    assert late.pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])
    assert set(early.pauses) == {0.0}


def test_retry_after_is_a_floor_of_the_pause() -> None:
    gateway = Gateway(Reply(429, b"", "3"), ACCEPTED, chance=0.5)

    submit(gateway)

    assert gateway.pauses == pytest.approx([3.1])


def test_a_retry_after_beyond_the_limit_of_the_call_ends_it_at_once() -> None:
    gateway = Gateway(Reply(503, b"", "3600"))

    with pytest.raises(OverloadedError) as overloaded:
        submit(gateway)

    assert (overloaded.value.status, overloaded.value.retry_after_s) == (503, 3600)
    assert gateway.time_s == 0


def test_a_call_never_takes_longer_than_its_limit_whatever_it_repeats() -> None:
    gateway = Gateway(CUT_OFF, takes_s=1.5)

    with pytest.raises(UnreachableError):
        submit(gateway)

    assert gateway.time_s <= 10 + gateway.takes_s
    assert all(sent.limit_s <= 10 for sent in gateway.sent)


def test_a_refusal_is_final_and_names_the_fields() -> None:
    problem = REFUSED | {"errors": [{"field": "email", "reason": "too long"}, "junk"]}
    gateway = Gateway(Reply(422, json.dumps(problem).encode()))

    with pytest.raises(RequestRefusedError, match="email: too long") as refused:
        submit(gateway)

    assert (refused.value.status, len(gateway.sent)) == (422, 1)
    assert "ann@" not in str(refused.value)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>hotel wifi</html>"),
        Reply(200, b"[]"),
        Reply(200, b"{}"),
        Reply(200, b'{"id": "vrf_1", "status": "valid", "sequence": "x"}'),
        Reply(200, b'{"id": "vrf_1", "status": "valid", "sequence": 1, "verdict": [1]}'),
        Reply(200, b"[" * 100_000),
        Reply(302, b""),
        Reply(101, b""),
    ],
    ids=lambda reply: reply.body[:20],
)
def test_what_is_no_gateway_ends_in_the_error_tree(reply: Reply) -> None:
    with pytest.raises(UnreachableError, match="not a gateway"):
        submit(Gateway(reply))


@pytest.mark.parametrize("body", [NGINX, b"", b"{}", b'{"type": 7}', b'{"type": "about:blank", "title": "Blocked"}'])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 431])
def test_a_refusal_that_is_no_gateways_refuses_nothing_and_says_where_to_look(status: int, body: bytes) -> None:
    """A proxy's page, or that of the server which the wrong URL names."""
    with pytest.raises(NotAGatewayError, match=f"VOUCHPOST_URL.* status {status}"):
        submit(Gateway(Reply(status, body)))


def test_a_page_that_is_not_there_is_no_subscription_that_is_gone() -> None:
    gateway = Gateway(Reply(404, b"<html>"))

    with pytest.raises(NotAGatewayError):
        gateway.run(gateway.say.unsubscribe("sub_1"))


def test_waiting_asks_until_there_is_a_verdict() -> None:
    gateway = Gateway(PENDING, PENDING, VALID, takes_s=20)

    verification = gateway.run(gateway.say.wait("vrf_1", seconds=70))

    assert (verification.status, verification.reason_code) == ("valid", "syntax_ok")
    assert [sent.path.partition("?")[2] for sent in gateway.sent] == ["wait=30", "wait=30", "wait=30"]
    assert all(sent.limit_s > 30 for sent in gateway.sent)


def test_waiting_ends_with_what_there_is_when_the_time_is_over() -> None:
    gateway = Gateway(PENDING, takes_s=5)

    verification = gateway.run(gateway.say.wait("vrf_1", seconds=12))

    assert verification.is_pending
    assert [sent.path.partition("?")[2] for sent in gateway.sent] == ["wait=12", "wait=7", "wait=2", "wait=0"]


def test_an_id_cannot_become_another_path() -> None:
    gateway = Gateway(VALID)

    gateway.run(gateway.say.get("../keys?x=#"))

    assert gateway.sent[0].path == "/v1/verifications/..%2Fkeys%3Fx%3D%23"


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(DOWN, id="never received"),
        pytest.param(Reply(429, b""), id="turned away"),
        pytest.param(CUT_OFF, id="perhaps received"),
        pytest.param(Reply(502, b""), id="perhaps carried out"),
        pytest.param(Reply(409, b"", retry_after="1"), id="still being carried out"),
    ],
)
@pytest.mark.parametrize(
    ("say", "answer"),
    [
        pytest.param(lambda say: say.subscribe({"url": "http://127.0.0.1"}), SUBSCRIBED, id="subscribe"),
        pytest.param(lambda say: say.rotate_secret("sub_1"), SUBSCRIBED, id="rotate"),
        pytest.param(lambda say: say.resend("dlv_1"), DELIVERY, id="resend"),
    ],
)
def test_what_is_sent_again_has_the_same_key_and_body(
    first: Reply | NoReply, say: Callable[[Conversations], Any], answer: Reply
) -> None:
    gateway = Gateway(first, answer)

    gateway.run(say(gateway.say))

    once, again = gateway.sent
    assert once.headers["idempotency-key"] == again.headers["idempotency-key"] == "key-0"
    assert (once.path, once.body) == (again.path, again.body)


def test_a_conflict_that_is_not_about_us_is_final() -> None:
    gateway = Gateway(refusal(409))

    with pytest.raises(RequestRefusedError):
        gateway.run(gateway.say.rotate_secret("sub_1"))
    assert len(gateway.sent) == 1


def test_unsubscribing_what_is_gone_is_fine() -> None:
    gone, forbidden = Gateway(refusal(404)), Gateway(refusal(403))

    assert gone.run(gone.say.unsubscribe("sub_1")) is None
    with pytest.raises(RequestRefusedError):
        forbidden.run(forbidden.say.unsubscribe("sub_1"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("Sunday, 22-Nov-26 10:00:30 GMT", 30),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("١٢", None),
        ("9" * 65, None),
        ("9" * 10, None),
        ("Sun, 99 Nov 2026 10:00:30 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s(text, now=NOW) == seconds


@given(st.text(max_size=70))
def test_a_hostile_retry_after_never_raises(text: str) -> None:
    seconds = retry_after_s(text, now=NOW)

    assert seconds is None or seconds >= 0
