"""`vouchpost keys`: API keys of a tenant, made, listed and revoked beside the API."""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vouchpost_gateway.cli.process import NO_SANDBOX, is_without_sandbox, settings_here
from vouchpost_gateway.cli.world import (
    TENANT,
    WIDTH,
    AnyModeOption,
    DataDirOption,
    ModeOption,
    NewTenantOption,
    TenantOption,
    fit_label,
    in_world,
    shown,
)
from vouchpost_gateway.domain.access import ApiKey, check_scopes, mode_of
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.world import Mode, Scope, World
from vouchpost_gateway.wiring import Gateway

app = typer.Typer(no_args_is_help=True, add_completion=False, help="API keys of a tenant.")

_PAGE = 1000
_DAY_MS = 86_400_000


@app.command()
def create(
    *,
    tenant: NewTenantOption = TENANT,
    mode: ModeOption,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What the key may do. Without it: admin; for a partner the one scope it can have."),
    ] = None,
    label: Annotated[str, typer.Option(help="What the key is for.", callback=fit_label(low=0))] = "",
    partner: Annotated[str | None, typer.Option(help="The id of the partner that the key belongs to: prt_….")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=36_500, help="After how many days it ends.")] = None,
    data_dir: DataDirOption = None,
) -> None:
    """Makes a key and prints it, once. The tenant is made when it does not exist."""
    expires_ms = None if expires_days is None else time.time_ns() // 1_000_000 + expires_days * _DAY_MS
    scopes = frozenset(scope or [Scope.ADMIN if partner is None else Scope.SUBSCRIPTIONS_OWN])

    async def work(gateway: Gateway, world: World) -> None:
        check_scopes(scopes, for_partner=partner is not None)
        if partner is not None and await gateway.access_records.partner(world, partner) is None:
            raise InvalidField("--partner", f"no such partner in mode {mode.value}; `vouchpost partners list` has them")
        _, text = await gateway.services.access.create_key(
            world,
            scopes=scopes,
            label=label,
            partner_id=partner,
            expires_ms=expires_ms,
        )
        typer.echo(text)

    in_world(tenant, mode, work, data_dir=data_dir, make_tenant=True)
    if mode is Mode.TEST and is_without_sandbox(settings_here(data_dir)):
        typer.secho(NO_SANDBOX, fg="yellow", err=True)


@app.command("list")
def list_keys(*, tenant: TenantOption = TENANT, mode: AnyModeOption = None, data_dir: DataDirOption = None) -> None:
    """Lists the keys; what is secret of them nobody can list."""
    table = Table("key", "scopes", "partner", "label", "made", "expires", box=None)

    async def work(gateway: Gateway, world: World) -> None:
        after = None
        while True:
            page = await gateway.services.access.keys(world, after=after, limit=_PAGE)
            for key in page.items:
                table.add_row(*_row(key))
            after = page.next
            if after is None:
                break

    in_world(tenant, mode, work, data_dir=data_dir)
    Console(width=WIDTH).print(table)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The key's public id, vp_live_… without its secret.")],
    *,
    tenant: TenantOption = TENANT,
    data_dir: DataDirOption = None,
) -> None:
    """Ends a key: nobody signs in with it any more, within two seconds."""
    mode = mode_of(key)
    if mode is None:
        raise typer.BadParameter("not the public id of a key: vp_live_… or vp_test_…, 22 characters")

    async def work(gateway: Gateway, world: World) -> None:
        await gateway.services.access.revoke_key(world, key)
        typer.echo(f"{key} is revoked")

    in_world(tenant, mode, work, data_dir=data_dir)


def _row(key: ApiKey) -> tuple[str, ...]:
    scopes = ", ".join(sorted(scope.value for scope in key.scopes))
    return (key.id, scopes, key.partner_id or "", shown(key.label), _date(key.created_ms), _date(key.expires_ms))


def _date(at_ms: int | None) -> str:
    return "" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
