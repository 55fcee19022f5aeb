"""The addresses of the demo: made up, at domains of the sandbox's zone, none of which reaches anybody."""

import csv
from importlib.resources import files


def addresses() -> list[str]:
    """About two hundred, of every kind that the sandbox knows, with a few that are no addresses."""
    text = files(__package__).joinpath("addresses.csv").read_text(encoding="utf-8")
    return [row["email"] for row in csv.DictReader(text.splitlines())]


def masked(address: str) -> str:
    """The first character and the domain: enough to tell kinds apart, too little to write to."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}" if at else f"{address[:1]}…"
