"""Records in a table, as what a resolver would say of them: the seam that the evaluators need, and nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vouchpost_gateway.checks.dns import DnsOutcome, Lookup, RecordType


@dataclass(slots=True)
class Zone:
    """Name -> records by type. Names with `TIMEOUT` answer nothing of what they do not have."""

    records: Mapping[str, Mapping[str, Sequence[str]]]
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        self.asked.append((name, kind))
        return self._look_up(name.lower().rstrip("."), kind)

    def _look_up(self, name: str, kind: str) -> Lookup:
        here = self.records.get(name)
        if here is None:
            return Lookup(DnsOutcome.NO_NAME)
        if "CNAME" in here:
            return self._look_up(here["CNAME"][0], kind)
        if kind in here:
            return Lookup(DnsOutcome.FOUND, tuple(here[kind]))
        return Lookup(DnsOutcome.TIMED_OUT if "TIMEOUT" in here else DnsOutcome.NO_DATA)


def quoted(*strings: str) -> str:
    """A TXT record as a resolver shows it: in quotes, what is not printable as its number."""
    return " ".join(f'"{"".join(_escaped(char) for char in string)}"' for string in strings)


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    return char if " " <= char <= "~" else f"\\{ord(char):03d}"
