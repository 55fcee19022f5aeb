"""Whether a Redis can hold the ledger: from what it says of itself to problems, in words that name the setting.

Pure: replies in, problems out. Start-up refuses what breaks a promise, `doctor` prints it, and the watch at run time
turns not-ready on it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OLDEST = (6, 2)
CONFIG_NAMES = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory", "maxmemory-policy")
"""What to ask for with CONFIG GET, one after the other: before Redis 7 it takes one name at a time."""

_REWRITE_ROOM = 1.5
_GIB = 1024**3

CLOCK_BROKEN_S = 60.0
"""How far a machine's clock may be off the ledger's: ids and retention go by the one, due times by the other."""

Text = bytes | str


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, by the name of the setting. One that `breaks` a promise must stop the start.

    `loses` means that it breaks it by what may be lost, which VOUCHPOST_ACCEPT_LOSS accepts.
    """

    setting: str
    text: str
    breaks: bool = True
    loses: bool = True

    def __str__(self) -> str:
        return self.text


def parse_info(reply: Text) -> dict[str, str]:
    """The fields of an INFO reply."""
    text = reply.decode(errors="replace") if isinstance(reply, bytes) else reply
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def parse_config(reply: Sequence[Text] | Mapping[Text, Text]) -> dict[str, str]:
    """The names and values of a CONFIG GET reply, of either protocol version."""
    flat = [part for pair in reply.items() for part in pair] if isinstance(reply, Mapping) else list(reply)
    words = [part.decode(errors="replace") if isinstance(part, bytes) else part for part in flat]
    return dict(zip(words[::2], words[1::2], strict=False))


def problems(
    *, info: Mapping[str, str], config: Mapping[str, str] | None, needs_replica: bool = False, ceiling: float = 0.8
) -> tuple[Problem, ...]:
    """All that is wrong, the worst first. `config` is None where CONFIG is forbidden, as on managed servers.

    `ceiling` is the share of maxmemory from which on requests are refused.
    """
    found = [
        *_version(info),
        *_role(info),
        *_append_only(info, config),
        *_fsync(config),
        *_eviction(info, config),
        *_disk(info),
        *_replicas(info, needs_replica=needs_replica),
        *_memory(info, ceiling),
    ]
    return tuple(sorted(found, key=lambda problem: not problem.breaks))


def clock_problem(offset_s: float) -> Problem | None:
    """`offset_s` is the ledger's clock less that of this machine."""
    if abs(offset_s) < CLOCK_BROKEN_S:
        return None
    way = "behind" if offset_s > 0 else "ahead of"
    return Problem("clock", f"this machine's clock is {abs(offset_s):.0f} s {way} the ledger's: set the clocks by NTP")


_REFUSALS = (
    ("NOAUTH", "Redis asks for a password, and VOUCHPOST_LEDGER_URL has none: redis://:password@host:port/0"),
    ("WRONGPASS", "the user or the password in VOUCHPOST_LEDGER_URL is wrong"),
    ("ERR invalid password", "the password in VOUCHPOST_LEDGER_URL is wrong"),
    ("ERR AUTH", "VOUCHPOST_LEDGER_URL has a password, and Redis has none: set requirepass, or leave it out"),
    ("ERR DB index", "VOUCHPOST_LEDGER_URL names a database that this Redis does not have: see its setting databases"),
    ("READONLY", "VOUCHPOST_LEDGER_URL names a replica (its role is replica): the ledger is written on the primary"),
)

_FORBIDDEN = ("NOPERM", "ACL failure in script", "The user executing the script")


def refusal(text: str) -> str | None:
    """What to set when Redis answers this error to whoever signs in or begins; None for one that may pass."""
    for start, words in _REFUSALS:
        if text.startswith(start):
            return words
    if any(sign in text for sign in _FORBIDDEN):
        return (
            f"the ACL of the user in VOUCHPOST_LEDGER_URL forbids what the ledger needs ({text.strip()}): "
            "allow it ~* &* +@all -@admin -@dangerous +info +config|get"
        )
    return None


def broken(found: Sequence[Problem], *, accept_loss: bool = False) -> tuple[Problem, ...]:
    """Those because of which a process must not start, or must turn not-ready.

    With `accept_loss` only that no 202 can be answered: it is not a loss that could be accepted.
    """
    return tuple(problem for problem in found if problem.breaks and not (accept_loss and problem.loses))


