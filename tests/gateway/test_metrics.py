import http.client

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.lane import LaneKind
from vouchpost_gateway.domain.verification import ReasonCode, Status
from vouchpost_gateway.metrics import Metrics


class Scrape:
    """The metrics of a process, by the names and labels that Prometheus sees."""

    def __init__(self) -> None:
        self.metrics = Metrics()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def test_verdicts_are_counted_by_status_and_reason(scrape: Scrape) -> None:
    scrape.metrics.verdict(Status.RISKY, ReasonCode.DISPOSABLE)
    scrape.metrics.verdict(Status.RISKY, ReasonCode.DISPOSABLE)

    assert scrape.value("vouchpost_verdicts_total", status="risky", reason="disposable") == 2


@pytest.mark.parametrize(
    ("status_code", "status_class"),
    [(200, "2xx"), (302, "3xx"), (404, "4xx"), (503, "5xx"), (None, "none"), (999, "none"), (100, "none")],
)
def test_attempts_are_counted_by_outcome_and_status_class(
    scrape: Scrape, status_code: int | None, status_class: str
) -> None:
    scrape.metrics.attempt(Outcome.RETRYABLE, status_code)

    assert scrape.value("vouchpost_attempts_total", outcome="retryable", status_class=status_class) == 1


def test_what_has_not_happened_yet_is_zero_and_not_absent(scrape: Scrape) -> None:
    assert scrape.value("vouchpost_attempts_total", outcome="gone", status_class="4xx") == 0
    assert scrape.value("vouchpost_dead_letters_total", of="deliveries") == 0
    assert scrape.value("vouchpost_bells_total", by="sweep") == 0


def test_bells_are_counted_by_what_rang_them(scrape: Scrape) -> None:
    scrape.metrics.bells_rung(3)
    scrape.metrics.bells_swept()

    assert scrape.value("vouchpost_bells_total", by="work") == 3
    assert scrape.value("vouchpost_bells_total", by="sweep") == 1


def test_latency_counts_from_the_promise_to_the_subscriber(scrape: Scrape) -> None:
    scrape.metrics.delivered(0.02)
    scrape.metrics.delivered(-0.5)  # the clocks of two machines

    assert scrape.value("vouchpost_accepted_to_delivered_seconds_bucket", le="0.025") == 2
    assert scrape.value("vouchpost_accepted_to_delivered_seconds_sum") == pytest.approx(0.02)


def test_requests_are_counted_by_route_and_status_class(scrape: Scrape) -> None:
    scrape.metrics.http_request("/v1/verifications/{id}", "GET", 404, 0.001)

    assert scrape.value("vouchpost_http_requests_total", route="/v1/verifications/{id}", status_class="4xx") == 1
    assert scrape.value("vouchpost_http_request_seconds_count") == 1


def test_lanes_and_memory_are_as_last_seen(scrape: Scrape) -> None:
    scrape.metrics.lanes(LaneKind.DELIVERIES, items=7, oldest_due_s=1.5)
    scrape.metrics.ledger_memory(used_bytes=10, max_bytes=100)
    scrape.metrics.dead_letter(LaneKind.DELIVERIES)

    assert scrape.value("vouchpost_lane_items", lanes="deliveries") == 7
    assert scrape.value("vouchpost_lane_oldest_due_seconds", lanes="deliveries") == 1.5
    assert scrape.value("vouchpost_ledger_memory_bytes", what="used") == 10
    assert scrape.value("vouchpost_dead_letters_total", of="deliveries") == 1


def test_readiness_and_dropped_lines_are_asked_at_every_scrape(scrape: Scrape) -> None:
    now = {"ready": True, "dropped": 0}
    scrape.metrics.follow(is_ready=lambda: bool(now["ready"]), dropped_lines=lambda: now["dropped"])
    assert (scrape.value("vouchpost_ready"), scrape.value("vouchpost_log_lines_dropped")) == (1, 0)

    now.update(ready=False, dropped=3)

    assert (scrape.value("vouchpost_ready"), scrape.value("vouchpost_log_lines_dropped")) == (0, 3)


def test_two_processes_of_metrics_do_not_share_a_registry() -> None:
    one, other = Metrics(), Metrics()

    one.bells_rung()

    assert other.registry.get_sample_value("vouchpost_bells_total", {"by": "work"}) == 0


def test_they_are_served_in_prometheus_own_format_on_a_port_of_their_own() -> None:
    metrics = Metrics()
    metrics.bells_rung(5)

    with metrics.served(host="127.0.0.1", port=0) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()

    [bells] = [family for family in text_string_to_metric_families(text) if family.name == "vouchpost_bells"]
    assert {sample.labels["by"]: sample.value for sample in bells.samples if sample.name.endswith("_total")} == {
        "work": 5,
        "sweep": 0,
    }
