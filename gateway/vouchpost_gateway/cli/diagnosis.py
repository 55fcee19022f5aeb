"""What `vouchpost doctor` makes of what it saw: lines with a level, from plain values. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from vouchpost_gateway.checks.lists import DomainLists
from vouchpost_gateway.checks.policy import Policy
from vouchpost_gateway.checks.selftest import Port25
from vouchpost_gateway.domain.verification import Finding
from vouchpost_gateway.ledger.fitness import CLOCK_BROKEN_S, Problem, broken

_OFFSET_NOTABLE_S = 2.0
_OPEN_FILES = 4096
_DISK_NOTABLE = 0.15
_DISK_BROKEN = 0.03
_HOUR_S = 3600
_ENOUGH_RECORDS = 500
"""Below that, what Redis holds anyway is most of it."""
_MIB = 1024**2


class Level(Enum):
    """How bad it is: fine, worth knowing, or a promise that cannot be kept."""

    FINE = "ok"
    NOTABLE = "note"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at."""

    level: Level
    about: str
    text: str


@dataclass(frozen=True, slots=True)
class Census:
    """How many records the ledger holds, how many of them were made in the last whole hour, and what they take."""

    records: int
    made_last_hour: int
    data_bytes: int


def redis_lines(problems: Sequence[Problem], *, accept_loss: bool) -> list[Line]:
    """The ledger's problems; with accept_loss those that lose something are known and accepted, not broken promises."""
    if not problems:
        return [Line(Level.FINE, "durability", "appendonly, appendfsync and maxmemory-policy keep what was accepted")]
    breaking = broken(problems, accept_loss=accept_loss)
    return [
        Line(Level.BROKEN if problem in breaking else Level.NOTABLE, problem.setting, problem.text)
        for problem in problems
    ]


def clock_line(offset_s: float) -> Line:
    """Signatures carry the ledger's time; receivers refuse what is minutes off."""
    text = f"the ledger's clock is {abs(offset_s):.3f} s {'ahead of' if offset_s > 0 else 'behind'} this machine's"
    if abs(offset_s) >= CLOCK_BROKEN_S:
        return Line(Level.BROKEN, "clock", f"{text}: receivers will refuse signatures; set the clocks by NTP")
    if abs(offset_s) >= _OFFSET_NOTABLE_S:
        return Line(Level.NOTABLE, "clock", f"{text}: set the clocks by NTP")
    return Line(Level.FINE, "clock", text)


def open_files_line(limit: int) -> Line:
    if limit < _OPEN_FILES:
        text = f"nofile is {limit}: under load connections fail; set it to 65536 (ulimit -n, or LimitNOFILE=)"
        return Line(Level.NOTABLE, "open files", text)
    return Line(Level.FINE, "open files", f"nofile is {limit}")


def disk_line(*, free_bytes: int, total_bytes: int, path: str) -> Line:
    """With appendfsync always, a full disk ends Redis."""
    share = free_bytes / total_bytes if total_bytes else 0.0
    text = f"{share:.0%} of the disk of {path} is free ({free_bytes / _MIB:,.0f} MiB)"
    if share < _DISK_BROKEN:
        return Line(Level.BROKEN, "disk", f"{text}: Redis ends when it is full")
    if share < _DISK_NOTABLE:
        return Line(Level.NOTABLE, "disk", f"{text}: Redis ends when it is full")
    return Line(Level.FINE, "disk", text)


def partitions_line(*, ledger: int | None, settings: int) -> Line:
    if ledger is None:
        return Line(Level.FINE, "partitions", f"the ledger is empty and will be made with {settings}")
    if ledger != settings:
        text = f"the ledger was made with {ledger}, VOUCHPOST_PARTITIONS is {settings}: set it to {ledger}"
        return Line(Level.BROKEN, "partitions", text)
    return Line(Level.FINE, "partitions", f"{ledger}, as the ledger was made")


def format_line(*, ledger: int | None, ours: int) -> Line:
    if ledger is not None and ledger > ours:
        text = f"the ledger is written in format {ledger}, this release knows {ours}: use a later release"
        return Line(Level.BROKEN, "format", text)
    return Line(Level.FINE, "format", f"{ours if ledger is None else ledger}")


