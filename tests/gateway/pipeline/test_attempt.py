"""One attempt: prepare and settle as tables, and what Deliver does with a claim."""

import base64
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import standardwebhooks

from tests.gateway.ledger.bench import START_MS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState, Outcome
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.event import Event
from vouchpost_gateway.domain.lane import BellState, Claim, SettlementKind, Turn
from vouchpost_gateway.domain.outcome import Answer, Failure
from vouchpost_gateway.domain.secret import SigningSecret
from vouchpost_gateway.domain.subscription import DisabledReason, Subscription
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.ledger.tenants import AccessRecords
from vouchpost_gateway.pipeline.attempt import AttemptRules, Deliver, Settled, prepare, settle
from vouchpost_gateway.pipeline.subscribe import Subscribe

NOW_MS = 1_795_341_600_123
RULES = AttemptRules(
    schedule_s=(0, 5, 300), max_age_s=3600, max_in_flight=16, lease_ms=60_000, world_in_flight=1000, world_slow=64
)
CURRENT, RETIRING = b"c" * 32, b"r" * 32
SUBSCRIPTION = Subscription(
    id="sub_1",
    number=1,
    url="https://example.com/hook",
    event_types=frozenset(),
    secrets=(SigningSecret(CURRENT), SigningSecret(RETIRING, retires_ms=NOW_MS + 1)),
    created_ms=START_MS,
    headers={"X-Team": "crm"},
)
EVENT = Event("0" * 19, 1, "verification.completed", b'{"data":{"email_hash":"00","x":1}}')
CLAIM = Claim("0" * 19 + "001", token=7, claims=1, queue=1)
TURN = Turn(
    now_ms=NOW_MS,
    rings=(),
    slow=False,
    next_due_ms=None,
    bell=BellState.HELD,
    failing_since_ms=None,
    failures=0,
    slowdowns=0,
    answers=(),
    claims=(),
)


def _settled(
    answer: Answer,
    *,
    progress: DeliveryProgress | None = None,
    turn: Turn = TURN,
    now_ms: int = NOW_MS,
    subscription: Subscription = SUBSCRIPTION,
    random: float = 0.5,
) -> Settled:
    return settle(
        CLAIM,
        progress or DeliveryProgress(),
        answer,
        subscription,
        turn=turn,
        now_ms=now_ms,
        random=random,
        rules=RULES,
    )


# prepare


