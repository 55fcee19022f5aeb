"""`vouchpost up`: everything on one machine with one command, until Ctrl-C; what was accepted is kept between runs."""

import asyncio
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from vouchpost_gateway.cli.machine import Machine, plan_machine
from vouchpost_gateway.cli.process import (
    explained,
    is_ledger_given,
    logging_as,
    with_console_logs_on_a_terminal,
)
from vouchpost_gateway.cli.stopping import Signals, heeded
from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured, NotAuthenticated, VouchpostError
from vouchpost_gateway.domain.world import Mode, Scope
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.embedded.supervisor import Supervisor
from vouchpost_gateway.ledger.fitness import refusal
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.watch import probe
from vouchpost_gateway.settings import Settings, load_settings, variable
from vouchpost_gateway.wiring import Gateway, now_ms, opened

TENANT = "default"

_WORTH_A_WARNING = frozenset({"child.ended", "child.killed"})

_BANNER = """
Vouchpost is up at {url}
  its data is in {path}{redis}

Watch verdicts arrive, in a second terminal, with a test key (it asks a sandbox, and may push to this machine):
  export VOUCHPOST_API_KEY={key}{export_url}
  {vouchpost} listen --subscribe
Ask for one, in a third:
  curl -s {url}/v1/verifications -H 'Authorization: Bearer {key}' \\
    -H 'Content-Type: application/json' -d '{{"email": "ada@valid.example"}}'

A key for real addresses: {vouchpost} keys create --mode live{data_dir}
Ctrl-C stops it; the data stays.
"""
_KIT_TAKES = "http://127.0.0.1:8080"
"""Where the kit looks for a gateway when it is told nothing."""


def up(
    *,
    data_dir: Annotated[Path | None, typer.Option(help="Where to keep data; ./vouchpost-data if not set.")] = None,
) -> None:
    """Runs everything on this machine: a private Redis, a sandbox DNS zone, the API and its workers.

    Uses the Redis of VOUCHPOST_LEDGER_URL when that is set, instead of a private one.
    """
    with explained(), heeded() as signals:
        given = {"data_dir": data_dir} if data_dir else {}
        settings = with_console_logs_on_a_terminal(load_settings(**given))
        home = Home(settings.data_dir)
        home.directory.hold()
        with logging_as("up", settings):
            if is_ledger_given():
                asyncio.run(_can_use(settings))
            machine = plan_machine(settings, home, ledger_given=is_ledger_given())
            asyncio.run(_run(machine, home, signals))


async def _can_use(settings: Settings) -> None:
    """A Redis that is given is asked before anything starts: children would wait for it, one after the other."""
    store = Store(settings.ledger_url.get_secret_value())
    try:
        await probe(store)
    except LedgerUnavailable as error:
        if words := refusal(str(error)):
            raise Misconfigured(words) from error
        name = variable("ledger_url")
        raise VouchpostError(
            f"the Redis of {name} cannot be used: {error}; without {name}, `up` runs its own"
        ) from error
    finally:
        await store.aclose()


async def _run(machine: Machine, home: Home, signals: Signals) -> None:
    told = asyncio.Event()
    log: Any = structlog.get_logger()

    def tell(event: str, /, **fields: Any) -> None:
        (log.warning if event in _WORTH_A_WARNING else log.info)(event, **fields)

    supervisor = Supervisor(machine.stages, tell=tell, until=told)

    def end() -> None:
        """Told once, it stops in good order; told again, at once."""
        if told.is_set():
            supervisor.hurry()
        told.set()

    signals.call(end)
    async with supervisor:
        if not told.is_set():
            async with opened(machine.settings) as gateway:
                key = await test_key(gateway, home)
            typer.echo(banner(machine, home, key))
        await supervisor.run()


async def test_key(gateway: Gateway, home: Home) -> str:
    """The key that earlier runs printed, or a new one, of a tenant that is made on the first start."""
    kept = home.test_key()
    if kept is not None and await _works(gateway, kept):
        return kept
    tenant = await gateway.tenants.find(TENANT) or await gateway.tenants.create(TENANT, now_ms=now_ms())
    _, text = await gateway.services.access.create_key(
        tenant.world(Mode.TEST), scopes=frozenset({Scope.ADMIN}), label="up", partner_id=None, expires_ms=None
    )
    home.keep_test_key(text)
    return text


async def _works(gateway: Gateway, key: str) -> bool:
    try:
        await gateway.services.authentication.sign_in(key)
    except NotAuthenticated:
        return False
    return True


def banner(machine: Machine, home: Home, key: str) -> str:
    """Every line of it can be pasted as it is."""
    return _BANNER.format(
        url=machine.url,
        path=home.path,
        redis=f", in {machine.redis.binary.label}"
        if machine.redis
        else f", and in the Redis of {variable('ledger_url')}",
        key=key,
        export_url="" if machine.url == _KIT_TAKES else f"\n  export VOUCHPOST_URL={machine.url}",
        # `uv run` says so itself; the command is on nobody's PATH then.
        vouchpost="uv run vouchpost" if "UV_RUN_RECURSION_DEPTH" in os.environ else "vouchpost",
        data_dir="" if home.path == Home().path else f" --data-dir {shlex.quote(str(home.path))}",
    )
