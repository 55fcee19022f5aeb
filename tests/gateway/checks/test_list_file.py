"""Lists as files: what they hold, who says so, and what a version of one does to verdicts."""

from pathlib import Path

import pytest

from vouchpost_gateway.checks.list_file import SourceList, parse_names, read_lists, remove_list, write_list
from vouchpost_gateway.checks.lists import DomainLists
from vouchpost_gateway.domain.errors import Misconfigured

POOR = SourceList("poor", 0.6, "7", frozenset({"throw.net", "both.net"}))
OTHER = SourceList("other", 0.5, "8", frozenset({"both.net", "gmail.com", "duck.com"}))


def _code(lists: DomainLists, domain: str) -> str | None:
    return next((finding.code for finding in lists.look_up(domain)), None)


def test_a_list_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_list(tmp_path, POOR)

    assert read_lists(tmp_path) == [POOR]


def test_what_is_no_domain_is_left_out_and_counted() -> None:
    names, refused = parse_names(
        ["# c", "", "A.Net # x", "@b.net", "*.c.net", "com", "a b.net", "1.2.3.4", "bücher.de"]
    )

    assert names == {"a.net", "b.net", "c.net", "xn--bcher-kva.de"}
    assert refused == 3


def test_what_one_poor_list_says_is_a_suspicion_and_what_two_say_is_flagged() -> None:
    lists = DomainLists.of([POOR, OTHER])

    assert _code(lists, "throw.net") == "disposable_suspected"
    assert _code(lists, "both.net") == "disposable"
    assert lists.look_up("both.net")[0].facts == {"listed_as": "both.net", "list": "poor, other", "confidence": 0.8}


def test_no_list_makes_a_provider_or_a_relay_disposable() -> None:
    lists = DomainLists.of([SourceList("bold", 1.0, "", OTHER.names)])

    assert _code(lists, "gmail.com") == "free_provider"
    assert _code(lists, "duck.com") == "alias_relay"


def test_a_newer_edition_of_the_packaged_list_takes_its_place() -> None:
    newer = SourceList("disposable-email-domains", 0.9, "next", frozenset({"new.net"}))

    lists = DomainLists.of([newer])

    assert _code(lists, "new.net") == "disposable"
    assert _code(lists, "mailinator.com") is None


def test_the_version_changes_with_every_list_and_with_what_it_is_worth() -> None:
    worth_more = SourceList("poor", 0.7, "7", POOR.names)
    versions = {DomainLists.of(given).version for given in ([], [POOR], [worth_more], [POOR, OTHER])}

    assert len(versions) == 4


def test_a_list_that_was_removed_is_gone(tmp_path: Path) -> None:
    write_list(tmp_path, POOR)

    assert remove_list(tmp_path, "poor")
    assert not remove_list(tmp_path, "poor")
    assert not remove_list(tmp_path, "../etc/passwd")
    assert DomainLists.at(tmp_path).version == DomainLists.packaged().version


@pytest.mark.parametrize(
    "text", ["a.net", "# source: x\na.net", "# source: X Y\n# quality: 0.5", "# source: x\n# quality: 2"]
)
def test_a_file_that_says_not_what_it_is_stops_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.disposable.txt").write_text(text)

    with pytest.raises(Misconfigured):
        DomainLists.at(tmp_path)


def test_a_directory_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        DomainLists.at(tmp_path / "nowhere")
