"""`vouchpost doctor`: looks at the ledger and this machine, and says what would break a promise. Changes nothing."""

import asyncio
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from vouchpost_gateway.checks.dns import DnsOutcome, Resolver
from vouchpost_gateway.checks.lists import DomainLists
from vouchpost_gateway.checks.nameservers import WITNESS, servers_of
from vouchpost_gateway.checks.policy import default_policy
from vouchpost_gateway.checks.selftest import SelfTest, look_at_port
from vouchpost_gateway.cli.diagnosis import (
    Census,
    Level,
    Line,
    blind_dns_line,
    clock_line,
    disk_line,
    dns_line,
    format_line,
    lists_line,
    mail_line,
    open_files_line,
    partitions_line,
    port_line,
    redis_lines,
    retention_line,
)
from vouchpost_gateway.cli.process import (
    EXIT_FAILED,
    NO_SANDBOX,
    explained,
    is_without_sandbox,
    no_master_keys,
    settings_here,
)
from vouchpost_gateway.domain.address import is_public
from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.engine import manners_of
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.connection import LedgerRefused
from vouchpost_gateway.ledger.fitness import CONFIG_NAMES, parse_config, parse_info, problems, refusal
from vouchpost_gateway.ledger.record import FORMAT
from vouchpost_gateway.ledger.seal import MasterKeys
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.tenants import Tenants
from vouchpost_gateway.ledger.watch import probe
from vouchpost_gateway.setting_types import Durability
from vouchpost_gateway.settings import Settings

_HOUR_MS = 3_600_000
_COLOURS = {Level.FINE: "green", Level.NOTABLE: "yellow", Level.BROKEN: "bold red"}


def doctor(
    *, data_dir: Annotated[Path | None, typer.Option(help="The data directory of `up`, if it is another.")] = None
) -> None:
    """Says what of the ledger, this machine and its DNS would break a promise. Exits 1 if anything would."""
    with explained():
        settings = settings_here(data_dir)
        lines = asyncio.run(examine(settings))
    _print(lines)
    if any(line.level is Level.BROKEN for line in lines):
        raise typer.Exit(EXIT_FAILED)


async def examine(settings: Settings) -> list[Line]:
    """Everything that was looked at, in order."""
    return [
        *_settings_lines(settings),
        *await _ledger_lines(settings),
        open_files_line(_open_files()),
        *_disk_lines(settings),
        _sandbox_line(settings),
        await _dns_line(settings),
        _lists_line(settings),
        *await _mail_lines(settings),
    ]


def _open_files() -> int:
    """The hard limit: every process raises its own up to that."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _settings_lines(settings: Settings) -> list[Line]:
    if not settings.master_keys:
        return [Line(Level.BROKEN, "master keys", no_master_keys(settings))]
    return [Line(Level.FINE, "master keys", f"{len(settings.master_keys)} set")]


def _sandbox_line(settings: Settings) -> Line:
    if is_without_sandbox(settings):
        return Line(Level.NOTABLE, "sandbox", NO_SANDBOX)
    return Line(Level.FINE, "sandbox", f"answers test keys at {settings.sandbox_dns or 'a port of `up`'}")


async def _ledger_lines(settings: Settings) -> list[Line]:
    store = Store(settings.ledger_url.get_secret_value())
    try:
        return await _look_at(store, settings)
    except LedgerUnavailable as error:
        words = refusal(str(error)) or f"{error}: is it running, and is VOUCHPOST_LEDGER_URL right?"
        return [Line(Level.BROKEN, "ledger", words)]
    finally:
        await store.aclose()


async def _look_at(store: Store, settings: Settings) -> list[Line]:
    info = parse_info(await store.ask("INFO"))
    config = await _config(store)
    found = problems(
        info=info,
        config=config,
        needs_replica=settings.durability is Durability.REPLICA,
        ceiling=settings.memory_ceiling,
    )
    name = f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version', '?')}"
    partitions, ledger_format = await _made_with(store)
    return [
        await _keys_line(store, settings),
        Line(Level.FINE, "ledger", f"{name} at {store.address}"),
        await _permissions_line(store),
        *redis_lines(found, accept_loss=settings.accept_loss),
        clock_line(await _clock_offset_s(store)),
        partitions_line(ledger=partitions, settings=settings.partitions),
        format_line(ledger=ledger_format, ours=FORMAT),
        retention_line(
            await _census(store, settings, int(info.get("used_memory_dataset", 0))),
            retain_s=settings.retain_verdicts_s,
            maxmemory_bytes=int(info.get("maxmemory", 0)),
            ceiling=settings.memory_ceiling,
        ),
    ]


async def _permissions_line(store: Store) -> Line:
    try:
        await probe(store)
    except LedgerRefused as error:
        return Line(Level.BROKEN, "permissions", refusal(str(error)) or str(error))
    return Line(Level.FINE, "permissions", "scripts may run, and may tell what they did")


async def _keys_line(store: Store, settings: Settings) -> Line:
    if not settings.master_keys:
        return Line(Level.NOTABLE, "sealing", "without master keys nobody can tell what they open")
    tenants = Tenants(store, MasterKeys(settings.sealing_keys()), settings.partitions)
    try:
        await tenants.check_master_keys()
    except Misconfigured as error:
        return Line(Level.BROKEN, "sealing", str(error))
    return Line(Level.FINE, "sealing", "the master keys open what the ledger holds")


async def _config(store: Store) -> dict[str, str] | None:
    try:
        replies = [await store.ask("CONFIG", "GET", name) for name in CONFIG_NAMES]
    except LedgerRefused:
        return None
    return parse_config([part for reply in replies for part in reply])


async def _made_with(store: Store) -> tuple[int | None, int | None]:
    """Partitions and format that the ledger was made with; None for an empty one."""
    values = await store.call("HMGET", keys.META, "partitions", "oldest_reader", "oldest_writer")
    partitions, *formats = (None if value is None else int(value) for value in values)
    known = [number for number in formats if number is not None]
    return partitions, max(known, default=None)


async def _clock_offset_s(store: Store) -> float:
    """The ledger's clock less ours, at the middle of the question."""
    before = time.time()
    seconds, microseconds = await store.ask("TIME")
    middle = (before + time.time()) / 2
    return int(seconds) + int(microseconds) / 1_000_000 - middle


