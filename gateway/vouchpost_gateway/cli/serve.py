"""`vouchpost api` and `vouchpost worker`: one process of one role, until SIGTERM or SIGINT."""

from enum import StrEnum
from typing import Annotated

import typer

from vouchpost_gateway import roles
from vouchpost_gateway.cli.process import explained, logging_as, run
from vouchpost_gateway.settings import load_settings


class Role(StrEnum):
    VERIFY = "verify"
    DELIVER = "deliver"


def api() -> None:
    """Serves the HTTP API. Configured by VOUCHPOST_… variables: see `vouchpost settings`."""
    with explained():
        settings = load_settings()
        with logging_as("api", settings):
            run(roles.serve_api(settings))


def worker(role: Annotated[Role, typer.Option(help="What this worker does.")]) -> None:
    """Runs the checks of verifications, or pushes events to subscribers. Any number may run, on any machine."""
    with explained():
        settings = load_settings()
        with logging_as(role.value, settings):
            run(roles.serve_worker(settings, role.value))
