"""Suggestions, judged by mailcheck's own pairs; and above all the names that must be left alone."""

import json
import random
import time
from pathlib import Path

import pytest

from vouchpost_gateway.checks.typo import PROVIDERS, distance, suggestion

PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "corpora" / "typo_pairs.jsonl").read_text("utf-8").splitlines()
]
# mailcheck's tests bring their own list of domains; this is what of it the pairs need.
WITH_MAILCHECKS = PROVIDERS | {"emaildomain.com"}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["input"] or "empty")
def test_mailchecks_pairs_are_corrected(pair: dict[str, str | None]) -> None:
    domain = (pair["input"] or "").rpartition("@")[2]

    assert suggestion(domain, takes_mail=False, providers=WITH_MAILCHECKS) == pair["suggest"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("gmial.com", "gmail.com"),
        ("gmai.com", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("hotmal.com", "hotmail.com"),
        ("outlok.com", "outlook.com"),
        ("yaho.com", "yahoo.com"),
        ("yahoo.con", "yahoo.com"),
        ("iclould.com", "icloud.com"),
        ("smallcompany.cmo", "smallcompany.com"),
        ("smallcompany.ocm", "smallcompany.com"),
        ("smallcompany.nte", "smallcompany.net"),
    ],
)
def test_a_slip_of_a_provider_that_takes_no_mail_is_corrected(written: str, meant: str) -> None:
    assert suggestion(written, takes_mail=False) == meant


@pytest.mark.parametrize("domain", ["mailw.com", "pm.me", "gmial.com", "smallcompany.com", "rnail.com"])
def test_a_domain_that_takes_mail_is_left_alone(domain: str) -> None:
    """Mailcheck's open complaints: it corrects mailw.com and pm.me, which are people's own."""
    assert suggestion(domain, takes_mail=True) is None


@pytest.mark.parametrize(
    "domain",
    [
        "gmail.com", "ymail.com", "mail.com", "me.com",  # providers themselves
        "abc.com", "xyz.co", "aol.de",  # short names: another slip away is another name
        "smallcompany.com.ar", "smallcompany.ac.uk", "smallcompany.co", "smallcompany.cm",  # real suffixes
        "gmx.cm",  # as near to gmx.com as to others
        "smallcompany.zzzz", "", "com", ".",
    ],
)  # fmt: skip
def test_it_abstains(domain: str) -> None:
    assert suggestion(domain, takes_mail=False) is None


def test_unasked_only_a_suffix_that_does_not_exist_is_corrected() -> None:
    assert suggestion("gmial.com", takes_mail=None) is None
    assert suggestion("gmail.cmo", takes_mail=None) == "gmail.com"


def _plain(one: str, other: str) -> int:
    """Optimal string alignment as its definition reads."""
    if not one or not other:
        return len(one) + len(other)
    best = min(
        _plain(one[:-1], other) + 1, _plain(one, other[:-1]) + 1, _plain(one[:-1], other[:-1]) + (one[-1] != other[-1])
    )
    if len(one) > 1 and len(other) > 1 and one[-1] == other[-2] and one[-2] == other[-1]:
        best = min(best, _plain(one[:-2], other[:-2]) + 1)
    return best


def test_distance_is_that_of_its_definition() -> None:
    source = random.Random(7)
    for _ in range(200):
        one, other = ("".join(source.choices("abc", k=source.randint(0, 5))) for _ in range(2))

        assert min(distance(one, other, 2), 3) == min(_plain(one, other), 3)


def test_hostile_names_take_no_time() -> None:
    suggestion("warm.up", takes_mail=False)  # reads the list of suffixes
    started = time.process_time()

    suggestion("a" * 240 + ".zzz", takes_mail=False)

    assert time.process_time() - started < 0.05
