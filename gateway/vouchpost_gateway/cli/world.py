"""Commands about a tenant in one mode: they sign in to the ledger itself, not to the API."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from vouchpost_gateway.cli.process import explained, logging_as, no_master_keys, run, settings_here
from vouchpost_gateway.domain.errors import Misconfigured, NotFound
from vouchpost_gateway.domain.label import MAX_LABEL_CHARACTERS, unfit
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.wiring import Gateway, now_ms, opened

TENANT = "default"
# Of a list. Wider than most terminals: a line may be broken there, but an id that is cut short is of no use.
WIDTH = 250


def fit_label(*, low: int = 1) -> Callable[[str], str]:
    """What the ledger would refuse as a name or label is refused by the name of its option, before anything is made."""

    def check(text: str) -> str:
        reason = unfit(text, low=low, high=MAX_LABEL_CHARACTERS)
        if reason is not None:
            raise typer.BadParameter(reason)
        return text

    return check


TenantOption = Annotated[str, typer.Option(help="Whose: the name of the tenant.")]
NewTenantOption = Annotated[str, typer.Option(help="Whose: the name of the tenant.", callback=fit_label())]
ModeOption = Annotated[Mode, typer.Option(help="live asks the Internet, test the sandbox.")]
AnyModeOption = Annotated[Mode | None, typer.Option(help="live or test; both when not given.")]

DataDirOption = Annotated[Path | None, typer.Option(help="The data directory of `up`, if it is another.")]

Work = Callable[[Gateway, World], Awaitable[None]]


def in_world(tenant: str, mode: Mode | None, work: Work, *, data_dir: Path | None, make_tenant: bool = False) -> None:
    """Works in the tenant's world, or its two, on the ledger of the settings or of the `up` that runs beside."""

    async def main() -> None:
        async with opened(settings) as gateway:
            found = await gateway.tenants.find(tenant)
            if found is None and make_tenant:
                found = await gateway.tenants.create(tenant, now_ms=now_ms())
                typer.echo(f"made the tenant {tenant}, which did not exist", err=True)
            if found is None:
                raise NotFound("tenant")
            for each in [mode] if mode else Mode:
                await work(gateway, found.world(each))

    with explained():
        settings = settings_here(data_dir)
        if not settings.master_keys:
            raise Misconfigured(no_master_keys(settings))
        with logging_as("cli", settings):
            run(main())


def shown(text: str) -> str:
    """Text from outside, for a terminal and for rich: nothing in it is a control character or markup."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text).replace("[", r"\[")
