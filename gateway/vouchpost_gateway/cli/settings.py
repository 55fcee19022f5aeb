"""`vouchpost settings`: every variable, its default, what it accepts, what it is set to here. No secrets."""

import os
from collections.abc import Mapping

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from vouchpost_gateway.settings import SECRETS, Settings, variable

_UNBROKEN = 250
"""Where nobody looks at a terminal, each setting has one line."""


def settings() -> None:
    """Lists every setting: its variable, default, what it accepts, and whether it is set here."""
    table = Table(box=None, pad_edge=False)
    for column in ("variable", "default", "accepts", "here"):
        table.add_column(column, no_wrap=column == "variable", overflow="fold")
    for name, field in Settings.model_fields.items():
        table.add_row(
            variable(name),
            default_of(field.default),
            (field.description or "").replace("[", r"\["),
            here(name, os.environ),
        )
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNBROKEN
    console.print(table)
    files = ", ".join(f"{variable(name)}_FILE" for name in SECRETS)
    console.print(f"\nSecrets may come from a file: {files}.", soft_wrap=True)


def here(name: str, environ: Mapping[str, str]) -> str:
    """What a setting is set to in this environment; of a secret only that it is set."""
    value = environ.get(variable(name))
    if name in SECRETS:
        return "set" if value else "from file" if environ.get(f"{variable(name)}_FILE") else ""
    return (value or "").replace("[", r"\[")


def default_of(value: object) -> str:
    """A default as one would write it in the environment."""
    if value is None or value == ():
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