@pytest.mark.parametrize("key", [CURRENT, RETIRING], ids=["current", "retiring"])
def test_every_live_secret_signs_as_another_library_signs(key: bytes) -> None:
    headers = prepare(SUBSCRIPTION, EVENT, now_ms=NOW_MS, mode=Mode.LIVE).headers

    theirs = standardwebhooks.Webhook("whsec_" + base64.b64encode(key).decode()).sign(
        EVENT.id, datetime.fromtimestamp(NOW_MS // 1000, UTC), EVENT.body.decode()
    )

    assert theirs in headers["webhook-signature"].split(" ")
    assert headers["webhook-timestamp"] == str(NOW_MS // 1000)
    assert headers["webhook-id"] == EVENT.id


def test_a_retired_secret_signs_no_more() -> None:
    prepared = prepare(SUBSCRIPTION, EVENT, now_ms=NOW_MS + 1, mode=Mode.LIVE)

    assert len(prepared.headers["webhook-signature"].split(" ")) == 1


def test_a_push_says_which_release_of_what_it_comes_from_and_names_nobody_else() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    headers = prepare(SUBSCRIPTION, EVENT, now_ms=NOW_MS, mode=Mode.LIVE).headers

    assert headers["user-agent"] == f"Vouchpost/{project['version']}"


def test_the_subscribers_headers_go_along_and_never_in_the_place_of_ours() -> None:
    hostile = replace(SUBSCRIPTION, headers={"X-Team": "crm", "webhook-id": "forged", "content-type": "text/html"})

    headers = prepare(hostile, EVENT, now_ms=NOW_MS, mode=Mode.LIVE).headers

    assert headers["X-Team"] == "crm"
    assert (headers["webhook-id"], headers["content-type"]) == (EVENT.id, "application/json")


def test_the_address_is_sent_to_who_asked_and_is_signed() -> None:
    plain = prepare(SUBSCRIPTION, EVENT, now_ms=NOW_MS, mode=Mode.LIVE)
    told = prepare(SUBSCRIPTION, EVENT, now_ms=NOW_MS, mode=Mode.LIVE, address='"a"@example.com')

    assert plain.body == EVENT.body
    assert told.body == b'{"data":{"email_hash":"00","email":"\\"a\\"@example.com","x":1}}'
    assert told.headers["webhook-signature"] != plain.headers["webhook-signature"]


@pytest.mark.parametrize(("mode", "allowed"), [(Mode.LIVE, False), (Mode.TEST, True)])
def test_only_test_mode_may_push_to_this_machine(mode: Mode, allowed: bool) -> None:  # noqa: FBT001
    assert prepare(SUBSCRIPTION, EVENT, now_ms=NOW_MS, mode=mode).allow_loopback is allowed


# settle


@pytest.mark.parametrize(
    ("answer", "kind", "outcome"),
    [
        pytest.param(Answer(0.1, status_code=200), SettlementKind.DONE, Outcome.DELIVERED, id="200"),
        pytest.param(Answer(0.1, status_code=299), SettlementKind.DONE, Outcome.DELIVERED, id="299"),
        pytest.param(Answer(0.1, status_code=301), SettlementKind.LATER, Outcome.RETRYABLE, id="301"),
        pytest.param(Answer(0.1, status_code=400), SettlementKind.LATER, Outcome.RETRYABLE, id="400"),
        pytest.param(Answer(0.1, status_code=410), SettlementKind.DEAD, Outcome.GONE, id="410"),
        pytest.param(Answer(0.1, status_code=429), SettlementKind.LATER, Outcome.RETRYABLE, id="429"),
        pytest.param(Answer(0.1, status_code=500), SettlementKind.LATER, Outcome.RETRYABLE, id="500"),
        *(
            pytest.param(Answer(0.1, failure=failure), SettlementKind.LATER, Outcome.RETRYABLE, id=failure.value)
            for failure in Failure
        ),
    ],
)
def test_an_answer_means_for_its_delivery(answer: Answer, kind: SettlementKind, outcome: Outcome) -> None:
    settled = _settled(answer)

    assert (settled.settlement.kind, settled.outcome) == (kind, outcome)
    assert (settled.settlement.item, settled.settlement.token) == (CLAIM.item, CLAIM.token)


@pytest.mark.parametrize(
    ("answer", "rests"),
    [
        (Answer(0.1, status_code=429), True),
        (Answer(0.1, status_code=502), True),
        (Answer(0.1, status_code=503), True),
        (Answer(0.1, status_code=504), True),
        (Answer(15, failure=Failure.TIMED_OUT), True),
        (Answer(0.1, status_code=500), False),
        (Answer(0.1, failure=Failure.CONNECTION_FAILED), False),
        (Answer(0.1, status_code=200), False),
    ],
)
def test_only_answers_that_ask_for_it_slow_the_subscription_down(answer: Answer, rests: bool) -> None:  # noqa: FBT001
    assert (_settled(answer).news.throttle_ms > 0) is rests


@pytest.mark.parametrize(
    ("answer", "slow"),
    [
        (Answer(0.1, status_code=200), False),
        (Answer(2.1, status_code=200), True),
        (Answer(2.1, status_code=500), True),
        (Answer(15.0, failure=Failure.TIMED_OUT), True),
        (Answer(0.1, status_code=500), None),
    ],
)
def test_a_slow_answer_moves_the_lane_to_the_slow_class(answer: Answer, slow: bool | None) -> None:  # noqa: FBT001
    assert _settled(answer).news.slow is slow


@pytest.mark.parametrize("failure", Failure)
def test_only_our_own_faults_count_against_no_subscriber(failure: Failure) -> None:
    assert _settled(Answer(0.1, failure=failure)).news.failed == (0 if failure is Failure.INTERNAL else 1)


def test_the_schedule_is_followed_with_jitter_to_its_end() -> None:
    delays: list[int] = []
    progress = DeliveryProgress()
    for _ in range(3):
        settlement = _settled(Answer(0, status_code=500), progress=progress).settlement
        assert settlement.progress is not None
        progress = settlement.progress
        delays.append(settlement.delay_ms)

    assert delays == [5_000, 300_000, 0]
    assert (progress.state, progress.attempt_count) == (DeliveryState.DEAD, 3)
    spread = [_settled(Answer(0, status_code=500), random=r).settlement.delay_ms for r in (0.0, 0.999999)]
    assert spread[0] == 4000
    assert 5990 < spread[1] <= 6000


def test_a_delivery_that_is_too_old_is_given_up() -> None:
    old = DeliveryProgress(attempt_count=1, since_ms=NOW_MS - 3_600_000)

    assert _settled(Answer(0, status_code=500), progress=old).settlement.kind is SettlementKind.DEAD


def test_a_resend_begins_the_schedule_anew_and_goes_on_counting() -> None:
    again = DeliveryProgress(attempt_count=10, since_ms=NOW_MS, attempts_before=10)

    settlement = _settled(Answer(0, status_code=500), progress=again).settlement

    assert settlement.kind is SettlementKind.LATER
    assert settlement.progress is not None
    assert settlement.progress.attempts[-1].number == 11


@pytest.mark.parametrize("retry_after", ["120", "Sun, 22 Nov 2026 10:02:00 GMT"])
def test_retry_after_is_a_floor_for_the_delivery_and_for_its_lane(retry_after: str) -> None:
    settled = _settled(Answer(0, status_code=503, retry_after=retry_after))

    assert settled.settlement.delay_ms >= 119_000
    assert settled.news.throttle_ms >= 119_000


@pytest.mark.parametrize("retry_after", ["-1", "1e9", "soon", "9" * 60, "\x00"])
def test_a_hostile_retry_after_is_bounded(retry_after: str) -> None:
    settled = _settled(Answer(0, status_code=503, retry_after=retry_after))

    assert settled.news.throttle_ms <= 86_400_000


def test_answers_in_a_row_that_ask_for_rest_are_given_more_of_it() -> None:
    rests = [
        _settled(Answer(0, status_code=503), turn=replace(TURN, slowdowns=slowdowns)).news for slowdowns in range(3)
    ]

    assert [news.throttle_ms for news in rests] == [1000, 2000, 4000]
    assert [news.slowdowns for news in rests] == [1, 2, 3]


def test_of_an_answer_its_status_time_and_beginning_are_kept() -> None:
    settlement = _settled(Answer(0.25, status_code=500, excerpt="oops")).settlement

    assert settlement.progress is not None
    [attempt] = settlement.progress.attempts
    assert (attempt.number, attempt.status_code, attempt.duration_ms, attempt.excerpt) == (1, 500, 250, "oops")


# deliver


class Receiver:
    """Answers every push with the same answer, and remembers it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.urls: list[str] = []

    async def post(
        self,
        *,
        url: str,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
        allow_loopback: bool = False,  # noqa: ARG002
    ) -> Answer:
        self.urls.append(url)
        return self.answer


class Events:
    def __init__(self, bench: Bench) -> None:
        self.event = bench.deliveries.event
        self.address = bench.verifications.address


def _draw() -> Draw:
    return Draw(START_MS, bytes(32))


def _deliver(bench: Bench, receiver: Receiver) -> Deliver:
    subscribe = Subscribe(
        bench.subscriptions, AccessRecords(bench.store), lambda _rings: None, Told(), lambda: START_MS, _draw, 100, 20
    )
    return Deliver(Events(bench), subscribe, receiver, RULES, Told(), lambda: 0.5)


def _attempted(bench: Bench, subscription: Subscription, receiver: Receiver, *, claims: int = 1) -> Turn:
    lane = bench.lane_of(subscription)
    turn = bench.turn(lane, want=1)
    [claim] = turn.claims
    done = bench.run(_deliver(bench, receiver)(lane, replace(claim, claims=claims), turn))
    assert done.settlement is not None
    return bench.turn(lane, done.settlement, news=done.news)


def test_a_delivery_is_pushed_and_ends(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    receiver = Receiver(Answer(0.1, status_code=200))

    turn = _attempted(bench, subscription, receiver)

    assert turn.answers == ("ok",)
    assert receiver.urls == [subscription.url]


def test_a_subscriber_that_is_gone_is_disabled_and_the_others_are_told(bench: Bench) -> None:
    subscription, other = bench.subscribe(), bench.subscribe()
    bench.delivered_to(subscription)

    _attempted(bench, subscription, Receiver(Answer(0.1, status_code=410)))

    stored = bench.run(bench.subscriptions.fresh(bench.world)).by_number[subscription.number]
    assert (stored.enabled, stored.disabled_reason) == (False, DisabledReason.GONE)
    assert len(bench.waiting(bench.lane_of(other))) == 1
    assert len(bench.run(bench.deliveries.dead(bench.world, after=None, limit=9))) == 1


def test_a_subscription_that_has_only_failed_for_days_is_disabled(bench: Bench) -> None:
    subscription = bench.subscribe()
    deliver = _deliver(bench, Receiver(Answer(0.1, status_code=500)))
    five_days = replace(TURN, failing_since_ms=NOW_MS - 5 * 86_400_000, failures=10)

    bench.run(deliver.after_turn(bench.lane_of(subscription), replace(five_days, failures=9)))
    assert bench.run(bench.subscriptions.fresh(bench.world)).by_number[subscription.number].enabled

    bench.run(deliver.after_turn(bench.lane_of(subscription), five_days))
    assert not bench.run(bench.subscriptions.fresh(bench.world)).by_number[subscription.number].enabled


def test_a_disabled_subscription_is_sent_nothing_and_uses_up_no_attempt(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    lane = bench.lane_of(subscription)
    turn = bench.turn(lane, want=1)
    bench.change(subscription, enabled=False)
    receiver = Receiver(Answer(0.1, status_code=200))
    now = bench.run(bench.subscriptions.fresh(bench.world)).revision

    done = bench.run(_deliver(bench, receiver)(lane, turn.claims[0], replace(turn, set_revision=now)))

    assert receiver.urls == []
    assert done.settlement is not None
    assert (done.settlement.kind, done.settlement.progress) == (SettlementKind.LATER, DeliveryProgress())


def test_what_kills_workers_counts_as_a_failed_attempt_and_is_not_sent(bench: Bench) -> None:
    subscription = bench.subscribe()
    bench.delivered_to(subscription)
    receiver = Receiver(Answer(0.1, status_code=200))

    _attempted(bench, subscription, receiver, claims=21)

    assert receiver.urls == []
    [item] = bench.waiting(bench.lane_of(subscription))
    assert item


def test_a_subscription_may_lower_what_is_in_flight_to_it(bench: Bench) -> None:
    subscription = bench.change(bench.subscribe(), max_in_flight=2)

    limits = bench.run(_deliver(bench, Receiver(Answer(0.1))).limits(bench.lane_of(subscription)))

    assert (limits.lane_cap, limits.world_fast_cap) == (2, 1000)


async def _away(*_: object, **__: object) -> None:
    raise LedgerUnavailable("away")


def test_a_ledger_that_cannot_disable_now_costs_no_outcome(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempt was made and is settled; the next one disables."""
    subscription = bench.subscribe()
    bench.delivered_to(subscription)

    told = Told()
    deliver = replace(_deliver(bench, Receiver(Answer(0.1, status_code=410))), report=told)
    lane = bench.lane_of(subscription)
    turn = bench.turn(lane, want=1)
    monkeypatch.setattr(Subscribe, "disable", _away)

    done = bench.run(deliver(lane, turn.claims[0], turn))

    assert done.settlement is not None
    assert done.settlement.kind is SettlementKind.DEAD
    assert [args[0] for name, args, _ in told.calls if name == "failed"] == ["disable"]