def retention_line(census: Census, *, retain_s: float, maxmemory_bytes: int, ceiling: float) -> Line:
    """What keeping verdicts so long takes at the rate of the last hour."""
    if not census.records:
        return Line(Level.FINE, "retention", f"no records yet; they will be kept for {_days(retain_s)}")
    if census.records < _ENOUGH_RECORDS:
        return Line(Level.FINE, "retention", f"{census.records:,} records are too few to tell what one takes")
    each = census.data_bytes / census.records
    needed = each * census.made_last_hour * retain_s / _HOUR_S
    text = (
        f"{census.records:,} records take {each / 1000:.1f} kB each; at the last hour's rate of "
        f"{census.made_last_hour:,} an hour, {_days(retain_s)} of them take {needed / _MIB:,.0f} MiB"
    )
    if maxmemory_bytes and needed > ceiling * maxmemory_bytes:
        limit = f"{maxmemory_bytes / _MIB:,.0f} MiB"
        text = f"{text}, and maxmemory is {limit}: raise it, or lower VOUCHPOST_RETAIN_VERDICTS_S"
        return Line(Level.NOTABLE, "retention", text)
    return Line(Level.FINE, "retention", text)


def dns_line(*, answered: bool, servers: Sequence[str], detail: str) -> Line:
    named = ", ".join(servers)
    if answered:
        return Line(Level.FINE, "DNS", f"{named} answered in {detail}")
    text = (
        f"{named} did not answer ({detail}): live verifications at depth domain will end as unknown; "
        "set VOUCHPOST_DNS_SERVERS"
    )
    return Line(Level.NOTABLE, "DNS", text)


def blind_dns_line(servers: Sequence[str], *, named: bool) -> Line:
    """Servers that see no Internet: dangerous where they were named, since then they are believed."""
    text = f"{', '.join(servers)} say that com does not exist, so they do not see the Internet"
    if named:
        text = f"{text}: every live verification would end invalid; set other VOUCHPOST_DNS_SERVERS"
        return Line(Level.BROKEN, "DNS", text)
    return Line(Level.NOTABLE, "DNS", f"{text}: live verifications will end as unknown; set VOUCHPOST_DNS_SERVERS")


def lists_line(lists: DomainLists, policy: Policy) -> Line:
    disposable, relays, free = len(lists.disposable), len(lists.alias_relays), len(lists.free_providers)
    named = ", ".join(f"{source.name} {source.version}".strip() for source in lists.sources)
    text = f"{lists.version} of {named}: {disposable:,} disposable, {relays} alias relays, {free} free providers"
    return Line(Level.FINE, "lists", f"{text}; policy {policy.version}")


# How a mail host would take it: what is not in here is worth knowing, and breaks no promise.
_MAIL_FINE = frozenset({"helo_resolves", "ptr_matches", "spf_present", "spf_passes", "port_open"})
_MAIL_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "helo_resolves": "{name} has an address",
        "helo_unresolved": "{name} has no address: mail hosts will refuse it; set VOUCHPOST_SMTP_HELO_NAME",
        "ptr_matches": "{address} is named {names}",
        "ptr_differs": "{address} is named {names!r}: its PTR record must be VOUCHPOST_SMTP_HELO_NAME",
        "spf_passes": "{domain} lets {address} send (SPF pass)",
        "spf_refuses": "{domain} does not let {address} send (SPF {result}): mail hosts may refuse it",
        "spf_present": "{domain} has an SPF record; see that it allows this machine",
        "spf_missing": "{domain} has no SPF record: mail hosts may refuse its mail",
        "spf_broken": "{domain} has an SPF record that nobody can evaluate ({flaw}; RFC 7208)",
        "port_open": "{host} can be reached on port {port}",
        "port_open_refused": "{host} can be reached on port {port}, and refuses us with {smtp_code}",
        "port_silent": "{host} does not answer on port {port}: it is down, or the port is closed from here",
        "proxy_failed": "the proxy to mail hosts cannot be used: see VOUCHPOST_SMTP_PROXY",
        "untold": "could not be told",
    }
)


def mail_line(finding: Finding | None) -> Line:
    """What the self-test found; None: mail hosts are not asked at all."""
    if finding is None:
        return Line(Level.FINE, "mail hosts", "are not asked: VOUCHPOST_SMTP_MAIL_FROM is not set")
    level = Level.FINE if finding.code in _MAIL_FINE else Level.NOTABLE
    return Line(level, f"mail hosts, {finding.check}", _MAIL_TEXTS[finding.code].format_map(finding.facts))


def port_line(found: Port25) -> Line:
    """What several operators' hosts say of port 25 from here, as a worker finds it at its start."""
    level = Level.FINE if found is Port25.OPEN else Level.NOTABLE
    return Line(level, "mail hosts, port 25", _PORT_TEXTS[found])


_PORT_TEXTS: Mapping[Port25, str] = MappingProxyType(
    {
        Port25.OPEN: "is open from here",
        Port25.CLOSED: "is closed from here: hosts of several operators are silent, so workers ask none and say so",
        Port25.UNTOLD: "could not be told: see DNS and VOUCHPOST_SMTP_SELFTEST_DOMAINS",
    }
)


def _days(seconds: float) -> str:
    days = seconds / 86_400
    return f"{days:g} days" if days >= 2 else f"{seconds / _HOUR_S:g} hours"