def _version(info: Mapping[str, str]) -> list[Problem]:
    text = info.get("redis_version", "")
    match = re.match(r"(\d+)\.(\d+)", text)
    if match is None:
        return [Problem("redis_version", "INFO tells no redis_version: it cannot be verified that this is a Redis")]
    if (int(match[1]), int(match[2])) < OLDEST:
        return [Problem("redis_version", f"redis_version is {text}: {OLDEST[0]}.{OLDEST[1]} or newer is needed")]
    return []


def _role(info: Mapping[str, str]) -> list[Problem]:
    if info.get("role") == "slave":
        text = "role is replica: the ledger is written on the primary; point VOUCHPOST_LEDGER_URL at that"
        return [Problem("role", text)]
    if info.get("loading") == "1":
        return [Problem("loading", "loading is 1: Redis is still reading its data")]
    return []


def _append_only(info: Mapping[str, str], config: Mapping[str, str] | None) -> list[Problem]:
    """INFO tells it too, which helps where CONFIG is forbidden."""
    value = (config or {}).get("appendonly") or {"0": "no", "1": "yes"}.get(info.get("aof_enabled", ""))
    if value == "yes":
        return []
    if value is None:
        return [_unverifiable("appendonly", "yes")]
    return [Problem("appendonly", f'appendonly is "{value}": accepted work is lost with the process; set it to yes')]


def _fsync(config: Mapping[str, str] | None) -> list[Problem]:
    if config is None or "appendfsync" not in config:
        return [_unverifiable("appendfsync", "always")]
    found = []
    if config["appendfsync"] != "always":
        text = f'appendfsync is "{config["appendfsync"]}": accepted work may be lost with the machine; set it to always'
        found.append(Problem("appendfsync", text))
    if config.get("no-appendfsync-on-rewrite") == "yes":
        text = 'no-appendfsync-on-rewrite is "yes": during a rewrite nothing is synced; set it to no'
        found.append(Problem("no-appendfsync-on-rewrite", text))
    return found


def _eviction(info: Mapping[str, str], config: Mapping[str, str] | None) -> list[Problem]:
    value = (config or {}).get("maxmemory-policy") or info.get("maxmemory_policy")
    if value == "noeviction":
        return []
    if value is None:
        return [_unverifiable("maxmemory-policy", "noeviction")]
    text = f'maxmemory-policy is "{value}": accepted work is evicted when memory is full; set it to noeviction'
    return [Problem("maxmemory-policy", text)]


def _disk(info: Mapping[str, str]) -> list[Problem]:
    found = []
    if info.get("aof_last_write_status") == "err":
        text = "aof_last_write_status is err: Redis cannot write its file (disk full?) and refuses writes"
        found.append(Problem("aof_last_write_status", text))
    if info.get("aof_last_bgrewrite_status") == "err":
        text = "aof_last_bgrewrite_status is err: the file only grows; there is too little disk or memory to rewrite it"
        found.append(Problem("aof_last_bgrewrite_status", text, breaks=False))
    return found


def _replicas(info: Mapping[str, str], *, needs_replica: bool) -> list[Problem]:
    if not needs_replica or _number(info, "connected_slaves") > 0:
        return []
    text = "VOUCHPOST_DURABILITY is replica, but connected_slaves is 0: no 202 can be answered"
    return [Problem("durability", text, loses=False)]


def _memory(info: Mapping[str, str], ceiling: float) -> list[Problem]:
    limit, machine, used = (_number(info, name) for name in ("maxmemory", "total_system_memory", "used_memory"))
    if not limit:
        text = "maxmemory is 0: nothing is refused before the machine is out of memory; set it"
        return [Problem("maxmemory", text, breaks=False)]
    found = []
    if machine and limit * _REWRITE_ROOM > machine:
        text = (
            f"maxmemory is {limit / _GIB:.1f} GiB of the machine's {machine / _GIB:.1f} GiB: "
            "a rewrite of the append-only file may need half as much again; set it lower"
        )
        found.append(Problem("maxmemory", text, breaks=False))
    if used > limit * ceiling:
        share = f"{used / limit:.0%} of maxmemory"
        text = f"used_memory is {share}: requests are refused from {ceiling:.0%} on; raise maxmemory"
        found.append(Problem("used_memory", text, breaks=False))
    return found


def _unverifiable(setting: str, needed: str) -> Problem:
    return Problem(setting, f"{setting} cannot be read, because CONFIG is forbidden here: it must be {needed}")


def _number(info: Mapping[str, str], name: str) -> int:
    text = info.get(name, "")
    return int(text) if text.isdecimal() else 0
