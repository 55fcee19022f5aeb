import pytest
from structlog.testing import capture_logs

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.ids import DeliveryRef, EventRef
from vouchpost_gateway.domain.outcome import Answer
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.domain.secret import SigningSecret
from vouchpost_gateway.domain.subscription import Subscription
from vouchpost_gateway.domain.verification import (
    Depth,
    Flags,
    Priority,
    ReasonCode,
    Status,
    Verdict,
    Verification,
)
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.metrics import Metrics
from vouchpost_gateway.reporting import Reporter

WORLD = World("000", Mode.LIVE, 0)
STEM = "06ev1w2h7kabcdefghj"
REF = DeliveryRef(EventRef(STEM, 1), 7)
SUBSCRIPTION = Subscription(
    id="sub_06ev1w2h7kabcdefghj0007000",
    number=7,
    url="https://crm.example/",
    event_types=frozenset(),
    secrets=(SigningSecret(b"k" * 32),),
    created_ms=0,
)


def attempted(metrics: Metrics, *, age_ms: int | None, number: int = 1) -> None:
    answer = Answer(0.2, status_code=200)
    Reporter(metrics).attempted(
        WORLD, REF, SUBSCRIPTION, number=number, outcome=Outcome.DELIVERED, dead=False, answer=answer, age_ms=age_ms
    )


def test_a_line_about_an_attempt_has_all_ids() -> None:
    with capture_logs() as lines:
        attempted(Metrics(), age_ms=200)

    (line,) = lines
    assert (line["id"], line["event_id"], line["subscription_id"]) == (REF.id, REF.event.id, SUBSCRIPTION.id)


def test_a_line_about_a_verdict_has_all_ids_and_leaves_the_address_to_be_hashed() -> None:
    asked = Verification(STEM, 1, "a@example.com", Depth.DOMAIN, Priority.NORMAL, None, {}, 0)
    verdict = Verdict(
        Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL, 0.8, Flags(), (), "a@example.com", "example.com", "1"
    )

    with capture_logs() as lines:
        Reporter(Metrics()).verified(WORLD, asked, verdict, revision=1)

    (line,) = lines
    assert line["event_id"] == REF.event.id
    # `logs` writes what is given as `address` as a keyed hash; a value under any other name it could only strike out.
    assert [name for name, value in line.items() if value == "a@example.com"] == ["address"]


@pytest.mark.parametrize(
    ("number", "age_ms", "counted"),
    [
        pytest.param(1, 200, 1, id="at once"),
        pytest.param(3, 5200, 1, id="retried"),
        pytest.param(4, None, 0, id="resent"),
    ],
)
def test_latency_is_that_of_all_deliveries_but_those_sent_again_by_hand(
    number: int, age_ms: int | None, counted: int
) -> None:
    metrics = Metrics()

    attempted(metrics, number=number, age_ms=age_ms)

    assert metrics.registry.get_sample_value("vouchpost_accepted_to_delivered_seconds_count") == counted


def _verified(metrics: Metrics, status: Status, reason: ReasonCode) -> None:
    asked = Verification(STEM, 1, "a@example.com", Depth.DOMAIN, Priority.NORMAL, None, {}, 0)
    verdict = Verdict(status, reason, 0.0, Flags(), (), "a@example.com", "example.com", "1")
    Reporter(metrics).verified(WORLD, asked, verdict, revision=1)


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"vouchpost_{name}", labels)


def test_each_outcome_is_counted_where_it_is_told() -> None:
    metrics = Metrics()
    report = Reporter(metrics)

    _verified(metrics, Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL)
    _verified(metrics, Status.UNKNOWN, ReasonCode.DNS_TIMEOUT)
    refused = Answer(0.2, status_code=500)
    report.attempted(
        WORLD, REF, SUBSCRIPTION, number=9, outcome=Outcome.RETRYABLE, dead=True, answer=refused, age_ms=None
    )
    report.expired(WORLD, REF)
    report.rung(3, swept=False)
    report.rung(2, swept=True)

    assert _value(metrics, "verdicts_total", status="valid", reason="domain_accepts_mail") == 1
    assert _value(metrics, "verdicts_total", status="unknown", reason="dns_timeout") == 1
    assert _value(metrics, "attempts_total", outcome="retryable", status_class="5xx") == 1
    assert _value(metrics, "dead_letters_total", of="verifications") == 1
    assert _value(metrics, "dead_letters_total", of="deliveries") == 2, "given up, and expired"
    assert (_value(metrics, "bells_total", by="work"), _value(metrics, "bells_total", by="sweep")) == (3, 2)


def test_readiness_that_is_lost_is_a_warning_and_comes_back_as_information() -> None:
    with capture_logs() as lines:
        Reporter(Metrics()).readiness(Readiness(ready=False, problems=("the ledger does not answer",)))
        Reporter(Metrics()).readiness(Readiness(ready=True, problems=()))

    assert [(line["log_level"], line["problems"]) for line in lines] == [
        ("warning", ["the ledger does not answer"]),
        ("info", []),
    ]


def test_a_delivery_that_expired_has_a_line_with_its_ids() -> None:
    with capture_logs() as lines:
        Reporter(Metrics()).expired(WORLD, REF)

    [line] = lines
    assert (line["event"], line["id"], line["event_id"]) == ("delivery.expired", REF.id, REF.event.id)
