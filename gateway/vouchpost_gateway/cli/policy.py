"""`vouchpost policy`: what a tenant calls matters of taste, and whom it allows or denies."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vouchpost_gateway.cli.process import explained
from vouchpost_gateway.cli.world import TENANT, DataDirOption, ModeOption, TenantOption, in_world
from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.domain.tenant_policy import AMENDABLE, STATUSES, TenantPolicy
from vouchpost_gateway.domain.verification import Status
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.wiring import Gateway

app = typer.Typer(no_args_is_help=True, add_completion=False, help="A tenant's own policy.")

_FIELDS = frozenset({"statuses", "allow", "deny", "version"})


@app.command()
def show(*, tenant: TenantOption = TENANT, mode: ModeOption, data_dir: DataDirOption = None) -> None:
    """Prints the policy as JSON, in the form that `set` takes."""

    async def work(gateway: Gateway, world: World) -> None:
        typer.echo(_text(await gateway.policies.read(world)))

    in_world(tenant, mode, work, data_dir=data_dir)


@app.command("set")
def put(
    file: Annotated[Path, typer.Argument(help="JSON with statuses, allow and deny; - reads standard input.")],
    *,
    tenant: TenantOption = TENANT,
    mode: ModeOption,
    data_dir: DataDirOption = None,
) -> None:
    """Puts a policy in place of the tenant's. It holds for verdicts from now on, within two seconds."""
    with explained():
        policy = _read(file)

    async def work(gateway: Gateway, world: World) -> None:
        await gateway.policies.write(world, policy)
        typer.echo(f"version {json.dumps(policy.version)}")

    in_world(tenant, mode, work, data_dir=data_dir)


@app.command()
def amendable() -> None:
    """Lists the findings that a policy may name, each with what it may be called."""
    for finding, statuses in AMENDABLE.items():
        typer.echo(f"{finding}: {', '.join(sorted(statuses))}")


def _read(file: Path) -> TenantPolicy:
    try:
        document: Any = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text("utf-8"))
    except OSError as error:
        raise Misconfigured(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise Misconfigured(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise Misconfigured(f"{file} must hold an object with statuses, allow and deny")
    if unknown := sorted(document.keys() - _FIELDS):
        raise Misconfigured(f"{file}: no such field: {', '.join(unknown)}; a policy has statuses, allow and deny")
    return TenantPolicy.made(
        statuses=_statuses(document.get("statuses", {})),
        allow=_words("allow", document.get("allow", [])),
        deny=_words("deny", document.get("deny", [])),
    )


def _statuses(value: Any) -> dict[str, Status]:
    if not isinstance(value, dict) or not all(status in list(STATUSES) for status in value.values()):
        raise Misconfigured(f"statuses must be an object of findings and statuses: {', '.join(STATUSES)}")
    return {finding: Status(status) for finding, status in value.items()}


def _words(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Misconfigured(f"{name} must be a list of domains and addresses")
    return value


def _text(policy: TenantPolicy) -> str:
    statuses = {finding: status.value for finding, status in policy.statuses.items()}
    shown = {
        "version": policy.version,
        "statuses": statuses,
        "allow": sorted(policy.allow),
        "deny": sorted(policy.deny),
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)
