import pytest

from vouchpost_gateway.checks.lists import packaged_lists
from vouchpost_gateway.checks.policy import default_policy
from vouchpost_gateway.checks.selftest import Port25
from vouchpost_gateway.cli.diagnosis import (
    Census,
    Level,
    blind_dns_line,
    clock_line,
    disk_line,
    dns_line,
    format_line,
    lists_line,
    mail_line,
    open_files_line,
    partitions_line,
    port_line,
    redis_lines,
    retention_line,
)
from vouchpost_gateway.domain.verification import Finding
from vouchpost_gateway.ledger.fitness import Problem

GIB = 1024**3
WEEK_S = 604_800.0


@pytest.mark.parametrize(
    ("offset_s", "level"),
    [(0.01, Level.FINE), (-1.9, Level.FINE), (2, Level.NOTABLE), (-59, Level.NOTABLE), (60, Level.BROKEN)],
)
def test_a_clock_that_is_off_is_told_and_a_minute_breaks_signatures(offset_s: float, level: Level) -> None:
    assert clock_line(offset_s).level is level


def test_a_clock_says_which_way_it_is_off() -> None:
    assert "3.000 s ahead of this machine's" in clock_line(3).text
    assert "3.000 s behind this machine's" in clock_line(-3).text


@pytest.mark.parametrize(("limit", "level"), [(1024, Level.NOTABLE), (4096, Level.FINE), (65_536, Level.FINE)])
def test_few_open_files_are_told(limit: int, level: Level) -> None:
    assert open_files_line(limit).level is level


@pytest.mark.parametrize(
    ("free_bytes", "level"),
    [(50, Level.FINE), (15, Level.FINE), (14, Level.NOTABLE), (2, Level.BROKEN), (0, Level.BROKEN)],
)
def test_a_full_disk_ends_redis(free_bytes: int, level: Level) -> None:
    assert disk_line(free_bytes=free_bytes, total_bytes=100, path="/data").level is level


def test_other_partitions_than_the_ledgers_are_a_broken_promise_that_says_what_to_set() -> None:
    line = partitions_line(ledger=16, settings=32)

    assert line.level is Level.BROKEN
    assert line.text == "the ledger was made with 16, VOUCHPOST_PARTITIONS is 32: set it to 16"
    assert partitions_line(ledger=16, settings=16).level is Level.FINE
    assert partitions_line(ledger=None, settings=16).level is Level.FINE


@pytest.mark.parametrize(("ledger", "level"), [(None, Level.FINE), (1, Level.FINE), (2, Level.BROKEN)])
def test_a_format_of_a_later_release_is_not_read(ledger: int | None, level: Level) -> None:
    assert format_line(ledger=ledger, ours=1).level is level


def test_what_breaks_a_promise_is_only_told_where_loss_is_accepted() -> None:
    problems = [Problem("appendonly", "appendonly is …"), Problem("maxmemory", "maxmemory is 0", breaks=False)]

    assert [line.level for line in redis_lines(problems, accept_loss=False)] == [Level.BROKEN, Level.NOTABLE]
    assert [line.level for line in redis_lines(problems, accept_loss=True)] == [Level.NOTABLE, Level.NOTABLE]
    assert [line.level for line in redis_lines([], accept_loss=False)] == [Level.FINE]


def test_no_replica_is_a_broken_promise_though_loss_is_accepted() -> None:
    [line] = redis_lines([Problem("durability", "connected_slaves is 0", loses=False)], accept_loss=True)

    assert line.level is Level.BROKEN


def test_retention_costs_what_the_last_hours_rate_makes_of_it() -> None:
    """3,600 an hour of 2,000 bytes each for a week: 604,800 records, 1.2 GB."""
    census = Census(records=1000, made_last_hour=3600, data_bytes=2_000_000)

    line = retention_line(census, retain_s=WEEK_S, maxmemory_bytes=2 * GIB, ceiling=0.8)

    assert line.level is Level.FINE
    assert line.text == (
        "1,000 records take 2.0 kB each; at the last hour's rate of 3,600 an hour, 7 days of them take 1,154 MiB"
    )


