"""DMARC by RFC 9989: which record applies, and what is one."""

import asyncio
import time
from collections.abc import Mapping

import pytest

from vouchpost_gateway.checks.health.dmarc import DmarcPolicy, Untold, find_dmarc, parse_dmarc, walk

from .zone import Zone, quoted


def _find(domain: str, records: Mapping[str, str]) -> DmarcPolicy | None:
    zone = Zone({f"_dmarc.{name}": {"TXT": [quoted(text)]} for name, text in records.items()})
    return asyncio.run(find_dmarc(domain, zone))


@pytest.mark.parametrize(
    ("domain", "names"),
    [
        ("b.test", ["b.test", "test"]),
        ("a.b.c.test", ["a.b.c.test", "b.c.test", "c.test", "test"]),
        # The RFC's own example (4.10): eight labels and more go on at seven.
        (
            "a.b.c.d.e.f.g.h.i.j.mail.example.com",
            [
                "a.b.c.d.e.f.g.h.i.j.mail.example.com",
                "g.h.i.j.mail.example.com",
                "h.i.j.mail.example.com",
                "i.j.mail.example.com",
                "j.mail.example.com",
                "mail.example.com",
                "example.com",
                "com",
            ],
        ),
    ],
)
def test_the_walk_goes_up_in_at_most_eight_steps(domain: str, names: list[str]) -> None:
    assert walk(domain) == names


@pytest.mark.parametrize(
    ("domain", "records", "policy", "at"),
    [
        ("b.test", {"b.test": "v=DMARC1; p=reject"}, "reject", "b.test"),
        ("a.b.test", {"b.test": "v=DMARC1; p=reject; sp=none"}, "none", "b.test"),
        ("a.b.test", {"b.test": "v=DMARC1; p=quarantine"}, "quarantine", "b.test"),
        # Of several the one with the fewest labels is the organization's.
        ("x.a.b.test", {"a.b.test": "v=DMARC1; p=none", "b.test": "v=DMARC1; p=reject"}, "reject", "b.test"),
        # psd=n: the organization ends here, whatever is above.
        ("x.a.b.test", {"a.b.test": "v=DMARC1; p=none; psd=n", "b.test": "v=DMARC1; p=reject"}, "none", "a.b.test"),
        # psd=y: the organization is a label below, and the suffix speaks only where that is silent.
        ("x.b.test", {"b.test": "v=DMARC1; p=none", "test": "v=DMARC1; p=reject; psd=y"}, "none", "b.test"),
        ("x.b.test", {"test": "v=DMARC1; p=reject; psd=y"}, "reject", "test"),
    ],
)
def test_the_record_that_applies_is_that_of_the_organization(
    domain: str, records: Mapping[str, str], policy: str, at: str
) -> None:
    found = _find(domain, records)

    assert found is not None
    assert (found.policy, found.published_at) == (policy, at)


def test_two_records_at_a_name_count_as_none() -> None:
    zone = Zone({"_dmarc.b.test": {"TXT": [quoted("v=DMARC1; p=none"), quoted("v=DMARC1; p=reject")]}})

    assert asyncio.run(find_dmarc("b.test", zone)) is None


def test_a_name_server_that_cannot_tell_is_no_missing_record() -> None:
    with pytest.raises(Untold):
        asyncio.run(find_dmarc("b.test", Zone({"_dmarc.b.test": {"TIMEOUT": []}})))


@pytest.mark.parametrize(
    "text", ["", "v=DMARC2; p=none", "p=none; v=DMARC1", "v=dmarc1; p=none", "v=spf1 -all", "v=DMARC1; p=maybe"]
)
def test_what_is_no_record_is_passed_over(text: str) -> None:
    assert parse_dmarc(text) is None


@pytest.mark.parametrize(
    "text",
    ["v=DMARC1; p=maybe; rua=mailto:r@b.test", "v=DMARC1;p=none;pct=50;rf=afrf;ri=1;x=y", "v = DMARC1 ; p = NONE;"],
)
def test_removed_tags_and_a_policy_that_is_none_do_no_harm(text: str) -> None:
    assert _find("b.test", {"b.test": text}) == DmarcPolicy("none", "b.test", reports="rua" in text)


def test_a_policy_under_test_says_so() -> None:
    found = _find("b.test", {"b.test": "v=DMARC1; p=reject; t=y"})

    assert found is not None
    assert found.testing


@pytest.mark.parametrize(
    "text", ["v=DMARC1; p=a" + " " * 60_000 + "b", "v" + " " * 60_000 + "!", "v=DMARC1;" + "a" * 60_000]
)
def test_a_record_made_to_take_time_takes_none(text: str) -> None:
    started = time.process_time()
    parse_dmarc(text)
    assert time.process_time() - started < 0.2
