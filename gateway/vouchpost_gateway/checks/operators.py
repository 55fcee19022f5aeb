"""Who runs a mail host, and what its answers are worth: `data/operators.toml`, each row with its source."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Operator:
    """`acceptance_proves`: a 250 says that the mailbox exists, if a random address is refused."""

    name: str
    acceptance_proves: bool = True
    own_connection: bool = False


def operator_of(host: str) -> Operator:
    """By the longest listed end of the host's name; else one of its own, named after its domain."""
    labels = host.lower().split(".")
    ends = (".".join(labels[start:]) for start in range(len(labels)))
    listed = _listed()
    return next((listed[end] for end in ends if end in listed), Operator(".".join(labels[-2:])))


@cache
def _listed() -> dict[str, Operator]:
    text = resources.files("vouchpost_gateway.checks").joinpath("data", "operators.toml").read_text("utf-8")
    return {
        host: Operator(row["name"], row["acceptance_proves"], row.get("own_connection", False))
        for row in tomllib.loads(text)["operator"]
        for host in row["hosts"]
    }
