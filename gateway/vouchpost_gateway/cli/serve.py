"""`vouchpost api` and `vouchpost worker`: one process of one role, until SIGTERM or SIGINT."""

from enum import StrEnum
from typing import Annotated

import typer

from vouchpost_gateway import roles
from vouchpost_gateway.cli.binding import bindable
from vouchpost_gateway.cli.process import explained, logging_as, run
from vouchpost_gateway.settings import Settings, load_settings


class Role(StrEnum):
    VERIFY = "verify"
    DELIVER = "deliver"


def api() -> None:
    """Serves the HTTP API. Configured by VOUCHPOST_… variables: see `vouchpost settings`."""
    with explained():
        settings = load_settings()
        with logging_as("api", settings):
            _can_listen(settings, api=True)
            run(roles.serve_api(settings))


def worker(role: Annotated[Role, typer.Option(help="What this worker does.")]) -> None:
    """Runs the checks of verifications, or pushes events to subscribers. Any number may run, on any machine."""
    with explained():
        settings = load_settings()
        with logging_as(role.value, settings):
            _can_listen(settings, api=False)
            run(roles.serve_worker(settings, role.value))


def _can_listen(settings: Settings, *, api: bool) -> None:
    """In words, before the servers say it in theirs."""
    if api:
        bindable("api_port", settings.api_host, settings.api_port)
    if settings.metrics_port:
        bindable("metrics_port", settings.metrics_host, settings.metrics_port)
