"""What an operator watches: every number moves with the work that it counts, and each outcome has its one line."""

import json
from collections import defaultdict

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, eventually
from tests.end_to_end.machine import Machine

Series = tuple[str, tuple[tuple[str, str], ...]]

_LABELS = {"status", "reason", "outcome", "status_class", "of", "by", "route", "lanes", "what", "le"}


def _numbers(machine: Machine) -> dict[Series, float]:
    """Every number of every process, those of the same name and labels summed."""
    found = defaultdict[Series, float](float)
    for process in machine.metrics_by_process():
        for family in text_string_to_metric_families(process):
            for sample in family.samples:
                found[sample.name, tuple(sorted(sample.labels.items()))] += sample.value
    return found


def _of(name: str, **labels: str) -> Series:
    return f"vouchpost_{name}", tuple(sorted(labels.items()))


def test_every_number_moves_with_what_it_counts(machine: Machine, tenant: Account, consumer: Consumer) -> None:
    before = _numbers(machine)
    tenant.subscribe(consumer)
    tenant.verdict(tenant.submit("pim.plum@valid.example"))
    assert eventually(consumer.applied)
    consumer.status = 410
    tenant.verdict(tenant.submit("zora@nullmx.example"))
    moved = {
        _of("verdicts_total", status="valid", reason="domain_accepts_mail"),
        _of("verdicts_total", status="invalid", reason="null_mx"),
        _of("attempts_total", outcome="delivered", status_class="2xx"),
        _of("attempts_total", outcome="gone", status_class="4xx"),
        _of("accepted_to_delivered_seconds_count"),
        _of("accepted_to_delivered_seconds_bucket", le="+Inf"),
        _of("dead_letters_total", of="deliveries"),
        _of("bells_total", by="work"),
        _of("http_requests_total", route="/v1/verifications", status_class="2xx"),
    }

    assert eventually(lambda: all(_numbers(machine)[series] > before[series] for series in moved)), {
        series for series in moved if _numbers(machine)[series] <= before[series]
    }
    after = _numbers(machine)
    assert after[_of("ready")] == 3
    assert after[_of("ledger_memory_bytes", what="used")] > 0
    assert {labels for name, labels in after if name == "vouchpost_lane_oldest_due_seconds"} == {
        (("lanes", kind),) for kind in ("verifications", "recoveries", "fan_outs", "deliveries")
    }
    assert after[_of("log_lines_dropped")] == 0


def test_no_label_holds_what_a_caller_sent(machine: Machine, tenant: Account) -> None:
    tenant.verdict(tenant.submit("label-canary@valid.example", subject_id="label-canary"))
    httpx.get(f"{tenant.url}/v1/label-canary", headers={"authorization": f"Bearer {tenant.key}"}, trust_env=False)

    labels = {pair for name, pairs in _numbers(machine) if name.startswith("vouchpost_") for pair in pairs}

    assert {name for name, _ in labels} <= _LABELS
    assert [value for _, value in labels if "canary" in value or "_0" in value] == []


def test_each_outcome_has_one_line_with_all_its_ids(machine: Machine, tenant: Account, consumer: Consumer) -> None:
    subscription = tenant.subscribe(consumer)
    consumer.status = 500
    asked = tenant.submit("pim.plum@valid.example")
    assert eventually(lambda: len(consumer.pushes) >= 2)
    consumer.status = None
    assert eventually(consumer.applied)
    [event] = consumer.applied()

    def lines() -> list[dict[str, object]]:
        return [line for line in map(json.loads, machine.log_lines()) if line.get("event_id") == event["id"]]

    assert eventually(lambda: [line for line in lines() if line.get("outcome") == "delivered"])
    verdicts = [line for line in lines() if line["event"] == "verification.completed"]
    attempts = [line for line in lines() if line["event"] == "delivery.attempted"]
    assert [line["id"] for line in verdicts] == [asked]
    assert "address_hash" in verdicts[0]
    assert [line["attempt"] for line in attempts] == list(range(1, len(consumer.pushes) + 1))
    assert {line["subscription_id"] for line in attempts} == {subscription}
    assert len({line["id"] for line in attempts}) == 1
