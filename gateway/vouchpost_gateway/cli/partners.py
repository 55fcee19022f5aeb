"""`vouchpost partners`: who within a tenant sees only its own subscriptions."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vouchpost_gateway.cli.world import (
    TENANT,
    WIDTH,
    AnyModeOption,
    DataDirOption,
    ModeOption,
    TenantOption,
    fit_label,
    in_world,
    shown,
)
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.wiring import Gateway

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Partners of a tenant.")

_PAGE = 1000


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What to call the partner.", callback=fit_label())],
    *,
    tenant: TenantOption = TENANT,
    mode: ModeOption,
    data_dir: DataDirOption = None,
) -> None:
    """Makes a partner and prints its id, for `vouchpost keys create --partner`."""

    async def work(gateway: Gateway, world: World) -> None:
        partner = await gateway.services.access.create_partner(world, name=name, draw=None)
        typer.echo(partner.id)

    in_world(tenant, mode, work, data_dir=data_dir)


@app.command("list")
def list_partners(*, tenant: TenantOption = TENANT, mode: AnyModeOption = None, data_dir: DataDirOption = None) -> None:
    """Lists the partners."""
    table = Table("partner", "name", "mode", box=None)

    async def work(gateway: Gateway, world: World) -> None:
        after = None
        while True:
            page = await gateway.services.access.partners(world, after=after, limit=_PAGE)
            for partner in page.items:
                table.add_row(partner.id, shown(partner.name), world.mode.value)
            after = page.next
            if after is None:
                break

    in_world(tenant, mode, work, data_dir=data_dir)
    Console(width=WIDTH).print(table)


@app.command()
def delete(
    partner: Annotated[str, typer.Argument(help="The partner's id.")],
    *,
    tenant: TenantOption = TENANT,
    mode: ModeOption,
    data_dir: DataDirOption = None,
) -> None:
    """Revokes the partner's keys, deletes its subscriptions, then the partner."""

    async def work(gateway: Gateway, world: World) -> None:
        await gateway.services.access.delete_partner(world, partner)
        typer.echo(f"{partner} is deleted")

    in_world(tenant, mode, work, data_dir=data_dir)