def test_retention_that_does_not_fit_is_told() -> None:
    census = Census(records=1000, made_last_hour=3600, data_bytes=2_000_000)

    line = retention_line(census, retain_s=WEEK_S, maxmemory_bytes=GIB, ceiling=0.8)

    assert line.level is Level.NOTABLE
    assert line.text.endswith("and maxmemory is 1,024 MiB: raise it, or lower VOUCHPOST_RETAIN_VERDICTS_S")


def test_retention_of_nothing_is_said_so() -> None:
    line = retention_line(Census(0, 0, 10), retain_s=3600, maxmemory_bytes=GIB, ceiling=0.8)

    assert line.text == "no records yet; they will be kept for 1 hours"


def test_a_few_records_tell_nothing_of_what_one_takes() -> None:
    line = retention_line(Census(2, 2, 970_000), retain_s=WEEK_S, maxmemory_bytes=GIB, ceiling=0.8)

    assert (line.level, line.text) == (Level.FINE, "2 records are too few to tell what one takes")


def test_dns_that_does_not_answer_breaks_nothing_but_is_told() -> None:
    """Unknown is not no: verifications wait, they are not answered wrongly."""
    line = dns_line(answered=False, servers=["192.0.2.1"], detail="timed out")

    assert line.text.endswith("set VOUCHPOST_DNS_SERVERS")
    assert (line.level, "192.0.2.1 did not answer (timed out)" in line.text) == (Level.NOTABLE, True)
    assert dns_line(answered=True, servers=["192.0.2.1"], detail="3 ms").level is Level.FINE


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (None, Level.FINE, "VOUCHPOST_SMTP_MAIL_FROM"),
        (Finding("helo", "helo_resolves", {"name": "a.net"}), Level.FINE, "a.net"),
        (Finding("helo", "helo_unresolved", {"name": "a.net"}), Level.NOTABLE, "VOUCHPOST_SMTP_HELO_NAME"),
        (Finding("ptr", "ptr_matches", {"address": "192.0.2.1", "names": "a.net"}), Level.FINE, "a.net"),
        (Finding("ptr", "ptr_differs", {"address": "192.0.2.1", "names": "b.net"}), Level.NOTABLE, "'b.net'"),
        (Finding("spf", "spf_present", {"domain": "a.net"}), Level.FINE, "allows this machine"),
        (Finding("spf", "spf_missing", {"domain": "a.net"}), Level.NOTABLE, "no SPF"),
        (Finding("spf", "spf_broken", {"domain": "a.net", "flaw": "records"}), Level.NOTABLE, "7208"),
        (Finding("port", "port_open", {"host": "mx", "port": 25}), Level.FINE, "25"),
        (Finding("port", "port_open_refused", {"host": "mx", "port": 25, "smtp_code": 554}), Level.NOTABLE, "554"),
        (Finding("port", "port_silent", {"host": "mx", "port": 25}), Level.NOTABLE, "closed from here"),
        (Finding("port", "untold", {}), Level.NOTABLE, "could not be told"),
    ],
)
def test_how_mail_hosts_see_us_is_put_into_words(finding: Finding | None, level: Level, words: str) -> None:
    line = mail_line(finding)

    assert line.level is level
    assert words in line.text


def test_the_lists_are_told_with_their_version_and_the_policy() -> None:
    line = lists_line(packaged_lists(), default_policy())

    assert packaged_lists().version in line.text
    assert default_policy().version in line.text


def test_a_closed_port_is_worth_knowing_and_an_open_one_is_fine() -> None:
    assert [port_line(found).level for found in Port25] == [Level.FINE, Level.NOTABLE, Level.NOTABLE]


def test_servers_that_see_no_internet_are_worse_where_they_were_named() -> None:
    assert blind_dns_line(["10.0.0.2"], named=False).level is Level.NOTABLE
    assert blind_dns_line(["10.0.0.2"], named=True).level is Level.BROKEN