async def _census(store: Store, settings: Settings, data_bytes: int) -> Census:
    """Counts by the index of hours: a read per tenant, mode and hour, none per record."""
    if not settings.master_keys:
        return Census(0, 0, data_bytes)
    tenants = await Tenants(store, MasterKeys(settings.sealing_keys()), settings.partitions).all()
    last_hour = time.time_ns() // 1_000_000 // _HOUR_MS - 1
    records = made = 0
    for world in (tenant.world(mode) for tenant in tenants for mode in Mode):
        for hour in await store.call("ZRANGE", keys.hours(world), 0, -1):
            count = int(await store.call("ZCARD", keys.hour_index(world, int(hour))))
            records += count
            made += count if int(hour) == last_hour else 0
    return Census(records, made, data_bytes)


def _disk_lines(settings: Settings) -> list[Line]:
    """Of the embedded ledger; of a Redis elsewhere the disk is not to be seen from here."""
    home = Home(settings.data_dir)
    if not home.path.exists():
        return []
    usage = shutil.disk_usage(home.path)
    return [disk_line(free_bytes=usage.free, total_bytes=usage.total, path=str(home.path))]


async def _dns_line(settings: Settings) -> Line:
    servers = servers_of([str(server) for server in settings.dns_servers])
    resolver = Resolver(servers, timeout_s=settings.dns_timeout_s)
    started = time.monotonic()
    try:
        found = await resolver.lookup(WITNESS, "MX")
    finally:
        await resolver.aclose()
    if found.outcome is DnsOutcome.NO_NAME:
        return blind_dns_line([server.host for server in servers], named=bool(settings.dns_servers))
    answered = found.outcome.definite
    detail = f"{(time.monotonic() - started) * 1000:.0f} ms" if answered else _word(found.outcome)
    return dns_line(answered=answered, servers=[server.host for server in servers], detail=detail)


def _lists_line(settings: Settings) -> Line:
    try:
        return lists_line(DomainLists.at(settings.lists_dir), default_policy())
    except Misconfigured as error:
        return Line(Level.BROKEN, "lists", str(error))


async def _mail_lines(settings: Settings) -> list[Line]:
    """How mail hosts will see us, if they are asked."""
    try:
        manners = manners_of(settings)
    except Misconfigured as error:
        return [Line(Level.BROKEN, "mail hosts", str(error))]
    if manners is None:
        return [mail_line(None)]
    servers = servers_of([str(server) for server in settings.dns_servers])
    resolver = Resolver(servers, timeout_s=settings.dns_timeout_s)
    try:
        lines = [mail_line(finding) for finding in await SelfTest(resolver, manners, is_public).findings()]
        domains = settings.smtp_selftest_domains
        return [*lines, port_line(await look_at_port(resolver, manners, is_public, domains))]
    finally:
        await resolver.aclose()


def _word(outcome: DnsOutcome) -> str:
    return outcome.value.replace("_", " ")


def _print(lines: Sequence[Line]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        console.print(Text.assemble((f"{line.level.value:>6}", _COLOURS[line.level]), f"  {line.about}: {line.text}"))
