"""SPF, judged by the official test suite of RFC 7208."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from vouchpost_gateway.checks.health.spf import check_host

from .zone import Zone, quoted

SUITE = Path(__file__).parents[3] / "corpora" / "rfc7208-tests.yml"


def _zone(zonedata: Mapping[str, list[Any]]) -> Zone:
    return Zone({name.lower(): _records(entries) for name, entries in zonedata.items()})


def _records(entries: list[Any]) -> dict[str, list[str]]:
    """As the suite defines them: SPF stands for TXT where a name has no TXT of its own, and TXT: NONE for none."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        for kind, data in ({"TIMEOUT": None} if entry == "TIMEOUT" else entry).items():
            found.setdefault(kind, []).append(_text(kind, data))
    found["TXT"] = found["TXT"] if "TXT" in found else found.pop("SPF", [])
    found["TXT"] = [text for text in found["TXT"] if text != quoted("NONE")]
    return {kind: texts for kind, texts in found.items() if texts}


def _text(kind: str, data: Any) -> str:
    if kind in ("TXT", "SPF"):
        return quoted(*data) if isinstance(data, list) else quoted(data)
    return f"{data[0]} {data[1]}." if kind == "MX" else str(data)


def _cases() -> list[Any]:
    scenarios = [scenario for scenario in yaml.safe_load_all(SUITE.read_text("utf-8")) if isinstance(scenario, dict)]
    return [
        pytest.param(scenario["zonedata"], case, id=f"{scenario['description']}:{name}")
        for scenario in scenarios
        for name, case in scenario["tests"].items()
    ]


@pytest.mark.parametrize(("zonedata", "case"), _cases())
def test_the_official_suite_agrees(zonedata: Mapping[str, list[Any]], case: Mapping[str, Any]) -> None:
    sender = case["mailfrom"]
    domain = sender.rpartition("@")[2] if "@" in sender else sender or case["helo"]

    verdict = asyncio.run(
        check_host(_zone(zonedata), address=case["host"], domain=domain, sender=sender, helo=case["helo"])
    )

    expected = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert verdict.result.value in expected, verdict


@pytest.mark.parametrize(
    "term",
    [
        pytest.param("include:." + "a" * 8_000 + "!", id="a label without end"),
        pytest.param("include:" + "a." * 4_000 + "!", id="many labels"),
        pytest.param("exists:" + "%{s}" * 2_000, id="many macros"),
        pytest.param("a:" + "%{d" * 2_500, id="macros left open"),
        pytest.param("mx" + "/1" * 4_000, id="many lengths"),
        pytest.param("x=" + "." * 60_000, id="longer than any record"),
    ],
)
def test_a_record_made_to_take_time_takes_none(term: str) -> None:
    zone = Zone({"b.test": {"TXT": [quoted(f"v=spf1 {term}")]}})

    started = time.process_time()
    asyncio.run(check_host(zone, address="192.0.2.1", domain="b.test"))

    assert time.process_time() - started < 0.2


def test_a_record_longer_than_any_is_an_error_of_who_publishes_it() -> None:
    zone = Zone({"b.test": {"TXT": [quoted("v=spf1 " + "a:b.test " * 1_000 + "-all")]}})

    verdict = asyncio.run(check_host(zone, address="192.0.2.1", domain="b.test"))

    assert verdict.result.value == "permerror"
