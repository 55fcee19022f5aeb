"""What the packaged lists say, and above all what they must not."""

import json
from pathlib import Path

import disposable_email_domains
import pytest

from vouchpost_gateway.checks.lists import DomainLists, packaged_lists

MUST_NOT_FLAG = json.loads((Path(__file__).parents[2] / "corpora" / "must_not_flag.json").read_text("utf-8"))


def _codes(domain: str) -> set[str]:
    return {finding.code for finding in packaged_lists().look_up(domain)}


@pytest.mark.parametrize("domain", MUST_NOT_FLAG["legit"])
def test_a_domain_that_lists_wrongly_carry_is_not_flagged(domain: str) -> None:
    assert "disposable" not in _codes(domain)
    assert "disposable" not in _codes(f"mail.{domain}")


@pytest.mark.parametrize("domain", MUST_NOT_FLAG["alias_relay"])
def test_an_alias_relay_has_a_flag_of_its_own(domain: str) -> None:
    assert _codes(domain) == {"alias_relay"}


@pytest.mark.parametrize(
    "domain", ["mailinator.com", "guerrillamail.com", "yopmail.com", "10minutemail.com", "sharklasers.com"]
)
def test_a_throw_away_domain_is_disposable_and_so_is_what_lies_under_it(domain: str) -> None:
    assert _codes(domain) == {"disposable"}
    assert _codes(f"box7.{domain}") == {"disposable"}


@pytest.mark.parametrize("domain", ["not-mailinator.com", "mailinator.com.vouchpost.com", "com", "vouchpost.com", ""])
def test_a_name_that_only_looks_like_a_listed_one_is_not_flagged(domain: str) -> None:
    assert _codes(domain) == set()


@pytest.mark.parametrize("domain", ["gmail.com", "yahoo.co.jp", "web.de", "qq.com", "proton.me"])
def test_a_free_provider_is_free_and_what_lies_under_it_is_somebody_elses(domain: str) -> None:
    assert _codes(domain) == {"free_provider"}
    assert _codes(f"staff.{domain}") == set()


def test_no_free_provider_or_relay_is_disposable_and_none_is_two_things() -> None:
    """The free list others use has swallowed nine tenths of the disposable one."""
    lists = packaged_lists()

    assert not lists.free_providers & frozenset(disposable_email_domains.blocklist)
    assert not lists.free_providers & lists.alias_relays


def test_the_primary_list_is_taken_whole() -> None:
    lists = packaged_lists()

    assert set(disposable_email_domains.blocklist) - lists.disposable.keys() == set()
    assert len(lists.disposable) > 9_000


def test_the_version_changes_with_the_lists() -> None:
    lists = packaged_lists()

    assert DomainLists.packaged().version == lists.version
    assert len(lists.version) == 12
