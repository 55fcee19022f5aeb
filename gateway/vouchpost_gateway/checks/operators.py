"""Who runs a mail host, and what its answers are worth: `data/operators.toml`, each row with its source."""

import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Final

from vouchpost_gateway.checks.suffixes import suffixes

_RECIPIENTS: Final = 5
"""As many as hosts take from a stranger on one connection without a second look."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs a mail host. `acceptance_proves`: its 250 says that the mailbox exists, if it refuses a random address.

    `recipients` is how many may be asked about on one connection, `at_once` how many connections are had, where that
    differs from the setting.
    """

    name: str
    acceptance_proves: bool = True
    recipients: int = _RECIPIENTS
    at_once: int | None = None


def operator_of(host: str) -> Operator:
    """By the longest listed end of the host's name; else one of its own, named after its registrable domain."""
    labels = host.lower().split(".")
    ends = (".".join(labels[start:]) for start in range(len(labels)))
    listed = _listed()
    return next((listed[end] for end in ends if end in listed), None) or Operator(_registrable(host.lower()))


@lru_cache(16_384)
def _registrable(host: str) -> str:
    """Hosts under one public suffix are not one operator: `mx.a.co.uk` and `mx.b.co.uk` are two."""
    return suffixes().privatesuffix(host) or ".".join(host.split(".")[-2:])


@cache
def _listed() -> dict[str, Operator]:
    text = resources.files("vouchpost_gateway.checks").joinpath("data", "operators.toml").read_text("utf-8")
    return {
        host: Operator(row["name"], row["acceptance_proves"], row.get("recipients", _RECIPIENTS), row.get("at_once"))
        for row in tomllib.loads(text)["operator"]
        for host in row["hosts"]
    }
